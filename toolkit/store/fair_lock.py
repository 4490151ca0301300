"""Fair turns at one file, between threads and processes alike.

Who wants a turn draws a numbered ticket: a small file that is locked as long as its owner lives.
A reader waits for the writers before it, a writer for everybody before it, so nobody starves.
A dead process leaves its ticket unlocked, and the next one removes it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from toolkit.errors import StoreLocked

Kind = Literal["r", "w"]

_POLL_MIN_S: Final = 0.001
_POLL_MAX_S: Final = 0.02

if sys.platform == "win32":  # pragma: no cover - the counterpart of flock
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            # Windows forbids reading a locked byte, so the lock lies far behind the text.
            os.lseek(descriptor, 1 << 30, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        # flock and not lockf: it belongs to the open file, so it also parts two threads.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Ticket:
    number: int
    kind: Kind
    pid: int

    @property
    def name(self) -> str:
        return f"{self.number:012d}-{self.kind}-{self.pid}"

    @classmethod
    def parse(cls, name: str) -> _Ticket | None:
        number, _, rest = name.partition("-")
        kind, _, pid = rest.partition("-")
        if not (number.isdigit() and pid.isdigit() and kind in ("r", "w")):
            return None
        return cls(int(number), "r" if kind == "r" else "w", int(pid))

    def waits_for(self, other: _Ticket) -> bool:
        return other.number < self.number and "w" in (self.kind, other.kind)


class FairFileLock:
    """The queue in front of one file.

    Args:
        folder: where tickets lie; made when first needed.
        subject: what the turn is at, for messages.
    """

    def __init__(self, folder: Path, subject: str) -> None:
        self._folder = folder
        self._subject = subject

    @contextmanager
    def turn(self, kind: Kind, wait_s: float) -> Iterator[None]:
        """Hold a turn, `"r"` together with other readers or `"w"` alone.

        Raises:
            StoreLocked: it was not our turn within `wait_s` seconds; names the holder.
            OSError: no ticket can be drawn (a read-only or full folder).
        """
        deadline = time.monotonic() + wait_s
        ticket, descriptor = self._draw(kind, deadline)
        try:
            self._wait(ticket, deadline)
            yield
        finally:
            self._give_back(ticket, descriptor)

    def holder(self) -> int | None:
        """PID of the first living ticket's owner, or None when nobody has one."""
        with suppress(OSError):
            for ticket in self._tickets():
                if self._is_alive(ticket):
                    return ticket.pid
        return None

    def _draw(self, kind: Kind, deadline: float) -> tuple[_Ticket, int]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        gate = os.open(self._folder / "gate", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            for _ in self._until(deadline):
                if _try_lock(gate):
                    break
            number = max((t.number for t in self._tickets()), default=0) + 1
            ticket = _Ticket(number, kind, os.getpid())
            path = self._folder / ticket.name
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            _try_lock(descriptor)
            return ticket, descriptor
        finally:
            os.close(gate)

    def _wait(self, ticket: _Ticket, deadline: float) -> None:
        for _ in self._until(deadline):
            ahead = [other for other in self._tickets() if ticket.waits_for(other)]
            if not any(self._is_alive(other) for other in ahead):
                return

    def _until(self, deadline: float) -> Iterator[None]:
        """Yield at growing pauses; at the deadline tell who is in the way."""
        pause_s = _POLL_MIN_S
        while True:
            yield
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise locked(self._subject, self.holder())
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, _POLL_MAX_S)

    def _tickets(self) -> list[_Ticket]:
        found = (_Ticket.parse(name) for name in os.listdir(self._folder))
        return sorted((t for t in found if t is not None), key=lambda t: t.number)

    def _is_alive(self, ticket: _Ticket) -> bool:
        path = self._folder / ticket.name
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return False
        except PermissionError:  # Windows: the owner is just removing it
            return True
        try:
            if not _try_lock(descriptor):
                return True
            if os.name != "nt":
                path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
        if os.name == "nt":  # pragma: no cover - an open file cannot be removed there
            with suppress(OSError):
                path.unlink(missing_ok=True)
        return False

    def _give_back(self, ticket: _Ticket, descriptor: int) -> None:
        path = self._folder / ticket.name
        if os.name == "nt":  # pragma: no cover
            os.close(descriptor)
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return
        with suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def locked(subject: str, pid: int | None) -> StoreLocked:
    """The error for a file that somebody else holds."""
    who = "another process" if pid is None else f"process {pid}"
    if pid == os.getpid():
        who = f"this process ({pid})"
    return StoreLocked(
        f"{subject} is in use by {who}",
        hint="Try again in a moment, or close the other program. Nothing is lost meanwhile: "
        "new records wait in the journal.",
    )
