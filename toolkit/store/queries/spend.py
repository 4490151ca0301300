"""Queries over what calls cost: spend by group, spend under a cap, usage to price again."""

# ruff: noqa: S608 - texts are assembled from fixed parts, values are always bound.

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from toolkit.store.queries.filters import LIVE, USER_CALLS
from toolkit.store.rollup import CHARGED, COST_SUMS

GROUPS: Final[dict[str, str]] = {
    "provider": "provider",
    "model": "model",
    # Half the time of `AT TIME ZONE 'UTC'`, which asks the time-zone library for each row.
    "day": "CAST(make_timestamp(epoch_us(started_at)) AS DATE)",
    "token": "CASE WHEN origin = 'gateway' THEN tags['token'] END",
    "origin": "origin",
}
# The groups that the hourly roll-up has, and what they are called there.
_ROLLED_UP: Final[dict[str, str]] = {
    "provider": "nullif(provider, '')",
    "model": "nullif(model, '')",
    "day": "CAST(make_timestamp(epoch_us(hour_at)) AS DATE)",
    "origin": "nullif(origin, '')",
    "token": "CAST(NULL AS VARCHAR)",  # the calls of the gateway, which have one, are read apart
}
_BY_GATEWAY: Final = "origin = 'gateway'"
_BY_OTHERS: Final = "origin IS DISTINCT FROM 'gateway'"
_SUMS: Final[dict[str, str]] = {
    "calls": "count(*)",
    "cost_usd": f"sum({CHARGED})",
    **COST_SUMS,
    "input_tokens": "sum(input_tokens)",
    "output_tokens": "sum(output_tokens)",
}
_SPEND: Final = """
    SELECT {keys}, sum(calls) AS calls, coalesce(sum(cost_usd), 0) AS cost_usd,
           sum(reported_usd) AS reported_usd, sum(computed_usd) AS computed_usd,
           sum(unpriced_answers) AS unpriced_calls, sum(partial) AS partial_calls,
           sum(mismatched) AS mismatched_calls, coalesce(sum(input_tokens), 0) AS input_tokens,
           coalesce(sum(output_tokens), 0) AS output_tokens
    FROM ({parts}) GROUP BY ALL ORDER BY {order}"""
_OF_CALLS: Final = """
    SELECT {keys}, {sums} FROM {calls} WHERE {live} AND {spans} GROUP BY ALL"""
_OF_HOURS: Final = """
    SELECT {keys}, {sums} FROM rollup_hourly
    WHERE hour_at >= coalesce(?, '-infinity'::TIMESTAMPTZ)
      AND hour_at < coalesce(?, 'infinity'::TIMESTAMPTZ) AND {which} GROUP BY ALL"""
_SPAN: Final = (
    "started_at >= coalesce(?, '-infinity'::TIMESTAMPTZ) "
    "AND started_at < coalesce(?, 'infinity'::TIMESTAMPTZ)"
)
_BY_TAG: Final = (
    "(SELECT *, unnest(CASE WHEN cardinality(tags) > 0 THEN map_entries(tags) "
    "ELSE [NULL] END) AS entry FROM calls)"
)
_UNDER_CAP: Final[dict[str, str]] = {
    "day": "true",
    "provider": "provider = ?",
    "model": "model = ?",
    "tag": "tags[?] = ?",
    "token": "origin = 'gateway' AND tags['token'] = ?",
    "run": "origin_id = ?",
    "health": "origin = 'health'",
}

ANSWER_LENGTHS: Final = f"""
    SELECT count(output_tokens) AS n, quantile_cont(output_tokens, [0.1, 0.5, 0.9]) AS lengths
    FROM calls
    WHERE model = ? AND status = 'ok' AND operation = 'chat' AND {USER_CALLS}"""
"""Number and quantiles of the lengths of a model's recorded answers; binds the model."""

LARGEST_SURPLUS: Final = f"""
    SELECT max(cost_reported_usd - coalesce(
               cost_computed_usd, CASE WHEN cost_source IS NULL THEN cost_usd END, 0)) AS usd
    FROM calls
    WHERE {LIVE} AND model = ? AND started_at >= ? AND cost_reported_usd IS NOT NULL"""
"""By how much a provider charged more than was computed; binds model and moment."""

CALLED_MODELS: Final = f"""
    SELECT provider, model, count(*) AS calls, sum(cost_usd) AS recorded_usd,
           coalesce(sum(input_tokens), 0) AS input_tokens,
           coalesce(sum(output_tokens), 0) AS output_tokens,
           coalesce(sum(cached_input_tokens), 0) AS cached_input_tokens,
           coalesce(sum(reasoning_tokens), 0) AS reasoning_tokens,
           count(*) FILTER (input_tokens IS NULL OR output_tokens IS NULL) AS without_usage
    FROM calls
    WHERE {LIVE} AND started_at >= coalesce(?, '-infinity'::TIMESTAMPTZ)
      AND started_at < coalesce(?, 'infinity'::TIMESTAMPTZ)
    GROUP BY provider, model ORDER BY provider, model"""
"""Models that were called, with their usage; binds a span."""

CLASS_SUMS: Final = f"""
    WITH used AS (
        SELECT service_tier, input_tokens AS i, output_tokens AS o,
               greatest(coalesce(cached_audio_input_tokens, 0), 0) AS wanted_cached_audio,
               greatest(coalesce(cached_input_tokens, 0), 0) AS wanted_cached,
               greatest(coalesce(cache_write_1h_tokens, 0), 0) AS wanted_1h,
               greatest(coalesce(cache_write_tokens, 0), 0) AS wanted_written,
               greatest(coalesce(audio_input_tokens, 0), 0) AS wanted_audio,
               greatest(coalesce(image_input_tokens, 0), 0) AS wanted_image,
               greatest(coalesce(audio_output_tokens, 0), 0) AS wanted_audio_out,
               greatest(coalesce(image_output_tokens, 0), 0) AS wanted_image_out,
               greatest(coalesce(reasoning_tokens, 0), 0) AS wanted_reasoning,
               greatest(coalesce(web_searches, 0), 0) AS searches,
               least(wanted_cached_audio, i) AS cached_audio,
               least(greatest(wanted_cached - wanted_cached_audio, 0), i - cached_audio)
                   AS cached,
               least(wanted_1h, i - cached_audio - cached) AS written_1h,
               least(greatest(wanted_written - wanted_1h, 0),
                     i - cached_audio - cached - written_1h) AS written,
               least(greatest(wanted_audio - wanted_cached_audio, 0),
                     i - cached_audio - cached - written_1h - written) AS audio,
               least(wanted_image,
                     i - cached_audio - cached - written_1h - written - audio) AS image,
               i - cached_audio - cached - written_1h - written - audio - image AS fresh,
               least(wanted_audio_out, o) AS audio_out,
               least(wanted_image_out, o - audio_out) AS image_out,
               least(wanted_reasoning, o - audio_out - image_out) AS reasoning,
               o - audio_out - image_out - reasoning AS plain_out
        FROM calls
        WHERE {LIVE} AND started_at >= coalesce(?, '-infinity'::TIMESTAMPTZ)
          AND started_at < coalesce(?, 'infinity'::TIMESTAMPTZ)
          AND provider = ? AND model = ? AND output_tokens IS NOT NULL
          AND (input_tokens > ? OR ? = 0) AND input_tokens <= coalesce(?, input_tokens))
    SELECT service_tier, count(*) AS request, sum(searches) AS web_search,
           sum(cached_audio) AS cached_audio, sum(cached) AS cached,
           sum(written_1h) AS written_1h, sum(written) AS written, sum(audio) AS audio,
           sum(image) AS image, sum(fresh) AS fresh, sum(audio_out) AS audio_out,
           sum(image_out) AS image_out, sum(reasoning) AS reasoning, sum(plain_out) AS plain_out
    FROM used GROUP BY service_tier"""
"""Usage by class and tier of one model's calls, each token counted once, as in a receipt.

Binds a span, provider and model, and a span of input lengths (from, from, to).
"""


def spend_by(
    keys: Sequence[str], since: datetime | None, until: datetime | None
) -> tuple[str, list[datetime | None]]:
    """Return the query for spend by some of `GROUPS` and `tag`, and the values that it binds.

    Whole hours are read from the roll-up where it has the groups, the rest from the calls: by
    token, all calls of the gateway.
    """
    which = _BY_OTHERS if "token" in keys else "true"
    named = {**GROUPS, "tag": "entry.key || '=' || entry.value"}
    of_calls = _OF_CALLS.format(
        keys=", ".join(f"{named[key]} AS {key}" for key in keys),
        sums=", ".join(f"{sql} AS {name}" for name, sql in _SUMS.items()),
        calls=_BY_TAG if "tag" in keys else "calls",
        live=LIVE,
        spans="{spans}",
    )
    first, last = _whole_hours(since, until)
    is_short = first is not None and last is not None and first > last
    values: list[datetime | None] = [since, until]
    if is_short or not set(keys) <= _ROLLED_UP.keys():
        parts = of_calls.replace("{spans}", _SPAN)
    else:
        parts = _OF_HOURS.format(
            keys=", ".join(f"{_ROLLED_UP[key]} AS {key}" for key in keys),
            sums=", ".join(f"sum({name}) AS {name}" for name in _SUMS),
            which=which,
        )
        values = [first, last]
        edges = [span for span in ((since, first), (last, until)) if span[0] != span[1]]
        for edge in edges:  # each by itself: DuckDB skips no row group under an OR
            parts += " UNION ALL BY NAME " + of_calls.replace("{spans}", f"{which} AND {_SPAN}")
            values += edge
        if "token" in keys:
            of_gateway = of_calls.replace("{spans}", f"{_BY_GATEWAY} AND {_SPAN}")
            parts += " UNION ALL BY NAME " + of_gateway
            values += [since, until]
    order = "day, cost_usd DESC" if "day" in keys else "cost_usd DESC"
    return _SPEND.format(keys=", ".join(keys), parts=parts, order=order), values


def _whole_hours(
    since: datetime | None, until: datetime | None
) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last full hour (UTC) of a span; None: no bound."""
    first = None if since is None else _hour(since + timedelta(hours=1, microseconds=-1))
    return first, None if until is None else _hour(until)


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def spent_under(kind: str) -> str:
    """Return the query for what counts against a cap; it binds a span and the cap's subject."""
    return (
        f"SELECT coalesce(sum({CHARGED}), 0) AS usd FROM calls "
        f"WHERE {LIVE} AND started_at >= coalesce(?, '-infinity'::TIMESTAMPTZ) "
        f"AND started_at < ? AND {_UNDER_CAP[kind]}"
    )
