"""The journal: every record is acknowledged here first, into a SQLite file in WAL mode.

Many processes append at once; DuckDB admits only one. An append is one `INSERT` in a transaction
of its own: when it returns, the record survives kill -9 (`synchronous=NORMAL`) or also power
loss (`FULL`). Entries leave only after they were found again in the database.

Each entry carries its number, length and checksum, and the last acknowledged number is kept apart
(`head`): numbers have no gaps, so whatever is missing between what the database has and
that number was lost, and is reported with how much it is and since when.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar

from toolkit.errors import StoreCorrupt, StoreError
from toolkit.files import PRIVATE, PRIVATE_FOLDER, FileLock, file_id
from toolkit.store.journal.auditor import Auditor, Loss, LossLog, new_loss
from toolkit.store.journal.head import JournalHead
from toolkit.store.journal.journal_format import (
    BUSY_S,
    EVERYTHING,
    FORMAT,
    INSERT,
    READ,
    explained,
    first_of,
    has_content,
    is_intact,
    now_us,
    open_reader,
    prepare,
    ranges,
    seal,
    set_aside,
    too_new,
    transaction,
)

Sync = Literal["normal", "full"]

_T = TypeVar("_T")
_log = logging.getLogger("toolkit.store")

_DROP_CHUNK: Final = 2_000
# Ingesting checkpoints the WAL; this only bounds it where nothing is ingested for long.
_AUTOCHECKPOINT_PAGES: Final = 8_000
# Above this an empty journal is given back to the disk.
_SHRINK_BYTES: Final = 16 * 1024 * 1024
_REPAIR_WAIT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One acknowledged record: its number in the journal, its table, and its JSON text."""

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
        self.losses: LossLog = LossLog(path.with_name(f"{path.name}.losses"))
        self._head = JournalHead(path.with_name(f"{path.name}.head"))
        self._auditor = Auditor(path, self._head, self.losses)
        self._sync = sync
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._journal_id = ""
        self._opened_by = 0
        self._file_id: tuple[int, int] | None = None
        self._acked = 0
        self._dropped = 0
        self._has_damage = False
        self._inherited: list[sqlite3.Connection] = []

    def append(self, target: str, row: str) -> None:
        """Acknowledge one record; it is durable on return.

        Raises:
            StoreError: it could not be written; says why and what to do.
        """

        values = seal(target, row)

        def insert() -> None:
            with self._lock, explained(self.path):
                number = self._writer().execute(INSERT, values).lastrowid
                self._acknowledge(number or 0, values[4])

        self._repairing(insert)

    def append_many(self, target: str, rows: Sequence[str]) -> None:
        """Acknowledge all records or none of them, in one transaction.

        Raises:
            StoreError: nothing was written; says why and what to do.
        """

        values = [seal(target, row) for row in rows]

        def insert() -> None:
            with self._lock, explained(self.path):
                connection = self._writer()
                with transaction(connection):
                    connection.executemany(INSERT, values)
                    number = connection.execute("SELECT last_insert_rowid()").fetchone()[0]
                self._acknowledge(number, values[-1][4])

        if rows:
            self._repairing(insert)

    def identity(self) -> str | None:
        """Return the journal's own id, or None where there is no journal yet."""
        return self._read(
            lambda c: first_of(c.execute("SELECT journal_id FROM journal").fetchone()), None
        )

    def read(
        self, after: int = 0, upto: int | None = None, limit: int = -1, limit_bytes: int = 2**62
    ) -> list[Entry]:
        """Entries numbered above `after` (and at most `upto`), oldest first, at most `limit`.

        Reading stops after the entry with which the texts exceed `limit_bytes`. An entry that is
        not what was acknowledged is left out; `quarantine` sets it aside and reports it.
        """

        def entries(connection: sqlite3.Connection) -> list[Entry]:
            found: list[Entry] = []
            size = 0
            values = (after, EVERYTHING if upto is None else upto, limit)
            for number, target, row, *stamp in connection.execute(READ, values):
                if not is_intact(target, row, stamp):
                    self._has_damage = True
                    continue
                found.append(Entry(number, target, row))
                size += len(row)
                if size >= limit_bytes:
                    break
            return found

        return self._read(entries, [])

    def count(self, after: int = 0) -> int:
        """Return how many entries are numbered above `after`."""
        sql = "SELECT count(*) FROM entries WHERE entry > ?"
        return self._read(lambda c: int(c.execute(sql, (after,)).fetchone()[0]), 0)

    def last(self) -> int:
        """Return the number of the newest entry that is still here, 0 for none."""
        sql = "SELECT max(entry) FROM entries"
        return self._read(lambda c: int(c.execute(sql).fetchone()[0] or 0), 0)

    def dropped(self) -> int:
        """Return the number up to which entries have left for the database."""
        head = self._head.read()
        return head.dropped if head is not None else 0

    def drop(self, upto: int) -> None:
        """Forget entries up to that number; call it only when the database surely has them."""
        with explained(self.path), closing(self._connect()) as connection:
            # What is missing now would not show once the number below is recorded.
            self._auditor.audit(connection, self._journal_id)
            # Recorded before they go: entries that are gone without it would look lost.
            self._dropped = max(self._dropped, upto)
            self._head.drop(self._journal_id, upto)
            while True:
                # In small pieces, so that appends of other processes never wait long.
                done = connection.execute(
                    "DELETE FROM entries WHERE entry IN "
                    "(SELECT entry FROM entries WHERE entry <= ? ORDER BY entry LIMIT ?)",
                    (upto, _DROP_CHUNK),
                )
                if done.rowcount < _DROP_CHUNK:
                    break
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._shrink(connection)

    def quarantine(self) -> int:
        """Set aside entries that were read and are not what was acknowledged; returns how many.

        They stay readable in the table `damaged` of the journal, and are reported as a loss.
        """
        if not self._has_damage or not has_content(self.path):
            return 0
        with explained(self.path), closing(self._connect()) as connection:
            bad = [
                number
                for number, target, row, *stamp in connection.execute(READ, (0, EVERYTHING, -1))
                if not is_intact(target, row, stamp)
            ]
            with transaction(connection):
                for number in bad:
                    connection.execute(
                        "INSERT OR REPLACE INTO damaged SELECT entry, target, row, ? "
                        "FROM entries WHERE entry = ?",
                        (now_us(), number),
                    )
                    connection.execute("DELETE FROM entries WHERE entry = ?", (number,))
        for first, last in ranges(bad):
            self._auditor.report(
                self._journal_id, first, last, "their content does not match its checksum"
            )
        self._has_damage = False
        return len(bad)

    def check(self) -> list[str]:
        """Return what is wrong with the journal; empty when all is well.

        Raises:
            StoreError: it cannot be read at all.
        """
        complaints = []
        with self._reading() as connection:
            if connection is not None:
                found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
                complaints += [] if found == ["ok"] else found
                bad = sum(
                    not is_intact(target, row, stamp)
                    for _, target, row, *stamp in connection.execute(READ, (0, EVERYTHING, -1))
                )
                complaints += [f"{bad} entries do not match their checksum"] if bad else []
        if self._head.is_damaged:
            complaints.append(f"{self._head.path} is damaged: losses cannot be noticed")
        return complaints

    def audit(self) -> list[Loss]:
        """Compare the journal with what was acknowledged, and record what is missing.

        Returns:
            All losses of this home that were not acknowledged yet.
        """
        if has_content(self.path) or self._head.path.exists():
            with self._lock, explained(self.path):
                self._auditor.audit(self._writer(), self._journal_id)
        return self.losses.read()

    def forget_losses(self) -> int:
        """Acknowledge all losses, so that they are not reported again; returns how many."""
        return self.losses.clear()

    def report_database_loss(self, mark: int) -> bool:
        """Record that the database lacks entries that it had; False where nothing is missing.

        Args:
            mark: the last entry of this journal that the database has.
        """
        return self._auditor.report_database_loss(mark)

    def close(self) -> None:
        """Close this process's connection; a later append opens it again."""
        with self._lock:
            self._forget()
            self._head.close()

    def _acknowledge(self, number: int, acked_us: int) -> None:
        self._acked = number
        try:
            self._head.advance(self._journal_id, number, acked_us)
        except OSError as error:
            # The record itself is safe; only the check for losses is one behind until the next.
            _log.warning("%s could not be updated: %s", self._head.path, error.strerror or error)

    def _writer(self) -> sqlite3.Connection:
        """Return the connection for appends; a new one after a fork or for another file."""
        if self._connection is not None:
            if self._opened_by == os.getpid() and self._file_id == file_id(self.path):
                return self._connection
            self._note_vanished()
            self._forget()
        connection = self._connect()
        try:
            self._auditor.audit(connection, self._journal_id)
        except BaseException:  # never left open, also on Ctrl+C
            connection.close()
            raise
        self._connection = connection
        self._opened_by = os.getpid()
        self._file_id = file_id(self.path)
        return connection

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._opened_by == os.getpid():
            connection.close()
        else:
            # A connection that came over a fork must not be touched by the child, nor collected.
            self._inherited.append(connection)

    def _note_vanished(self) -> None:
        """Report a journal that was removed under our feet, head file included."""
        if self._opened_by != os.getpid() or self._head.read() is not None:
            return
        if self._acked > self._dropped:
            self._auditor.report(
                self._journal_id,
                self._dropped + 1,
                self._acked,
                f"{self.path} was removed while it was in use; what was ingested meanwhile by "
                "another process counts too",
            )

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        # Made by us so that it is private from its first byte; -wal and -shm take its mode. Only
        # where there is none: closing a file of its own would drop SQLite's locks on it (POSIX),
        # and another process would take the WAL away while it is in use.
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE))
        connection = sqlite3.connect(
            self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute(f"PRAGMA synchronous={self._sync.upper()}")
            connection.execute(f"PRAGMA wal_autocheckpoint={_AUTOCHECKPOINT_PAGES}")
            prepare(connection, self.path)
            self._journal_id = connection.execute("SELECT journal_id FROM journal").fetchone()[0]
        except BaseException:  # never left open, also on Ctrl+C
            connection.close()
            raise
        return connection

    def _repairing(self, use: Callable[[], _T]) -> _T:
        """Run `use`; where the journal is damaged, once more after it was repaired."""
        try:
            return use()
        except StoreCorrupt:
            damaged = file_id(self.path)
            self._repair(damaged)
            return use()

    def _repair(self, damaged: tuple[int, int] | None) -> None:
        """Set a damaged journal aside, and go on in a new one with what can be read of it.

        Raises:
            StoreError: the folder cannot be written.
        """
        repair_lock = FileLock(self.path.with_name(f".{self.path.name}.repair.lock"))
        with self._lock, explained(self.path), repair_lock:
            if not repair_lock.acquire(_REPAIR_WAIT_S) or file_id(self.path) != damaged:
                return  # another process is repairing it, or has done so
            self._forget()
            head = self._head.read()
            kept = set_aside(self.path)
            _log.warning("The journal was damaged and is kept as %s.", kept)
            with closing(self._connect()) as connection:
                with transaction(connection):
                    if head is not None:
                        connection.execute("UPDATE journal SET journal_id = ?", (head.journal_id,))
                        self._journal_id = head.journal_id
                    self._salvage(connection, kept, head.dropped if head else 0)
                # At once: a reader that repaired would go on and drop what it never saw.
                self._auditor.audit(connection, self._journal_id)
            if head is None:
                reason = f"{kept} was damaged, and so was its head: how many is not known"
                self._auditor.add(new_loss("journal", "", 0, 0, reason=reason, count=0))

    def _salvage(self, connection: sqlite3.Connection, kept: Path, dropped: int) -> None:
        with suppress(sqlite3.Error, StoreError, OSError), open_reader(kept) as (damaged, _):
            last = self._acked
            with suppress(sqlite3.Error):
                last = max(last, damaged.execute("SELECT max(entry) FROM entries").fetchone()[0])
            head = self._head.read()
            last = max(last, head.last if head else 0)
            for number in range(dropped + 1, last + 1):
                with suppress(sqlite3.Error):
                    values = damaged.execute(READ, (number - 1, number, 1)).fetchone()
                    if values and is_intact(values[1], values[2], list(values[3:])):
                        connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", values)

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Give the space of a large journal back once it is empty; the next call if it is busy."""
        if self.path.stat().st_size < _SHRINK_BYTES or first_of(
            connection.execute("SELECT count(*) FROM entries").fetchone()
        ):
            return
        connection.execute("PRAGMA busy_timeout=50")
        with suppress(sqlite3.Error):
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _read(self, use: Callable[[sqlite3.Connection], _T], missing: _T) -> _T:
        def read() -> _T:
            with self._reading() as connection:
                return missing if connection is None else use(connection)

        return self._repairing(read)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """Open a short read-only connection, or None where there is no journal yet."""
        with explained(self.path):
            if not has_content(self.path):
                yield None
                return
            with ExitStack() as stack:
                connection, version = stack.enter_context(open_reader(self.path))
                if 0 < version < FORMAT and os.access(self.path.parent, os.W_OK):
                    stack.pop_all().close()
                    self._connect().close()  # brings it to the present format
                    connection, version = stack.enter_context(open_reader(self.path))
                if version > FORMAT:
                    raise too_new(self.path)
                yield connection if version == FORMAT else None
