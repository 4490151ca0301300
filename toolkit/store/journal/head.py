"""What was acknowledged, kept apart from the journal: without it a loss could not be noticed.

SQLite stops reading its WAL at the first damaged frame and drops the rest without an error: of 69
damaged WAL files every one opened, and up to 475 of 500 acknowledged records were gone. So the
number of the last acknowledged record is also kept in a small file of its own. What the journal
no longer has, and what the database was never given, was lost.
"""

from __future__ import annotations

import os
import struct
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from toolkit.files import PRIVATE, PRIVATE_FOLDER, file_id, try_lock, unlock

_SLOT: Final = struct.Struct("<4sq32sqqqI")
_MAGIC: Final = b"TKJ2"
_SLOT_BYTES: Final = 128
# Updates take microseconds; a holder that is stopped in the middle must not stop everybody else.
_LOCK_WAIT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the journal.

    Attributes:
        journal_id: the journal it belongs to.
        last: number of the last acknowledged entry.
        acked_us: when that was, microseconds since 1970.
        dropped: entries up to this number are in the database.
        counter: how often it was written.
    """

    journal_id: str
    last: int = 0
    acked_us: int = 0
    dropped: int = 0
    counter: int = 0


class JournalHead:
    """The head file of one journal: two copies, of which the newer whole one counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._opened_by = 0
        self._file_id: tuple[int, int] | None = None

    def read(self) -> Head | None:
        """Return the head, or None where there is none (yet) or both copies are damaged."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        return _newest(content)

    @property
    def is_damaged(self) -> bool:
        """Whether there is a head file that cannot be read."""
        try:
            return self.path.stat().st_size > 0 and self.read() is None
        except OSError:
            return False

    def advance(self, journal_id: str, last: int, acked_us: int) -> None:
        """Record that entries up to `last` were acknowledged.

        Raises:
            OSError: the file cannot be written.
        """

        def later(head: Head) -> Head:
            if head.last >= last:
                return head
            return replace(head, last=last, acked_us=acked_us)

        self._update(journal_id, later)

    def drop(self, journal_id: str, upto: int) -> None:
        """Record that the database has all entries up to this number.

        Raises:
            OSError: the file cannot be written.
        """
        self._update(journal_id, lambda head: replace(head, dropped=max(head.dropped, upto)))

    def close(self) -> None:
        """Close the file; a later update opens it again."""
        with self._lock:
            self._close()

    def _update(self, journal_id: str, change: Callable[[Head], Head]) -> None:
        with self._lock:
            descriptor = self._open()
            deadline = time.monotonic() + _LOCK_WAIT_S
            while not try_lock(descriptor):
                if time.monotonic() >= deadline:
                    raise OSError(f"{self.path} is locked")
                time.sleep(0.0005)
            try:
                head = _newest(_read_at(descriptor, 0, 2 * _SLOT_BYTES))
                if head is None or head.journal_id != journal_id:
                    head = Head(journal_id, counter=head.counter if head else 0)
                changed = change(head)
                if changed != head or head.last == 0:
                    changed = replace(changed, counter=head.counter + 1)
                    # The older of the two copies is overwritten: a torn write leaves the other.
                    _write_at(descriptor, changed.counter % 2 * _SLOT_BYTES, _pack(changed))
            finally:
                unlock(descriptor)

    def _open(self) -> int:
        if self._descriptor is not None:
            if self._opened_by == os.getpid() and self._file_id == file_id(self.path):
                return self._descriptor
            self._close()
        self.path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(self.path, flags, PRIVATE)
        self._opened_by = os.getpid()
        self._file_id = file_id(self.path)
        return self._descriptor

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)


def _pack(head: Head) -> bytes:
    name = head.journal_id.encode()[:32].ljust(32)
    fields = (_MAGIC, head.counter, name, head.last, head.acked_us, head.dropped)
    body = _SLOT.pack(*fields, 0)[:-4]
    return (body + struct.pack("<I", zlib.crc32(body))).ljust(_SLOT_BYTES, b"\0")


def _newest(content: bytes) -> Head | None:
    found = [_unpack(content[at : at + _SLOT.size]) for at in (0, _SLOT_BYTES)]
    return max((head for head in found if head), key=lambda head: head.counter, default=None)


def _unpack(slot: bytes) -> Head | None:
    if len(slot) < _SLOT.size:
        return None
    magic, counter, name, last, acked_us, dropped, checksum = _SLOT.unpack(slot)
    if magic != _MAGIC or checksum != zlib.crc32(slot[:-4]):
        return None
    return Head(name.decode("ascii", "replace").strip(), last, acked_us, dropped, counter)


def _read_at(descriptor: int, offset: int, size: int) -> bytes:
    os.lseek(descriptor, offset, os.SEEK_SET)  # Windows has no pread
    return os.read(descriptor, size)


def _write_at(descriptor: int, offset: int, content: bytes) -> None:
    os.lseek(descriptor, offset, os.SEEK_SET)
    os.write(descriptor, content)
