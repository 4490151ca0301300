"""The catalog's rows in the database, read and written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from uuid_utils import uuid7

from toolkit.catalog.changes import Change
from toolkit.catalog.sources.sourced_values import Row
from toolkit.errors import StoreError
from toolkit.files import locked
from toolkit.store.queries.models import (
    COUNT_LISTED,
    DISABLED_MODELS,
    LAST_SYNC_TRIES,
    MODEL_CHOICES,
    MODEL_NAMES,
    MODELS_BY_NAME,
    MODELS_OF_PROVIDER,
    ONE_MODEL,
    PRESENCE_CHANGES,
    PRICES_ON_DAY,
    SAME_MODEL_ELSEWHERE,
)

if TYPE_CHECKING:
    from toolkit.catalog.sync_diff import SyncDiff, SyncInput
    from toolkit.store.store import Store

RECENT_SYNCS: Final = 8
_EDIT_WAIT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class CatalogStore:
    """The tables `models`, `model_changes` and `prices` of one store.

    Attributes:
        store: the database.
    """

    store: Store

    @contextmanager
    def editing(self) -> Iterator[None]:
        """Held from reading rows to writing them back: no edit is lost between, and of two
        syncs at once, in threads or processes, only the first reports a change.

        Raises:
            ProviderError: another process held it for over a minute.
            StoreError: the home folder cannot be written.
        """
        home = self.store.settings.home
        try:
            with locked(home / "catalog", _EDIT_WAIT_S):
                yield
        except OSError as error:
            raise StoreError(
                f"{home} cannot be written ({error.strerror})",
                hint="Check the folder's permissions.",
            ) from None

    def rows_of(self, provider: str) -> dict[str, dict[str, Any]]:
        """All rows of a provider by model id, gone ones included; `facts` is read as JSON."""
        rows = self.store.rows(MODELS_OF_PROVIDER, [provider])
        return {row["model_id"]: _with_facts(row) for row in rows}

    def find_row(self, provider: str, model_id: str) -> dict[str, Any] | None:
        """The row of one model, or None."""
        rows = self.store.rows(ONE_MODEL, [provider, model_id])
        return _with_facts(rows[0]) if rows else None

    def rows_named(self, models: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of some `provider/model_id`."""
        return [_with_facts(row) for row in self.store.rows(MODELS_BY_NAME, [list(models)])]

    def find_names(self) -> list[str]:
        """`provider/model_id` of every model, gone ones included."""
        rows = self.store.rows(MODEL_NAMES)
        return [row["model"] for row in rows]

    def find_choices(self) -> list[str]:
        """`provider/model_id` of the models that can be picked: enabled, listed, for chat."""
        rows = self.store.rows(MODEL_CHOICES)
        return [row["model"] for row in rows]

    def find_disabled(self) -> list[str]:
        """`provider/model_id` of the models that a person switched off."""
        return [row["model"] for row in self.store.rows(DISABLED_MODELS)]

    def last_tries(self) -> dict[str, datetime]:
        """When each provider was last asked for its models, in vain or not."""
        rows = self.store.rows(LAST_SYNC_TRIES)
        return {row["provider"]: row["tried_at"] for row in rows}

    def find_elsewhere(self, provider: str, model_id: str) -> list[dict[str, Any]]:
        """The same model at other providers: ids that end alike, listed ones only."""
        return self.store.rows(SAME_MODEL_ELSEWHERE, [provider, model_id])

    def count_listed(self, provider: str) -> int:
        """How many models of a provider are known and not gone."""
        return int(self.store.rows(COUNT_LISTED, [provider])[0]["n"])

    def count_flips(self, provider: str) -> dict[str, int]:
        """By model id, how often it came or went within the last `RECENT_SYNCS` syncs."""
        rows = self.store.rows(PRESENCE_CHANGES, [provider, provider, RECENT_SYNCS])
        return {row["model_id"]: int(row["n"]) for row in rows}

    def price_rows(self, provider: str, model_id: str, on: date) -> list[dict[str, Any]]:
        """The price rows of a model that hold on a day, later ones last."""
        return self.store.rows(PRICES_ON_DAY, [provider, model_id, on, on])

    def write_sync(self, step: SyncInput, outcome: SyncDiff) -> None:
        """Write a sync; models last, so that a sync cut short is repeated and never lost."""
        name = step.provider.name
        sync = Change(
            kind="sync",
            field="models" if step.listing.complete else "incomplete",
            old=str(outcome.known_before),
            new=str(len(step.listing.models)),
        )
        changes = [("", sync), *outcome.changes]
        self.store.append_many("prices", outcome.prices)
        self.store.append_many("model_changes", _change_rows(name, step.at, step.sync_id, changes))
        self._write_models(outcome.rows)

    def write_failure(
        self, provider: str, at: datetime, message: str | None, rows: Sequence[Row]
    ) -> None:
        """Write that a provider could not be read, and the rows marked with the reason."""
        sync = Change(kind="sync", field="error", new=message)
        changes = _change_rows(provider, at, str(uuid7()), [("", sync)])
        self.store.append_many("model_changes", changes)
        self._write_models(rows)

    def write_edits(
        self,
        rows: Sequence[Row],
        changes: Sequence[tuple[str, str, Change]],
        at: datetime,
        prices: Sequence[Row] = (),
    ) -> None:
        """Write rows that a person edited, and what was changed, by provider and model id."""
        self.store.append_many("prices", prices)
        edits = [
            row
            for provider, model_id, change in changes
            for row in _change_rows(provider, at, None, [(model_id, change)])
        ]
        self.store.append_many("model_changes", edits)
        self._write_models(rows)

    def _write_models(self, rows: Sequence[Row]) -> None:
        """Rows that were read hold the provider's item as text; it goes back as JSON."""
        self.store.append_many("models", [{**row, "raw": _parse(row.get("raw"))} for row in rows])


def _change_rows(
    provider: str, at: datetime, sync_id: str | None, changes: Iterable[tuple[str, Change]]
) -> list[dict[str, Any]]:
    return [
        {
            "change_id": str(uuid7()),
            "changed_at": at,
            "provider": provider,
            "model_id": model_id or None,
            "model": f"{provider}/{model_id}" if model_id else None,
            "kind": change.kind,
            "field": change.field,
            "old": change.old,
            "new": change.new,
            "source": change.source,
            "sync_id": sync_id,
        }
        for model_id, change in changes
    ]


def _with_facts(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "facts": _parse(row.get("facts"))}


def _parse(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
