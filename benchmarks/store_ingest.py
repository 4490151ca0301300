"""What the ledger costs: an append, moving a batch in, and dashboards over many calls.

- `append`: one acknowledged record, beside a bare SQLite insert of the same text.
- `ingest`: journal to committed and checkpointed rows, beside a hand-written insert of the same
  values (Python lists -> Arrow -> INSERT SELECT -> CHECKPOINT) into the same table; A/A control
  is the hand-written one twice. `per_row` inserts a few rows one by one, each committed.
- `dashboard`: the questions of a first page from the hourly roll-ups and from raw calls, each as
  a page asks them (through the store), the same SQL by hand on an open connection, and how far
  the roll-ups' quantiles are from the exact ones.

    python -m benchmarks.store_ingest [--rounds 7] [--rows 20000] [--calls 10000000]
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from benchmarks.rounds import percentiles, ratio, report
from tests.store.rows import call_row
from toolkit.settings import Settings
from toolkit.store import migrate, queries, rollup
from toolkit.store.row_encoding import encode_row
from toolkit.store.store import Store
from toolkit.store.tables import TABLES

ARROW_TYPES = {
    "VARCHAR": pa.string(),
    "JSON": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", "UTC"),
    "DECIMAL(24,12)": pa.decimal128(24, 12),
    "MAP(VARCHAR, VARCHAR)": pa.map_(pa.string(), pa.string()),
    "VARCHAR[]": pa.list_(pa.string()),
    "BIGINT[]": pa.list_(pa.int64()),
}


def plausible_row(number: int) -> dict[str, Any]:
    """A streamed call of 50 chunks with a prompt and an answer of some hundred characters."""
    return call_row(
        model=f"m{number % 40}",
        stream=True,
        ttft_ms=80.0 + number % 900,
        ttfo_ms=90.0 + number % 900,
        duration_ms=900.0 + number % 4000,
        tpot_ms=5.0 + number % 30,
        input_tokens=number % 700,
        output_tokens=50 + number % 300,
        usage_source="provider",
        cost_usd=Decimal(number % 1000) / 1_000_000,
        finish_reason="stop",
        messages=[{"role": "user", "content": "x" * 400}],
        output_text="y" * 300,
        params={"temperature": 0.7, "max_tokens": 500},
        tags={"team": "a"},
        chunk_offsets_us=tuple(range(80_000, 80_000 + 50 * 20_000, 20_000)),
    )


def quiet_store(home: Path) -> Store:
    """A store whose background thread stays out of the way."""
    store = Store(Settings(home=home))
    store._publisher.notice = lambda count=1: None  # type: ignore[method-assign]
    return store


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure_append(folder: Path, count: int) -> dict[str, Any]:
    store = quiet_store(folder / "append")
    bare = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("PRAGMA synchronous=NORMAL")
    bare.execute("CREATE TABLE entries (entry INTEGER PRIMARY KEY, target TEXT, row TEXT)")
    ours, theirs = [], []
    for number in range(count):
        row = plausible_row(number)
        text = encode_row(TABLES["calls"], row)
        began = time.perf_counter()
        store.append("calls", row)
        middle = time.perf_counter()
        bare.execute("INSERT INTO entries (target, row) VALUES (?, ?)", ("calls", text))
        theirs.append((time.perf_counter() - middle) * 1e6)
        ours.append((middle - began) * 1e6)
    bare.close()
    return {"append_us": percentiles(ours), "bare_sqlite_insert_us": percentiles(theirs)}


class ByHand:
    """The insert that somebody would write for this one table."""

    def __init__(self, path: Path) -> None:
        self.connection = duckdb.connect(
            str(path), config={"storage_compatibility_version": migrate.STORAGE_VERSION}
        )
        migrate.apply(self.connection)
        kinds = self.connection.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'calls'"
        ).fetchall()
        self._schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in kinds])

    def insert(self, rows: list[dict[str, Any]]) -> None:
        ready = [
            {
                **row,
                "params": json.dumps(row["params"]),
                "messages": json.dumps(row["messages"]),
                "tags": list(row["tags"].items()),
            }
            for row in rows
        ]
        batch = pa.Table.from_pylist(ready, schema=self._schema)
        self.connection.register("batch", batch)
        self.connection.execute("INSERT INTO calls BY NAME FROM batch")
        self.connection.unregister("batch")
        self.connection.execute("CHECKPOINT")

    def insert_one_by_one(self, rows: list[dict[str, Any]]) -> None:
        names = list(self._schema.names)
        marks = ", ".join("?" * len(names))
        for row in rows:
            values = [
                json.dumps(value) if name in ("params", "messages") else value
                for name, value in ((name, row[name]) for name in names)
            ]
            self.connection.execute(f"INSERT INTO calls VALUES ({marks})", values)


def measure_ingest(folder: Path, rounds: int, count: int) -> dict[str, Any]:
    store = quiet_store(folder / "ingest")
    hands = ByHand(folder / "a.duckdb"), ByHand(folder / "b.duckdb")
    times: dict[str, list[float]] = {"append": [], "ours": [], "hand": [], "hand_again": []}
    for number in range(rounds + 1):
        rows = [plausible_row(n) for n in range(count)]
        arms: dict[str, Callable[[], Any]] = {
            "hand": lambda rows=rows: hands[0].insert(rows),
            "ours": store.ingest,
            "hand_again": lambda rows=rows: hands[1].insert(rows),
        }
        took = {"append": seconds(lambda rows=rows: store.append_many("calls", rows))}
        order = list(arms) if number % 2 else list(reversed(arms))
        took |= {name: seconds(arms[name]) for name in order}
        if number:  # the first round warms up
            for name, value in took.items():
                times[name].append(value)
    few = [plausible_row(n) for n in range(100)]
    per_row_s = seconds(lambda: hands[0].insert_one_by_one(few)) / len(few)
    both = [a + b for a, b in zip(times["append"], times["ours"], strict=True)]
    wanted = (rounds + 1) * count
    assert store.rows("SELECT count(*) AS n FROM calls") == [{"n": wanted}]
    store.close()
    best = min(times["ours"])
    return {
        "rows_per_batch": count,
        "seconds_per_batch": {name: percentiles(values) for name, values in times.items()},
        "rows_per_s": round(count / best),
        "hand_over_ingest": ratio(times["hand"], times["ours"]),
        "hand_over_append_and_ingest": ratio(times["hand"], both),
        "aa_control": ratio(times["hand"], times["hand_again"]),
        "per_row_insert_rows_per_s": round(1 / per_row_s),
        "ingest_over_per_row": round(per_row_s * count / best, 1),
    }


GENERATE = """
    INSERT INTO calls BY NAME
    SELECT printf('%012d', i) AS call_id, printf('r%012d', i) AS request_id, 1 AS attempt,
           'first' AS attempt_kind, 'api' AS origin, i AS seq, 'live' AS source,
           TIMESTAMPTZ '2026-10-01 00:00:00+00' + to_microseconds(
               CAST(i * (30 * 86400 * 1e6 / {count}) AS BIGINT)) AS started_at,
           'p' || (i % 8) AS provider, 'm' || (i % 40) AS model, 'chat' AS operation,
           CASE WHEN h % 50 = 0 THEN 'error' ELSE 'ok' END AS status,
           CASE WHEN h % 100 = 0 THEN 'TIMEOUT' WHEN h % 50 = 0 THEN 'SERVER_ERROR' END
               AS error_code,
           CASE WHEN h % 50 = 0 THEN 'provider' END AS blame,
           h % 900 AS input_tokens, h % 400 AS output_tokens,
           CAST(h % 1000 AS DECIMAL(24, 12)) / 1000000 AS cost_usd,
           exp(5 + 1.2 * u) AS ttft_ms, exp(5 + 1.2 * u) + h % 100 AS ttfo_ms,
           exp(7 + u) AS duration_ms, 5 + h % 40 AS tpot_ms
    FROM (SELECT range AS i, hash(range) AS h,
                 sqrt(-2 * ln((hash(range + 7) % 999983 + 1) / 999984.0))
                     * cos(2 * pi() * (hash(range + 13) % 999983) / 999983.0) AS u
          FROM range({first}, {last}))
"""

PAGE: dict[str, Callable[[Any], Any]] = {
    "overview": lambda asked: queries.overview_df(asked),
    "traffic": lambda asked: queries.traffic_df(asked, "day"),
    "errors": lambda asked: queries.errors_over_time_df(asked, "day"),
    "latency": lambda asked: queries.latency_rollup_df(asked, "ttft_ms"),
}
RAW = {
    "overview": "SELECT provider, model, count(*), count(*) FILTER (status = 'error'), "
    "sum(input_tokens), sum(output_tokens), sum(cost_usd) FROM calls WHERE source = 'live' "
    "GROUP BY ALL",
    "traffic": "SELECT date_trunc('day', started_at), provider, model, status, count(*), "
    "sum(input_tokens), sum(output_tokens), sum(cost_usd) FROM calls WHERE source = 'live' "
    "GROUP BY ALL",
    "errors": "SELECT date_trunc('day', started_at), provider, error_code, blame, count(*) "
    "FROM calls WHERE source = 'live' AND status = 'error' GROUP BY ALL",
    "latency": "SELECT provider, model, count(*), quantile_cont(ttft_ms, [0.5, 0.9, 0.95, 0.99]), "
    "max(ttft_ms) FROM calls WHERE source = 'live' AND status = 'ok' GROUP BY ALL",
}


def fill(store: Store, count: int) -> float:
    """Put `count` calls into the ledger past the journal, roll them up; seconds of the roll-up."""
    step = 1_000_000
    with store._database.writing() as connection:
        for first in range(0, count, step):
            last = min(first + step, count)
            connection.execute(GENERATE.format(count=count, first=first, last=last))
            connection.execute("CHECKPOINT")
        took = seconds(lambda: rollup.rebuild(connection))
        connection.execute("CHECKPOINT")
    return took


def worst_error(store: Store) -> float:
    """Largest relative distance of a rolled-up quantile from the exact one, over all models."""
    exact = queries.latency_df(store, "ttft_ms").set_index(["provider", "model"])
    rolled = queries.latency_rollup_df(store, "ttft_ms").set_index(["provider", "model"])
    assert (exact["n"] == rolled["n"]).all() and (exact["max_ms"] == rolled["max_ms"]).all()
    names = ["p50_ms", "p90_ms", "p95_ms", "p99_ms"]
    return float(((rolled[names] - exact[names]).abs() / exact[names]).max().max())


def measure_dashboard(folder: Path, rounds: int, count: int) -> dict[str, Any]:
    home = folder / "dashboard"
    filler = quiet_store(home)
    rebuild_s = fill(filler, count)
    filler.close()
    store = quiet_store(home)

    def page() -> None:
        with store.reading() as asked:
            for question in PAGE.values():
                question(asked)

    first_s = seconds(page)
    tiles: dict[str, list[float]] = {name: [] for name in PAGE}
    raw: dict[str, list[float]] = {name: [] for name in RAW}
    again, one_more = [], []
    for _ in range(rounds):
        again.append(seconds(page) * 1000)
        for name, question in PAGE.items():
            tiles[name].append(seconds(lambda question=question: question(store)) * 1000)
            raw[name].append(seconds(lambda name=name: store.frame(RAW[name])) * 1000)
        one_more.append(seconds(page) * 1000)
    size = (home / "toolkit.duckdb").stat().st_size
    error = worst_error(store)
    found = store.rows("SELECT count(*) AS n FROM rollup_daily_histogram")
    store.close()
    return {
        "calls": count,
        "file_mb": round(size / 1e6),
        "histogram_rows": found[0]["n"],
        "rebuild_of_all_roll_ups_s": round(rebuild_s, 2),
        "first_page_from_roll_ups_ms": round(first_s * 1000, 1),
        "page_again_ms": percentiles(again),
        "aa_control": ratio(again, one_more),
        "tiles_from_roll_ups_ms": {name: percentiles(values) for name, values in tiles.items()},
        "tiles_from_raw_calls_ms": {name: percentiles(values) for name, values in raw.items()},
        "worst_relative_quantile_error": round(error, 5),
        "bound_of_that_error": round((rollup.GAMMA - 1) / (rollup.GAMMA + 1), 5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--appends", type=int, default=5_000)
    parser.add_argument("--rows", type=int, default=20_000, help="rows per batch")
    parser.add_argument("--calls", type=int, default=10_000_000, help="calls on the dashboard")
    parser.add_argument("--only", choices=["append", "ingest", "dashboard"])
    options = parser.parse_args()
    parts: dict[str, Callable[[Path], dict[str, Any]]] = {
        "append": lambda folder: measure_append(folder, options.appends),
        "ingest": lambda folder: measure_ingest(folder, options.rounds, options.rows),
        "dashboard": lambda folder: measure_dashboard(folder, options.rounds, options.calls),
    }
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, part in parts.items():
            if options.only in (None, name):
                print(name, "...", file=sys.stderr)
                results[name] = part(Path(folder))
    report("store_ingest", results)


if __name__ == "__main__":
    main()
