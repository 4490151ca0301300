"""Files that belong to their owner alone: read and written whole, under an inter-process lock."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from toolkit.errors import KeyStoreError, ProviderError

_POLL_S: Final = 0.01
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_BINARY: Final = getattr(os, "O_BINARY", 0)


@contextlib.contextmanager
def locked(path: Path, wait_s: float) -> Iterator[None]:
    """Hold the right to change the file at `path`, against threads and processes.

    The lock is the operating system's on `.NAME.lock` and ends with its process.

    Raises:
        ProviderError: somebody else kept it for longer than `wait_s` seconds.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | _NO_FOLLOW, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        deadline = time.monotonic() + wait_s
        while not _take(file):
            if time.monotonic() >= deadline:
                raise ProviderError(
                    f"{path.name} is being changed by another process for more than {wait_s:g} s",
                    cause="locked",
                    hint="Try again when it is done.",
                )
            time.sleep(_POLL_S)
        yield


def _take(file: IO[bytes]) -> bool:
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


def write_private(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, 0600, durable on return.

    Raises:
        OSError: the folder cannot be written or the disk is full; the old file is untouched.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _BINARY
    descriptor = os.open(beside, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    _sync_folder(path.parent)


def remove_leftovers(path: Path) -> None:
    """Delete what killed writers of `path` left beside it; call it under the lock of `path`."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}")
    with contextlib.suppress(OSError):
        for beside in path.parent.iterdir():
            if pattern.fullmatch(beside.name):
                beside.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where the system knows how."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_secret_file(path: Path, *, limit_bytes: int = 16 * 1024 * 1024) -> bytes:
    """Read a file that holds secrets, if nobody else can.

    Raises:
        KeyStoreError: it is a link, belongs to somebody else, others may read it, or it is
            larger than `limit_bytes`.
        FileNotFoundError: there is none.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_FOLLOW | _BINARY)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeyStoreError(
            f"{path} cannot be opened safely ({error.strerror})",
            cause="file_unsafe",
            hint="It must be an ordinary file of yours, no link.",
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        _require_private(path, os.fstat(file.fileno()))
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise KeyStoreError(f"{path} is larger than {limit_bytes:,} bytes", cause="too_large")
    return content


def _require_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyStoreError(f"{path} is no ordinary file", cause="file_unsafe")
    if sys.platform == "win32":
        return
    if status.st_uid != os.geteuid():
        raise KeyStoreError(
            f"{path} belongs to another user",
            cause="file_unsafe",
            hint="Take it over or remove it.",
        )
    if status.st_mode & 0o077:
        raise KeyStoreError(
            f"{path} can be read by others (mode {stat.S_IMODE(status.st_mode):o})",
            cause="file_unsafe",
            hint=f"Run: chmod 600 {path}",
        )
