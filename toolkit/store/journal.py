"""The journal: every record is acknowledged here first, into a SQLite file in WAL mode.

Many processes append at once; DuckDB admits only one. An append is one `INSERT` in a transaction
of its own: when it returns, the record survives kill -9 (`synchronous=NORMAL`) or also power
loss (`FULL`). Entries leave only after they were found again in the ledger.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from uuid import uuid4

from toolkit.store.journal_errors import BUSY_S, explained, too_new

Sync = Literal["normal", "full"]

# Raise it with every migration that adds columns: an older process must refuse rows with columns
# that its tables lack, instead of moving them without.
_FORMAT: Final = 1
_DROP_CHUNK: Final = 2_000
# Publishing checkpoints the WAL; this only bounds it where nobody publishes for long.
_AUTOCHECKPOINT_PAGES: Final = 8_000
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS journal (journal_id TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS entries ("
    "entry INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, row TEXT NOT NULL)",
)
_INSERT: Final = "INSERT INTO entries (target, row) VALUES (?, ?)"


@dataclass(frozen=True, slots=True)
class Entry:
    """One acknowledged record: its place in the journal, its table, and its JSON text."""

    number: int
    target: str
    row: str


class Journal:
    """One journal file; safe to use from several threads and processes.

    Args:
        path: the SQLite file; it and its folder are made on first append.
        sync: `normal` survives kill -9, `full` also power loss.
    """

    def __init__(self, path: Path, sync: Sync = "normal") -> None:
        self.path = path
        self._sync = sync
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened_by = 0
        self._file_id: tuple[int, int] | None = None
        self._inherited: list[sqlite3.Connection] = []

    def append(self, target: str, row: str) -> None:
        """Acknowledge one record; it is durable on return.

        Raises:
            StoreError: it could not be written; says why and what to do.
        """
        with self._lock, explained(self.path):
            self._writer().execute(_INSERT, (target, row))

    def append_many(self, target: str, rows: Sequence[str]) -> None:
        """Acknowledge all records or none of them, in one transaction.

        Raises:
            StoreError: nothing was written; says why and what to do.
        """
        with self._lock, explained(self.path):
            connection = self._writer()
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.executemany(_INSERT, [(target, row) for row in rows])
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def identity(self) -> str | None:
        """The journal's own id, or None where there is no journal yet."""
        with self._reading() as connection:
            if connection is None:
                return None
            found = connection.execute("SELECT journal_id FROM journal").fetchone()
            return None if found is None else str(found[0])

    def read(self, after: int = 0, upto: int | None = None, limit: int = -1) -> list[Entry]:
        """Entries numbered above `after` (and at most `upto`), oldest first, at most `limit`."""
        with self._reading() as connection:
            if connection is None:
                return []
            found = connection.execute(
                "SELECT entry, target, row FROM entries WHERE entry > ? AND entry <= ? "
                "ORDER BY entry LIMIT ?",
                (after, 2**62 if upto is None else upto, limit),
            )
            return [Entry(*values) for values in found]

    def count(self, after: int = 0) -> int:
        """How many entries are numbered above `after`."""
        with self._reading() as connection:
            if connection is None:
                return 0
            sql = "SELECT count(*) FROM entries WHERE entry > ?"
            return int(connection.execute(sql, (after,)).fetchone()[0])

    def last(self) -> int:
        """Number of the newest entry that is still here, 0 for none."""
        with self._reading() as connection:
            if connection is None:
                return 0
            return int(connection.execute("SELECT max(entry) FROM entries").fetchone()[0] or 0)

    def drop(self, upto: int) -> None:
        """Forget entries up to that number; call it only when the ledger surely has them."""
        with explained(self.path), closing(self._connect()) as connection:
            while True:
                # In small bites, so that appends of other processes never wait long.
                done = connection.execute(
                    "DELETE FROM entries WHERE entry IN "
                    "(SELECT entry FROM entries WHERE entry <= ? ORDER BY entry LIMIT ?)",
                    (upto, _DROP_CHUNK),
                )
                if done.rowcount < _DROP_CHUNK:
                    break
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def check(self) -> list[str]:
        """What SQLite's own integrity check complains about; empty when all is well."""
        with self._reading() as connection:
            if connection is None:
                return []
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
            return [] if found == ["ok"] else found

    def close(self) -> None:
        """Close this process's connection; a later append opens it again."""
        with self._lock:
            self._forget()

    def _writer(self) -> sqlite3.Connection:
        """The connection for appends; a new one after a fork, or when the file is another."""
        if self._connection is not None:
            if self._opened_by == os.getpid() and self._file_id == _file_id(self.path):
                return self._connection
            self._forget()
        self._connection = self._connect()
        self._opened_by = os.getpid()
        self._file_id = _file_id(self.path)
        return self._connection

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._opened_by == os.getpid():
            connection.close()
        else:
            # A connection that came over a fork must not be touched by the child, nor collected.
            self._inherited.append(connection)

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made by us so that it is private from its first byte; -wal and -shm take its mode. Only
        # where there is none: closing a file of its own would drop SQLite's locks on it (POSIX),
        # and another process would take the WAL away under our feet.
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(
            self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute(f"PRAGMA synchronous={self._sync.upper()}")
            connection.execute(f"PRAGMA wal_autocheckpoint={_AUTOCHECKPOINT_PAGES}")
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == _FORMAT:
            return
        if version > _FORMAT:
            raise too_new(self.path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            connection.execute(statement)
        if connection.execute("SELECT count(*) FROM journal").fetchone()[0] == 0:
            connection.execute("INSERT INTO journal VALUES (?)", (uuid4().hex,))
        connection.execute(f"PRAGMA user_version={_FORMAT}")
        connection.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """A short read-only connection, or None where there is no journal yet."""
        with explained(self.path):
            if not _has_content(self.path):
                yield None
                return
            with ExitStack() as stack:
                connection, version = self._open_reader(stack)
                if version > _FORMAT:
                    raise too_new(self.path)
                yield connection if version == _FORMAT else None

    def _open_reader(self, stack: ExitStack) -> tuple[sqlite3.Connection, int]:
        try:
            return _open_read_only(self.path, stack)
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
                raise
        # WAL needs to write beside the file, which a read-only folder forbids: read a copy.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="toolkit-")))
        for suffix in ("", "-wal"):
            source = self.path.with_name(self.path.name + suffix)
            with suppress(FileNotFoundError):
                shutil.copyfile(source, folder / source.name)
        return _open_read_only(folder / self.path.name, stack)


def _open_read_only(path: Path, stack: ExitStack) -> tuple[sqlite3.Connection, int]:
    """A connection that the stack closes, and the format of the file."""
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_S, isolation_level=None
    )
    stack.callback(connection.close)
    return connection, int(connection.execute("PRAGMA user_version").fetchone()[0])


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _file_id(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
