"""The only module that opens DuckDB: short connections, each under a fair lock on the file.

A writer holds the file alone. A reader gets a database in memory with the file attached read-only
as `ledger`, so that records which are still in the journal can be laid over it.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from toolkit.errors import StoreCorrupt, StoreError, StoreLocked, StoreTooNew
from toolkit.store import migrate
from toolkit.store.fair_lock import FairFileLock, Kind, locked
from toolkit.store.migrate import OnStep
from toolkit.store.read_connection import (
    SharedEngine,
    SnapshotCache,
    prepare_reading,
    start_engine,
)

if TYPE_CHECKING:
    import duckdb

_T = TypeVar("_T")

OLD_SCHEMA: Final = "old_schema"

_HOLDER: Final = re.compile(r"\(PID (\d+)\)")
_LOCK_WORDS: Final = (
    "Could not set lock",
    "Conflicting lock",
    "already open",
    "being used by another process",
    "different configuration",
    "file handle conflict",
    "already attached",
)
_DAMAGE_WORDS: Final = (
    "not a valid DuckDB",
    "Corrupt",
    "corrupt",
    "checksum",
    "Checksum",
    "could not read enough bytes",
    "Could not read enough bytes",
    "Failure while replaying WAL",
)
_DISK_WORDS: Final = (
    *("No space left", "disk full", "File too large", "Could not write"),
    *("Disk quota exceeded", "Input/output error"),
)
_AWAY_WORDS: Final = ("Failed to send message", "Could not connect to server")
_NEWER_WORDS: Final = ("we can only read version", "newer version of DuckDB", "storage version")
_RETRY_S: Final = 0.02
# A move of another process lasts about half a second; a reader does not wait longer than this
# before it takes a copy.
_FREE_WAIT_S: Final = 0.6
_KEPT_S: Final = 5.0
# For its own process a reader waits until it is done: its work is bounded. Raising after the usual
# wait made pages fail with "in use by this process" while a row of 25 MB was moved.
_OWN_WAIT_S: Final = 120.0

_Live = Callable[[float, float], AbstractContextManager["duckdb.DuckDBPyConnection"]]


def _pass() -> None:
    """Do nothing."""


class Database:
    """One DuckDB file.

    Args:
        path: the file; made with the latest schema when first written.
        wait_s: longest wait for the lock, seconds.
        on_step: called with the name of each step between which a crash could fall.
    """

    def __init__(self, path: Path, wait_s: float, on_step: OnStep) -> None:
        self.path = path
        self.wait_s = wait_s
        self.turns: FairFileLock = FairFileLock(
            path.with_name(f"{path.name}.queue"), f"the store {path}"
        )
        self._on_step = on_step
        self._engine = SharedEngine(lambda connection: self._attach(connection, self.path))
        self._snapshots = SnapshotCache(path)
        self._kept_until = 0.0
        self._known_file: tuple[int, int] | None = None

    @contextmanager
    def alone(self, wait_s: float | None = None) -> Iterator[None]:
        """Hold the lock alone, without opening the file."""
        with self._explained(), self._turn("w", self._wait(wait_s)):
            yield

    @contextmanager
    def writing(self, wait_s: float | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """The file alone, made or migrated first where needed.

        Raises:
            StoreLocked: no lock within `wait_s` seconds (default: the setting).
            StoreTooNew, StoreCorrupt, StoreError: the file cannot be used.
        """
        wait_s = self._wait(wait_s)
        deadline = time.monotonic() + wait_s
        with self._explained(), self._turn("w", wait_s), _opened(self.path):
            self._prepare(deadline)
            connection = self._retry_while_locked(lambda: _connect(self.path), deadline)
            try:
                migrate.require_readable(migrate.find_version(connection), self.path)
                yield connection
            finally:
                connection.close()

    @contextmanager
    def reading(
        self, wait_s: float | None = None, before_copy: Callable[[], object] = _pass
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the process's engine, which has the file attached as `ledger`.

        Where there is no file yet, `ledger` has the same tables, empty. While another process
        keeps the file, it is a copy of it. Errors as `writing`.

        Args:
            wait_s: longest wait for the file where it cannot be copied; None: the setting.
            before_copy: called before the file is copied: what the journal holds then is either
                in the copy or can be read from the journal, and nothing is in neither.
        """
        with ExitStack() as stack:
            yield self._open(stack, self._shared, self._wait(wait_s), before_copy)

    @contextmanager
    def open_separately(
        self, wait_s: float | None = None, before_copy: Callable[[], object] = _pass
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """The same on an engine of its own, which can be locked down without affecting others."""
        with ExitStack() as stack:
            yield self._open(stack, self._separate, self._wait(wait_s), before_copy)

    def _open(
        self, stack: ExitStack, live: _Live, wait_s: float, before_copy: Callable[[], object]
    ) -> duckdb.DuckDBPyConnection:
        """Open the file, or a copy of it where another process does not let go of it."""
        quick_s = min(wait_s, 0.0 if time.monotonic() < self._kept_until else _FREE_WAIT_S)
        try:
            self._upgrade_if_old(quick_s)
            return stack.enter_context(live(quick_s, 0.0))
        except StoreLocked:
            before_copy()
            copy = self._take_copy()
            if copy is not None and (connection := self._open_copy(stack, copy)) is not None:
                self._kept_until = time.monotonic() + _KEPT_S
                return connection
            self._upgrade_if_old(wait_s)
            return stack.enter_context(live(wait_s, _OWN_WAIT_S))

    def _open_copy(self, stack: ExitStack, copy: Path) -> duckdb.DuckDBPyConnection | None:
        """Open a copy; None where an older version of the toolkit keeps the file."""
        try:
            return stack.enter_context(self._copied(copy))
        except StoreError as error:
            if error.cause != OLD_SCHEMA:
                raise
            return None

    def _take_copy(self) -> Path | None:
        # The lock is kept while copying: no thread of this process may open the file meanwhile,
        # since closing the file that is copied would release DuckDB's lock on it.
        with _open_here_lock:
            return None if _open_here[self.path] else self._snapshots.take()

    @contextmanager
    def _shared(self, wait_s: float, own_wait_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
        deadline = time.monotonic() + wait_s
        with self._explained(), self._turn("r", wait_s, own_wait_s), _opened(self.path):
            connection = self._retry_while_locked(self._engine.lend, deadline)
            try:
                prepare_reading(connection)
                yield connection
            finally:
                self._engine.take_back(connection)

    @contextmanager
    def _separate(self, wait_s: float, own_wait_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
        deadline = time.monotonic() + wait_s
        with (
            self._explained(),
            self._turn("r", wait_s, own_wait_s),
            _opened(self.path),
            closing(start_engine()) as connection,
        ):
            self._retry_while_locked(lambda: self._attach(connection, self.path), deadline)
            prepare_reading(connection)
            yield connection

    @contextmanager
    def _copied(self, copy: Path) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._explained(), closing(start_engine()) as connection:
            self._attach(connection, copy)
            prepare_reading(connection)
            yield connection

    def close(self) -> None:
        """Stop the process's engine; it starts again when needed."""
        self._engine.close()
        self._snapshots.close()

    def _wait(self, wait_s: float | None) -> float:
        return self.wait_s if wait_s is None else wait_s

    @contextmanager
    def _turn(self, kind: Kind, wait_s: float, own_wait_s: float = 0.0) -> Iterator[None]:
        if not self._can_queue(kind):
            # A folder that can only be read, or that does not exist yet: no one to queue with.
            yield
            return
        with ExitStack() as stack:
            try:
                stack.enter_context(self.turns.turn(kind, wait_s, own_wait_s))
            except OSError:
                # A full disk has no room for a ticket; reading must work all the same.
                if kind == "w":
                    raise
            yield

    def _can_queue(self, kind: Kind) -> bool:
        folder = self.path.parent
        if kind == "w":
            with suppress(OSError):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.access(folder, os.W_OK)

    def _prepare(self, deadline: float) -> None:
        """Make the file or bring it to the latest schema; a newer one is never opened to write."""
        if not self.path.exists():
            migrate.create(self.path, self._on_step)
            return
        if self._known_file == _file_id(self.path):
            return
        version = self._retry_while_locked(self._version, deadline)
        migrate.require_readable(version, self.path)
        if version < migrate.latest_version():
            self._retry_while_locked(
                lambda: _connect(self.path), deadline
            ).close()  # folds its WAL in
            migrate.upgrade(self.path, version, self._on_step)
        self._known_file = _file_id(self.path)

    def _upgrade_if_old(self, wait_s: float) -> None:
        """Before reading: bring a file of an older schema up, where it may be written."""
        if not self.path.exists() or self._known_file == _file_id(self.path):
            return
        with self._explained(), self._turn("r", wait_s):
            version = self._retry_while_locked(self._version, time.monotonic() + wait_s)
            self._known_file = _file_id(self.path)
        if version < migrate.latest_version() and os.access(self.path.parent, os.W_OK):
            self._known_file = None
            with self.writing(wait_s):
                pass

    def _version(self) -> int:
        import duckdb

        with duckdb.connect(str(self.path), read_only=True) as connection:
            return migrate.find_version(connection)

    def _attach(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        if not path.exists():
            connection.execute("ATTACH ':memory:' AS ledger")
            connection.execute("USE ledger")
            migrate.apply(connection)
            connection.execute("USE memory")
            return
        # A path cannot be bound here; quotes are doubled.
        quoted = str(path).replace("'", "''")
        connection.execute(f"ATTACH '{quoted}' AS ledger (READ_ONLY)")
        try:
            self._require_current(migrate.find_version(connection, "ledger.main"))
        except BaseException:  # never left attached, also on Ctrl+C
            connection.execute("DETACH ledger")
            raise

    def _require_current(self, version: int) -> None:
        migrate.require_readable(version, self.path)
        if version < migrate.latest_version():
            raise StoreError(
                f"{self.path} has the older schema {version}",
                hint="It is upgraded when first written: make its folder writable, or copy it.",
                cause=OLD_SCHEMA,
            )

    def _retry_while_locked(self, open_it: Callable[[], _T], deadline: float) -> _T:
        """Try again while a program outside the queue holds the file."""
        import duckdb

        while True:
            try:
                return open_it()
            except (
                duckdb.IOException,
                duckdb.ConnectionException,
                duckdb.BinderException,
            ) as error:
                if not _is_lock(error):
                    raise
                if time.monotonic() >= deadline:
                    raise locked(f"the store {self.path}", _holder_of(error)) from None
            time.sleep(_RETRY_S)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise DuckDB's errors in the toolkit's terms."""
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            raise explain(error, self.path) from None
        except OSError as error:
            raise StoreError(
                f"the store {self.path} cannot be used: {error.strerror or error}",
                hint="Check that its folder is writable and has free space.",
            ) from None


_open_here: Final[Counter[Path]] = Counter()
_open_here_lock: Final = threading.Lock()


@contextmanager
def _opened(path: Path) -> Iterator[None]:
    """Count the file as open in this process, whichever `Database` opens it."""
    with _open_here_lock:
        _open_here[path] += 1
    try:
        yield
    finally:
        with _open_here_lock:
            _open_here[path] -= 1


def explain_away(error: Exception, name: object) -> StoreError | None:
    """Return what an error of a server that holds the database means, None for any other."""
    words = str(error)
    if any(word in words for word in _AWAY_WORDS):
        return StoreError(
            f"the shared database {name} does not answer",
            hint="Check that `toolkit store serve` runs there and that the address is right. "
            "New records wait in the journal of this home until it answers again.",
            cause="away",
        )
    if "Authentication failed" in words:
        return StoreError(
            f"the shared database {name} refuses the token",
            hint="Set TOOLKIT_STORE_TOKEN, or store_token in settings.toml, to the server's token.",
            cause="token",
        )
    if "Authorization failed" in words:
        return StoreError(
            "a client of a shared database can read and add records, and nothing else",
            hint="Do this in the home of the server.",
            cause="not_allowed",
        )
    return None


def explain(error: Exception, path: Path) -> StoreError:
    """Return what DuckDB's error means for a user."""
    words = str(error)
    away = explain_away(error, path)
    if away is not None:
        return away
    first = words.splitlines()[0] if words else type(error).__name__
    if _is_lock(error):
        return locked(f"the store {path}", _holder_of(error))
    if any(word in words for word in _NEWER_WORDS):
        return StoreTooNew(
            f"{path} was written by a newer DuckDB: {first}",
            hint="Update the toolkit; the file was left untouched.",
        )
    if any(word in words for word in _DAMAGE_WORDS):
        return StoreCorrupt(
            f"{path} is damaged: {first}",
            hint="`toolkit store restore` takes a backup from the folder `backups`. Or move the "
            "file away (keep it): a new one is made, and what is in the journal is moved in.",
        )
    if any(word in words for word in _DISK_WORDS):
        return StoreError(
            f"{path} could not be written: {first}",
            hint="The disk is probably full: free some space. Records wait in the journal.",
            cause="disk",
        )
    return StoreError(first, cause="duckdb")


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect(
        str(path),
        config={
            "storage_compatibility_version": migrate.STORAGE_VERSION,
            "autoload_known_extensions": "false",
            "autoinstall_known_extensions": "false",
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _file_id(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _is_lock(error: Exception) -> bool:
    return any(word in str(error) for word in _LOCK_WORDS)


def _holder_of(error: Exception) -> int | None:
    found = _HOLDER.search(str(error))
    return int(found.group(1)) if found else None
