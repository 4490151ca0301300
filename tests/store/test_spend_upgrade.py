"""A database of schema version 4 gets roll-ups of spend that equal plain sums over its calls."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from tests.preloaded import ROOT
from tests.store.conftest import PREAMBLE
from tests.store.rows import call_row
from toolkit.pricing.spend import SpendKey, read_spend
from toolkit.settings import Settings
from toolkit.store import migrate
from toolkit.store.binding import execute
from toolkit.store.store import Store

VERSION = 4
MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)
ORIGINS = ("api", "chat", "compare", "eval", "health", "gateway", None)
# What a call cost: in the form of today's rows, and of rows from before `cost_source`.
COSTS: tuple[Mapping[str, object], ...] = (
    {"cost_usd": "0.000000000001", "cost_source": "computed", "cost_computed_usd": "1e-12"},
    {"cost_usd": "0.25", "cost_source": "computed", "cost_computed_usd": "0.25",
     "unpriced_classes": ["audio_output"]},
    {"cost_usd": "0.30", "cost_source": "reported", "cost_computed_usd": "0.25",
     "cost_reported_usd": "0.30"},
    {"cost_usd": "0.2501", "cost_source": "reported", "cost_computed_usd": "0.25",
     "cost_reported_usd": "0.2501", "unpriced_classes": ["web_search"]},
    {"cost_usd": "0.07", "cost_source": "reported", "cost_reported_usd": "0.07"},
    {"cost_usd": "0.5", "cost_reported_usd": "0.9"},
    {"cost_usd": "0.11"},
    {},
    {"status": "error", "error_code": "SERVER_ERROR", "output_tokens": None},
    {"status": "cancelled", "output_tokens": 3},
)  # fmt: skip
SUMS = """
    count(*) AS calls,
    coalesce(sum(coalesce(cost_reported_usd, cost_usd)), 0) AS cost_usd,
    sum(cost_reported_usd) AS reported_usd,
    sum(CASE WHEN cost_computed_usd IS NOT NULL THEN cost_computed_usd
             WHEN cost_source IS NULL THEN cost_usd END) AS computed_usd,
    sum(CASE WHEN cost_usd IS NULL AND cost_reported_usd IS NULL
              AND (status = 'ok' OR output_tokens IS NOT NULL) THEN 1 ELSE 0 END)
        AS unpriced_calls,
    sum(CASE WHEN len(unpriced_classes) > 0 AND cost_reported_usd IS NULL THEN 1 ELSE 0 END)
        AS partial_calls,
    coalesce(sum(input_tokens), 0) AS input_tokens,
    coalesce(sum(output_tokens), 0) AS output_tokens"""


def rows() -> list[dict[str, Any]]:
    """Calls of two days around midnight UTC, of every origin with every kind of cost."""
    found = []
    for number in range(len(ORIGINS) * len(COSTS) * 2):
        origin = ORIGINS[number % len(ORIGINS)]
        values = {
            "input_tokens": 1000 + number,
            "output_tokens": number,
            **COSTS[number % len(COSTS)],
        }
        row = call_row(
            origin=origin,
            provider="acme" if number % 3 else "zeta",
            model="acme/m1" if number % 3 else "zeta/m2",
            started_at=MIDNIGHT + timedelta(minutes=20 * (number - 70)),
            **{key: value for key, value in values.items() if not key.endswith("_usd")},
        )
        row |= {key: Decimal(str(v)) for key, v in values.items() if key.endswith("_usd")}
        found.append(row)
    found.append(call_row(source="replay", cost_usd=Decimal(1000)))
    found.append(call_row(source="live", started_at=None, cost_usd=Decimal(0)))
    return found


def make_version_4(path: Path) -> None:
    """Make a database as the toolkit of that version made it, with roll-ups that are its own."""
    with duckdb.connect(
        str(path), config={"storage_compatibility_version": migrate.STORAGE_VERSION}
    ) as connection:
        for number, sql in migrate.migrations():
            if number <= VERSION:
                connection.execute(sql)
        connection.execute("DELETE FROM schema_version")
        execute(connection, "INSERT INTO schema_version VALUES (?, now())", [VERSION])
        known = {name for name, *_ in connection.execute("DESCRIBE calls").fetchall()}
        given = [{key: row[key] for key in row if key in known} for row in rows()]
        columns, marks = ", ".join(given[0]), ", ".join("?" for _ in given[0])
        execute(
            connection,
            f"INSERT INTO calls ({columns}) VALUES {', '.join([f'({marks})'] * len(given))}",
            [value for row in given for value in row.values()],
        )
        # As that version wrote it: the computed figure, and none of the new sums.
        connection.execute(
            "INSERT INTO rollup_hourly BY NAME SELECT date_trunc('hour', started_at) AS hour_at, "
            "provider, model, operation, origin, status, coalesce(error_code, '') AS error_code, "
            "coalesce(blame, '') AS blame, count(*) AS calls, 99 AS cost_usd, 0 AS requests, "
            "0 AS unpriced, 0 AS input_tokens, 0 AS output_tokens, 0 AS cached_input_tokens, "
            "0 AS reasoning_tokens FROM (SELECT * REPLACE (coalesce(origin, '') AS origin, "
            "coalesce(operation, '') AS operation) FROM calls) "
            "WHERE source = 'live' AND started_at IS NOT NULL GROUP BY ALL"
        )


def as_sums(frame: Any, key: str) -> dict[str, tuple[object, ...]]:
    """The rows of `read_spend` by group, without the column that plain SQL does not have."""
    columns = [name for name in frame.columns if name not in (key, "mismatched_calls")]
    found = frame.astype(object).where(frame.notna(), None)
    return {
        str(row[key])[:10]: tuple(row[name] for name in columns) for row in found.to_dict("records")
    }


def test_spend_after_an_upgrade_equals_plain_sums_over_the_calls(settings: Settings) -> None:
    path = settings.store_path
    path.parent.mkdir(parents=True, exist_ok=True)
    make_version_4(path)
    # A process of its own, because DuckDB reads the machine's time zone once. In this one a full
    # hour begins at half past by UTC.
    program = PREAMBLE + "store = Store(settings)\nstore.rows('SELECT 1 FROM calls')\nstore.close()"
    subprocess.run(
        [sys.executable, "-c", program, str(settings.home)],
        cwd=ROOT, env={**os.environ, "TZ": "Asia/Kolkata"}, check=True,
    )  # fmt: skip
    groups: dict[SpendKey, str] = {
        "day": "CAST(started_at AT TIME ZONE 'UTC' AS DATE)",
        "origin": "origin",
        "provider": "provider",
        "model": "model",
    }
    store = Store(settings)
    for key, sql in groups.items():
        where = "FROM calls WHERE source = 'live' AND started_at IS NOT NULL"
        plain = store.rows(f"SELECT {sql} AS {key}, {SUMS} {where} GROUP BY ALL")
        frame = read_spend(store, key)
        assert sum(frame["mismatched_calls"]) == 2 * 2 * len(ORIGINS)
        wanted = {str(row[key])[:10]: tuple(row.values())[1:] for row in plain}
        assert as_sums(frame, key) == wanted, key
    since, until = MIDNIGHT + timedelta(minutes=10), MIDNIGHT + timedelta(hours=5, minutes=40)
    (plain,) = store.rows(
        f"SELECT {SUMS} FROM calls WHERE source = 'live' AND started_at >= ? AND started_at < ?",
        [since, until],
    )
    within = read_spend(store, "day", since=since, until=until)
    assert sum(within["cost_usd"]) == plain["cost_usd"]
    assert sum(within["calls"]) == plain["calls"]
    store.close()


def test_calls_after_an_upgrade_are_added_to_the_same_hours(settings: Settings) -> None:
    path = settings.store_path
    path.parent.mkdir(parents=True, exist_ok=True)
    make_version_4(path)
    store = Store(settings)
    before = sum(read_spend(store, "provider")["cost_usd"])
    for number in range(3):
        store.append("calls", call_row(started_at=MIDNIGHT, cost_reported_usd=0.5, seq=number))
    store.ingest()
    assert sum(read_spend(store, "provider")["cost_usd"]) == before + Decimal("1.5")
    rolled = store.rows("SELECT sum(cost_usd) AS usd, sum(calls) AS n FROM rollup_hourly")
    plain = store.rows(
        "SELECT sum(coalesce(cost_reported_usd, cost_usd)) AS usd, count(*) AS n FROM calls "
        "WHERE source = 'live' AND started_at IS NOT NULL"
    )
    assert rolled == plain
    store.close()
