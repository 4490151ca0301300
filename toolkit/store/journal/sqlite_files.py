"""The files of a journal: opened read-only anywhere, and set aside when they are damaged."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from toolkit.store.journal.journal_errors import BUSY_S

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


def file_id(path: Path) -> tuple[int, int] | None:
    """Device and inode, which differ for a file that replaced another; None where it is missing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _open_read_only(path: Path, stack: ExitStack) -> tuple[sqlite3.Connection, int]:
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_S, isolation_level=None
    )
    stack.callback(connection.close)
    return connection, int(connection.execute("PRAGMA user_version").fetchone()[0])
