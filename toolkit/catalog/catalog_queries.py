"""Named questions to the catalog, each answered with a DataFrame: list, changes, truth, prices."""

# ruff: noqa: S608 - conditions are assembled from fixed parts, values are always bound.

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

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.providers.provider import Provider
    from toolkit.store.store import Store

WARN_DAYS: Final = (30, 60, 90)

_HISTORY_COLUMNS: Final = (
    "valid_from", "token_class", "tier", "above_tokens", "usd_per_million", "source",
    "recorded_at",
)  # fmt: skip
_PROOFS: Final = """
    SELECT provider, substr(model, length(provider) + 2) AS model_id,
           max(started_at) FILTER (status = 'ok') AS called_at,
           max(started_at) AS last_tried_at,
           arg_max(status, started_at) AS last_status,
           arg_max(error_code, started_at) FILTER (status = 'error') AS error_code,
           arg_max(key_fingerprint, started_at) FILTER (status = 'ok') AS key_fingerprint,
           count(*) AS calls
    FROM calls WHERE source = 'live' GROUP BY ALL"""
_SEARCHED: Final = "concat_ws(' ', model, display_name, owner, family, description)"


def models_df(
    store: Store,
    *,
    search: str | None = None,
    callable: bool | None = None,
    filters: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """The catalog, one row per model, with the last proof from the ledger beside it.

    Columns: those of `toolkit.store.queries.models_df`, and `called_at`, `last_status`,
    `error_code`, `key_fingerprint`, `calls`.

    Args:
        store: the ledger.
        search: words that must all stand in id, name, owner, family or description.
        callable: True: only models that have answered a live call; False: only the others.
        filters: by column, as in `toolkit.store.queries.models_df`.
    """
    condition, values = queries.columns_where("models", filters or {})
    for word in (search or "").split():
        condition += f" AND contains(lower({_SEARCHED}), lower(?))"
        values.append(word)
    if callable is not None:
        condition += f" AND called_at IS {'NOT ' if callable else ''}NULL"
    sql = f"""
        SELECT models.*, called_at, last_status, error_code, key_fingerprint,
               coalesce(calls, 0) AS calls
        FROM models LEFT JOIN ({_PROOFS}) AS proofs USING (provider, model_id)
        WHERE {condition} ORDER BY provider, model_id"""
    return store.frame(sql, values)


def overview_df(store: Store) -> pd.DataFrame:
    """The catalog without its bulky columns, fast at any number of calls (from roll-ups).

    Beside the catalog's own columns: `answered_at` (begin of the hour of the last live
    answer), `ttft_ms` and `output_tps` (medians of your own live calls, within 1 %).
    """
    with store.reading() as reader:
        models = reader.frame(
            """
            SELECT model, provider, model_id, display_name, owner, kind, context_window,
                   max_output_tokens, input_usd_per_mtok, output_usd_per_mtok, capabilities,
                   status, is_enabled, is_local, first_seen_at, gone_at, deprecation_date,
                   successor, flags, answered_at
            FROM models LEFT JOIN (
                SELECT provider, model, max(hour_at) AS answered_at
                FROM rollup_hourly WHERE status = 'ok' GROUP BY ALL
            ) AS answers USING (provider, model)
            ORDER BY provider, model_id"""
        )
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
        store: the ledger.
        since: not older than this, UTC.
        kinds: of `toolkit.catalog.changes.KINDS`, `enabled` and `sync`.
        provider: only this provider's.
        model: only this `provider/model_id`.
    """
    frame = store.frame(
        """
        SELECT changed_at, provider, model_id, model, kind, field, old, new, source, sync_id,
               is_first_listing
        FROM (SELECT *, changed_at = min(changed_at) OVER (PARTITION BY provider)
                        AND kind = 'new' AS is_first_listing
              FROM model_changes WHERE provider = coalesce(?, provider))
        WHERE changed_at >= coalesce(?, '-infinity'::TIMESTAMPTZ) AND list_contains(?, kind)
          AND coalesce(model, '') = coalesce(?, model, '')
        ORDER BY changed_at DESC, change_id""",
        [provider, since, list(kinds), model],
    )
    plain = frame.astype(object).where(frame.notna(), None)
    rows: list[dict[str, Any]] = plain.to_dict("records")  # type: ignore[assignment]
    words = [describe(row) for row in rows]
    return frame.assign(words=words)


def truth_df(store: Store, *, provider: str | None = None) -> pd.DataFrame:
    """The truth matrix: one row per model, who knows it and whether it was really called.

    Columns: `model`, `provider`, `model_id`, `listed`, `listed_at`, `in_litellm`,
    `litellm_key`, `in_genai_prices`, `called` (True: it answered; False: it was tried and
    never did; NULL: never tried), `called_at`, `last_status`, `error_code`, `key_fingerprint`,
    `conflicts`. Models that were called but never listed have a row, too.
    """
    return store.frame(
        f"""
        SELECT coalesce(models.model, proofs.provider || '/' || proofs.model_id) AS model,
               provider, model_id,
               models.model_id IS NOT NULL AND gone_at IS NULL AS listed,
               last_seen_at AS listed_at,
               json_extract_string(facts, '$.sources.litellm.key') AS litellm_key,
               litellm_key IS NOT NULL AS in_litellm,
               json_extract_string(facts, '$.sources."genai-prices".key') IS NOT NULL
                   AS in_genai_prices,
               CASE WHEN last_tried_at IS NOT NULL THEN called_at IS NOT NULL END AS called,
               called_at, last_status, error_code, key_fingerprint,
               from_json(coalesce(json_extract(facts, '$.conflicts'), '[]'), '["VARCHAR"]')
                   AS conflicts
        FROM models FULL JOIN ({_PROOFS}) AS proofs USING (provider, model_id)
        WHERE provider = coalesce(?, provider)
        ORDER BY provider, model_id""",
        [provider],
    )


def retirements_df(store: Store, *, within_days: int = 90, today: date) -> pd.DataFrame:
    """Models that end within so many days, soonest first, those already past included.

    Columns: `model`, `retires_on`, `days_left`, `warning` (30, 60 or 90, or 0 once past),
    `successor`, `is_enabled`, `calls_30d` (your live calls in the last 30 days).
    """
    frame = store.frame(
        """
        SELECT model, deprecation_date AS retires_on, deprecation_date - ?::DATE AS days_left,
               successor, is_enabled,
               (SELECT count(*) FROM calls
                WHERE calls.provider = models.provider AND calls.model = models.model
                  AND source = 'live' AND origin IS DISTINCT FROM 'health'
                  AND started_at >= ?::DATE - INTERVAL 30 DAY) AS calls_30d
        FROM models
        WHERE gone_at IS NULL AND deprecation_date <= ?::DATE + ?::INTEGER
        ORDER BY retires_on, model""",
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
        f"SELECT {', '.join(columns)} FROM prices WHERE provider = ? AND model_id = ?",
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
    return store.frame(
        """
        SELECT provider, max(changed_at) FILTER (field <> 'error') AS synced_at,
               max(changed_at) AS tried_at,
               arg_max(CASE field WHEN 'models' THEN 'ok' ELSE field END, changed_at) AS status,
               arg_max(CASE field WHEN 'error' THEN NULL ELSE new END, changed_at)
                   FILTER (field <> 'error') AS models,
               nullif(arg_max(CASE field WHEN 'error' THEN new ELSE '' END, changed_at), '')
                   AS error
        FROM model_changes WHERE kind = 'sync' GROUP BY provider ORDER BY provider"""
    )


def require_kinds(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """The kinds of changes as they are.

    Raises:
        InvalidInput: one of them is none.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise InvalidInput(
            f"{unknown[0]!r} is no kind of change", hint=f"There are {', '.join(KINDS)}."
        )
    return kinds
