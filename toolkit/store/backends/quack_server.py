"""`toolkit store serve`: one process holds the DuckDB file and serves it to other homes.

A client may read, and add batches to `shared.incoming`; nothing else is let through, and files and
network are closed for every statement. This process alone moves the batches into the tables, so
that writers are never in each other's way.
"""

# ruff: noqa: S608 - names in SQL are the toolkit's own (`tables.py`), values are bound.

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from toolkit.errors import StoreError
from toolkit.settings import Settings
from toolkit.store import staging
from toolkit.store.backends.address import QuackAddress, is_loopback, load_extensions, make_token
from toolkit.store.backends.quack_client import EXTENSIONS
from toolkit.store.binding import execute, require_literal
from toolkit.store.database import Database
from toolkit.store.ingest import PREFIX, move_loaded, read_mark
from toolkit.store.staging import Structures
from toolkit.store.tables import Table

if TYPE_CHECKING:
    import duckdb

_POLL_S: Final = 0.02
_CHECKPOINT_S: Final = 2.0
_SCHEMA: Final = """
    CREATE SCHEMA IF NOT EXISTS shared;
    CREATE TABLE IF NOT EXISTS shared.incoming (
        batch_id   VARCHAR NOT NULL,  -- UUIDv7 of the batch
        journal_id VARCHAR NOT NULL,  -- journal that it is from
        high_water BIGINT NOT NULL,   -- number of its last entry
        content    VARCHAR NOT NULL   -- lines of number, table and JSON row
    );
    CREATE OR REPLACE MACRO shared.permit(session, statement) AS
        CASE WHEN regexp_full_match(statement::VARCHAR, '\\s*INSERT INTO shared\\.incoming\\b[^;]*')
               OR (json_serialize_sql(statement::VARCHAR)->>'error') = 'false'
             THEN statement
             ELSE error('not permitted') END;
"""
_SETTINGS: Final = (
    "SET GLOBAL TimeZone = 'UTC'",
    "SET GLOBAL quack_authorization_function = 'shared.permit'",
    "SET GLOBAL python_enable_replacements = false",
)
_LOCKDOWN: Final = ("SET GLOBAL enable_external_access = false", "SET lock_configuration = true")

OnProblem = Callable[[str], None]


class QuackServer:
    """The server of one DuckDB file.

    Args:
        database: the file; this process holds it as long as it serves.
        address: where to listen.
        token: what clients must present.
        on_problem: called with a message when a batch cannot be moved; it is tried again.
    """

    def __init__(
        self, database: Database, address: QuackAddress, token: str, on_problem: OnProblem
    ) -> None:
        self._database = database
        self._address = address
        self._token = token
        self._on_problem = on_problem
        self._stopping = threading.Event()
        self._structures: Structures = {}

    def stop(self) -> None:
        """Let `serve` end; safe in a signal handler."""
        self._stopping.set()

    def serve(self, on_ready: Callable[[], None]) -> None:
        """Serve until `stop`; `on_ready` is called when clients can connect.

        Raises:
            StoreLocked: another process holds the file.
            StoreError: the file, the address or an extension cannot be used.
        """
        with self._database.writing() as connection:
            self._prepare(connection)
            on_ready()
            try:
                self._work(connection)
            finally:
                connection.execute(f"CALL quack_stop({_quoted(self._address.uri)})")
                connection.execute("CHECKPOINT")

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        import duckdb

        load_extensions(connection, EXTENSIONS)
        connection.execute(_SCHEMA)
        for setting in _SETTINGS:
            connection.execute(setting)
        catalog = connection.execute("SELECT current_database()").fetchone()
        assert catalog is not None
        self._structures = staging.read_structures(connection, catalog[0])
        other = str(not is_loopback(self._address.host)).lower()
        try:
            connection.execute(
                f"CALL quack_serve({_quoted(self._address.uri)}, token={_quoted(self._token)}, "
                f"allow_other_hostname={other}, disable_ssl=true)"
            )
        except duckdb.Error as error:
            raise StoreError(
                f"{self._address.uri} cannot be served: {str(error).splitlines()[0]}",
                hint="Check that the address is one of this machine and that no other program "
                "listens there, or choose another `--port`.",
                cause="address",
            ) from None
        for setting in _LOCKDOWN:
            connection.execute(setting)

    def _work(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Move batches as they come, and checkpoint when there is a pause."""
        import duckdb

        moved_at: float | None = None
        while not self._stopping.is_set():
            try:
                if self._move_incoming(connection):
                    moved_at = time.monotonic()
                    continue
                if moved_at is not None and time.monotonic() - moved_at >= _CHECKPOINT_S:
                    moved_at = None
                    connection.execute("CHECKPOINT")
            except (duckdb.Error, StoreError) as error:
                self._roll_back(connection)
                self._on_problem(str(error).splitlines()[0])
                self._stopping.wait(1.0)
            self._stopping.wait(_POLL_S)

    def _move_incoming(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Move the batches that are there; returns how many."""
        batches = connection.execute(
            "SELECT batch_id, journal_id, high_water FROM shared.incoming ORDER BY batch_id"
        ).fetchall()
        for batch_id, journal_id, high_water in batches:
            mark = read_mark(connection, journal_id)
            if high_water > mark:
                self._move(connection, batch_id, journal_id, mark, high_water)
            execute(connection, "DELETE FROM shared.incoming WHERE batch_id = ?", [batch_id])
        return len(batches)

    def _move(
        self,
        connection: duckdb.DuckDBPyConnection,
        batch_id: str,
        journal_id: str,
        mark: int,
        high_water: int,
    ) -> None:
        def load() -> list[Table]:
            connection.execute(
                "CREATE OR REPLACE TEMP TABLE batch AS "
                "SELECT split_part(line, ' ', 1)::BIGINT AS entry, "
                "split_part(line, ' ', 2) AS target, "
                "substr(line, 3 + length(split_part(line, ' ', 1)) "
                "+ length(split_part(line, ' ', 2))) AS row "
                "FROM (SELECT unnest(string_split(content, chr(10))) AS line "
                f"FROM shared.incoming WHERE batch_id = {require_literal(batch_id)})"
            )
            targets = connection.execute(
                f"SELECT DISTINCT target FROM batch WHERE entry > {mark}"
            ).fetchall()
            tables = staging.tables_of(name for (name,) in targets)
            for table in tables:
                source = (
                    f"SELECT entry, row FROM batch WHERE target = '{table.name}' "
                    f"AND entry > {mark} ORDER BY entry"
                )
                staging.load_table(connection, table, source, self._structures, PREFIX)
            return tables

        move_loaded(connection, load, journal_id, high_water, _pass)

    @staticmethod
    def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
        import duckdb

        try:
            connection.execute("ROLLBACK")
        except duckdb.Error:
            return  # no transaction was open


def serve_until_stopped(
    database: Database, settings: Settings, url: str, on_message: Callable[[str], None]
) -> None:
    """Serve a file until SIGINT or SIGTERM, and say how clients connect. Errors as `serve`."""
    address = QuackAddress.parse(url)
    token, path = make_token(settings)
    server = QuackServer(database, address, token, on_message)

    def tell() -> None:
        on_message(f"Serving {database.path} at {address.uri}. Stop with Ctrl+C.")
        place = f"in {path}" if path else "the one in TOOLKIT_STORE_TOKEN or settings.toml"
        on_message(f"The token of the clients is {place}.")
        if not is_loopback(address.host):
            on_message(
                "This listens without TLS beyond this machine: put a TLS proxy in front of it, or "
                "use a private network and ?tls=off in the clients' store URL."
            )

    with _stopped_by_signals(server):
        server.serve(tell)


@contextmanager
def _stopped_by_signals(server: QuackServer) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, lambda *_: server.stop())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _quoted(text: str) -> str:
    return require_literal(text).removesuffix("::VARCHAR")


def _pass(step: Any) -> None:
    """Do nothing."""
