"""The store of one home folder: append to the journal, read everything, keep it safe.

`append` acknowledges into the journal and is done; a background thread moves records into the
DuckDB file; every read sees both.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from toolkit.errors import StoreError
from toolkit.settings import Settings
from toolkit.store.backends.backend import Backend, FileBackend, open_shared
from toolkit.store.journal import Journal
from toolkit.store.migrate import OnStep
from toolkit.store.tables import encode_row, require_table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from toolkit.store.backends.lake_backend import MaintenanceReport
    from toolkit.store.backends.move import MoveReport
    from toolkit.store.database import Database
    from toolkit.store.ingest import IngestReport
    from toolkit.store.journal import Loss
    from toolkit.store.reader import Reader
    from toolkit.store.retention import Pruned, Retention
    from toolkit.store.store_info import Check, StoreInfo
    from toolkit.store.user_sql.query_process import Form

_CLOSE_WAIT_S: Final = 2.0
# A waiting writer makes later readers wait; a background ingest can always try again.
_BACKGROUND_WAIT_S: Final = 0.25
# So many waiting entries slow a read down more than moving them first.
_MANY_PENDING: Final = 5_000


def _pass(step: str) -> None:
    """Do nothing."""


class Store:
    """The store; opening it touches nothing. Safe to use from several threads.

    Args:
        settings: where the store is, and how long to wait for it.
        on_step: called with the name of each step of ingesting and migrating (for tests that
            crash there).
    """

    def __init__(self, settings: Settings, on_step: OnStep = _pass) -> None:
        self.settings = settings
        self._on_step = on_step
        self._journal = Journal(settings.journal_path, settings.journal_sync)
        # A commit to DuckLake costs every host some time and a file: fewer and larger ones.
        is_lake = settings.store.startswith("ducklake:")
        self._publisher = (
            Publisher(self._publish, quiet_s=_LONGEST_S, many=_LAKE_BATCH)
            if is_lake
            else Publisher(self._publish)
        )

    @cached_property
    def _database(self) -> Database:
        from toolkit.store.database import Database

        return Database(self.settings.store_path, self.settings.lock_wait_s, self._on_step)

    @cached_property
    def _backend(self) -> Backend:
        if self.settings.is_store_shared:
            return open_shared(self.settings, self._journal, self._on_step)
        return FileBackend(self._journal, self._database, self.reading, self._on_step)

    def append(self, table: str, row: Mapping[str, Any]) -> None:
        """Acknowledge one row; it is durable on return.

        Args:
            table: name of a table, see `toolkit.store.tables`.
            row: values by column; None and missing columns are unknown.

        Raises:
            StoreError: the row does not fit the table, or the journal cannot be written.
        """
        self._journal.append(table, encode_row(require_table(table), row))
        self._publisher.notice()

    def append_many(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Acknowledge all rows or none, in one transaction. Errors as `append`."""
        target = require_table(table)
        texts = [encode_row(target, row) for row in rows]
        if texts:
            self._journal.append_many(table, texts)
            self._publisher.notice(len(texts))

    def ingest(self, wait_s: float | None = None) -> IngestReport:
        """Move what the journal holds into the DuckDB file, exactly once by id.

        Args:
            wait_s: longest wait for the file, seconds; None: the setting.

        Raises:
            StoreLocked: another process kept the file.
            StoreError: it cannot be written; the journal keeps the rows.
        """
        return self._backend.ingest(wait_s)

    @contextmanager
    def reading(self, wait_s: float | None = None) -> Iterator[Reader]:
        """Several queries on one consistent view: `with store.reading() as reader: ...`.

        Raises:
            StoreLocked, StoreCorrupt, StoreTooNew, StoreError: the store cannot be read.
        """
        if self._journal.count() > _MANY_PENDING:
            with suppress(StoreError):
                self.ingest(wait_s=0)
        with self._backend.reading(wait_s) as reader:
            yield reader

    def frame(self, sql: str, params: Sequence[Any] = ()) -> pd.DataFrame:
        """The toolkit's own SQL as a DataFrame; values are always bound. Errors as `reading`."""
        with self.reading() as reader:
            return reader.frame(sql, params)

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """The same as plain values, without pandas. Errors as `reading`."""
        with self.reading() as reader:
            return reader.rows(sql, params)

    def user_frame(self, sql: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> pd.DataFrame:
        """A user's SQL: one reading statement, without files or network, limited in time.

        Values are bound to `?` in order, or to `$name` by name.

        Raises:
            StoreError: it is not allowed, failed or took too long; or as `reading`.
        """
        found: pd.DataFrame = self._answer("frame", sql, params)
        return found

    def user_arrow(self, sql: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> pa.Table:
        """The same as an Arrow table. Errors as `user_frame`."""
        found: pa.Table = self._answer("arrow", sql, params)
        return found

    def answer_here(
        self, form: Form, sql: str, params: Sequence[Any] | Mapping[str, Any]
    ) -> pd.DataFrame | pa.Table:
        """The same in this process, which may grow without bound. Errors as `user_frame`."""
        with self._backend.reading_locked_down() as reader:
            reader.may_grow = True
            return reader.frame(sql, params) if form == "frame" else reader.arrow(sql, params)

    def _answer(self, form: Form, sql: str, params: Sequence[Any] | Mapping[str, Any]) -> Any:
        from toolkit.store.reader import USER_SQL_TIMEOUT_S
        from toolkit.store.user_sql.query_growth import GrowingQueryError
        from toolkit.store.user_sql.query_process import run_in_child

        with suppress(StoreError):
            self.ingest(wait_s=0)
        try:
            with self._backend.reading_locked_down() as reader:
                return reader.frame(sql, params) if form == "frame" else reader.arrow(sql, params)
        except GrowingQueryError:
            return run_in_child(self.settings, form, sql, params, USER_SQL_TIMEOUT_S)

    def info(self) -> StoreInfo:
        """Paths, sizes, rows by table, what waits in the journal, versions, who holds the file."""
        return self._backend.read_info()

    def verify(self) -> list[Check]:
        """Run every check; one entry per check."""
        return self._backend.verify()

    def audit(self) -> list[Loss]:
        """Look for acknowledged records that are gone; returns all that were not acknowledged.

        Raises:
            StoreError: the journal cannot be used.
        """
        return self._journal.audit()

    def losses(self) -> list[Loss]:
        """Return the losses that were noticed and not acknowledged."""
        return self._journal.losses.read()

    def forget_losses(self) -> int:
        """Acknowledge all losses, so that they are not reported again; returns how many."""
        return self._journal.forget_losses()

    def remove_demo(self) -> int:
        """Remove the calls of the demo (`source = 'demo'`); returns how many there were.

        Raises:
            StoreLocked, StoreError: the database cannot be written.
        """
        return self._backend.delete_demo()

    def prune(self, retention: Retention) -> Pruned:
        """Remove old prompts and answers, or old calls, for good; see `toolkit.store.retention`.

        Raises:
            StoreLocked, StoreError: the database cannot be written.
        """
        from toolkit.store.retention import prune

        self.ingest()
        return prune(self._database, retention, self._on_step)

    def backup(self, path: Path) -> Path:
        """Write a consistent copy of the database, journal included, to `path` and check it.

        Raises:
            StoreError: the copy could not be made or differs.
        """
        return self._backend.back_up(path)

    def restore(self, path: Path) -> None:
        """Replace the database by a backup; the present file is kept as `.bak`.

        Raises:
            StoreError: the backup is not a database of the toolkit, is damaged or of a newer
                version; nothing changed.
        """
        self._backend.restore(path)

    def serve(self, host: str, port: int, on_message: Callable[[str], None]) -> None:
        """Serve the database of this home to other homes until SIGINT or SIGTERM.

        Args:
            host: address to listen on.
            port: port to listen on.
            on_message: called with what a person should read.

        Raises:
            StoreLocked: another process holds the file.
            StoreError: the address, the file or an extension cannot be used.
        """
        from toolkit.store.backends.quack_server import serve_until_stopped

        if self.settings.is_store_shared:
            raise StoreError(
                f"this home uses the shared database {self.settings.store}, so it cannot serve one",
                hint="Serve from a home whose store is a file: unset TOOLKIT_STORE.",
            )
        self.ingest()
        serve_until_stopped(self._database, self.settings, f"quack:{host}:{port}", on_message)

    def move(self, source: str, target: str) -> MoveReport:
        """Copy one store into another; both are a path or a URL, empty for the home's own file.

        The source stays as it is. What the target has already is left alone.

        Raises:
            StoreError: one of them cannot be used.
            StoreCorrupt: what arrived differs from what was sent.
        """
        from toolkit.store.backends.move import copy, settings_of

        before, after = settings_of(self.settings, source), settings_of(self.settings, target)
        for settings in (before, after):
            store = Store(settings)
            try:
                store.ingest()
            finally:
                store.close()
        return copy(before, after, self._on_step)

    def maintain(self, keep_days: float = 7.0) -> MaintenanceReport | None:
        """Compact a DuckLake: one host at a time; None while another does it.

        Args:
            keep_days: earlier snapshots are kept so long.

        Raises:
            StoreError: the store is of another kind, which needs none; or it cannot be used.
        """
        from toolkit.store.backends.lake_backend import LakeBackend

        if not isinstance(self._backend, LakeBackend):
            raise StoreError(
                "only a DuckLake needs maintenance; this store compacts itself",
                cause="not_needed",
            )
        return self._backend.maintain(keep_days)

    def close(self) -> None:
        """Publish what can be published now and close; whatever is left waits in the journal."""
        self._publisher.stop()
        with suppress(StoreError):
            self.ingest(wait_s=min(_CLOSE_WAIT_S, self.settings.lock_wait_s))
        self._journal.close()
        if "_backend" in self.__dict__:
            self._backend.close()

    def _publish(self) -> None:
        self.ingest(wait_s=_BACKGROUND_WAIT_S)


_QUIET_S: Final = 0.3
_LONGEST_S: Final = 5.0
_MANY: Final = 2_000
_LAKE_BATCH: Final = 5_000
_RETRY_S: Final = 2.0
# A move is short; cutting one off inside DuckDB would abort the whole process.
_EXIT_S: Final = 30.0


class Publisher:
    """Calls `publish` after a pause in appends, after many of them, or after some seconds.

    Args:
        publish: moves the journal; may raise `StoreError`, then it is called again later.
        quiet_s: so long a pause in appends is waited for, seconds.
        many: so many appends are not kept waiting.
    """

    def __init__(
        self, publish: Callable[[], object], quiet_s: float = _QUIET_S, many: int = _MANY
    ) -> None:
        self._publish = publish
        self._quiet_s = quiet_s
        self._many = many
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._pid = 0
        self._waiting = 0
        self._last_at = 0.0

    def notice(self, count: int = 1) -> None:
        """Rows were appended; cheap enough for the call path."""
        self._waiting += count  # a lost update between threads only delays, the clock catches up
        self._last_at = time.monotonic()
        if self._thread is None or self._pid != os.getpid():
            self._start()
        if not self._wake.is_set():
            self._wake.set()

    def stop(self, wait_s: float = _EXIT_S) -> None:
        """Let a running move end, at most `wait_s` seconds, and start no other."""
        self._stopped.set()
        self._wake.set()
        thread, self._thread = self._thread, None
        if thread is not None and self._pid == os.getpid():
            atexit.unregister(self.stop)
            thread.join(wait_s)

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None and self._pid == os.getpid():
                return
            # pandas wants it, and at exit, where a short program's only move is made, Python
            # does not let it be imported for the first time.
            import concurrent.futures.thread  # noqa: F401

            self._pid = os.getpid()
            self._stopped.clear()
            self._thread = threading.Thread(target=self._run, name="toolkit-store", daemon=True)
            self._thread.start()
            # A daemon thread inside DuckDB must not meet the interpreter's end.
            atexit.register(self.stop)

    def _run(self) -> None:
        while self._wait_for_work():
            self._waiting = 0
            try:
                self._publish()
            except StoreError:
                # The journal keeps everything; the next read reports what is wrong.
                self._stopped.wait(_RETRY_S)
                self._wake.set()

    def _wait_for_work(self) -> bool:
        """Block until it is worth moving; False when stopped."""
        self._wake.wait()
        self._wake.clear()
        began = time.monotonic()
        while not self._stopped.is_set():
            now = time.monotonic()
            quiet_s = now - self._last_at
            if quiet_s >= self._quiet_s or self._waiting >= self._many or now - began >= _LONGEST_S:
                return True
            self._stopped.wait(min(self._quiet_s - quiet_s, _QUIET_S))
        return False
