"""Verified backups of the database, and restoring one.

A plain copy of the file is not a backup: it can miss what is only in its WAL. `COPY FROM DATABASE`
copies a consistent state; the copy is opened again and compared row by row before it counts.
"""

# ruff: noqa: S608 - names in SQL are the toolkit's own (`tables.py`), values are bound.

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from toolkit.errors import StoreCorrupt, StoreError
from toolkit.files import PRIVATE_FOLDER
from toolkit.store import migrate
from toolkit.store.database import Database, explain
from toolkit.store.ingest import add_entries, raise_mark, read_mark
from toolkit.store.journal import Entry, Journal
from toolkit.store.reader import PendingEntries
from toolkit.store.tables import TABLES

if TYPE_CHECKING:
    import duckdb

Contents = dict[str, tuple[Any, ...] | None]

# A backup is worth waiting for: a move of large rows may keep the file for some seconds.
_PATIENCE_S: Final = 120.0
_ALL_TABLES: Final = (
    *TABLES,
    "journal_marks",
    "rollup_hourly",
    "rollup_daily_histogram",
    "retention",
)


def back_up(database: Database, journal: Journal, path: Path) -> Path:
    """Write a checked copy of the store, journal included, to `path`; returns it.

    Writers go on meanwhile: the database is read like for any query, and what waits in the
    journal is added to the copy.

    Raises:
        StoreError: it could not be written, or differs from the store.
    """
    path = path.expanduser().absolute()
    if path.exists() and not path.is_file():
        raise StoreError(
            f"the backup cannot be written to {path}: it is not a regular file",
            hint="Name a file, such as backup.duckdb.",
        )
    aside = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        migrate.remove_database(aside)
        pending = PendingEntries(journal)
        with database.open_separately(_PATIENCE_S, pending.remember) as connection:
            _copy(connection, aside)
            _require_equal(_contents_of(aside), _contents(connection, "ledger"), aside)
            entries, journal_id = _pending_of(connection, journal, pending)
        if entries:
            put_in = _add(aside, journal_id, entries)
            _require_equal(_contents_of(aside), put_in, aside)
        migrate.put_in_place(aside, path, keep_old=False)
    except OSError as error:
        raise StoreError(
            f"the backup {path} could not be written: {error.strerror or error}",
            hint="Name a folder that is writable and has free space.",
        ) from None
    finally:
        with suppress(OSError):
            migrate.remove_database(aside)
    return path


def restore(database: Database, journal: Journal, path: Path) -> None:
    """Replace the database by the backup at `path`; the present one is kept as `.bak`.

    Records that still wait in the journal are ingested into it afterwards.

    Raises:
        StoreError: the backup cannot be used; nothing was changed.
    """
    path = path.expanduser().absolute()
    if not path.is_file():
        raise StoreError(f"backup not found: {path}")
    wanted = _contents_of(path)
    aside = database.path.with_name(f"{database.path.name}.new")
    with database.alone(_PATIENCE_S):
        migrate.remove_database(aside)
        _copy_file(path, aside)
        _require_equal(_contents_of(aside), wanted, aside)
        _take_part(aside, journal)
        _set_aside(database.path)
        migrate.put_in_place(aside, database.path, keep_old=False)


def rewrite(database: Database) -> None:
    """Write the database file anew, without the blocks that are not in use any more.

    Raises:
        StoreError: there is not enough space, or the copy differs; the file is as it was.
    """
    aside = database.path.with_name(f"{database.path.name}.new")
    try:
        with database.alone(_PATIENCE_S):
            migrate.remove_database(aside)
            _copy_file(database.path, aside)
            _require_equal(_contents_of(aside), _contents_of(database.path), aside)
            migrate.put_in_place(aside, database.path, keep_old=False)
    except OSError as error:
        raise StoreError(
            f"{database.path} could not be written anew: {error.strerror or error}",
            hint="It needs as much free space as the file takes.",
        ) from None
    finally:
        with suppress(OSError):
            migrate.remove_database(aside)


def _require_equal(found: Contents, wanted: Contents, path: Path) -> None:
    if found != wanted:
        tables = ", ".join(name for name in wanted if found.get(name) != wanted[name])
        raise StoreCorrupt(
            f"{path} differs from what was copied ({tables})",
            hint="Nothing was replaced. Try again; if it happens again, check the disk.",
        )


def _pending_of(
    connection: duckdb.DuckDBPyConnection, journal: Journal, pending: PendingEntries
) -> tuple[list[Entry], str]:
    journal_id = journal.identity()
    if journal_id is None:
        return [], ""
    return pending.above(read_mark(connection, journal_id, "ledger.main")), journal_id


def _take_part(path: Path, journal: Journal) -> None:
    """Mark what left the journal after the backup was made: the user chose to replace it."""
    journal_id = journal.identity()
    if journal_id is not None:
        with _open(str(path), {}) as connection:
            raise_mark(connection, journal_id, journal.dropped())
            connection.execute("CHECKPOINT")


def _set_aside(path: Path) -> None:
    """Keep the present file and its WAL as `.bak`, whatever state they are in."""
    for name in (path.name, f"{path.name}.wal"):
        part = path.with_name(name)
        if part.exists():
            kept = name.replace(path.name, f"{path.name}.bak", 1)
            os.replace(part, path.with_name(kept))


def _copy_file(source: Path, target: Path) -> None:
    import duckdb

    with _open(":memory:", {}) as connection:
        quoted = str(source).replace("'", "''")
        try:
            connection.execute(f"ATTACH '{quoted}' AS ledger (READ_ONLY)")
            _copy(connection, target)
        except duckdb.Error as error:
            raise explain(error, source) from None


def _copy(connection: duckdb.DuckDBPyConnection, target: Path) -> None:
    quoted = str(target).replace("'", "''")
    connection.execute(f"ATTACH '{quoted}' AS copy (STORAGE_VERSION '{migrate.STORAGE_VERSION}')")
    connection.execute("COPY FROM DATABASE ledger TO copy")
    connection.execute("CHECKPOINT copy")
    connection.execute("DETACH copy")


def _add(path: Path, journal_id: str, entries: Sequence[Entry]) -> Contents:
    """Add entries of the journal to a copy; returns what it holds, before it is read back."""
    with _open(str(path), {}) as connection:
        add_entries(connection, journal_id, entries)
        contents = _contents(connection)
        connection.execute("CHECKPOINT")
    return contents


def _contents_of(path: Path) -> Contents:
    import duckdb

    try:
        with _open(":memory:", {}) as connection:
            quoted = str(path).replace("'", "''")
            connection.execute(f"ATTACH '{quoted}' AS ledger (READ_ONLY)")
            version = migrate.find_version(connection, "ledger.main")
            if version == 0:
                raise StoreError(f"{path} is not a database of the toolkit")
            migrate.require_readable(version, path)
            return _contents(connection, "ledger")
    except duckdb.Error as error:
        raise explain(error, path) from None


def _contents(connection: duckdb.DuckDBPyConnection, catalog: str | None = None) -> Contents:
    """Count and hash of each table's rows, whatever their order; of `catalog` or the open file."""
    found = connection.execute(
        "SELECT table_name FROM duckdb_tables() "
        "WHERE database_name = coalesce(?, current_database()) AND schema_name = 'main' "
        "ORDER BY table_name",
        [catalog],
    ).fetchall()
    schema = f"{catalog}.main" if catalog else "main"
    contents: Contents = {}
    for (name,) in found:
        if name in _ALL_TABLES:
            contents[name] = connection.execute(
                f"SELECT count(*), bit_xor(hash(t)) FROM {schema}.{name} AS t"
            ).fetchone()
    return contents


def _open(path: str, config: dict[str, str]) -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(path, config=dict(config))
