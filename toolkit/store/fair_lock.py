"""A fair read-write lock on one file, between threads and processes alike.

A process that wants the file draws a numbered ticket: a small file that is locked as long as its
owner lives. A reader waits for the writers before it, a writer for all before it, so none starves.
A dead process leaves its ticket unlocked, and the next one removes it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from toolkit.errors import StoreLocked
from toolkit.files import PRIVATE, PRIVATE_FOLDER, try_lock

Kind = Literal["r", "w"]

_POLL_MIN_S: Final = 0.001
_POLL_MAX_S: Final = 0.02


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
    """The queue of one file.

    Args:
        folder: where tickets lie; made when first needed.
        subject: what is locked, for messages.
    """

    def __init__(self, folder: Path, subject: str) -> None:
        self._folder = folder
        self._subject = subject

    @contextmanager
    def turn(self, kind: Kind, wait_s: float, own_wait_s: float = 0.0) -> Iterator[None]:
        """Hold the lock, `"r"` together with other readers or `"w"` alone.

        Args:
            kind: how.
            wait_s: longest wait, seconds.
            own_wait_s: so much longer while it is this very process that is in the way.

        Raises:
            StoreLocked: the lock was not free in time; names the holder.
            OSError: no ticket can be drawn (a read-only or full folder).
        """
        deadline = time.monotonic() + wait_s
        ticket, descriptor = self._draw(kind, deadline)
        try:
            self._wait(ticket, deadline, own_wait_s)
            yield
        finally:
            self._give_back(ticket, descriptor)

    def holder(self) -> int | None:
        """PID of the first living ticket's owner, or None when there is none."""
        with suppress(OSError):
            for ticket in self._tickets():
                if self._is_alive(ticket):
                    return ticket.pid
        return None

    def _draw(self, kind: Kind, deadline: float) -> tuple[_Ticket, int]:
        self._folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        gate = _open(self._folder / "gate")
        try:
            for _ in self._until(deadline):
                if try_lock(gate):
                    break
            while True:
                number = max((t.number for t in self._tickets()), default=0) + 1
                ticket = _Ticket(number, kind, os.getpid())
                descriptor = _open(self._folder / ticket.name)
                # Between making and locking it, another process may have taken the ticket for a
                # dead one's and removed it: then no other would wait for this one.
                if try_lock(descriptor) and self._is_there(ticket, descriptor):
                    return ticket, descriptor
                _close(descriptor)
        finally:
            _close(gate)

    def _is_there(self, ticket: _Ticket, descriptor: int) -> bool:
        try:
            found = (self._folder / ticket.name).stat()
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(descriptor))

    def _wait(self, ticket: _Ticket, deadline: float, own_wait_s: float) -> None:
        pause_s = _POLL_MIN_S
        own_deadline = deadline + own_wait_s
        while True:
            ahead = [other for other in self._tickets() if ticket.waits_for(other)]
            alive = next((other for other in ahead if self._is_alive(other)), None)
            if alive is None:
                return
            left_s = (own_deadline if alive.pid == os.getpid() else deadline) - time.monotonic()
            if left_s <= 0:
                raise locked(self._subject, alive.pid)
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, _POLL_MAX_S)

    def _until(self, deadline: float) -> Iterator[None]:
        """Yield at growing pauses; at the deadline name who is in the way."""
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
            if not try_lock(descriptor):
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
            _close(descriptor)
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return
        with suppress(OSError):
            path.unlink(missing_ok=True)
        _close(descriptor)


_OPEN: Final[set[int]] = set()


def _open(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE)
    _OPEN.add(descriptor)
    return descriptor


def _close(descriptor: int) -> None:
    _OPEN.discard(descriptor)
    os.close(descriptor)


def _forget_locks_of_the_parent() -> None:
    """Close what came over a fork: a copy of a descriptor would keep the parent's lock alive."""
    for descriptor in tuple(_OPEN):
        with suppress(OSError):
            _close(descriptor)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks_of_the_parent)


def locked(subject: str, pid: int | None) -> StoreLocked:
    """The error for a file that is held by another."""
    who = "another process" if pid is None else f"process {pid}"
    if pid == os.getpid():
        who = f"this process ({pid})"
    return StoreLocked(
        f"{subject} is in use by {who}",
        hint="Try again in a moment, or close the other program. Nothing is lost meanwhile: "
        "new records wait in the journal.",
    )
