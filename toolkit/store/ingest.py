"""Move records from the journal into the database: exactly once, by id.

A batch of rows, its roll-ups and the journal's high-water mark are committed in one transaction.
Entries are dropped from the journal only after a checkpoint, and after count and content of what
is in the database were compared with what the journal held. A crash at any step leaves either
the old state or the new one, and entries that are in both are found by their ids.
"""

# ruff: noqa: S608 - names in SQL are the toolkit's own (`tables.py`), values are bound.

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from toolkit.errors import StoreCorrupt
from toolkit.store import rollup, staging
from toolkit.store.binding import execute
from toolkit.store.database import Database
from toolkit.store.journal import Entry, Journal
from toolkit.store.migrate import OnStep
from toolkit.store.staging import Structures
from toolkit.store.tables import TABLES, Table

if TYPE_CHECKING:
    import duckdb

BATCH_ROWS: Final = 20_000
# About half a second of a core; a row may be larger than this and then goes alone.
BATCH_BYTES: Final = 8 * 1024 * 1024
# Others wait for the file meanwhile: a catalog of 100,000 models is moved in several turns.
LONGEST_TURN_S: Final = 0.5
PREFIX: Final = "incoming_"


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What one run moved.

    Attributes:
        entries: journal entries that were new.
        rows: rows that are new in the database, by table.
        repeated: entries whose id was there already (or that a newer entry replaced at once).
        settled: entries that a run which died had moved but not dropped.
        recovered: those of them that were missing in the database and were moved again.
        duration_ms: the whole run.
    """

    entries: int = 0
    rows: dict[str, int]
    repeated: int = 0
    settled: int = 0
    recovered: int = 0
    duration_ms: float = 0.0


def ingest(
    journal: Journal, database: Database, on_step: OnStep, wait_s: float | None = None
) -> IngestReport:
    """Move everything that the journal holds now into the database; later records wait.

    Raises:
        StoreLocked: the database was not free within `wait_s` seconds (default: the setting).
        StoreError: nothing was moved, or only whole batches; the rest stays in the journal.
    """
    began = time.perf_counter()
    last = journal.last()
    if last == 0:
        return IngestReport(rows={})
    ingestor, is_done = _Ingestor(journal, last, on_step), False
    while not is_done:
        with database.writing(wait_s) as connection:
            is_done = ingestor.ingest_batches(connection)
    return IngestReport(
        entries=ingestor.entries,
        rows=ingestor.rows,
        repeated=ingestor.entries - sum(ingestor.rows.values()),
        settled=ingestor.settled,
        recovered=ingestor.recovered,
        duration_ms=(time.perf_counter() - began) * 1000,
    )


def add_entries(
    connection: duckdb.DuckDBPyConnection, journal_id: str, entries: Sequence[Entry]
) -> None:
    """Put journal entries into an open database that is not the journal's own, such as a backup.

    Raises:
        StoreCorrupt: what was put in differs from the journal.
    """
    catalog = connection.execute("SELECT current_database()").fetchone()
    assert catalog is not None
    structures = staging.read_structures(connection, catalog[0])
    size, batch = 0, list[Entry]()
    for entry in entries:
        batch.append(entry)
        size += len(entry.row)
        if size >= BATCH_BYTES or len(batch) >= BATCH_ROWS or entry is entries[-1]:
            _move(connection, batch, structures, journal_id, _pass)
            size, batch = 0, []


def _pass(step: str) -> None:
    """Do nothing."""


class _Ingestor:
    """One run over one journal; it takes the lock as often as it needs."""

    _connection: duckdb.DuckDBPyConnection
    _structures: Structures

    def __init__(self, journal: Journal, last: int, on_step: OnStep) -> None:
        self._journal = journal
        # While calls come without a pause, chasing them would never end: a move of three new rows
        # costs as much as one of three thousand.
        self._last = last
        self._on_step = on_step
        self.entries: int = 0
        self.rows: dict[str, int] = {}
        self.settled: int = 0
        self.recovered: int = 0

    def ingest_batches(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Move batches while this process has the database alone; False when there are more."""
        journal_id = self._journal.identity()
        if journal_id is None:
            return True
        catalog = connection.execute("SELECT current_database()").fetchone()
        assert catalog is not None
        self._connection = connection
        self._structures = staging.read_structures(connection, catalog[0])
        until = time.monotonic() + LONGEST_TURN_S
        mark = read_mark(connection, journal_id)
        self._reconcile(journal_id, mark)
        self._journal.report_database_loss(mark)
        while entries := self._read(mark, self._last):
            mark = entries[-1].number
            self.entries += len(entries)
            for table, count in self._move(entries, journal_id, mark).items():
                self.rows[table] = self.rows.get(table, 0) + count
            if time.monotonic() >= until:
                break
        connection.execute("CHECKPOINT")
        self._on_step("ingest:checkpointed")
        self._journal.quarantine()
        self._journal.drop(mark)
        self._on_step("ingest:dropped")
        return not entries

    def _read(self, after: int, upto: int) -> list[Entry]:
        return self._journal.read(after=after, upto=upto, limit=BATCH_ROWS, limit_bytes=BATCH_BYTES)

    def _reconcile(self, journal_id: str, mark: int) -> None:
        """Look again at entries at or below the mark: a run that moved them died too early."""
        after = 0
        while entries := self._read(after, mark):
            after = entries[-1].number
            found = self._move(entries, journal_id, mark)
            # Rows that replace always count as inserted; only the others show what was missing.
            missing = sum(n for name, n in found.items() if not TABLES[name].is_replacing)
            self.settled += len(entries)
            self.recovered += missing

    def _move(self, entries: Sequence[Entry], journal_id: str, mark: int) -> dict[str, int]:
        return _move(
            self._connection, entries, self._structures, journal_id, self._on_step, mark=mark
        )


def _move(
    connection: duckdb.DuckDBPyConnection,
    entries: Sequence[Entry],
    structures: Structures,
    journal_id: str,
    on_step: OnStep,
    *,
    mark: int | None = None,
) -> dict[str, int]:
    """Move one batch in one transaction; returns how many rows were new, by table."""
    return move_loaded(
        connection,
        lambda: staging.load(connection, entries, structures, PREFIX),
        journal_id,
        entries[-1].number if mark is None else mark,
        on_step,
    )


def move_loaded(
    connection: duckdb.DuckDBPyConnection,
    load: Callable[[], Sequence[Table]],
    journal_id: str,
    mark: int,
    on_step: OnStep,
    *,
    is_additive: bool = False,
) -> dict[str, int]:
    """Move one batch in one transaction; returns how many rows were new, by table.

    Args:
        connection: the database, or one that has it as the default catalog.
        load: makes the temporary tables of the batch and returns their tables.
        journal_id: the journal that the batch is from.
        mark: the number of the last entry of the batch.
        on_step: called with the name of each step.
        is_additive: add rows to the roll-ups and marks instead of replacing theirs, where several
            writers at once would be in each other's way.

    Raises:
        StoreCorrupt: what was put in differs from the batch.
    """
    connection.execute("BEGIN")
    on_step("ingest:begun")
    tables = load()
    counts = {table.name: _insert(connection, table) for table in tables}
    if counts.get("calls"):
        add = rollup.append if is_additive else rollup.add
        add(connection, f"{PREFIX}calls")
    on_step("ingest:inserted")
    _write_mark(connection, journal_id, mark, is_additive=is_additive)
    on_step("ingest:marked")
    connection.execute("COMMIT")
    on_step("ingest:committed")
    for table in tables:
        _require_same(connection, table)
    return counts


def read_mark(connection: duckdb.DuckDBPyConnection, journal_id: str, schema: str = "main") -> int:
    """The last entry of that journal which is in the database, 0 for none."""
    marks = connection.execute(
        f"SELECT journal_id, max(high_water) FROM {schema}.journal_marks GROUP BY ALL"
    ).fetchall()
    return int(dict(marks).get(journal_id, 0))


def raise_mark(connection: duckdb.DuckDBPyConnection, journal_id: str, mark: int) -> None:
    """Let a database take part in a journal whose entries up to `mark` are gone."""
    if read_mark(connection, journal_id) < mark:
        _write_mark(connection, journal_id, mark)


def _write_mark(
    connection: duckdb.DuckDBPyConnection, journal_id: str, mark: int, *, is_additive: bool = False
) -> None:
    if not is_additive:
        execute(connection, "DELETE FROM journal_marks WHERE journal_id = ?", [journal_id])
    execute(connection, "INSERT INTO journal_marks VALUES (?, ?, now())", [journal_id, mark])


def _insert(connection: duckdb.DuckDBPyConnection, table: Table) -> int:
    """Put the incoming rows of one table in; what stays in the temporary table is what was new."""
    fresh = f"{PREFIX}{table.name}"
    if table.is_replacing:
        connection.execute(
            f"DELETE FROM {table.name} AS old WHERE EXISTS "
            f"(FROM {fresh} AS new WHERE {_same_key(table)})"
        )
    else:
        connection.execute(
            f"DELETE FROM {fresh} AS new WHERE EXISTS "
            f"(FROM {table.name} AS old WHERE {_same_key(table)} AND {_not_older(table)})"
        )
    done = connection.execute(
        f"INSERT INTO {table.name} BY NAME SELECT * EXCLUDE (entry) FROM {fresh}"
    ).fetchone()
    return 0 if done is None else int(done[0])


def _same_key(table: Table) -> str:
    return " AND ".join(f"old.{name} = new.{name}" for name in table.key)


def _not_older(table: Table) -> str:
    """Ids grow with time (UUIDv7), so this bound lets DuckDB skip all old row groups."""
    first = table.key[0]
    return f"old.{first} >= (SELECT min({first}) FROM {PREFIX}{table.name})"


def _require_same(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Compare count and content of what was inserted with what is in the database.

    Raises:
        StoreCorrupt: they differ; the journal keeps its entries.
    """
    columns = ", ".join(table.columns)
    content = f"count(*), bit_xor(hash(row({columns})))"
    fresh = f"{PREFIX}{table.name}"
    wanted = connection.execute(f"SELECT {content} FROM {fresh}").fetchone()
    stored = connection.execute(
        f"SELECT {content} FROM {table.name} AS old WHERE {_not_older(table)} "
        f"AND EXISTS (FROM {fresh} AS new WHERE {_same_key(table)})"
    ).fetchone()
    if wanted != stored:
        raise StoreCorrupt(
            f"verification failed: rows in {table.name} differ from the journal",
            hint="Nothing is lost: the journal keeps them. Run `toolkit store verify`.",
        )
