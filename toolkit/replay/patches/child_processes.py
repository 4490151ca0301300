"""An open cassette in child processes.

A forked child has the patches already; a spawned one opens the cassette before it runs other code.
The processes share a folder. In replay it contains one empty file for each exchange that was
played: creating it is atomic on every system, so no two processes play the same one. While
recording, each child stores its exchanges there one by one, because a worker of a pool may be
stopped at any time.
"""

from __future__ import annotations

import contextlib
import multiprocessing.process
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from toolkit.replay.cassettes.exchange import Exchange
from toolkit.replay.patches.patch import Patch

_ATTRIBUTE = "_toolkit_cassette"


class SharedFolder:
    """A folder for one open cassette; without a path a new one is created."""

    def __init__(self, path: Path | None = None) -> None:
        self.path: Path = path or Path(tempfile.mkdtemp(prefix="toolkit-cassette-"))

    def claim(self, index: int) -> bool:
        """Mark an exchange as played; False if another process was first."""
        try:
            os.close(os.open(self.path / f"played-{index}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def played(self) -> set[int]:
        """The exchanges that any process has played."""
        return {int(path.name.partition("-")[2]) for path in self.path.glob("played-*")}

    def leave(self, exchange: Exchange) -> None:
        """Store an exchange recorded by a child."""
        temporary = self.path / f".{uuid4().hex}"
        temporary.write_bytes(pickle.dumps(exchange))
        temporary.rename(self.path / f"exchange-{uuid4().hex}")

    def collect(self) -> list[Exchange]:
        """Exchanges recorded by children."""
        files = sorted(self.path.glob("exchange-*"))
        return [pickle.loads(path.read_bytes()) for path in files]  # noqa: S301  written by us

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)


class Inheritable(Protocol):
    """An open cassette that child processes can continue."""

    def share_with_children(self) -> None:
        """Create the shared folder."""

    def become_child(self) -> None:
        """Continue as the cassette of a forked process."""

    def for_child(self) -> tuple[Callable[..., bool], tuple[Any, ...]]:
        """The function and arguments that open the cassette in a new process."""


def build_process_patches(cassette: Inheritable) -> Iterator[Patch]:
    """Patches that pass the open cassette to processes of `multiprocessing`."""
    real = multiprocessing.process.BaseProcess.start

    def start(self: Any) -> None:
        # First in its dictionary, so that the cassette is open before the target is unpickled.
        self.__dict__ = {_ATTRIBUTE: _OpenedInChild(cassette), **self.__dict__}
        try:
            real(self)
        finally:
            self.__dict__.pop(_ATTRIBUTE, None)

    yield multiprocessing.process.BaseProcess, "start", start


class _OpenedInChild:
    """Opens the cassette when it is unpickled."""

    def __init__(self, cassette: Inheritable) -> None:
        self._cassette = cassette

    def __reduce__(self) -> tuple[Callable[..., bool], tuple[Any, ...]]:
        return self._cassette.for_child()


_forks: list[Inheritable] = []
_is_registered = False


@contextlib.contextmanager
def followed_through_forks(cassette: Inheritable) -> Iterator[None]:
    """Share the cassette before each fork, and mark the child as one, while the block runs."""
    global _is_registered
    if not _is_registered and hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
        _is_registered = True
    _forks.append(cassette)
    try:
        yield
    finally:
        _forks.remove(cassette)


def _before_fork() -> None:
    for cassette in _forks:
        cassette.share_with_children()


def _after_fork() -> None:
    for cassette in _forks:
        cassette.become_child()
