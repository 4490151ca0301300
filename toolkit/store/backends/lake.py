"""DuckLake: the catalog of tables in PostgreSQL, their rows in Parquet files.

What DuckLake lacks, and what is done instead, is all here and in `lake_backend`: there are no
keys and indexes (the toolkit uses none), and two writers that replace the same rows are in each
other's way. So a writer holds an advisory lock of PostgreSQL while it commits, roll-ups and marks
are only added to, and `maintain` sums them up.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Final

from toolkit.errors import StoreError, StoreLocked, StoreTooNew
from toolkit.secret import hide_password
from toolkit.settings import Settings
from toolkit.store import migrate
from toolkit.store.backends.address import start_extended_engine
from toolkit.store.binding import require_literal

if TYPE_CHECKING:
    import duckdb

SCHEME: Final = "ducklake:postgres:"
EXTENSIONS: Final = ("httpfs", "postgres_scanner", "ducklake")
WRITE_LOCK: Final = 7_265_001
MAINTENANCE_LOCK: Final = 7_265_002
_RETRIES: Final = 100
_RETRY_WAIT_MS: Final = 20
_POLL_S: Final = (0.01, 0.2)
_AWAY_WORDS: Final = (
    *("Connection refused", "Connection reset", "could not connect", "server closed"),
    *("terminating connection", "the database system is", "no connection to the server"),
    *("could not translate host name", "timeout expired", "not accepting connections"),
    *("connection to the server was lost", "SSL connection has been closed", "PQ"),
)
_REFUSED_WORDS: Final = (
    *("password authentication failed", "no password supplied", "permission denied"),
    *("pg_hba.conf", "role ", "does not exist"),
)
_CONFLICT_WORDS: Final = ("conflict", "duplicate key", "could not serialize")


class Lake:
    """One DuckLake; safe in threads and after a fork.

    Args:
        settings: names the catalog, and the folder of the files where it is made first.
        is_locked_down: for a user's SQL: no other file, no other network, no setting.
    """

    def __init__(self, settings: Settings, *, is_locked_down: bool = False) -> None:
        self._settings = settings
        self._catalog = settings.store.removeprefix(SCHEME).strip()
        self.name: str = hide_password(settings.store)
        self._is_locked_down = is_locked_down
        self._lock = threading.Lock()
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._pid = 0
        self._inherited: list[object] = []

    @contextmanager
    def connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection with the lake as `ledger`, its default catalog.

        Raises:
            StoreError: PostgreSQL or the files cannot be used.
        """
        import duckdb

        try:
            connection = self._running().cursor()
        except duckdb.Error as error:
            raise self.explain(error) from None
        try:
            connection.execute("USE ledger")
            yield connection
        except duckdb.Error as error:
            raise self.explain(error) from None
        finally:
            with suppress(duckdb.Error):
                connection.execute("ROLLBACK")
            connection.close()

    @contextmanager
    def reading(
        self, wait_s: float | None = None, before_copy: Callable[[], object] = lambda: None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that sees one snapshot; see `Database.reading`.

        The journal is read first: what leaves it after that is in the snapshot.
        """
        before_copy()
        with self.connected() as connection:
            connection.execute("BEGIN")
            version = migrate.find_version(connection, "ledger.main")
            if version > migrate.latest_version():
                raise self._too_new(version)
            yield connection

    @contextmanager
    def holding(self, key: int, wait_s: float) -> Iterator[None]:
        """Hold an advisory lock of PostgreSQL; it ends with this process, however that ends.

        Raises:
            StoreLocked: another process held it for `wait_s` seconds.
        """
        deadline = time.monotonic() + wait_s
        with self.connected() as connection:
            connection.execute("BEGIN")
            while not _try_lock(connection, key):
                if time.monotonic() >= deadline:
                    raise StoreLocked(
                        f"the shared database {self.name} was busy for {wait_s:.0f} s",
                        hint="Records wait in the journal and are moved later.",
                    )
                time.sleep(random.uniform(*_POLL_S))  # noqa: S311 - spreads the tries
            yield

    def forget(self) -> None:
        """Connect afresh next time: PostgreSQL was started again."""
        import duckdb

        with self._lock:
            engine, self._engine = self._engine, None
            if engine is not None and self._pid == os.getpid():
                with suppress(duckdb.Error):
                    engine.close()

    def explain(self, error: Exception) -> StoreError:
        """Return what an error of DuckLake, PostgreSQL or the files means for a user."""
        words = hide_password(str(error))
        first = words.splitlines()[0] if words else type(error).__name__
        reason = words.split("failed:")[-1].strip().splitlines()[0] if "failed:" in words else first
        if any(word in words for word in _REFUSED_WORDS):
            return StoreError(
                f"PostgreSQL refuses the shared database {self.name}: {reason}",
                hint="Check user, password (PGPASSWORD or ~/.pgpass), database and pg_hba.conf.",
                cause="refused",
            )
        if any(word in words for word in _AWAY_WORDS):
            return StoreError(
                f"the catalog of the shared database {self.name} does not answer: {reason}",
                hint="Check that PostgreSQL runs there. New records wait in the journal of this "
                "home until it answers again.",
                cause="away",
            )
        if any(word in words for word in _CONFLICT_WORDS):
            return StoreError(first, hint="It is tried again.", cause="conflict")
        return StoreError(first, cause="duckdb")

    def _running(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._engine is None or self._pid != os.getpid():
                # After a fork the parent's engine has no threads here: it is only kept.
                self._inherited.append(self._engine)
                self._engine, self._pid = self._start(), os.getpid()
            return self._engine

    def _start(self) -> duckdb.DuckDBPyConnection:
        engine = start_extended_engine(EXTENSIONS)
        try:
            engine.execute("SET GLOBAL TimeZone = 'UTC'")
            engine.execute("SET GLOBAL python_enable_replacements = false")
            engine.execute(f"SET ducklake_max_retry_count = {_RETRIES}")
            engine.execute(f"SET ducklake_retry_wait_ms = {_RETRY_WAIT_MS}")
            self._use_object_storage(engine)
            engine.execute(f"ATTACH {_quoted(self._catalog)} AS catalog (TYPE postgres)")
            self._attach(engine)
            self._prepare_schema(engine)
            if self._is_locked_down:
                _lock_down(engine)
        except BaseException:  # never left open, also on Ctrl+C
            engine.close()
            raise
        return engine

    def _use_object_storage(self, engine: duckdb.DuckDBPyConnection) -> None:
        """Take the credentials of S3-compatible storage from the usual environment variables."""
        values = {name: os.environ.get(f"AWS_{name}", "") for name in _AWS}
        if not values["ACCESS_KEY_ID"]:
            return
        endpoint = values["ENDPOINT_URL"] or os.environ.get("AWS_ENDPOINT_URL_S3", "")
        scheme, _, host = endpoint.rpartition("://")
        options = {
            "KEY_ID": values["ACCESS_KEY_ID"],
            "SECRET": values["SECRET_ACCESS_KEY"],
            "SESSION_TOKEN": values["SESSION_TOKEN"],
            "REGION": values["REGION"] or values["DEFAULT_REGION"],
            "ENDPOINT": host.rstrip("/"),
            "URL_STYLE": "path" if host else "",
        }
        text = "".join(f", {name} {_quoted(value)}" for name, value in options.items() if value)
        if scheme == "http":
            text += ", USE_SSL false"
        engine.execute(f"CREATE SECRET (TYPE s3{text})")

    def _attach(self, engine: duckdb.DuckDBPyConnection) -> None:
        """Attach the lake; one that does not exist yet is made by one process at a time.

        DuckLake makes its own tables in the first process that attaches it. In several at once,
        all but one would fail with a duplicate key.
        """
        files = self._settings.store_files
        path = f" (DATA_PATH {_quoted(files)})" if files else ""
        with nullcontext() if _has_lake(engine) else _holding_write_lock(engine):
            engine.execute(f"ATTACH {_quoted(SCHEME + self._catalog)} AS ledger{path}")

    def _prepare_schema(self, engine: duckdb.DuckDBPyConnection) -> None:
        """Make the tables, or bring them to the latest version, while no one else does.

        Raises:
            StoreTooNew: they are of a newer version.
        """
        connection = engine.cursor()
        try:
            connection.execute("USE ledger")
            if migrate.find_version(connection, "ledger.main") == migrate.latest_version():
                return
            with _holding_write_lock(engine):
                version = migrate.find_version(connection, "ledger.main")
                if version > migrate.latest_version():
                    raise self._too_new(version)
                if version < migrate.latest_version():
                    migrate.apply(connection, version)
        finally:
            connection.close()

    def _too_new(self, version: int) -> StoreTooNew:
        return StoreTooNew(
            f"{self.name} has schema version {version}, this toolkit knows up to "
            f"{migrate.latest_version()}",
            hint="Update the toolkit here; nothing was changed.",
        )


_AWS: Final = (
    *("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "REGION", "DEFAULT_REGION"),
    "ENDPOINT_URL",
)


def _try_lock(connection: duckdb.DuckDBPyConnection, key: int) -> bool:
    found = connection.execute(
        f"FROM postgres_query('catalog', 'SELECT pg_try_advisory_xact_lock({key})::int')"
    ).fetchone()
    return found is not None and found[0] == 1


@contextmanager
def _holding_write_lock(engine: duckdb.DuckDBPyConnection) -> Iterator[None]:
    lock = engine.cursor()
    try:
        lock.execute("BEGIN")
        while not _try_lock(lock, WRITE_LOCK):
            time.sleep(random.uniform(*_POLL_S))  # noqa: S311 - spreads the tries
        yield
        lock.execute("ROLLBACK")
    finally:
        lock.close()


def _has_lake(engine: duckdb.DuckDBPyConnection) -> bool:
    found = engine.execute(
        "FROM postgres_query('catalog', "
        "'SELECT (to_regclass(''ducklake_metadata'') IS NOT NULL)::int')"
    ).fetchone()
    return found is not None and found[0] == 1


def _lock_down(engine: duckdb.DuckDBPyConnection) -> None:
    """Leave only the files of the lake within reach."""
    found = engine.execute("SELECT data_path FROM ducklake_settings('ledger')").fetchone()
    assert found is not None
    engine.execute("DETACH catalog")
    engine.execute(f"SET allowed_directories = [{_quoted(found[0])}]")
    engine.execute("SET memory_limit = '1GB'")
    engine.execute("SET enable_external_access = false")
    engine.execute("SET lock_configuration = true")


def _quoted(text: str) -> str:
    return require_literal(text).removesuffix("::VARCHAR")
