"""What the store costs: an append, and moving a batch in; pages: see `store_dashboards`.

- `append`: one acknowledged record, beside a bare SQLite insert of the same text.
- `ingest`: journal to committed and checkpointed rows, beside a hand-written insert of the same
  values (Python lists -> Arrow -> INSERT SELECT -> CHECKPOINT) into the same table; A/A control
  is the hand-written one twice. `per_row` inserts a few rows one by one, each committed.

    python -m benchmarks.store_ingest [--rounds 7] [--rows 20000]
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
from toolkit.store import migrate
from toolkit.store.store import Store
from toolkit.store.tables import TABLES, encode_row

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--appends", type=int, default=5_000)
    parser.add_argument("--rows", type=int, default=20_000, help="rows per batch")
    parser.add_argument("--only", choices=["append", "ingest"])
    options = parser.parse_args()
    parts: dict[str, Callable[[Path], dict[str, Any]]] = {
        "append": lambda folder: measure_append(folder, options.appends),
        "ingest": lambda folder: measure_ingest(folder, options.rounds, options.rows),
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
