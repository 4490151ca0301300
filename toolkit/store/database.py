"""The only door to DuckDB: short connections, each after its fair turn at the file.

A writer holds the file alone. A reader gets a database in memory with the file attached read-only
as `ledger`, so that records which are still in the journal can stand beside it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from toolkit.errors import StoreCorrupt, StoreError, StoreTooNew
from toolkit.store import migrate
from toolkit.store.fair_lock import FairFileLock, Kind, locked
from toolkit.store.migrate import OnStep
from toolkit.store.read_connection import Viewer, look_at_ledger, start_engine

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
_DISK_WORDS: Final = ("No space left", "disk full", "File too large", "Could not write")
_NEWER_WORDS: Final = ("we can only read version", "newer version of DuckDB", "storage version")
_RETRY_S: Final = 0.02


class Database:
    """One DuckDB file.

    Args:
        path: the file; made with the latest schema when first written.
        wait_s: longest wait for a turn, seconds.
        on_step: told the name of each step that a crash could fall between.
    """

    def __init__(self, path: Path, wait_s: float, on_step: OnStep) -> None:
        self.path = path
        self.wait_s = wait_s
        self.turns = FairFileLock(path.with_name(f"{path.name}.queue"), f"the store {path}")
        self._on_step = on_step
        self._viewer = Viewer(self._attach)
        self._known_file: tuple[int, int] | None = None

    @contextmanager
    def alone(self, wait_s: float | None = None) -> Iterator[None]:
        """Keep everybody else away from the file, without opening it."""
        with self._explained(), self._turn("w", self._wait(wait_s)):
            yield

    @contextmanager
    def writing(self, wait_s: float | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """The file alone, made or migrated first where needed.

        Raises:
            StoreLocked: no turn within `wait_s` seconds (default: the setting).
            StoreTooNew, StoreCorrupt, StoreError: the file cannot be used.
        """
        wait_s = self._wait(wait_s)
        deadline = time.monotonic() + wait_s
        with self._explained(), self._turn("w", wait_s):
            self._prepare(deadline)
            connection = self._patiently(lambda: _connect(self.path), deadline)
            try:
                migrate.require_readable(migrate.find_version(connection), self.path)
                yield connection
            finally:
                connection.close()

    @contextmanager
    def reading(self, wait_s: float | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the process's engine, which has the file attached as `ledger`.

        Where there is no file yet, `ledger` has the same tables, empty. Errors as `writing`.
        """
        wait_s = self._wait(wait_s)
        deadline = time.monotonic() + wait_s
        self._upgrade_if_old(wait_s)
        with self._explained(), self._turn("r", wait_s):
            connection = self._patiently(self._viewer.lend, deadline)
            try:
                look_at_ledger(connection)
                yield connection
            finally:
                self._viewer.take_back(connection)

    @contextmanager
    def reading_apart(self, wait_s: float | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """The same on an engine of its own, which can be locked down without hindering others."""
        wait_s = self._wait(wait_s)
        deadline = time.monotonic() + wait_s
        self._upgrade_if_old(wait_s)
        with self._explained(), self._turn("r", wait_s), closing(start_engine()) as connection:
            self._patiently(lambda: self._attach(connection), deadline)
            look_at_ledger(connection)
            yield connection

    def close(self) -> None:
        """Stop the process's engine; it starts again when needed."""
        self._viewer.close()

    def _wait(self, wait_s: float | None) -> float:
        return self.wait_s if wait_s is None else wait_s

    @contextmanager
    def _turn(self, kind: Kind, wait_s: float) -> Iterator[None]:
        if not self._can_queue(kind):
            # A folder that we may only read, or that is not there yet: nobody to queue with.
            yield
            return
        with ExitStack() as stack:
            try:
                stack.enter_context(self.turns.turn(kind, wait_s))
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
        version = self._patiently(self._version, deadline)
        migrate.require_readable(version, self.path)
        if version < migrate.latest_version():
            self._patiently(lambda: _connect(self.path), deadline).close()  # folds its WAL in
            migrate.upgrade(self.path, version, self._on_step)
        self._known_file = _file_id(self.path)

    def _upgrade_if_old(self, wait_s: float) -> None:
        """Before reading: bring a file of an older schema up, where it may be written."""
        if not self.path.exists() or self._known_file == _file_id(self.path):
            return
        with self._explained(), self._turn("r", wait_s):
            version = self._patiently(self._version, time.monotonic() + wait_s)
            self._known_file = _file_id(self.path)
        if version < migrate.latest_version() and os.access(self.path.parent, os.W_OK):
            self._known_file = None
            with self.writing(wait_s):
                pass

    def _version(self) -> int:
        import duckdb

        with duckdb.connect(str(self.path), read_only=True) as connection:
            return migrate.find_version(connection)

    def _attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        if not self.path.exists():
            connection.execute("ATTACH ':memory:' AS ledger")
            connection.execute("USE ledger")
            migrate.apply(connection)
            connection.execute("USE memory")
            return
        # A path is no value that can be bound here; quotes are doubled.
        quoted = str(self.path).replace("'", "''")
        connection.execute(f"ATTACH '{quoted}' AS ledger (READ_ONLY)")
        try:
            self._require_current(migrate.find_version(connection, "ledger.main"))
        except BaseException:
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

    def _patiently(self, open_it: Callable[[], _T], deadline: float) -> _T:
        """Try again while a program outside our queue holds the file."""
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
        """DuckDB's errors in the toolkit's terms; its own SQL errors pass as `StoreError` too."""
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


def explain(error: Exception, path: Path) -> StoreError:
    """What DuckDB's error means for a person."""
    words = str(error)
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
