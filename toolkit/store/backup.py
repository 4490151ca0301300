"""Copies of the ledger that were read back, and putting one in its place.

A plain copy of the file is no backup: it can miss what is only in its WAL. `COPY FROM DATABASE`
copies a consistent state; the copy is opened again and compared row by row before it counts.
"""

# ruff: noqa: S608 - names in SQL are the house's own (`tables.py`), values are bound.

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import StoreCorrupt, StoreError
from toolkit.store import migrate
from toolkit.store.database import Database, explain
from toolkit.store.tables import TABLES

if TYPE_CHECKING:
    import duckdb

_ALL_TABLES = (*TABLES, "journal_marks", "rollup_hourly", "rollup_daily_histogram")


def back_up(database: Database, path: Path) -> Path:
    """Write a checked copy of the ledger to `path` (replaced when it is there); returns it.

    Raises:
        StoreError: it could not be written, or differs from the ledger.
    """
    path = path.expanduser().absolute()
    aside = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        migrate.remove_database(aside)
        with database.reading_apart() as connection:
            wanted = _contents(connection, "ledger")
            _copy(connection, aside)
        if _contents_of(aside) != wanted:
            raise StoreCorrupt(f"the copy {aside} differs from the store", hint="Try again.")
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


def restore(database: Database, path: Path) -> None:
    """Let the backup at `path` take the place of the ledger, which is kept as `.bak`.

    Raises:
        StoreError: the backup cannot be used; nothing was changed.
    """
    path = path.expanduser().absolute()
    if not path.is_file():
        raise StoreError(f"there is no backup {path}")
    wanted = _contents_of(path)
    aside = database.path.with_name(f"{database.path.name}.new")
    with database.alone():
        migrate.remove_database(aside)
        _copy_file(path, aside)
        if _contents_of(aside) != wanted:
            raise StoreCorrupt(f"the copy {aside} differs from the backup", hint="Try again.")
        _set_aside(database.path)
        migrate.put_in_place(aside, database.path, keep_old=False)


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


def _contents_of(path: Path) -> dict[str, Any]:
    import duckdb

    try:
        with _open(":memory:", {}) as connection:
            quoted = str(path).replace("'", "''")
            connection.execute(f"ATTACH '{quoted}' AS ledger (READ_ONLY)")
            version = migrate.find_version(connection, "ledger.main")
            if version == 0:
                raise StoreError(f"{path} is no store of the toolkit")
            migrate.require_readable(version, path)
            return _contents(connection, "ledger")
    except duckdb.Error as error:
        raise explain(error, path) from None


def _contents(connection: duckdb.DuckDBPyConnection, catalog: str) -> dict[str, Any]:
    """Count and hash of each table's rows, whatever their order."""
    found = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = ? AND schema_name = 'main' "
        "ORDER BY table_name",
        [catalog],
    ).fetchall()
    contents: dict[str, Any] = {}
    for (name,) in found:
        if name in _ALL_TABLES:
            contents[name] = connection.execute(
                f"SELECT count(*), bit_xor(hash(t)) FROM {catalog}.main.{name} AS t"
            ).fetchone()
    return contents


def _open(path: str, config: dict[str, str]) -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(path, config=dict(config))
