"""`tk.catalog`: every model of every provider, with its properties, prices and history."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from toolkit.catalog import catalog_queries
from toolkit.catalog.capability_probe import (
    CapabilityVerdict,
    ProbeCalls,
    estimate_probes,
    probe_capability,
    read_capabilities,
)
from toolkit.catalog.catalog_store import CatalogStore
from toolkit.catalog.changes import KINDS, Change, find_changes
from toolkit.catalog.parsing import Moment, read_day, read_moment, split_model
from toolkit.catalog.price_lookup import PriceLookup
from toolkit.catalog.price_rows import build_price_rows
from toolkit.catalog.reprice import Question, Repricer
from toolkit.catalog.sources.overrides import override_row, probe_row
from toolkit.catalog.sources.sourced_values import read_claims
from toolkit.catalog.sync import Syncer, SyncReport, SyncResult
from toolkit.display import Card, Shown
from toolkit.errors import ModelNotFound, ToolkitError
from toolkit.providers.naming import similar_models
from toolkit.providers.provider import LOCAL
from toolkit.store.queries.app_pages import provider_counts
from toolkit.store.queries.models import enabled_models

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.local.local_server import LocalServer
    from toolkit.providers.provider import Provider
    from toolkit.providers.registry import Registry
    from toolkit.secret import Secret
    from toolkit.settings import Settings
    from toolkit.store.store import Store

SYNC_EVERY: Final = timedelta(hours=24)
"""How often the listing of a provider with `auto_sync` is read, unless it has its own interval."""


_LOCAL_IDLE_TIMEOUT_S: Final = 300.0

Names = list[str]


class Catalog(Shown):
    """The models of one toolkit."""

    def __init__(  # noqa: PLR0913 - a service gets each thing that it uses
        self,
        *,
        settings: Settings,
        store: Store,
        registry: Callable[[], Registry],
        key_for: Callable[[Provider], Secret | None],
        local: Callable[[], LocalServer],
        run: Callable[[Coroutine[Any, Any, SyncReport]], SyncReport],
        probe_calls: Callable[[], ProbeCalls],
        on_edit: Callable[[], None] = lambda: None,
        token_for: Callable[[Provider], Awaitable[Secret | None]] | None = None,
    ) -> None:
        """Make the catalog of one home folder.

        Args:
            settings: proxy and deadlines of listings.
            store: the database.
            registry: gives the registry of providers.
            key_for: the active key of a provider, or None.
            local: gives the built-in model's server.
            run: runs a coroutine for a synchronous caller.
            on_edit: called after a person changed a model, so that it has effect at once.
            probe_calls: gives the functions that call a model, for probes of capabilities.
            token_for: the token of a cloud identity, where a provider has no key.
        """
        self._settings = settings
        self._store = store
        self._registry = registry
        self._key_for = key_for
        self._local = local
        self._run = run
        self._on_edit = on_edit
        self._probe_calls = probe_calls
        self._token_for = token_for

    def _card(self) -> Card:
        """How many models each provider lists, and how the last listing ended."""
        syncs = {row["provider"]: row for row in self.syncs().astype(object).to_dict("records")}
        counts = {row["provider"]: row for row in provider_counts().rows(self._store)}
        rows: list[dict[str, Any]] = []
        for name in sorted(counts.keys() | syncs.keys()):
            counted, synced = counts.get(name, {}), syncs.get(name, {})
            at, problem = synced.get("synced_at"), synced.get("error")
            rows.append(
                {
                    "provider": name,
                    "models": counted.get("listed", 0),
                    "switched on": counted.get("enabled", 0),
                    "last listed": _minute(at),
                    "problem": problem if isinstance(problem, str) else "",
                }
            )
        total = sum(row["models"] for row in rows)
        return Card(
            title=f"The catalog: {total:,} models of {len(rows):,} providers",
            rows=rows,
            notes=['tk.models("name") finds models; tk.catalog.sync() lists them again.'],
        )

    @cached_property
    def catalog_store(self) -> CatalogStore:
        """The catalog's rows in the database."""
        return CatalogStore(self._store)

    @cached_property
    def prices(self) -> PriceLookup:
        """Prices of any model on any day."""
        return PriceLookup(self.catalog_store, self._find_provider)

    def sync(
        self,
        names: Sequence[str] | str | None = None,
        *,
        on_result: Callable[[SyncResult], None] | None = None,
    ) -> SyncReport:
        """Read the listings of providers in parallel, and store what is new.

        Args:
            names: providers' names; None: all that are in use (the built-in one if it runs).
            on_result: called for each provider as soon as it is done.

        Returns:
            One result per provider; one that fails leaves its models as they were.

        Raises:
            ProviderNotFound: no provider of such a name.
        """
        return self._run(self.async_sync(names, on_result=on_result))

    async def async_sync(
        self,
        names: Sequence[str] | str | None = None,
        *,
        on_result: Callable[[SyncResult], None] | None = None,
    ) -> SyncReport:
        """The same as `sync`, for use with `await`."""
        chosen = await asyncio.to_thread(self._choose, names)
        syncer = Syncer(
            self._settings, self.catalog_store, self._key_for, token_for=self._token_for
        )
        return SyncReport(tuple(await syncer.sync(chosen, on_result)))

    async def sync_due(self, now: datetime | None = None) -> SyncReport:
        """Sync what is due: providers with `auto_sync` whose interval has passed.

        A provider that fails is due again only after the same interval: broken providers are
        not queried more often than others.
        """
        due = await asyncio.to_thread(self._find_due, now or datetime.now(UTC))
        return await self.async_sync(due) if due else SyncReport(())

    async def keep_fresh(self, look_every_s: float = 900.0) -> None:
        """Sync what is due, again and again: for `portal.start`, beside an app or a server."""
        while True:
            with suppress(ToolkitError):  # a busy store or registry is asked again next time
                await self.sync_due()
            await asyncio.sleep(look_every_s)

    def _find_due(self, now: datetime) -> Names:
        registry, tried = self._registry(), self.catalog_store.last_tries()
        return [
            provider.name
            for provider in registry.list(active=True)
            if provider.auto_sync
            and not registry.is_built_in(provider.name)
            and (provider.name not in tried or now - tried[provider.name] >= _interval(provider))
        ]

    def frame(
        self, search: str | None = None, *, callable: bool | None = None, **filters: Any
    ) -> pd.DataFrame:
        """The catalog as `tk.models()` gives it, with the last proof from your own calls.

        Args:
            search: words that must all occur in a model's id, name, owner or description.
            callable: True: only models that have answered a live call of yours.
            filters: by column, for example `provider="openai"`, `is_enabled=True`.
        """
        return catalog_queries.models_df(
            self._store, search=search, callable=callable, filters=filters
        )

    list = frame

    def overview(self) -> pd.DataFrame:
        """The catalog without facts and raw items, with your own median TTFT and speed beside."""
        return catalog_queries.overview_df(self._store)

    def show(self, model: str) -> dict[str, Any]:
        """Everything about one model.

        Returns:
            Its row, `claims` (every source's word by fact), `conflicts`, `proof` (its row of
            `verify`), `changes` (newest first) and `elsewhere` (the same model at
            other providers, with their prices).

        Raises:
            ModelNotFound: the catalog has no such model.
        """
        row = self._require_row(model)
        facts = row.pop("facts") or {}
        verified = catalog_queries.verify_df(self._store, provider=row["provider"])
        proof = verified[verified["model"] == model].astype(object)
        changes = catalog_queries.changes_df(self._store, model=model).head(20).astype(object)
        return {
            **row,
            "claims": facts.get("claims", {}),
            "conflicts": facts.get("conflicts", []),
            "sources": facts.get("sources", {}),
            "proof": proof.where(proof.notna(), None).to_dict("records")[0],
            "changes": changes.where(changes.notna(), None).to_dict("records"),
            "elsewhere": self.catalog_store.find_elsewhere(row["provider"], row["model_id"]),
        }

    def capabilities(self, model: str) -> Sequence[str]:
        """What a model can do (`tools`, `json_schema`, ...); empty where the catalog has no row."""
        try:
            return tuple(self._require_row(model)["capabilities"] or ())
        except ModelNotFound:
            return ()

    def changes(
        self,
        since: Moment = None,
        *,
        kinds: Sequence[str] = KINDS,
        provider: str | None = None,
        model: str | None = None,
    ) -> pd.DataFrame:
        """What changed, newest first: new, gone, back, price, context, capability, status.

        Args:
            since: a day (its first second, UTC), a moment, or `7d` before now; None: everything.
            kinds: only these.
            provider: only this provider's.
            model: only this `provider/model_id`.
        """
        return catalog_queries.changes_df(
            self._store,
            since=read_moment(since),
            kinds=catalog_queries.require_kinds(tuple(kinds)),
            provider=provider,
            model=model,
        )

    def verify(self, provider: str | None = None) -> pd.DataFrame:
        """Return which sources list each model, and whether a call with your key succeeded."""
        return catalog_queries.verify_df(self._store, provider=provider)

    truth = verify

    def retirements(self, within_days: int = 90, *, today: date | None = None) -> pd.DataFrame:
        """Models that end within so many days, soonest first, with their successors."""
        day = today or datetime.now(UTC).date()
        return catalog_queries.retirements_df(self._store, within_days=within_days, today=day)

    def price_history(self, model: str) -> pd.DataFrame:
        """Dated prices of a model: what was recorded here, and what genai-prices dates back.

        Columns: `valid_from` (None: from the beginning), `token_class`, `tier`,
        `above_tokens`, `usd_per_million`, `source`; oldest first.
        """
        row = self._require_row(model)
        provider = self._find_provider(row["provider"])
        return catalog_queries.price_history_df(self._store, provider, row)

    def reprice(
        self,
        since: Moment = None,
        at: date | str | None = None,
        as_: str | None = None,
        *,
        until: Moment = None,
    ) -> pd.DataFrame:
        """What past calls would have cost on another day, or at another model.

        Args:
            since, until: live calls sent in this span, as `changes` takes it; None: no bound.
            at: prices of this day; None: those in force now.
            as_: take the prices of this `provider/model_id` for all calls.

        Returns:
            One row per model that was called: `recorded_usd` beside `repriced_usd`, None where
            no price is known. Nothing is rewritten.
        """
        question = Question(
            since=read_moment(since),
            until=read_moment(until),
            on=read_day(at),
            as_model=None if as_ is None else split_model(as_),
        )
        return Repricer(self._store, self.prices).reprice(question)

    def enable(self, *models: str) -> int:
        """Switch models on by `provider/model_id` or pattern (`openrouter/anthropic/*`).

        Returns:
            How many were switched.

        Raises:
            ModelNotFound: a name or pattern fits no model.
        """
        return self._switch(models, True)

    def disable(self, *models: str) -> int:
        """Switch models off: they stay in the catalog, and calls to them are refused."""
        return self._switch(models, False)

    def override(self, model: str, values: dict[str, Any], *, on: date | str | None = None) -> None:
        """Set your own facts or prices of a model; they take precedence over every other source.

        Args:
            model: `provider/model_id`.
            values: by name of fact, for example `{"price:input": "0.20"}` (USD per million
                tokens), `{"context_window_tokens": 32768}`; None takes yours back.
            on: the day from which it holds; None: today (UTC).

        Raises:
            ModelNotFound: the catalog has no such model.
            InvalidInput: no such fact, or a value that it cannot have.
        """
        now = datetime.now(UTC)
        with self.catalog_store.editing():
            row = self._require_row(model)
            edited = override_row(row, values, read_day(on) or now.date())
            prices = build_price_rows(row, edited, now)
            found = [(row["provider"], row["model_id"], c) for c in find_changes(row, edited)]
            self.catalog_store.write_edits([edited], found, now, prices)
        self._on_edit()

    def estimate_probe(
        self, model: str, capabilities: Sequence[str] | None = None
    ) -> Decimal | None:
        """Return the most that `probe` may cost, USD; None where no price is known."""
        return estimate_probes(self._probe_calls(), model, read_capabilities(capabilities))

    def probe(
        self, model: str, capabilities: Sequence[str] | None = None
    ) -> Sequence[CapabilityVerdict]:
        """Ask a model for what it can do, with one real request for each capability.

        This may cost money: see `estimate_probe`. What it shows is kept beside what the listing
        says and comes before it; the calls have the tag `capability_probe`.

        Args:
            model: `provider/model_id`.
            capabilities: `tools`, `vision`, `json_schema`, `reasoning`, `streaming`; None: all.

        Raises:
            ModelNotFound: the catalog has no such model.
            InvalidInput: a capability that cannot be probed.
        """
        chosen = read_capabilities(capabilities)
        claims = read_claims(self._require_row(model))
        found = []
        for name in chosen:
            said = [c for c in claims.get(f"capability:{name}", []) if c["source"] != "probe"]
            listed = bool(said[0]["value"]) if said else None
            found.append(probe_capability(self._probe_calls(), model, name, listed))
        shown: dict[str, bool] = {
            v.capability: v.supported for v in found if v.supported is not None
        }
        now = datetime.now(UTC)
        with self.catalog_store.editing():
            row = self._require_row(model)
            edited = probe_row(row, shown, now.date())
            changes = [(row["provider"], row["model_id"], c) for c in find_changes(row, edited)]
            self.catalog_store.write_edits([edited], changes, now)
        self._on_edit()
        return found

    def syncs(self) -> pd.DataFrame:
        """The last sync of each provider: when, how it ended, why it failed, when it is next due.

        Returns:
            Columns `provider`, `synced_at` (last success), `tried_at`, `status`, `models`,
            `error`, `next_at` (empty where it is not synced automatically).
        """
        import pandas as pd

        registry, found = self._registry(), catalog_queries.syncs_df(self._store)
        automatic = {
            provider.name: _interval(provider)
            for provider in registry.list(active=True)
            if provider.auto_sync and not registry.is_built_in(provider.name)
        }
        due = [
            tried + automatic[name] if name in automatic else None
            for name, tried in zip(found["provider"], found["tried_at"], strict=True)
        ]
        return found.assign(next_at=pd.to_datetime(pd.Series(due, index=found.index), utc=True))

    def choices(self) -> Sequence[str]:
        """`provider/model_id` of every model that a person can pick: enabled, listed, for chat."""
        return self.catalog_store.find_choices()

    def similar(self, name: str) -> Sequence[str]:
        """Up to three enabled models whose name is like `name`, nearest first."""
        in_use = self._registry().list(active=True)
        defaults = [f"{p.name}/{p.default_model}" for p in in_use if p.default_model]
        return similar_models(name, dict.fromkeys([*enabled_models(self._store), *defaults]))

    def disabled(self) -> Sequence[str]:
        """`provider/model_id` of every model that was switched off."""
        return self.catalog_store.find_disabled()

    def _choose(self, names: Sequence[str] | str | None) -> Sequence[Provider]:
        """Return the providers to query; the built-in one is started when it is named."""
        registry = self._registry()
        if names is None:
            is_running = self._local().status() is not None
            used = registry.list(active=True)
            return [
                registry.locate(p) for p in used if not registry.is_built_in(p.name) or is_running
            ]
        names = [names] if isinstance(names, str) else names
        if LOCAL in names and registry.is_built_in(LOCAL):
            self._local().start(None, idle_timeout_s=_LOCAL_IDLE_TIMEOUT_S)
        return [registry.locate(registry.require(name)) for name in names]

    def _find_provider(self, name: str) -> Provider | None:
        return self._registry().find(name)

    def _require_row(self, model: str) -> dict[str, Any]:
        provider, model_id = split_model(model)
        row = self.catalog_store.find_row(provider, model_id)
        if row is None:
            raise ModelNotFound(
                f"the catalog has no model {model}",
                model=model,
                hint="List them with `toolkit models list`, or sync with `toolkit models sync`.",
            )
        return row

    def _switch(self, names: Sequence[str], enabled: bool) -> int:
        with self.catalog_store.editing():
            switched = self._write_switches(names, enabled)
        self._on_edit()
        return switched

    def _write_switches(self, names: Sequence[str], enabled: bool) -> int:
        rows: dict[str, dict[str, Any]] = {}
        known = self.catalog_store.find_names()
        for name in names:
            fitting = [model for model in known if model == name or fnmatchcase(model, name)]
            if not fitting:
                self._require_row(name)
            rows |= {row["model"]: row for row in self.catalog_store.rows_named(fitting)}
        turned = [row for row in rows.values() if row["is_enabled"] is not enabled]
        word = {True: "on", False: "off"}
        change = Change(kind="enabled", old=word[not enabled], new=word[enabled], source="person")
        self.catalog_store.write_edits(
            [{**row, "is_enabled": enabled} for row in turned],
            [(row["provider"], row["model_id"], change) for row in turned],
            datetime.now(UTC),
        )
        return len(turned)


def _interval(provider: Provider) -> timedelta:
    """How often a provider's listing is read."""
    seconds = provider.sync_interval_s
    return SYNC_EVERY if seconds is None else timedelta(seconds=seconds)


def _minute(at: Any) -> str:
    """A moment to the minute; pandas has NaT for none."""
    return "never" if str(at) in ("None", "NaT") else f"{at:%Y-%m-%d %H:%M} UTC"
