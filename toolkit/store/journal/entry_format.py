"""The format of the journal: its tables, and what makes an entry verifiable."""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar
from uuid import uuid4

from toolkit.store.journal.journal_errors import BUSY_S, too_new
from toolkit.store.journal.sqlite_files import use_wal

_T = TypeVar("_T")

# Raise it with every migration that adds columns: an older process must refuse rows with columns
# that its tables lack, instead of moving them without. 2: length, checksum and time of each entry.
FORMAT: Final = 2
_ENTRY_COLUMNS: Final = ("size INTEGER", "checksum INTEGER", "acked_us INTEGER")
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS journal (journal_id TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS entries ("
    "entry INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, row TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS damaged ("
    "entry INTEGER PRIMARY KEY, target TEXT, row BLOB, noticed_us INTEGER)",
)
INSERT: Final = "INSERT INTO entries (target, row, size, checksum, acked_us) VALUES (?, ?, ?, ?, ?)"
READ: Final = (
    "SELECT entry, target, row, size, checksum, acked_us FROM entries "
    "WHERE entry > ? AND entry <= ? ORDER BY entry LIMIT ?"
)
EVERYTHING: Final = 2**62


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a journal that is open to the present format.

    Raises:
        StoreTooNew: it was written by a newer version.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == FORMAT:
        return
    if version > FORMAT:
        raise too_new(path)
    use_wal(connection, BUSY_S)
    with transaction(connection):
        for statement in _SCHEMA:
            connection.execute(statement)
        known = {row[1] for row in connection.execute("PRAGMA table_info(entries)")}
        for column in _ENTRY_COLUMNS:
            if column.split()[0] not in known:
                connection.execute(f"ALTER TABLE entries ADD COLUMN {column}")
        if connection.execute("SELECT count(*) FROM journal").fetchone()[0] == 0:
            connection.execute("INSERT INTO journal VALUES (?)", (uuid4().hex,))
        connection.execute(f"PRAGMA user_version={FORMAT}")


def seal(target: str, row: str) -> tuple[str, str, int, int, int]:
    """The values of an entry: with length, checksum and the moment."""
    content = row.encode()
    return target, row, len(content), zlib.crc32(content, zlib.crc32(target.encode())), now_us()


def is_intact(target: object, row: object, seal: list[int | None]) -> bool:
    """Whether an entry is what was acknowledged; one of the first format has no checksum."""
    if not isinstance(target, str) or not isinstance(row, str):
        return False
    size, checksum = seal[:2]
    if checksum is None:
        return True
    content = row.encode("utf-8", "surrogatepass")
    return len(content) == size and zlib.crc32(content, zlib.crc32(target.encode())) == checksum


def ranges(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Runs of consecutive numbers."""
    begin: int | None = None
    for at, number in enumerate(numbers):
        begin = number if begin is None else begin
        if at + 1 == len(numbers) or numbers[at + 1] != number + 1:
            yield begin, number
            begin = None


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All that happens inside, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:  # Ctrl+C must not leave the transaction open
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def first_of(row: tuple[_T, ...] | None) -> _T | None:
    """The first value of a row, None for no row."""
    return None if row is None else row[0]


def now_us() -> int:
    """The present moment, microseconds since 1970."""
    return time.time_ns() // 1000
