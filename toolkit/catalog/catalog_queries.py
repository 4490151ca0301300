"""The catalog as DataFrames: models, changes, verification, retirements, prices, syncs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from toolkit.catalog.changes import KINDS, describe
from toolkit.catalog.sources import genai_map
from toolkit.catalog.sources.hosts_of_url import UNKNOWN, host_of
from toolkit.errors import InvalidInput
from toolkit.store import queries
from toolkit.store.queries.calls import latency_from_rollups
from toolkit.store.queries.models import (
    LAST_SYNCS,
    MODEL_CHANGES,
    MODEL_OVERVIEW,
    MODEL_RETIREMENTS,
    MODEL_VERIFICATION,
    PRICE_HISTORY,
    models_where,
)

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.providers.provider import Provider
    from toolkit.store.store import Store

WARN_DAYS: Final = (30, 60, 90)

_HISTORY_COLUMNS: Final = (
    "valid_from", "token_class", "tier", "above_tokens", "usd_per_million", "source",
    "recorded_at",
)  # fmt: skip


def models_df(
    store: Store,
    *,
    search: str | None = None,
    callable: bool | None = None,
    filters: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """The catalog, one row per model, with what your calls prove of it.

    Columns: those of `toolkit.store.queries.models_df`, and `called_at`, `last_status`,
    `error_code`, `key_fingerprint`, `calls`.

    Args:
        store: the database.
        search: words that must all occur in id, name, owner, family or description.
        callable: True: only models that have answered a live call; False: only the others.
        filters: by column, as in `toolkit.store.queries.models_df`.
    """
    condition, values = queries.columns_where("models", filters or {})
    words = (search or "").split()
    return store.frame(models_where(condition, len(words), callable), [*values, *words])


def overview_df(store: Store) -> pd.DataFrame:
    """The catalog without its bulky columns, fast at any number of calls (from roll-ups).

    Beside the catalog's own columns: `answered_at` (begin of the hour of the last live
    answer), `ttft_ms` and `output_tps` (medians of your own live calls, within 1 %).
    """
    with store.reading() as reader:
        models = reader.frame(MODEL_OVERVIEW)
        ttft = latency_from_rollups("ttft_ms").frame(reader)
        tpot = latency_from_rollups("tpot_ms").frame(reader)
    keys = ["provider", "model"]
    ttft = ttft.rename(columns={"p50_ms": "ttft_ms"})[[*keys, "ttft_ms"]]
    speed = tpot.assign(output_tps=1000 / tpot["p50_ms"])
    with_ttft = models.merge(ttft, on=keys, how="left")
    return with_ttft.merge(speed[[*keys, "output_tps"]], on=keys, how="left")


def changes_df(
    store: Store,
    *,
    since: datetime | None = None,
    kinds: tuple[str, ...] = KINDS,
    provider: str | None = None,
    model: str | None = None,
) -> pd.DataFrame:
    """What changed, newest first: `changed_at`, `model`, `kind`, `field`, `old`, `new`, `words`.

    `is_first_listing` marks models that are new because their provider was never read before.

    Args:
        store: the database.
        since: not older than this, UTC.
        kinds: of `toolkit.catalog.changes.KINDS`, `enabled` and `sync`.
        provider: only this provider's.
        model: only this `provider/model_id`.
    """
    frame = store.frame(
        MODEL_CHANGES,
        [provider, since, list(kinds), model],
    )
    plain = frame.astype(object).where(frame.notna(), None)
    rows: list[dict[str, Any]] = plain.to_dict("records")  # type: ignore[assignment]
    words = [describe(row) for row in rows]
    return frame.assign(words=words)


def verify_df(store: Store, *, provider: str | None = None) -> pd.DataFrame:
    """Which sources list each model, one row per model, and whether it was called.

    Columns: `model`, `provider`, `model_id`, `listed`, `listed_at`, `in_litellm`,
    `litellm_key`, `in_genai_prices`, `called` (True: it answered; False: it was tried and
    never did; NULL: never tried), `called_at`, `last_status`, `error_code`, `key_fingerprint`,
    `conflicts`. Models that were called but never listed have a row, too.
    """
    return store.frame(
        MODEL_VERIFICATION,
        [provider],
    )


def retirements_df(store: Store, *, within_days: int = 90, today: date) -> pd.DataFrame:
    """Models that end within so many days, soonest first, those already past included.

    Columns: `model`, `retires_on`, `days_left`, `warning` (30, 60 or 90, or 0 once past),
    `successor`, `is_enabled`, `calls_30d` (your live calls in the last 30 days).
    """
    frame = store.frame(
        MODEL_RETIREMENTS,
        [today, today, today, within_days],
    )
    frame["warning"] = frame["days_left"].map(_warning).astype("Int64")
    return frame


def _warning(days_left: int) -> int | None:
    """The mark that has been passed: 90, 60 or 30 days before the end, 0 after it."""
    if days_left < 0:
        return 0
    return next((mark for mark in WARN_DAYS if days_left <= mark), None)


def price_history_df(
    store: Store, provider: Provider | None, row: Mapping[str, Any]
) -> pd.DataFrame:
    """Every dated price of one model, oldest first; genai-prices' steps reach back before us.

    Columns: `valid_from` (None: from the beginning), `token_class`, `tier`, `above_tokens`,
    `usd_per_million`, `source`, `recorded_at`.
    """
    import pandas as pd

    columns = list(_HISTORY_COLUMNS)
    rows = store.rows(
        PRICE_HISTORY,
        [row["provider"], row["model_id"]],
    )
    rows = [recorded for recorded in rows if recorded["source"] != "genai-prices"]
    host = UNKNOWN if provider is None else host_of(provider)
    for day, prices in genai_map.price_history(host, row["model_id"]):
        rows += [
            {**asdict(price), "valid_from": day, "source": "genai-prices", "recorded_at": None}
            for price in prices
        ]
    rows.sort(key=lambda r: (r["valid_from"] or date.min, r["token_class"], r["tier"]))
    return pd.DataFrame(rows, columns=columns)


def syncs_df(store: Store) -> pd.DataFrame:
    """The last sync of each provider: `provider`, `synced_at`, `status`, `models`, `error`."""
    return store.frame(LAST_SYNCS)


def require_kinds(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """The kinds of changes as they are.

    Raises:
        InvalidInput: there is no such kind.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise InvalidInput(
            f"{unknown[0]!r} is not a kind of change", hint=f"Use {', '.join(KINDS)}."
        )
    return kinds
