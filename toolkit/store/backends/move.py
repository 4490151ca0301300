"""Copy a store into one of another kind: a file, a server or DuckLake, in any direction.

Each batch of rows is compared, count and content, with what the target then has of it. Rows that
the target has already are left alone, so a copy that broke off is simply made again, and several
homes can be copied into one shared database.
"""

# ruff: noqa: S608 - names in SQL are the toolkit's own (`tables.py`), values are bound.

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from uuid_utils import uuid7

from toolkit.errors import StoreCorrupt, StoreError
from toolkit.secret import hide_password
from toolkit.settings import Settings
from toolkit.store.backends.address import QuackAddress, find_token
from toolkit.store.backends.lake import WRITE_LOCK, Lake
from toolkit.store.backends.quack_client import QuackClient, write_literal
from toolkit.store.database import Database
from toolkit.store.ingest import PREFIX, move_loaded
from toolkit.store.journal import Entry
from toolkit.store.migrate import OnStep
from toolkit.store.read_connection import start_engine
from toolkit.store.tables import TABLES, Table

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_BATCH_ROWS: Final = 2_000
_WAIT_S: Final = 120.0
_POLL_S: Final = 0.05

Run = Callable[[str], "duckdb.DuckDBPyConnection"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveReport:
    """What was copied.

    Attributes:
        rows: rows of the source, by table; each was compared with the target.
        added: those of them that the target did not have.
        duration_ms: the whole run.
    """

    rows: dict[str, int]
    added: dict[str, int]
    duration_ms: float


def settings_of(settings: Settings, url: str) -> Settings:
    """The settings with another store; the home's own file keeps its own journal."""
    own = settings.model_copy(update={"store": ""})
    is_own = not url or Path(url).expanduser().absolute() == own.store_path.absolute()
    return own if is_own else settings.model_copy(update={"store": url})


def copy(source: Settings, target: Settings, on_step: OnStep) -> MoveReport:
    """Copy all rows; the journals of both must have been moved before.

    Raises:
        StoreError: one of them cannot be used, or both are the same.
        StoreCorrupt: what arrived differs from what was sent.
    """
    began = time.perf_counter()
    if (source.store, source.store_path) == (target.store, target.store_path):
        raise StoreError("source and target are the same store", cause="not_allowed")
    rows: dict[str, int] = {}
    added: dict[str, int] = {}
    with _reading(source) as run, _writing(target, source, on_step) as arrived:
        for table in TABLES.values():
            columns, keys = ", ".join(table.columns), ", ".join(table.key)
            found = run(f"SELECT {columns} FROM {table.name} ORDER BY {keys}")
            for batch in _batches(found):
                rows[table.name] = rows.get(table.name, 0) + batch.num_rows
                new = arrived.put(table, batch)
                added[table.name] = added.get(table.name, 0) + new
                _compare(table, batch, run, arrived.run, is_all_new=new == batch.num_rows)
    return MoveReport(rows=rows, added=added, duration_ms=(time.perf_counter() - began) * 1000)


def _compare(table: Table, batch: pa.Table, source: Run, target: Run, *, is_all_new: bool) -> None:
    """Compare a batch in both stores, as each of them reads it.

    A newer row of the target, where rows replace each other, may rightly differ.
    """
    keys = zip(*(batch.column(name).to_pylist() for name in table.key), strict=True)
    among = f"({', '.join(table.key)}) IN ({', '.join(map(_tuple, keys))})"
    content = f"count(*), bit_xor(hash(row({', '.join(table.columns)})))"
    if table.is_replacing and not is_all_new:
        content = "count(*)"
    sql = f"SELECT {content} FROM {table.name} WHERE {among}"
    if source(sql).fetchone() != target(sql).fetchone():
        raise StoreCorrupt(
            f"verification failed: rows of {table.name} differ from the source",
            hint="The source is unchanged. Run `toolkit store verify` on both, and try again.",
        )


def _batches(found: duckdb.DuckDBPyConnection) -> Iterator[pa.Table]:
    import pyarrow as pa

    reader = found.to_arrow_reader(_BATCH_ROWS)
    for batch in reader:
        if batch.num_rows:
            yield pa.Table.from_batches([batch], reader.schema)


@contextmanager
def _reading(settings: Settings) -> Iterator[Run]:
    if settings.store.startswith("quack:"):
        client = QuackClient(QuackAddress.parse(settings.store), find_token(settings))
        try:
            yield client.run
        finally:
            client.close()
    elif settings.is_store_shared:
        lake = Lake(settings)
        with lake.reading() as connection:
            yield connection.execute
        lake.forget()
    else:
        if not settings.store_path.exists():
            raise StoreError(f"there is no database at {settings.store_path}")
        database = Database(settings.store_path, settings.lock_wait_s, lambda _: None)
        with database.reading() as connection:
            yield connection.execute
        database.close()


@contextmanager
def _writing(
    settings: Settings, source: Settings, on_step: OnStep
) -> Iterator[_DirectTarget | _ServerTarget]:
    name = source.store or str(source.store_path)
    journal_id = f"copy-{hashlib.sha256(hide_password(name).encode()).hexdigest()[:16]}"
    with ExitStack() as stack:
        if settings.store.startswith("quack:"):
            yield _ServerTarget(settings, stack)
            return
        if settings.is_store_shared:
            lake = Lake(settings)
            stack.callback(lake.forget)
            stack.enter_context(lake.holding(WRITE_LOCK, _WAIT_S))
            connection = stack.enter_context(lake.connected())
        else:
            database = Database(settings.store_path, settings.lock_wait_s, on_step)
            stack.callback(database.close)
            connection = stack.enter_context(database.writing())
        yield _DirectTarget(connection, journal_id, settings.is_store_shared, on_step)


class _DirectTarget:
    """A file or a lake: rows are inserted by this process."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        journal_id: str,
        is_additive: bool,
        on_step: OnStep,
    ) -> None:
        self.run: Run = connection.execute
        self._connection = connection
        self._journal_id = journal_id
        self._is_additive = is_additive
        self._on_step = on_step
        self._done = 0

    def put(self, table: Table, batch: pa.Table) -> int:
        """Insert what is missing, in one transaction; returns how many were new."""
        connection, fresh = self._connection, f"{PREFIX}{table.name}"
        self._done += batch.num_rows

        def load() -> Sequence[Table]:
            connection.register("copied", batch)
            connection.execute(
                f"CREATE OR REPLACE TEMP TABLE {fresh} AS "
                f"SELECT row_number() OVER () AS entry, {_typed(connection, table)} FROM copied"
            )
            connection.unregister("copied")
            if table.is_replacing:
                same = " AND ".join(f"old.{name} = new.{name}" for name in table.key)
                connection.execute(
                    f"DELETE FROM {fresh} AS new WHERE EXISTS "
                    f"(FROM {table.name} AS old WHERE {same})"
                )
            return [table]

        counts = move_loaded(
            connection,
            load,
            self._journal_id,
            self._done,
            self._on_step,
            is_additive=self._is_additive,
        )
        return counts[table.name]


def _typed(connection: duckdb.DuckDBPyConnection, table: Table) -> str:
    """The columns with the types of the table: JSON travels as text."""
    described = connection.execute(f"DESCRIBE {table.name}").fetchall()
    kinds = {row[0]: row[1] for row in described}
    return ", ".join(f"{name}::{kinds[name]} AS {name}" for name in table.columns)


class _ServerTarget:
    """A server: rows are sent like those of a journal."""

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self._client = QuackClient(QuackAddress.parse(settings.store), find_token(settings))
        self.run: Run = self._client.run
        stack.callback(self._client.close)
        self._local = start_engine()
        stack.callback(self._local.close)
        self._local.execute("SET TimeZone = 'UTC'")
        # A journal of this copy alone: its numbers begin at 1.
        self._journal_id = f"copy-{uuid7()}"
        self._done = 0

    def put(self, table: Table, batch: pa.Table) -> int:
        """Send what the server does not have, and wait for it; returns how many were new."""
        kinds = {row[0]: row[1] for row in self._client.run(f"DESCRIBE {table.name}").fetchall()}
        columns = ", ".join(f"{name}::{kinds[name]} AS {name}" for name in table.columns)
        self._local.register("copied", batch)
        self._local.execute(f"CREATE OR REPLACE TEMP TABLE fresh AS SELECT {columns} FROM copied")
        self._local.unregister("copied")
        keys = self._local.execute(f"SELECT {', '.join(table.key)} FROM fresh").fetchall()
        among = f"({', '.join(table.key)}) IN ({', '.join(map(_tuple, keys))})"
        known = self._client.run(f"SELECT {', '.join(table.key)} FROM {table.name} WHERE {among}")
        known_keys = set(known.fetchall())
        texts = self._local.execute(f"SELECT {_json(table, kinds)} FROM fresh").fetchall()
        missing = [text for key, (text,) in zip(keys, texts, strict=True) if key not in known_keys]
        self._send(table, missing)
        return len(missing)

    def _send(self, table: Table, texts: Sequence[str]) -> None:
        if not texts:
            return
        entries = [
            Entry(number, table.name, text) for number, text in enumerate(texts, self._done + 1)
        ]
        self._done += len(entries)
        self._client.send(str(uuid7()), self._journal_id, entries)
        deadline = time.monotonic() + _WAIT_S
        while self._mark() < self._done:
            if time.monotonic() >= deadline:
                raise StoreError(
                    f"{self._client.address.uri} did not take a batch within {_WAIT_S:.0f} s",
                    hint="Run the command again; what has arrived is not sent twice.",
                )
            time.sleep(_POLL_S)

    def _mark(self) -> int:
        found = self._client.run(
            "SELECT coalesce(max(high_water), 0) FROM journal_marks WHERE journal_id = ?",
            [self._journal_id],
        ).fetchone()
        return int(found[0]) if found else 0


def _tuple(key: tuple[Any, ...]) -> str:
    values = ", ".join(map(write_literal, key))
    return values if len(key) == 1 else f"({values})"


def _json(table: Table, kinds: dict[str, str]) -> str:
    """SQL for the JSON text of a row; decimals as text, which keeps all their digits."""
    fields = ", ".join(
        f"{name} := {name}::VARCHAR" if kinds[name].startswith("DECIMAL") else f"{name} := {name}"
        for name in table.columns
    )
    return f"to_json(struct_pack({fields}))::VARCHAR"
