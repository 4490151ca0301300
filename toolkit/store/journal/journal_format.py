"""The SQLite file of a journal: its tables, how it is opened, and what its failures mean."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar
from uuid import uuid4

from toolkit.errors import StoreCorrupt, StoreError, StoreLocked, StoreTooNew

BUSY_S: Final = 5.0
# A short read is a file that was cut; an I/O error of the disk has other names.
_DAMAGE: Final = (
    "SQLITE_NOTADB",
    "SQLITE_CORRUPT",
    "SQLITE_IOERR_SHORT_READ",
    "SQLITE_IOERR_CORRUPTFS",
    "SQLITE_IOERR_DATA",
)


def too_new(path: Path) -> StoreTooNew:
    """The error for a journal of a newer format."""
    return StoreTooNew(
        f"the journal {path} was written by a newer version of the toolkit",
        hint="Update the toolkit; the file was left untouched.",
    )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise a failure of the journal as an error that says what it means and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(error, path) from None
    except OSError as error:
        raise StoreError(
            f"the journal {path} cannot be used: {error.strerror or error}",
            hint="Check that the home folder exists, is writable and has free space "
            "(TOOLKIT_HOME names another one).",
        ) from None


def _explain(error: sqlite3.Error, path: Path) -> StoreError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_BUSY") or name.startswith("SQLITE_LOCKED"):
        return StoreLocked(
            f"the journal {path} was busy for {BUSY_S:.0f} s",
            hint="Another process keeps writing to it; try again.",
        )
    if name.startswith(_DAMAGE):
        return StoreCorrupt(
            f"the journal {path} is damaged: {error}",
            hint="It is set aside and a new one is made when the folder can be written. What was "
            "ingested before is safe; `toolkit store verify` shows what is missing.",
        )
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return StoreError(
            f"the journal {path} could not be written: {error}",
            hint="The disk is probably full: free some space. The answer itself is not affected.",
            cause="disk",
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return StoreError(
            f"the journal {path} is not writable: {error}",
            hint="Make the home folder writable, or name another one by TOOLKIT_HOME.",
            cause="read_only",
        )
    return StoreError(f"the journal {path} failed: {error}")


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


_BUSY_PAUSE_S: Final = 0.01


@contextmanager
def open_reader(path: Path) -> Iterator[tuple[sqlite3.Connection, int]]:
    """Open a journal read-only; gives the connection and the format of the file."""
    with ExitStack() as stack:
        try:
            opened = _open_read_only(path, stack)
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
                raise
            # WAL needs to write beside the file, which a read-only folder forbids: read a copy.
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="toolkit-")))
            for suffix in ("", "-wal"):
                source = path.with_name(path.name + suffix)
                with suppress(FileNotFoundError):
                    shutil.copyfile(source, folder / source.name)
            opened = _open_read_only(folder / path.name, stack)
        yield opened


def use_wal(connection: sqlite3.Connection, wait_s: float) -> None:
    """Switch a database to WAL mode, waiting for others who do the same.

    SQLite does not wait by itself here: of several processes that open a new file at once, all
    but one got `database is locked` whatever their timeout.

    Raises:
        sqlite3.Error: it stayed locked for `wait_s` seconds, or cannot be written.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
            if not is_busy or time.monotonic() >= deadline:
                raise
        time.sleep(_BUSY_PAUSE_S)


def set_aside(path: Path) -> Path:
    """Rename a damaged journal with its WAL, so that a new one can be made; returns the path."""
    kept = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        with suppress(FileNotFoundError):
            os.replace(part, kept.with_name(kept.name + suffix))
    return kept


def has_content(path: Path) -> bool:
    """Whether there is a journal that was ever written."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _open_read_only(path: Path, stack: ExitStack) -> tuple[sqlite3.Connection, int]:
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_S, isolation_level=None
    )
    stack.callback(connection.close)
    return connection, int(connection.execute("PRAGMA user_version").fetchone()[0])
