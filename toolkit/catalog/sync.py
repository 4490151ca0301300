"""One sync: every provider asked at once, each on its own deadline, and what came of it written.

A provider that cannot be read leaves its models as they were, marked with the reason. A listing
that may be cut short proves that models are there, never that others are gone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from uuid_utils import uuid7

from toolkit.catalog.catalog_store import CatalogStore
from toolkit.catalog.listings.fetch import DEADLINE_S, fetch_listing
from toolkit.catalog.listings.listed_model import Listing
from toolkit.catalog.model_row import mark_failed
from toolkit.catalog.sources import genai_map, litellm_map
from toolkit.catalog.sync_diff import SyncDiff, SyncInput, compare_listing
from toolkit.display import Card, Shown
from toolkit.errors import CatalogSyncFailed, KeyRequired, StoreError, StoreLocked, ToolkitError
from toolkit.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.providers.provider import Provider
    from toolkit.secret import Secret

_WAITS_FOR_STORE: Final = 3

SyncState = Literal["ok", "incomplete", "error", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """What one provider's sync came to.

    Attributes:
        provider: its name.
        status: `ok`; `incomplete` (pages were missing); `error` (nothing was changed);
            `skipped` (a key is needed and there is none).
        models: how many the listing holds.
        new, gone, back, changed: how many models are such.
        message, hint, cause: why it failed.
        notes: oddities of the listing as a whole.
        network_ms, local_ms: time spent asking, and reading, comparing and writing.
        at: when the listing was read, UTC.
    """

    provider: str
    status: SyncState
    at: datetime
    models: int = 0
    new: int = 0
    gone: int = 0
    back: int = 0
    changed: int = 0
    message: str | None = None
    hint: str | None = None
    cause: str | None = None
    notes: tuple[str, ...] = ()
    network_ms: float | None = None
    local_ms: float | None = None


@dataclass(frozen=True, slots=True)
class SyncReport(Shown):
    """What a sync came to: one `SyncResult` per provider, in the order in which they were asked."""

    results: tuple[SyncResult, ...]

    def __iter__(self) -> Iterator[SyncResult]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    @property
    def failed(self) -> tuple[SyncResult, ...]:
        """Those whose listing could not be read; their models are as they were."""
        return tuple(result for result in self.results if result.status == "error")

    def frame(self) -> pd.DataFrame:
        """One row per provider; times in milliseconds."""
        import pandas as pd

        names = list(SyncResult.__dataclass_fields__)
        return pd.DataFrame([asdict(result) for result in self.results], columns=names)

    def _card(self) -> Card:
        return Card(
            title=f"Catalog sync: {len(self.results)} providers, {len(self.failed)} failed",
            rows=[
                {
                    "provider": result.provider,
                    "status": result.status,
                    "models": result.models,
                    "new": result.new,
                    "changed": result.changed,
                    "gone": result.gone,
                    "message": result.message or "",
                }
                for result in self.results
            ],
        )


@dataclass(frozen=True, slots=True)
class Syncer:
    """Reads providers' listings and keeps the catalog's rows up to date.

    Attributes:
        settings: proxy and connect deadline.
        catalog_store: the catalog's rows in the store.
        key_for: the key of a provider, or None.
        token_for: the token of a cloud identity, where there is no key.
        deadline_s: longest wait for one provider's whole listing, seconds.
    """

    settings: Settings
    catalog_store: CatalogStore
    key_for: Callable[[Provider], Secret | None]
    deadline_s: float = DEADLINE_S
    token_for: Callable[[Provider], Awaitable[Secret | None]] | None = None

    async def sync(
        self,
        providers: Iterable[Provider],
        on_result: Callable[[SyncResult], None] | None = None,
    ) -> list[SyncResult]:
        """Sync all providers at once; `on_result` is called for each as soon as it is done."""

        async def run(provider: Provider) -> SyncResult:
            result = await self.sync_one(provider)
            if on_result is not None:
                on_result(result)
            return result

        warming = asyncio.create_task(asyncio.to_thread(self._warm_up))
        results = await asyncio.gather(*(run(provider) for provider in providers))
        await warming
        return list(results)

    def _warm_up(self) -> None:
        """Load the price maps and open the store while the providers are being asked."""
        litellm_map.bundled_map()
        genai_map.load()
        with suppress(StoreError):  # the next read of the database reports it
            self.catalog_store.count_listed("")

    async def sync_one(self, provider: Provider) -> SyncResult:
        """Read one provider's listing and write what is new; a failure is in the result."""
        began = time.monotonic()
        try:
            listing = await self._ask(provider)
        except KeyRequired as error:
            return _failure(provider, error, began, status="skipped")
        except ToolkitError as error:
            result = _failure(provider, error, began)
            with suppress(ToolkitError):  # the listing's failure is the one to report
                await asyncio.to_thread(self._write_failure, provider, result)
            return result
        asked = time.monotonic()
        step = SyncInput(provider, listing, datetime.now(UTC), str(uuid7()))
        try:
            outcome = await asyncio.to_thread(self._write_patiently, step)
        except ToolkitError as error:
            return _failure(provider, error, began)
        return _counted(step, outcome, began, asked)

    async def _ask(self, provider: Provider) -> Listing:
        from toolkit.calls.http_client import open_http

        key = await self._require_key(provider)
        async with open_http(self.settings, local=provider.is_local) as http:
            listing = await fetch_listing(provider, key, http, deadline_s=self.deadline_s)
        await asyncio.to_thread(self._require_believable, provider, listing)
        return listing

    def _require_believable(self, provider: Provider, listing: Listing) -> None:
        """A cloud provider does not lose all its models at once; a local server may."""
        if listing.models or provider.is_local:
            return
        known = self.catalog_store.count_listed(provider.name)
        if known:
            raise CatalogSyncFailed(
                f"{provider.name} answered with an empty list, though {known:,} models are known",
                provider=provider.name,
                cause="empty",
                hint="They are left as they were. Check that the key belongs to the right project.",
            )

    async def _require_key(self, provider: Provider) -> Secret | None:
        key = await asyncio.to_thread(self.key_for, provider)
        if key is None and self.token_for is not None:
            key = await self.token_for(provider)
        if key is None and provider.needs_key:
            raise KeyRequired(f"{provider.name} needs a key", provider=provider.name)
        return key

    def _write_patiently(self, step: SyncInput) -> SyncDiff:
        """Write; a busy store is waited for again, since asking again costs more."""
        for _ in range(_WAITS_FOR_STORE):
            with suppress(StoreLocked):
                return self._write(step)
        return self._write(step)

    def _write(self, step: SyncInput) -> SyncDiff:
        name = step.provider.name
        with self.catalog_store.editing():
            outcome = compare_listing(
                step, self.catalog_store.rows_of(name), self.catalog_store.count_flips(name)
            )
            self.catalog_store.write_sync(step, outcome)
        return outcome

    def _write_failure(self, provider: Provider, result: SyncResult) -> None:
        with self.catalog_store.editing():
            rows = self.catalog_store.rows_of(provider.name).values()
            failed = [mark_failed(row, result.message or "") for row in rows]
            self.catalog_store.write_failure(provider.name, result.at, result.message, failed)


def _counted(step: SyncInput, outcome: SyncDiff, began: float, asked: float) -> SyncResult:
    now, counts = time.monotonic(), outcome.counts()
    return SyncResult(
        provider=step.provider.name,
        status="ok" if step.listing.complete else "incomplete",
        at=step.at,
        models=len(step.listing.models),
        notes=step.listing.notes,
        network_ms=(asked - began) * 1000,
        local_ms=(now - asked) * 1000,
        new=counts["new"],
        gone=counts["gone"],
        back=counts["back"],
        changed=counts["changed"],
    )


def _failure(
    provider: Provider, error: ToolkitError, began: float, status: SyncState = "error"
) -> SyncResult:
    return SyncResult(
        provider=provider.name,
        status=status,
        at=datetime.now(UTC),
        message=error.message,
        hint=error.hint or None,
        cause=error.cause or error.code.lower(),
        network_ms=(time.monotonic() - began) * 1000,
    )
