"""The store in numbers, and its checks."""

# ruff: noqa: S608 - names in SQL are the toolkit's own (`tables.py`), values are bound.

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.errors import StoreError
from toolkit.store.ingest import read_mark
from toolkit.store.journal import Journal, Loss
from toolkit.store.reader import Reader
from toolkit.store.tables import TABLES


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInfo:
    """The store in numbers.

    Attributes:
        path, size_bytes: the DuckDB file; 0 while there is none. Of a shared database its address.
        journal_path, journal_size_bytes: the journal in front of it.
        backlog: records that wait in the journal.
        rows: rows by table, the waiting ones included.
        schema_version: of the file, as far as it can be read.
        duckdb_version: the library's.
        holder_pid: process that holds the file right now, or None.
        losses: acknowledged records that are gone, see `Store.losses`.
        error: why the file cannot be read, or None.
    """

    path: Path
    size_bytes: int
    journal_path: Path
    journal_size_bytes: int
    backlog: int
    rows: dict[str, int]
    schema_version: int | None
    duckdb_version: str
    holder_pid: int | None
    losses: list[Loss]
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: its name, whether it passed, and what was found."""

    name: str
    is_ok: bool
    detail: str


def read_info(
    journal: Journal,
    path: Path,
    reading: Callable[[], AbstractContextManager[Reader]],
    holder_pid: int | None,
) -> StoreInfo:
    """The store in numbers; a store that cannot be read says why instead of failing."""
    import duckdb

    rows: dict[str, int] = {}
    version: int | None = None
    backlog, error = 0, None
    try:
        backlog = journal.count()
        with reading() as reader:
            rows = _count_rows(reader)
            found = reader.rows("SELECT max(version) AS version FROM schema_version")
            version = found[0]["version"]
    except StoreError as failure:
        error = str(failure)
    return StoreInfo(
        path=path,
        size_bytes=_size(path),
        journal_path=journal.path,
        journal_size_bytes=_size(journal.path),
        backlog=backlog,
        rows=rows,
        schema_version=version,
        duckdb_version=duckdb.__version__,
        holder_pid=holder_pid,
        losses=journal.losses.read(),
        error=error,
    )


def _count_rows(reader: Reader) -> dict[str, int]:
    parts = [f"SELECT '{name}' AS name, count(*) AS n FROM {name}" for name in TABLES]
    return {row["name"]: row["n"] for row in reader.rows(" UNION ALL ".join(parts))}


def _size(path: Path) -> int:
    total = 0
    for name in (path.name, f"{path.name}.wal", f"{path.name}-wal"):
        part = path.with_name(name)
        total += part.stat().st_size if part.is_file() else 0
    return total


def verify(journal: Journal, reading: Callable[[], AbstractContextManager[Any]]) -> list[Check]:
    """Run every check of the store; failures are entries, not exceptions."""
    checks = [_run("journal", lambda: "; ".join(journal.check()))]
    checks.append(_run("losses", lambda: "; ".join(map(str, _audited(journal)))))
    try:
        with reading() as connection:
            checks += _database_checks(connection, journal)
    except StoreError as error:
        checks.append(Check(name="database", is_ok=False, detail=str(error)))
    return checks


def _audited(journal: Journal) -> list[Loss]:
    try:
        return journal.audit()
    except StoreError:  # a home that can only be read: what was noticed before
        return journal.losses.read()


def _database_checks(connection: Any, journal: Journal) -> list[Check]:
    def scan() -> str:
        for table in TABLES.values():
            # Reading every value makes DuckDB compare every block with its checksum.
            columns = ", ".join(table.columns)
            connection.execute(f"SELECT bit_xor(hash(row({columns}))) FROM {table.name}").fetchall()
        return ""

    def keys() -> str:
        doubled = []
        for table in TABLES.values():
            names = ", ".join(table.key)
            found = connection.execute(
                f"SELECT count(*) FROM (SELECT 1 FROM {table.name} GROUP BY {names} "
                "HAVING count(*) > 1)"
            ).fetchone()
            doubled += [f"{table.name}: {found[0]} duplicate ids"] if found[0] else []
        return "; ".join(doubled)

    def rollups() -> str:
        found = connection.execute(
            "WITH kept AS (SELECT coalesce(max(calls_before_at), '-infinity'::TIMESTAMPTZ) "
            "AS since FROM retention) SELECT (SELECT count(*) FROM calls, kept "
            "WHERE source = 'live' AND started_at >= since), "
            "(SELECT coalesce(sum(calls), 0) FROM rollup_hourly, kept WHERE hour_at >= since)"
        ).fetchone()
        return "" if found[0] == found[1] else f"{found[0]} live calls, {found[1]} rolled up"

    def mark() -> str:
        journal_id = journal.identity()
        if journal_id is None:
            return ""
        high_water, last = read_mark(connection, journal_id), journal.last()
        return "" if high_water <= last or last == 0 else f"mark {high_water} is past entry {last}"

    named = {"values": scan, "ids": keys, "roll-ups": rollups, "mark": mark}
    return [_run(name, check) for name, check in named.items()]


def _run(name: str, check: Callable[[], str]) -> Check:
    import duckdb

    try:
        complaint = check()
    except (StoreError, duckdb.Error) as error:
        complaint = str(error)
    return Check(name=name, is_ok=not complaint, detail=complaint or "ok")
