"""Queries over the catalog: models, their changes, their list prices, and what calls prove."""

# ruff: noqa: S608 - texts are assembled from fixed parts, values are always bound.

from __future__ import annotations

from typing import Any, Final

from toolkit.store.queries.filters import LIVE, USER_CALLS
from toolkit.store.queries.query import Query, Source

MODELS_OF_PROVIDER: Final = """
    SELECT * FROM models WHERE provider = ?"""
"""All rows of a provider, removed models included."""

ONE_MODEL: Final = """
    SELECT * FROM models WHERE provider = ? AND model_id = ?"""
"""The row of one model; binds provider and model id."""

MODELS_BY_NAME: Final = """
    SELECT * FROM models WHERE list_contains(?, model)"""
"""Rows of a list of `provider/model_id`."""

MODEL_NAMES: Final = """
    SELECT model FROM models ORDER BY model"""
"""Every `provider/model_id`, removed models included."""

MODEL_CHOICES: Final = """
    SELECT model FROM models
    WHERE is_enabled AND gone_at IS NULL AND coalesce(kind, 'chat') = 'chat'
      AND status <> 'offline'
    ORDER BY model"""
"""Models to choose from: enabled, listed, for chat."""

DISABLED_MODELS: Final = """
    SELECT model FROM models WHERE NOT is_enabled ORDER BY model"""
"""Models that a person switched off."""

LAST_SYNC_TRIES: Final = """
    SELECT provider, max(changed_at) AS tried_at FROM model_changes
    WHERE kind = 'sync' GROUP BY provider"""
"""When each provider was last asked for its models, whatever came of it."""

SAME_MODEL_ELSEWHERE: Final = """
    SELECT model, context_window, input_usd_per_mtok, output_usd_per_mtok, status
    FROM models
    WHERE provider <> ? AND gone_at IS NULL
      AND lower(regexp_extract(model_id, '[^/]*$')) =
          lower(regexp_extract(?, '[^/]*$'))
    ORDER BY output_usd_per_mtok NULLS LAST, model"""
"""Listed models of other providers whose ids end alike; binds provider and model id."""

COUNT_LISTED: Final = """
    SELECT count(*) AS n FROM models WHERE provider = ? AND gone_at IS NULL"""
"""How many models of a provider are listed."""

PRESENCE_CHANGES: Final = """
    SELECT model_id, count(*) AS n FROM model_changes
    WHERE provider = ? AND kind IN ('gone', 'back') AND changed_at >= coalesce((
        SELECT min(changed_at) FROM (
            SELECT changed_at FROM model_changes WHERE provider = ? AND kind = 'sync'
            ORDER BY changed_at DESC LIMIT ?)), 'epoch'::TIMESTAMPTZ)
    GROUP BY model_id"""
"""How often each model came or went in the last syncs; binds provider twice and a count."""

PRICES_ON_DAY: Final = """
    SELECT * FROM prices
    WHERE provider = ? AND model_id = ? AND valid_from <= ?
      AND (valid_to IS NULL OR valid_to >= ?)
    ORDER BY valid_from, recorded_at, price_id"""
"""Price rows of a model that hold on a day, later ones last."""

CALL_PROOFS: Final = f"""
    SELECT provider, substr(model, length(provider) + 2) AS model_id,
           max(started_at) FILTER (status = 'ok') AS called_at,
           max(started_at) AS last_tried_at,
           arg_max(status, started_at) AS last_status,
           arg_max(error_code, started_at) FILTER (status = 'error') AS error_code,
           arg_max(key_fingerprint, started_at) FILTER (status = 'ok') AS key_fingerprint,
           count(*) AS calls
    FROM calls WHERE {LIVE} GROUP BY ALL"""
"""What live calls prove of each model: when it last answered, and how it failed."""

_SEARCHED: Final = "concat_ws(' ', model, display_name, owner, family, description)"

MODEL_OVERVIEW: Final = """
    SELECT model, provider, model_id, display_name, owner, kind, context_window,
           max_output_tokens, input_usd_per_mtok, output_usd_per_mtok, capabilities,
           status, is_enabled, is_local, first_seen_at, gone_at, deprecation_date,
           successor, flags, answered_at
    FROM models LEFT JOIN (
        SELECT provider, model, max(hour_at) AS answered_at
        FROM rollup_hourly WHERE status = 'ok' GROUP BY ALL
    ) AS answers USING (provider, model)
    ORDER BY provider, model_id"""
"""The catalog without its bulky columns, with the hour of the last answer from the roll-ups."""

MODEL_CHANGES: Final = """
    SELECT changed_at, provider, model_id, model, kind, field, old, new, source, sync_id,
           is_first_listing
    FROM (SELECT *, changed_at = min(changed_at) OVER (PARTITION BY provider)
                    AND kind = 'new' AS is_first_listing
          FROM model_changes WHERE provider = coalesce(?, provider))
    WHERE changed_at >= coalesce(?, '-infinity'::TIMESTAMPTZ) AND list_contains(?, kind)
      AND coalesce(model, '') = coalesce(?, model, '')
    ORDER BY changed_at DESC, change_id"""
"""Changes of the catalog, newest first; binds provider, moment, kinds and model."""

MODEL_VERIFICATION: Final = f"""
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
    FROM models FULL JOIN ({CALL_PROOFS}) AS proofs USING (provider, model_id)
    WHERE provider = coalesce(?, provider)
    ORDER BY provider, model_id"""
"""Which sources know each model, and whether it was called; binds provider."""

MODEL_RETIREMENTS: Final = f"""
    SELECT model, deprecation_date AS retires_on, deprecation_date - ?::DATE AS days_left,
           successor, is_enabled,
           (SELECT count(*) FROM calls
            WHERE calls.provider = models.provider AND calls.model = models.model
              AND {USER_CALLS}
              AND started_at >= ?::DATE - INTERVAL 30 DAY) AS calls_30d
    FROM models
    WHERE gone_at IS NULL AND deprecation_date <= ?::DATE + ?::INTEGER
    ORDER BY retires_on, model"""
"""Models that end until a day; binds today three times and the days."""

LAST_SYNCS: Final = """
    SELECT provider, max(changed_at) FILTER (field <> 'error') AS synced_at,
           max(changed_at) AS tried_at,
           arg_max(CASE field WHEN 'models' THEN 'ok' ELSE field END, changed_at) AS status,
           arg_max(CASE field WHEN 'error' THEN NULL ELSE new END, changed_at)
               FILTER (field <> 'error') AS models,
           nullif(arg_max(CASE field WHEN 'error' THEN new ELSE '' END, changed_at), '')
               AS error
    FROM model_changes WHERE kind = 'sync' GROUP BY provider ORDER BY provider"""
"""The last sync of each provider: when, how it ended, and why it failed."""

PRICE_HISTORY: Final = """
    SELECT valid_from, token_class, tier, above_tokens, usd_per_million, source, recorded_at
    FROM prices WHERE provider = ? AND model_id = ?"""
"""Every recorded price of a model."""


def models_where(condition: str, words: int, is_callable: bool | None) -> str:
    """Return the query for models with what calls prove of them.

    Args:
        condition: over the columns of `models`.
        words: how many words must all occur in id, name, owner, family or description; each is
            bound after the condition's values.
        is_callable: only models that have answered a live call, or only the others.
    """
    condition += f" AND contains(lower({_SEARCHED}), lower(?))" * words
    if is_callable is not None:
        condition += f" AND called_at IS {'NOT ' if is_callable else ''}NULL"
    return f"""
        SELECT models.*, called_at, last_status, error_code, key_fingerprint,
               coalesce(calls, 0) AS calls
        FROM models LEFT JOIN ({CALL_PROOFS}) AS proofs USING (provider, model_id)
        WHERE {condition} ORDER BY provider, model_id"""


def enabled_models(source: Source) -> list[str]:
    """Enabled models that their provider still lists, as `provider/model_id`."""
    rows = source.rows(
        "SELECT model FROM models WHERE is_enabled AND gone_at IS NULL ORDER BY model"
    )
    return [row["model"] for row in rows]


def model_list(
    provider: str | None = None, search: str | None = None, enabled: bool | None = None
) -> Query:
    """The catalog without its bulky columns, of one provider, by part of the name, or switched."""
    terms: list[tuple[str, Any]] = []
    if provider is not None:
        terms.append(("provider = ?", provider))
    if search is not None:
        terms.append(("contains(lower(model), lower(?))", search))
    if enabled is not None:
        terms.append(("is_enabled = ?", enabled))
    where = " AND ".join(term for term, _ in terms) or "true"
    return Query(
        f"SELECT * EXCLUDE (facts, raw) FROM models WHERE {where} ORDER BY model",
        tuple(value for _, value in terms),
    )
