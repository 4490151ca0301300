"""A consistent copy of the database file, for reading while another process keeps it.

DuckDB lets a writing process have the file alone, for as long as it likes: a database tool that is
left open would make every page fail. A checkpoint writes to unused blocks first and changes one of
the two headers last, so a copy during which the headers stayed the same is the state of the last
checkpoint. What came after it is still in the journal, which is laid over it like over the file.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

from toolkit.files import PRIVATE

_HEADERS_BYTES: Final = 3 * 4096
_TRIES: Final = 5
_LEFT_OVER_S: Final = 600.0


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
        except BaseException:
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
