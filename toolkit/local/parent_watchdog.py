"""Whether a process lives, told by a lock on a file that it holds for as long as it does.

The system lets the lock go when the process ends, however it ends. A process id alone would
lie: ids are used again.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import IO


def hold(path: Path, *, wait_s: float = 0.0) -> IO[bytes] | None:
    """Take the lock for as long as the returned file stays open; None when another has it.

    Args:
        path: the file to lock, made when it is missing.
        wait_s: how long to try, seconds: one who merely looks holds it for an instant.
    """
    file = path.open("a+b")
    deadline = time.monotonic() + wait_s
    while not _try_lock(file):
        if time.monotonic() >= deadline:
            file.close()
            return None
        time.sleep(0.02)
    return file


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock."""
    if not path.exists():
        return False
    file = hold(path)
    if file is None:
        return True
    file.close()
    return False


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
