"""How the database file is opened for reading: attached to one engine, or as a copy.

Starting a DuckDB takes ten times as long as attaching a file to one that runs. So one engine in
memory stays for each process, and the file is attached read-only, as `ledger`, for the first of
several readers and released after the last.

DuckDB lets a writing process have the file alone, for as long as it likes: a database tool that is
left open would make every page fail. Then a copy is read. A checkpoint writes to unused blocks
first and changes one of the two headers last, so a copy during which the headers stayed the same is
the state of the last checkpoint. What came after it is still in the journal, which is laid over the
copy like over the file.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from toolkit.files import PRIVATE

if TYPE_CHECKING:
    import duckdb

_CONFIG: Final = {
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
    # Without a folder of its own, a database in memory would spill prompts into `./.tmp`.
    "temp_directory": "",
}
_HEADERS_BYTES: Final = 3 * 4096
_TRIES: Final = 5
_LEFT_OVER_S: Final = 600.0


def start_engine() -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that loads no extension and writes no file."""
    import duckdb

    return duckdb.connect(":memory:", config=dict(_CONFIG))


def prepare_reading(connection: duckdb.DuckDBPyConnection) -> None:
    """Set up a connection for reading: plain table names, UTC, no access to Python variables."""
    connection.execute("USE ledger")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET python_enable_replacements = false")


class SharedEngine:
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
        """Stop the engine unless a reader uses it; a later `lend` starts it again."""
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


class SnapshotCache:
    """Keeps the last copy of one database file until the file changes.

    Args:
        path: the database file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._copy: Path | None = None
        self._headers = b""

    def take(self) -> Path | None:
        """Return a copy of the file as it is now, or None where it cannot be copied.

        Never call it in a process that has the file open in DuckDB: closing the file that is read
        here would release DuckDB's lock on it (POSIX).
        """
        with self._lock:
            try:
                headers = _read_headers(self._path)
                if self._copy is None or headers != self._headers or not self._copy.exists():
                    self._replace(headers)
            except OSError:  # Windows keeps even readers out; or the disk is full
                return None
            return self._copy

    def close(self) -> None:
        """Remove the copy."""
        with self._lock:
            self._remove()

    def _replace(self, headers: bytes) -> None:
        self._remove()
        target = self._new_name()
        try:
            for _ in range(_TRIES):
                _copy(self._path, target)
                before, headers = headers, _read_headers(self._path)
                if before == headers:
                    self._copy, self._headers = target, headers
                    return
            raise OSError("the file changed during each try to copy it")
        except BaseException:  # no partial copy stays, also on Ctrl+C
            target.unlink(missing_ok=True)
            raise

    def _new_name(self) -> Path:
        folder = self._path.parent
        if not os.access(folder, os.W_OK):
            folder = Path(tempfile.gettempdir())
        prefix = f".{self._path.name}.snapshot-"
        with contextlib.suppress(OSError):
            for old in folder.glob(f"{prefix}*"):  # of processes that were killed
                if time.time() - old.stat().st_mtime > _LEFT_OVER_S:
                    old.unlink()
        return folder / f"{prefix}{secrets.token_hex(8)}"

    def _remove(self) -> None:
        copy, self._copy = self._copy, None
        if copy is not None:
            with contextlib.suppress(OSError):
                copy.unlink()


def _read_headers(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEADERS_BYTES)


def _copy(source: Path, target: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    with contextlib.suppress(FileNotFoundError):
        target.unlink()
    os.close(os.open(target, flags | os.O_EXCL, PRIVATE))
    shutil.copyfile(source, target)  # in the kernel, where the system can
