"""What the pages ask the ledger, over millions of calls: each question by itself, and each page.

DuckDB makes the calls itself, in the store's own layout: 90 days that end now, 8 providers with 5
models each, 2 % failures, prompts and answers recorded, a probe of each every five minutes.
`first_ms` is a page's questions in a store that was just opened; then all are asked again and again
in turn. The bar (the design's): a first page within 600 ms, again within 100 ms. `cpu_ms` is the
processor time of all threads, which a busy machine does not lengthen much.

    python -m benchmarks.store_dashboards [--calls 10000000] [--rounds 15] [--only health]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.rounds import ratio, report
from toolkit.catalog import catalog_queries as catalog
from toolkit.health.view import read_picture
from toolkit.pricing.spend import read_spend
from toolkit.settings import Settings
from toolkit.store import rollup
from toolkit.store.queries import Query, health
from toolkit.store.queries import app_pages as home
from toolkit.store.queries import call_list as calls
from toolkit.store.queries.filters import CallFilter
from toolkit.store.queries.health import read_headroom
from toolkit.store.store import Store
from toolkit.toolkit import Toolkit

FIRST_MS: Final = 600.0
AGAIN_MS: Final = 100.0
PROVIDERS: Final = [f"p{number}" for number in range(8)]
DAYS: Final = 90

_CALLS: Final = """
    INSERT INTO calls BY NAME
    SELECT printf('%012d', i) AS call_id, printf('r%012d', i) AS request_id, 1 AS attempt,
           'first' AS attempt_kind, CASE WHEN h % 9 = 0 THEN 'compare' ELSE 'api' END AS origin,
           i AS seq, 'live' AS source, 'chat' AS operation,
           TIMESTAMPTZ '{since}' + to_microseconds(CAST(i * ({days} * 864e8 / {count}) AS BIGINT))
               AS started_at,
           'p' || (h % 8) AS provider, 'p' || (h % 8) || '/m' || (h // 8 % 5) AS model,
           CASE WHEN bad THEN 'error' ELSE 'ok' END AS status,
           CASE WHEN bad THEN if(h % 100 = 0, 'TIMEOUT', 'SERVER_ERROR') END AS error_code,
           CASE WHEN bad THEN 'provider' END AS blame,
           h % 900 AS input_tokens, h % 400 AS output_tokens,
           CAST(h % 1000 AS DECIMAL(24, 12)) / 1000000 AS cost_usd,
           CASE WHEN NOT bad THEN exp(5 + 0.8 * u) END AS ttft_ms,
           CASE WHEN NOT bad THEN exp(5 + 0.8 * u) + h % 100 END AS ttfo_ms,
           exp(7 + 0.8 * u) AS duration_ms, 5 + h % 40 AS tpot_ms,
           1000.0 / (5 + h % 40) AS output_tps,
           CASE WHEN NOT bad THEN 0 END AS stall_count,
           CASE WHEN h % 8 < 4 THEN 10000 END AS ratelimit_limit_requests,
           CASE WHEN h % 8 < 4 THEN h % 10000 END AS ratelimit_remaining_requests,
           '[{{"role":"user","content":"' || repeat('question ', 12) || h % 5000 || '"}}]'
               AS messages,
           repeat('answer ', 20) || h % 5000 AS output_text,
           CASE WHEN h % 4 = 0 THEN MAP {{'token': 'team-' || (h // 4 % 12)}} END AS tags
    FROM (SELECT range AS i, hash(range) AS h, h % 50 = 0 AS bad,
                 sqrt(-2 * ln((hash(range + 7) % 999983 + 1) / 999984.0))
                     * cos(2 * pi() * (hash(range + 13) % 999983) / 999983.0) AS u
          FROM range({first}, {last}))"""
_PROBES: Final = """
    INSERT INTO probes BY NAME
    SELECT 'p' || p || '-' || n AS probe_id, 'p' || p AS provider, 'list' AS kind, 'ok' AS status,
           'good' AS outcome, 80 + hash(n) % 60 AS latency_ms, 0 AS cost_usd,
           TIMESTAMPTZ '{since}' + to_seconds(n * 300 + p) AS probed_at
    FROM range({probes}) AS probes(n), range(8) AS providers(p)"""
_MODELS: Final = """
    INSERT INTO models BY NAME
    SELECT 'p' || p AS provider, 'm' || n AS model_id, 'p' || p || '/m' || n AS model,
           'chat' AS kind, 128000 AS context_window, 0.15 AS input_usd_per_mtok,
           0.6 AS output_usd_per_mtok, ['tools', 'streaming'] AS capabilities, 'active' AS status,
           true AS is_enabled, now() AS first_seen_at, now() AS last_seen_at, '{{}}' AS facts,
           [] AS flags
    FROM range(500) AS models(n), range(8) AS providers(p)"""

_LEAST_ROUNDS: Final = 3
_LONGEST_S: Final = 60.0

Question = Callable[[], Any]


def fill(home: Path, count: int, now: datetime) -> float:
    """Put calls, probes and models into the ledger past the journal; seconds that it took."""
    began, step = time.perf_counter(), 1_000_000
    store = Store(Settings(home=home))
    since = (now - timedelta(days=DAYS)).isoformat()
    with store._database.writing() as connection:
        for first in range(0, count, step):
            last = min(first + step, count)
            told = {"since": since, "days": DAYS, "count": count, "first": first, "last": last}
            connection.execute(_CALLS.format(**told))
            connection.execute("CHECKPOINT")
        connection.execute(_PROBES.format(since=since, probes=DAYS * 288))
        connection.execute(_MODELS.format())
        rollup.rebuild(connection)
        connection.execute("CHECKPOINT")
    store.close()
    return time.perf_counter() - began


def open_bench(home: Path) -> Toolkit:
    """A toolkit with the providers of the calls."""
    toolkit = Toolkit(settings=Settings(home=home))
    for name in PROVIDERS:
        if toolkit.providers.registry.find(name) is None:
            toolkit.providers.registry.add(
                name, base_url=f"https://{name}.example/v1", needs_key=False
            )
    return toolkit


def questions(toolkit: Toolkit, now: datetime) -> Mapping[str, Mapping[str, Question]]:
    """Everything that each page asks, by page; the Calls page as it opens and over all time."""
    store, day = toolkit.store, health.Span(now - timedelta(days=1), now)
    quarter = health.Span(now - timedelta(days=DAYS), now)
    one = PROVIDERS[:1]

    def run(query: Query) -> Question:
        return partial(query.frame, store)

    return {
        "home": {
            "any_call": lambda: store.rows("SELECT 1 FROM calls LIMIT 1"),
            **_home_page(store, now - timedelta(days=1), now),
        },
        "home_after_a_quarter": _home_page(store, quarter.since, now),
        "health": {
            "picture": lambda: read_picture(toolkit, now),
            "losses": run(health.losses(now)),
            "latency_1d": run(health.latency(one, day)),
            "duration_1d": run(health.latency(one, day, "duration_ms")),
            "errors_1d": run(health.errors(one, day)),
            "incidents": run(health.incidents(day, one)),
            "budget": toolkit.health.budget,
        },
        "health_parts": {
            "states": toolkit.health.status,
            "day_of_calls": run(health.day_of_calls(now)),
            "uptime_90d": run(health.uptime(now)),
            "last_successes": run(health.last_successes(now)),
            "headroom": lambda: read_headroom(store, now),
            "models": lambda: toolkit.health.model_states(PROVIDERS[0]),
            "latency_90d": run(health.latency(one, quarter)),
            "errors_90d": run(health.errors(one, quarter)),
            "latencies_90d": run(health.latencies(PROVIDERS[:2], quarter)),
            "objectives_30d": lambda: toolkit.health.slo(PROVIDERS[0]),
        },
        "calls": _calls_page(store, CallFilter(since=timedelta(days=1))),
        "calls_of_all_time": _calls_page(store, CallFilter()),
        "models": {
            "overview": lambda: catalog.overview_df(store),
            "changes": lambda: catalog.changes_df(store),
        },
        "spend": {
            "by_day": lambda: read_spend(store, "day"),
            "by_model_of_a_month": lambda: read_spend(
                store, "model", since=now - timedelta(days=30), until=now
            ),
        },
        "spend_by_token": {"all_time": lambda: read_spend(store, "token")},
        "catalog_in_python": {
            "frame": lambda: catalog.models_df(store),
        },
    }


def _home_page(store: Store, since: datetime, now: datetime) -> Mapping[str, Question]:
    """What Home asks: totals since then, days, failures, the models in use."""
    asked = {
        "totals": home.totals(since),
        "days": home.by_day(now - timedelta(days=12)),
        "failures": home.failures(since),
        "verdicts": home.newest_verdicts(),
        "spend": home.spend_by_provider(now - timedelta(days=14)),
        "models": home.models_in_use(now),
    }
    return {name: partial(query.frame, store) for name, query in asked.items()}


def _calls_page(store: Store, chosen: CallFilter) -> Mapping[str, Question]:
    width_s = 3_600 if chosen.since else 86_400
    asked = {
        "summary": calls.summary(chosen),
        "requests": calls.requests(chosen),
        "latencies": calls.latencies(chosen),
        "facets": calls.facets(chosen),
        "by_time": calls.by_time(chosen, width_s),
    }
    return {name: partial(query.frame, store) for name, query in asked.items()}


def spread(values: list[float]) -> dict[str, float]:
    """p50, p95 and the maximum, milliseconds."""
    ordered = sorted(values)
    p50, p95 = (
        statistics.quantiles(ordered, n=100, method="inclusive")[place - 1] for place in (50, 95)
    )
    return {"p50": round(p50, 1), "p95": round(p95, 1), "max": round(ordered[-1], 1)}


def milliseconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def measure_page(home: Path, page: str, now: datetime, rounds: int) -> dict[str, Any]:
    """One page: its first time in a store that was just opened, then again and again."""
    toolkit = open_bench(home)
    toolkit.providers.list(active=True)  # reading the registry is no question to the ledger
    asked = questions(toolkit, now)[page]

    def whole() -> None:
        for question in asked.values():
            question()

    cpu_began = time.process_time()
    first_ms = milliseconds(whole)
    first_cpu_ms = (time.process_time() - cpu_began) * 1000
    again: dict[str, list[float]] = {name: [] for name in asked}
    page_ms, control_ms, page_cpu_ms = list[float](), list[float](), list[float]()
    began_s = time.monotonic()
    for number in range(rounds):
        if number >= _LEAST_ROUNDS and time.monotonic() - began_s > _LONGEST_S:
            break
        for name, question in asked.items():
            again[name].append(milliseconds(question))
        cpu_began = time.process_time()
        page_ms.append(milliseconds(whole))
        page_cpu_ms.append((time.process_time() - cpu_began) * 1000)
        control_ms.append(milliseconds(whole))
    toolkit.close()
    pages = spread(page_ms)
    return {
        "first_ms": round(first_ms, 1),
        "again_ms": pages,
        "cpu_ms": {"first": round(first_cpu_ms, 1), "again": spread(page_cpu_ms)},
        "holds": {"first": first_ms <= FIRST_MS, "again": pages["p95"] <= AGAIN_MS},
        "questions_ms": {name: spread(values) for name, values in again.items()},
        "aa_control": ratio(page_ms, control_ms),
        "load": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", action="append", help="this page; may be repeated")
    parser.add_argument("--home", type=Path, help="keep the ledger here, and take it again")
    options = parser.parse_args()
    results: dict[str, Any] = {"calls": options.calls, "bar_ms": [FIRST_MS, AGAIN_MS]}
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as folder:
        home = options.home or Path(folder)
        file = home / "toolkit.duckdb"
        if file.exists():
            now = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        else:
            print("making calls ...", file=sys.stderr)
            results["fill_s"] = round(fill(home, options.calls, now), 1)
        results["file_mb"] = round(file.stat().st_size / 1e6)
        toolkit = open_bench(home)
        pages = list(questions(toolkit, now))
        toolkit.close()
        for page in pages:
            if options.only and page not in options.only:
                continue
            print(page, "...", file=sys.stderr)
            results[page] = measure_page(home, page, now, options.rounds)
    report("store_dashboards", results)


if __name__ == "__main__":
    main()
