"""The schema of the database: numbered SQL files, applied in order, forward only.

A new file is built aside and put in place whole. An older file is migrated on a copy that then
replaces it, so that a crash leaves the old file or the new one and never something between.
"""

# ruff: noqa: S608 - names in SQL are the toolkit's own (`tables.py`), values are bound.

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from toolkit.errors import StoreTooNew
from toolkit.store.binding import execute

if TYPE_CHECKING:
    import duckdb

# Readable by DuckDB 1.5 whichever version creates it.
STORAGE_VERSION: Final = "v1.5.0"

OnStep = Callable[[str], None]


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """Number and SQL text of every migration, in order."""
    folder = resources.files("toolkit.store") / "migrations"
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".sql"))
    return tuple((int(name.split("_")[0]), (folder / name).read_text("utf-8")) for name in names)


def latest_version() -> int:
    """The schema version that this code writes."""
    return migrations()[-1][0]


def find_version(connection: duckdb.DuckDBPyConnection, schema: str = "main") -> int:
    """The schema version of an open file, 0 for an empty one. `schema`: `main` or `ledger.main`."""
    import duckdb

    try:
        found = connection.execute(f"SELECT max(version) FROM {schema}.schema_version").fetchone()
    except duckdb.CatalogException:
        return 0
    return 0 if found is None or found[0] is None else int(found[0])


def require_readable(version: int, path: Path) -> None:
    """Refuse a file of a newer schema.

    Raises:
        StoreTooNew: it was written by a newer version of the toolkit.
    """
    if version > latest_version():
        raise StoreTooNew(
            f"{path} has schema version {version}, this toolkit knows up to {latest_version()}",
            hint="Update the toolkit; the file was left untouched.",
        )


def apply(connection: duckdb.DuckDBPyConnection, version: int = 0) -> None:
    """Bring an open database from `version` to the latest, in one transaction."""
    # DuckDB takes the machine's zone otherwise, and in some of them hours begin at half past.
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("BEGIN")
    for number, sql in migrations():
        if number > version:
            connection.execute(sql)
            connection.execute("DELETE FROM schema_version")
            execute(connection, "INSERT INTO schema_version VALUES (?, now())", [number])
    connection.execute("COMMIT")


def create(path: Path, on_step: OnStep) -> None:
    """Make a new file with the latest schema; the caller holds the turn to write."""
    _replace_by_migrated(path, 0, on_step)


def upgrade(path: Path, version: int, on_step: OnStep) -> None:
    """Bring an older file to the latest schema; the old one stays beside it as `.bak`."""
    _replace_by_migrated(path, version, on_step)


def _replace_by_migrated(path: Path, version: int, on_step: OnStep) -> None:
    import duckdb

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.new")
    remove_database(aside)
    if version:
        shutil.copy2(path, aside)
        on_step("migrate:copied")
    connection = duckdb.connect(
        str(aside), config={"storage_compatibility_version": STORAGE_VERSION}
    )
    try:
        apply(connection, version)
        on_step("migrate:applied")
        connection.execute("CHECKPOINT")
    finally:
        connection.close()
    put_in_place(aside, path, keep_old=version > 0)
    on_step("migrate:replaced")


def put_in_place(aside: Path, path: Path, *, keep_old: bool) -> None:
    """Make `aside` durable and private and let it replace `path`."""
    os.chmod(aside, 0o600)
    with aside.open("rb+") as file:
        os.fsync(file.fileno())
    if keep_old and path.exists():
        shutil.copy2(path, path.with_name(f"{path.name}.bak"))
    os.replace(aside, path)


def remove_database(path: Path) -> None:
    """Remove a database file that is not in use, and its WAL."""
    for name in (path.name, f"{path.name}.wal"):
        path.with_name(name).unlink(missing_ok=True)
