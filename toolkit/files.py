"""Locks between processes, atomic writes and private files: the one home of all three.

Everything that writes a file which another process may read or write at the same time uses this
module and nothing else:

- `locked(path, wait_s)` guards a read-modify-write of the file at `path` (registry, vault, pauses);
- `FileLock` is the same lock as an object, for one that is held as long as a process lives
  (`is_locked` then says whether that process is alive) or that must not be waited for (a cassette
  that somebody records);
- `write_atomic` replaces a file in one step; `atomic_writer` is the same for content that is
  written piece by piece. `mode` is `PRIVATE` (0600, the default) or `SHARED` (0644: cassettes,
  reports, baselines);
- `read_private` reads a file that holds secrets, and refuses one that others can read.

Failures are `FileLocked`, `FileUnsafe` and plain `OSError`; a caller with an error class of its
own (`KeyStoreError`, `CassetteError`) raises that one `from None`.
"""

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
from types import TracebackType
from typing import IO, TYPE_CHECKING, Final

from toolkit.display import show_direction
from toolkit.errors import FileLocked, FileUnsafe

if TYPE_CHECKING:
    import pandas as pd

PRIVATE: Final = 0o600
SHARED: Final = 0o644
PRIVATE_FOLDER: Final = 0o700

_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_BINARY: Final = getattr(os, "O_BINARY", 0)
_POLL_MIN_S: Final = 0.002
_POLL_MAX_S: Final = 0.05
_MAX_PRIVATE_BYTES: Final = 16 * 1024 * 1024
# What Excel, LibreOffice and Google Sheets take as the beginning of a formula.
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_WRITTEN: Final = "(005c|061c|200e|200f|202[a-e]|206[6-9])"
_ESCAPED: Final = re.compile(rf"\\u{_WRITTEN}")
_SHOWN: Final = re.compile(rf"\\(?=u{_WRITTEN})")
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
# Windows refuses to read or write a locked byte, so the lock lies far behind any content.
_LOCK_OFFSET: Final = 1 << 30
# Virus scanners and indexers open new files for an instant; Windows then refuses to replace them.
_REPLACE_TRIES: Final = 50
_REPLACE_PAUSE_S: Final = 0.02

if sys.platform == "win32":  # pragma: no cover - the counterpart of flock
    import msvcrt

    def try_lock(descriptor: int) -> bool:
        """Lock an open file without waiting; False where another open file has the lock."""
        try:
            os.lseek(descriptor, _LOCK_OFFSET, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Release the lock of an open file that stays open."""
        os.lseek(descriptor, _LOCK_OFFSET, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Lock an open file without waiting; False where another open file has the lock."""
        # flock and not lockf: it belongs to the open file, so it also separates two threads.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Release the lock of an open file that stays open."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)


class FileLock:
    """An exclusive lock between threads and processes that ends with its process.

    The operating system releases it however the process ends, so a stale lock does not exist. The
    file holds the process id of the holder, for messages only.

    Args:
        path: the lock file; made, with its folder, when it is missing.
        remove: delete the lock file on release, where nobody should find it in a folder of theirs.
    """

    def __init__(self, path: Path, *, remove: bool = False) -> None:
        self.path = path
        self._remove = remove
        self._descriptor: int | None = None

    def acquire(self, wait_s: float = 0.0) -> bool:
        """Take the lock, waiting at most `wait_s` seconds; False where another has it.

        Raises:
            OSError: the lock file cannot be made or opened.
        """
        deadline = time.monotonic() + wait_s
        pause_s = _POLL_MIN_S
        while not self._try_once():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, _POLL_MAX_S)
        return True

    def release(self) -> None:
        """Give the lock back; without effect where it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        if self._remove and os.name != "nt":
            with contextlib.suppress(OSError):
                self.path.unlink()
        os.close(descriptor)
        if self._remove and os.name == "nt":  # pragma: no cover - an open file stays there
            with contextlib.suppress(OSError):
                self.path.unlink()

    def holder(self) -> int | None:
        """Process id of the holder, or None where nobody holds it or it is not known."""
        try:
            text = self.path.read_bytes()[:20].strip()
        except OSError:
            return None
        return int(text) if text.isdigit() and is_locked(self.path) else None

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _try_once(self) -> bool:
        self.path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | _NO_FOLLOW | _BINARY, PRIVATE)
        # A holder that removes its file leaves a lock on nothing to those that opened it before.
        if not try_lock(descriptor) or not _is_same(descriptor, self.path):
            os.close(descriptor)
            return False
        with contextlib.suppress(OSError):  # a full disk must not keep anybody from locking
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            os.ftruncate(descriptor, len(f"{os.getpid()}\n"))
        self._descriptor = descriptor
        return True


@contextlib.contextmanager
def locked(path: Path, wait_s: float) -> Iterator[None]:
    """Hold the right to change the file at `path`, against threads and processes.

    The lock is on `.NAME.lock` beside the file, because the file itself is replaced.

    Raises:
        FileLocked: another process kept it for longer than `wait_s` seconds; names it.
        OSError: the folder cannot be written.
    """
    with FileLock(path.with_name(f".{path.name}.lock")) as lock:
        if not lock.acquire(wait_s):
            pid = lock.holder()
            who = "another process" if pid is None else f"process {pid}"
            raise FileLocked(
                f"{path} has been locked by {who} for more than {wait_s:g} s",
                cause="locked",
                hint="Try again when it has finished.",
            )
        remove_leftovers(path)
        yield


def is_locked(path: Path) -> bool:
    """Whether a living process holds the `FileLock` at `path`."""
    try:
        descriptor = os.open(path, os.O_RDWR | _NO_FOLLOW | _BINARY)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(
    path: Path, content: bytes | str, *, mode: int = PRIVATE, durable: bool = True
) -> None:
    """Replace the file at `path` in one step: a reader sees the old content or the new one.

    Args:
        path: the file; its folder is made where it is missing.
        content: bytes, or text that is written as UTF-8.
        mode: permissions of the file from its first byte on.
        durable: whether it must survive power loss on return.

    Raises:
        OSError: the folder cannot be written or the disk is full; the old file is untouched.
    """
    with atomic_writer(path, mode=mode, durable=durable) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def atomic_writer(path: Path, *, mode: int = PRIVATE, durable: bool = True) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces `path` at the end of the block, unless it raises.

    Arguments and errors as `write_atomic`.
    """
    path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _BINARY
    descriptor = os.open(temporary, flags, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if mode != PRIVATE:
                os.chmod(temporary, mode)
            if durable:
                os.fsync(file.fileno())
        _replace(temporary, path)
    except BaseException:  # no half-written file stays, also on Ctrl+C
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def escape_cell(text: str) -> str:
    """Return the text of a CSV cell so that no spreadsheet runs it as a formula or reorders it.

    An apostrophe goes before a formula, as OWASP recommends; numbers stay. Characters that change
    the direction of others are written as `\\u202e`. What looks escaped already is escaped again,
    so that `unescape_cell` brings each text back.
    """
    text = show_direction(_SHOWN.sub(r"\\u005c", text)) if "\\u" in text else show_direction(text)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def unescape_cell(text: str) -> str:
    """Return the text that `escape_cell` was given."""
    text = text[1:] if text.startswith("'") and _FORMULA.match(text) else text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "\\u" in text else text


def csv_of(frame: pd.DataFrame, *, escape: bool = True) -> bytes:
    """A table as CSV whose cells are safe to open in a spreadsheet.

    Args:
        frame: the table.
        escape: see `escape_cell`.
    """
    safe = frame.copy() if escape else frame
    for name in safe.columns if escape else ():
        if any(isinstance(value, str) for value in safe[name]):
            safe[name] = [escape_cell(v) if isinstance(v, str) else v for v in safe[name]]
    # Only with this end of a line is a carriage return within a cell quoted; unquoted, what comes
    # after it is a cell of its own.
    return safe.to_csv(index=False, lineterminator="\r\n").encode("utf-8", "replace")


def remove_leftovers(path: Path) -> None:
    """Delete what killed writers of `path` left beside it; the caller holds the lock of `path`.

    A process that dies between writing and renaming leaves `.NAME.<hex>`. Under the lock nobody
    else is writing, so every such file is a leftover.
    """
    pattern = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}")
    with contextlib.suppress(OSError):
        for beside in path.parent.iterdir():
            if pattern.fullmatch(beside.name):
                beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable, where the system knows how."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_private(path: Path, *, limit_bytes: int = _MAX_PRIVATE_BYTES) -> bytes:
    """Read a file that holds secrets, provided nobody else can.

    Raises:
        FileUnsafe: it is a link or not a regular file, belongs to another user, is readable by
            others, or is larger than `limit_bytes`.
        FileNotFoundError: it does not exist.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_FOLLOW | _BINARY)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FileUnsafe(
            f"{path} cannot be opened safely ({error.strerror})",
            cause="file_unsafe",
            hint="It must be a regular file of yours, not a link.",
        ) from None
    try:
        require_private(path, os.fstat(descriptor))
    except BaseException:  # the descriptor is closed, also on Ctrl+C
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise FileUnsafe(f"{path} is larger than {limit_bytes:,} bytes", cause="too_large")
    return content


def require_private(path: Path, status: os.stat_result) -> None:
    """Refuse a file that anybody but its owner, the current user, can reach.

    Raises:
        FileUnsafe: says what is wrong and how to fix it.
    """
    if not stat.S_ISREG(status.st_mode):
        raise FileUnsafe(f"{path} is not a regular file", cause="file_unsafe")
    if sys.platform == "win32":
        return
    if status.st_uid != os.geteuid():
        raise FileUnsafe(
            f"{path} belongs to another user",
            cause="file_unsafe",
            hint="Change its owner or remove it.",
        )
    if status.st_mode & 0o077:
        raise FileUnsafe(
            f"{path} can be read by others (mode {stat.S_IMODE(status.st_mode):o})",
            cause="file_unsafe",
            hint=f"Run: chmod 600 {path}",
        )


def file_id(path: Path) -> tuple[int, int] | None:
    """Device and inode, which differ for a file that replaced another; None where it is missing."""
    try:
        found = os.stat(path)  # at every append: `Path.stat` takes twice as long
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _replace(source: Path, target: Path) -> None:
    for _ in range(_REPLACE_TRIES if sys.platform == "win32" else 0):  # pragma: no cover
        try:
            os.replace(source, target)
        except PermissionError:
            time.sleep(_REPLACE_PAUSE_S)
        else:
            return
    os.replace(source, target)
