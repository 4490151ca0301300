"""One recorder per cassette: a lock of the operating system, released when its process ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from toolkit.errors import CassetteError


@contextlib.contextmanager
def recording_lock(path: Path) -> Iterator[None]:
    """Lock the cassette at `path` for recording.

    Raises:
        CassetteError: another process records it, or its folder cannot be written.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a+")
    except OSError as error:
        raise CassetteError(
            f"{path.parent} cannot be written ({error.strerror})", hint="Check the folder's permissions."
        ) from None
    with file:
        if not _acquire(file) or not _is_same(file, lock):
            raise CassetteError(
                f"the cassette {path} is being recorded by another process",
                hint="Wait until it is done.",
            )
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                lock.unlink()


def _is_same(file: IO[str], path: Path) -> bool:
    """Whether the locked file still is the one at `path`: the last holder may have removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _acquire(file: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
