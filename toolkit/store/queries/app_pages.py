"""What the Home page and the search read: counts since a moment, trends, changes, matches."""

# ruff: noqa: S608 - conditions are assembled from fixed parts, values are always bound.

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from toolkit.store.queries.filters import ROLLUP_USER_CALLS, USER_CALLS
from toolkit.store.queries.query import Query
from toolkit.store.rollup import CHARGED

TREND_DAYS: Final = 12
_ROLLUP_MODEL: Final = (
    "CASE WHEN starts_with(model, provider || '/') THEN model ELSE provider || '/' || model END"
)
_SEARCHED_CALLS: Final = 20_000
_MATCHES: Final = 6


def totals(since: datetime) -> Query:
    """Requests, failed ones, spend and TTFT since then; one row."""
    return Query(
        "WITH asked AS (\n"
        "  SELECT request_id, last(status ORDER BY attempt) AS status,\n"
        "    last(ttft_ms ORDER BY attempt) AS ttft_ms, sum(cost_usd) AS cost_usd,\n"
        "    bool_or(status = 'ok' AND cost_usd IS NULL) AS is_unpriced\n"
        f"  FROM calls WHERE {USER_CALLS} AND started_at >= ? GROUP BY request_id\n"
        ")\nSELECT count(*) AS requests, count(*) FILTER (status = 'error') AS failed,\n"
        "  sum(cost_usd) AS cost_usd, count(*) FILTER (is_unpriced) AS unpriced,\n"
        "  quantile_cont(ttft_ms, 0.5) FILTER (status = 'ok') AS ttft_p50_ms,\n"
        "  count(ttft_ms) FILTER (status = 'ok') AS ttft_n\nFROM asked",
        (since,),
    )


def by_day(since: datetime) -> Query:
    """Requests, failed attempts, spend, answers and unpriced ones of each UTC day.

    From the hourly roll-up.

    Load tests count in the spend only.
    """
    return Query(
        "SELECT CAST(hour_at AS DATE) AS day,\n"
        f"  CAST(coalesce(sum(requests) FILTER ({ROLLUP_USER_CALLS}), 0) AS BIGINT) AS requests,\n"
        f"  CAST(coalesce(sum(calls) FILTER ({ROLLUP_USER_CALLS} AND status = 'error'), 0)\n"
        "    AS BIGINT) AS failed,\n"
        "  sum(cost_usd) AS cost_usd,\n"
        "  CAST(coalesce(sum(calls) FILTER (status = 'ok' OR cost_usd > 0\n"
        "    OR unpriced_answers > 0), 0) AS BIGINT) AS answers,\n"
        "  CAST(coalesce(sum(unpriced_answers), 0) AS BIGINT) AS unpriced\n"
        "FROM rollup_hourly WHERE origin <> 'health' AND hour_at >= ?\nGROUP BY 1 ORDER BY 1",
        (since,),
    )


def incidents_by_day(since: datetime) -> Query:
    """Incidents that began on each UTC day."""
    return Query(
        "SELECT CAST(opened_at AS DATE) AS day, count(*) AS n\nFROM incidents\n"
        "WHERE opened_at >= ? GROUP BY 1 ORDER BY 1",
        (since,),
    )


def incident_counts(since: datetime) -> Query:
    """Incidents that touch the time since then: how many still go on, how many are over."""
    return Query(
        "SELECT count(*) FILTER (closed_at IS NULL) AS open,\n"
        "  count(*) FILTER (closed_at IS NOT NULL) AS over\nFROM incidents\n"
        "WHERE opened_at >= ? OR closed_at >= ? OR closed_at IS NULL",
        (since, since),
    )


def newest_verdicts() -> Query:
    """The newest run of each suite with its counts."""
    return Query(
        "SELECT suite, run_id, mode, max(judged_at) AS judged_at, count(*) AS cases,\n"
        "  count(*) FILTER (verdict IN ('regressed', 'error')) AS failed,\n"
        "  list(case_name ORDER BY case_name) FILTER (verdict IN ('regressed', 'error')) AS names\n"
        "FROM regressions GROUP BY suite, run_id, mode\n"
        "QUALIFY row_number() OVER (PARTITION BY suite ORDER BY max(judged_at) DESC) = 1\n"
        "ORDER BY judged_at DESC"
    )


def failures(since: datetime) -> Query:
    """Failed requests since then by provider and cause, most first."""
    return Query(
        "WITH asked AS (\n"
        "  SELECT request_id, last(status ORDER BY attempt) AS status,\n"
        "    last(error_code ORDER BY attempt) AS error_code,\n"
        "    last(provider ORDER BY attempt) AS provider, max(started_at) AS asked_at\n"
        f"  FROM calls WHERE {USER_CALLS} AND started_at >= ? GROUP BY request_id\n"
        ")\nSELECT provider, error_code, count(*) AS n, max(asked_at) AS last_at\n"
        "FROM asked WHERE status = 'error' AND provider IS NOT NULL\n"
        "GROUP BY ALL ORDER BY n DESC, provider LIMIT 20",
        (since,),
    )


def spend_by_provider(since: datetime) -> Query:
    """Spend of each UTC day and provider, from the hourly roll-up."""
    return Query(
        "SELECT CAST(hour_at AS DATE) AS day, provider AS name, sum(cost_usd) AS cost_usd\n"
        "FROM rollup_hourly WHERE origin <> 'health' AND cost_usd > 0 AND hour_at >= ?\n"
        "GROUP BY ALL ORDER BY day, name",
        (since,),
    )


def models_in_use(now: datetime, hours: int = 24) -> Query:
    """The models called most, with TTFT p50 and its course over the hours."""
    return Query(
        "WITH seen AS (\n"
        "  SELECT model, started_at, ttft_ms\n"
        f"  FROM calls WHERE {USER_CALLS} AND status = 'ok' AND started_at >= ?\n"
        "), hourly AS (\n"
        "  SELECT model, date_trunc('hour', started_at) AS hour_at,\n"
        "    quantile_cont(ttft_ms, 0.5) AS p50_ms FROM seen GROUP BY ALL\n"
        "), course AS (\n"
        "  SELECT model, list(p50_ms ORDER BY hour_at) AS course FROM hourly GROUP BY model\n"
        ")\nSELECT model, count(*) AS calls, any_value(course) AS course,\n"
        "  quantile_cont(ttft_ms, 0.5) AS p50_ms\n"
        "FROM seen JOIN course USING (model) WHERE model IS NOT NULL\n"
        "GROUP BY model ORDER BY calls DESC, model LIMIT 8",
        (now - timedelta(hours=hours),),
    )


def changes_of_used(since: datetime, now: datetime) -> Query:
    """What catalogs changed of models that were called within 30 days; no first listings."""
    return Query(
        "WITH used AS (\n"
        "  SELECT DISTINCT provider || '/' || model AS model FROM rollup_hourly\n"
        "  WHERE hour_at >= ?\n  UNION\n"
        "  SELECT DISTINCT model FROM rollup_hourly WHERE hour_at >= ?\n"
        "), first_listing AS (\n"
        "  SELECT provider, min(changed_at) AS first_at FROM model_changes GROUP BY provider\n"
        ")\nSELECT changed_at, model, kind, field, old, new\n"
        "FROM model_changes JOIN first_listing USING (provider)\n"
        "WHERE changed_at >= ? AND model IN (FROM used) AND changed_at > first_at\n"
        "ORDER BY changed_at DESC LIMIT 20",
        (now - timedelta(days=30), now - timedelta(days=30), since),
    )


def ended_runs(since: datetime) -> Query:
    """Eval runs that ended since then."""
    return Query(
        "SELECT run_id, name, dataset, models, status, samples, done, errors, ended_at, summary\n"
        "FROM eval_runs WHERE ended_at >= ? ORDER BY ended_at DESC LIMIT 20",
        (since,),
    )


def new_boards(since: datetime) -> Query:
    """Boards asked since then."""
    return Query(
        "SELECT b.board_id, b.created_at, b.title, b.messages,\n"
        "  (SELECT count(*) FROM panes p WHERE p.board_id = b.board_id) AS panes\n"
        "FROM boards b WHERE b.created_at >= ? ORDER BY b.created_at DESC LIMIT 10",
        (since,),
    )


def any_call() -> Query:
    """One row where anything was ever called; the demo history does not count."""
    return Query("SELECT 1 AS found FROM calls WHERE source IS DISTINCT FROM 'demo' LIMIT 1")


def demo_call() -> Query:
    """One row where there is a demo history."""
    return Query("SELECT 1 AS found FROM calls WHERE source = 'demo' LIMIT 1")


def demo_by_model() -> Query:
    """Calls, tokens and cost of the demo history by model."""
    return Query(
        "SELECT model, count(*) AS calls, sum(input_tokens) AS input_tokens,\n"
        "  sum(output_tokens) AS output_tokens, sum(cost_usd) AS cost_usd\n"
        "FROM calls WHERE source = 'demo' GROUP BY model ORDER BY calls DESC, model"
    )


def find_models(text: str) -> Query:
    """Models whose name holds the text; those that are switched on first."""
    return Query(
        "SELECT model AS id, model AS name, is_enabled FROM models\n"
        "WHERE gone_at IS NULL AND contains(lower(model), lower(?))\n"
        f"ORDER BY is_enabled DESC, length(model), model LIMIT {_MATCHES}",
        (text,),
    )


def find_calls(text: str) -> Query:
    """The newest requests whose prompt, answer or error holds the text, or whose id it is."""
    return Query(
        "WITH newest AS (\n"
        "  FROM calls SELECT request_id, call_id, started_at, model, messages, output_text,\n"
        f"    error_message ORDER BY started_at DESC LIMIT {_SEARCHED_CALLS}\n"
        ")\nSELECT request_id AS id, any_value(model) AS name, max(started_at) AS seen_at,\n"
        "  any_value(coalesce(json_extract_string(messages, '$[#-1].content'), ''))[:160] AS text\n"
        "FROM newest WHERE contains(lower(coalesce(output_text, '')), lower(?))\n"
        "  OR contains(lower(coalesce(CAST(messages AS VARCHAR), '')), lower(?))\n"
        "  OR contains(lower(coalesce(error_message, '')), lower(?))\n"
        "  OR request_id = ? OR call_id = ?\n"
        f"GROUP BY request_id ORDER BY seen_at DESC LIMIT {_MATCHES}",
        (text,) * 5,
    )


def find_boards(text: str) -> Query:
    """Boards whose title or conversation holds the text."""
    return Query(
        "SELECT board_id AS id, coalesce(title, '') AS name, created_at AS seen_at,\n"
        "  coalesce(json_extract_string(messages, '$[#-1].content'), '')[:160] AS text\n"
        "FROM boards WHERE contains(lower(coalesce(title, '')), lower(?))\n"
        "  OR contains(lower(coalesce(CAST(messages AS VARCHAR), '')), lower(?)) OR board_id = ?\n"
        f"ORDER BY created_at DESC LIMIT {_MATCHES}",
        (text,) * 3,
    )


def find_runs(text: str) -> Query:
    """Eval runs and regression suites whose name holds the text."""
    return Query(
        "SELECT 'eval' AS kind, run_id AS id, coalesce(name, dataset) AS name,\n"
        "  started_at AS seen_at\n"
        "FROM eval_runs WHERE contains(lower(concat_ws(' ', name, dataset)), lower(?))\n"
        "UNION ALL\n"
        "SELECT 'suite', arg_max(run_id, judged_at), suite, max(judged_at) FROM regressions\n"
        "WHERE contains(lower(concat_ws(' ', suite, case_name)), lower(?)) GROUP BY suite\n"
        f"ORDER BY seen_at DESC LIMIT {_MATCHES}",
        (text, text),
    )


def ttft_courses(now: datetime) -> Query:
    """TTFT p50 by hour of the last day, one row per provider."""
    return Query(
        "WITH hourly AS (\n"
        "  SELECT provider, date_trunc('hour', started_at) AS hour_at,\n"
        "    quantile_cont(ttft_ms, 0.5) AS p50_ms\n"
        f"  FROM calls WHERE {USER_CALLS} AND status = 'ok' AND started_at >= ? GROUP BY ALL\n"
        ")\nSELECT provider, list(p50_ms ORDER BY hour_at) AS course\n"
        "FROM hourly WHERE provider IS NOT NULL GROUP BY provider",
        (now - timedelta(days=1),),
    )


def ttft_by_hour(now: datetime) -> Query:
    """TTFT p50 of all your answered calls by hour of the last day."""
    return Query(
        "SELECT date_trunc('hour', started_at) AS hour_at, quantile_cont(ttft_ms, 0.5) AS p50_ms\n"
        f"FROM calls WHERE {USER_CALLS} AND status = 'ok' AND started_at >= ?\n"
        "GROUP BY 1 ORDER BY 1",
        (now - timedelta(days=1),),
    )


def version() -> Query:
    """Numbers that change whenever a call, a check or an incident is recorded; cheap to read."""
    return Query(
        "SELECT (SELECT count(*) FROM calls) AS calls, (SELECT count(*) FROM probes) AS probes,\n"
        "  (SELECT count(*) FROM incidents) AS incidents"
    )


def provider_counts() -> Query:
    """How many models each provider lists, how many are on, and when they were last listed."""
    return Query(
        "SELECT provider, count(*) AS listed, count(*) FILTER (is_enabled) AS enabled,\n"
        "  max(synced_at) AS synced_at\nFROM models WHERE gone_at IS NULL GROUP BY provider"
    )


def provider_calls(now: datetime) -> Query:
    """Calls of the last day, and the last answer within thirty days, by provider."""
    return Query(
        "SELECT provider, count(*) FILTER (started_at >= ?) AS calls_1d,\n"
        "  max(started_at) FILTER (status = 'ok') AS answered_at\n"
        f"FROM calls WHERE {USER_CALLS} AND started_at >= ? GROUP BY provider",
        (now - timedelta(days=1), now - timedelta(days=30)),
    )


SPEND_BY: Final = ("provider", "model", "origin", "tag", "token", "key")


def spend_by_day(by: str, since: datetime) -> Query:
    """Spend of each UTC day by provider, model, origin, tag, gateway token or key.

    The first three come from the hourly roll-up, the others from the calls of that span. A call
    with two tags is in both of their sums.
    """
    if by in ("provider", "model", "origin"):
        name = _ROLLUP_MODEL if by == "model" else by
        return Query(
            f"SELECT CAST(hour_at AS DATE) AS day, {name} AS name, sum(cost_usd) AS cost_usd\n"
            "FROM rollup_hourly WHERE cost_usd > 0 AND hour_at >= ?\n"
            "GROUP BY ALL ORDER BY day, name",
            (since,),
        )
    name = {
        "tag": "unnest(list_transform(map_entries(tags), e -> e.key || '=' || e.value))",
        "token": "coalesce(tags['token'], 'no token')",
        "key": "coalesce(key_fingerprint, 'no key')",
    }[by]
    return Query(
        "SELECT day, name, sum(usd) AS cost_usd\n"
        f"FROM (SELECT CAST(started_at AS DATE) AS day, {name} AS name, {CHARGED} AS usd\n"
        "  FROM calls WHERE source = 'live' AND started_at >= ?)\n"
        "WHERE usd > 0 GROUP BY ALL ORDER BY day, name",
        (since,),
    )


def spend_by_model(since: datetime) -> Query:
    """Calls, spend and tokens of each model since then, the most expensive first."""
    return Query(
        f"SELECT {_ROLLUP_MODEL} AS model, CAST(sum(calls) AS BIGINT) AS calls,\n"
        "  sum(cost_usd) AS cost_usd, CAST(sum(unpriced_answers) AS BIGINT) AS unpriced,\n"
        "  CAST(sum(input_tokens) AS BIGINT) AS input_tokens,\n"
        "  CAST(sum(output_tokens) AS BIGINT) AS output_tokens\n"
        "FROM rollup_hourly WHERE (status = 'ok' OR cost_usd > 0) AND hour_at >= ?\n"
        "GROUP BY ALL ORDER BY cost_usd DESC, calls DESC LIMIT 200",
        (since,),
    )


def spend_total(since: datetime, until: datetime) -> Query:
    """Spend and calls in a span, those without a price and those of two figures; one row.

    Failed and cancelled attempts count where they were charged, as in `tk.spend`.
    """
    return Query(
        "SELECT coalesce(sum(cost_usd), 0) AS cost_usd,\n"
        "  CAST(coalesce(sum(calls) FILTER (status = 'ok' OR cost_usd > 0\n"
        "    OR unpriced_answers > 0), 0) AS BIGINT) AS calls,\n"
        "  CAST(coalesce(sum(unpriced_answers), 0) AS BIGINT) AS unpriced,\n"
        "  CAST(coalesce(sum(partial), 0) AS BIGINT) AS partial,\n"
        "  CAST(coalesce(sum(mismatched), 0) AS BIGINT) AS mismatched\n"
        "FROM rollup_hourly WHERE hour_at >= ? AND hour_at < ?",
        (since, until),
    )


def dearest_calls(since: datetime) -> Query:
    """The calls that cost most since then."""
    return Query(
        f"SELECT request_id, started_at, model, {CHARGED} AS cost_usd FROM calls\n"
        f"WHERE source = 'live' AND {CHARGED} > 0 AND started_at >= ?\n"
        "ORDER BY cost_usd DESC, started_at DESC LIMIT 5",
        (since,),
    )


def measured_models(now: datetime, days: int = 7) -> Query:
    """What your own calls of the last days measured of each model.

    `calls`, `answered_at` (the time of the last answer, not of its hour), `p50_ms` and
    `output_tps` of answered calls, and `usd_per_thousand`: the cost of 1,000 priced calls.
    """
    return Query(
        "SELECT model, count(*) AS calls, max(started_at) FILTER (status = 'ok') AS answered_at,\n"
        "  quantile_cont(ttft_ms, 0.5) FILTER (status = 'ok') AS p50_ms,\n"
        "  quantile_cont(output_tps, 0.5) FILTER (status = 'ok') AS output_tps,\n"
        "  1000 * CAST(avg(cost_usd) FILTER (cost_usd > 0) AS DOUBLE) AS usd_per_thousand\n"
        f"FROM calls WHERE {USER_CALLS} AND started_at >= ? AND model IS NOT NULL\n"
        "GROUP BY model",
        (now - timedelta(days=days),),
    )


def last_calls(model: str) -> Query:
    """The ten newest calls of one model."""
    return Query(
        "SELECT request_id, started_at, status, ttft_ms, output_tps, cost_usd, error_code\n"
        "FROM calls WHERE model = ? ORDER BY started_at DESC LIMIT 10",
        (model,),
    )


PRICES_AND_CONTEXT: Final = Query(
    "SELECT model, provider, context_window, output_usd_per_mtok\nFROM models WHERE gone_at IS NULL"
)


def enabled_models(provider: str) -> Query:
    """The models of a provider that may be called."""
    return Query(
        "SELECT model_id FROM models WHERE provider = ? AND gone_at IS NULL AND is_enabled\n"
        "ORDER BY model_id LIMIT 5000",
        (provider,),
    )


def calls_of_board(board_id: str) -> Query:
    """Every call that a board made."""
    return Query("SELECT * FROM calls WHERE origin_id = ? ORDER BY started_at", (board_id,))
