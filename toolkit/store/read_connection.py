"""One DuckDB in memory per process, with the ledger attached read-only while anybody reads.

Starting a DuckDB takes ten times as long as attaching a file to one that runs. So the engine
stays, and the file is attached for the first of several readers and let go after the last.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import duckdb

_CONFIG: Final = {
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
    # Without a folder of its own, a database in memory would spill prompts into `./.tmp`.
    "temp_directory": "",
}


def start_engine() -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that loads no extension and writes no file."""
    import duckdb

    return duckdb.connect(":memory:", config=dict(_CONFIG))


def look_at_ledger(connection: duckdb.DuckDBPyConnection) -> None:
    """Set a connection up for reading: the ledger's names, UTC, nothing of Python's variables."""
    connection.execute("USE ledger")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET python_enable_replacements = false")


class Viewer:
    """Lends connections to one shared engine.

    Args:
        attach: attaches the file as `ledger`; may raise, then nothing is lent.
    """

    def __init__(self, attach: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
        self._attach = attach
        self._lock = threading.Lock()
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._pid = 0
        self._lent = 0
        self._inherited: list[object] = []

    def lend(self) -> duckdb.DuckDBPyConnection:
        """A connection that sees `ledger`; give it back with `take_back`."""
        with self._lock:
            engine = self._running()
            if self._lent == 0:
                self._attach(engine)
            self._lent += 1
            return engine.cursor()

    def take_back(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Close a lent connection; the last one lets the file go."""
        connection.close()
        with self._lock:
            self._lent -= 1
            if self._lent == 0 and self._engine is not None:
                self._engine.execute("DETACH ledger")

    def close(self) -> None:
        """Stop the engine, unless somebody reads; a later `lend` starts it again."""
        with self._lock:
            if self._lent == 0 and self._engine is not None and self._pid == os.getpid():
                self._engine.close()
                self._engine = None

    def _running(self) -> duckdb.DuckDBPyConnection:
        if self._engine is None or self._pid != os.getpid():
            # After a fork the parent's engine has no threads here: not even its end may be run.
            self._inherited.append(self._engine)
            self._engine = start_engine()
            self._pid = os.getpid()
            self._lent = 0
        return self._engine
