"""What a run and its worker processes send each other: pickled records, mostly over two pipes.

Both ends are our own processes and the pipes have no name, so pickle reads nothing foreign. Each
record is preceded by its length; the end of the pipe is the end of the other process.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final, Protocol

from toolkit.calls.policy.rate_limiter import RateLimit
from toolkit.errors import ToolkitError
from toolkit.evals.running.eval_runner import Outcome
from toolkit.evals.running.plan import Key
from toolkit.evals.solvers import Solver
from toolkit.settings import Settings

_LENGTH_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a worker needs to know before its first task.

    Attributes:
        run_id: the run that its rows belong to.
        settings: of the home folder.
        dataset: the file of the samples, and the dataset's name.
        models: `provider/model_id` of each model.
        solvers, scorers: of the run; functions by reference.
        epochs, seed: of the plan.
        cap_usd: of the run, or None.
        cached_models: reuse earlier answers of these models to identical requests.
        samples: content of the dataset's file, for workers that may be on another machine.
    """

    run_id: str
    settings: Settings
    dataset: tuple[Path, str]
    models: Sequence[str]
    solvers: Sequence[Solver]
    scorers: Sequence[Any]
    epochs: int
    seed: int | None
    cap_usd: Decimal | None
    cached_models: Sequence[str]
    samples: bytes | None = None


@dataclass(frozen=True, slots=True)
class Perform:
    """To a worker: perform this task."""

    number: int
    key: Key
    is_last: bool


@dataclass(frozen=True, slots=True)
class Performed:
    """From a worker: what became of a task, and whether a provider answered with 429."""

    number: int
    outcome: Outcome
    was_limited: bool | None


@dataclass(frozen=True, slots=True)
class Failed:
    """From a worker: an error that ends the run; `number` is None for one of the worker itself."""

    number: int | None
    error: ToolkitError


@dataclass(frozen=True, slots=True)
class Pace:
    """From a worker: a request to the provider wants to be sent within `wait_s` seconds."""

    number: int
    limit: RateLimit
    tokens: int
    wait_s: float


@dataclass(frozen=True, slots=True)
class Paced:
    """To a worker: the request may be sent, or why it may not."""

    number: int
    waited_ms: float
    error: ToolkitError | None


@dataclass(frozen=True, slots=True)
class UsedTokens:
    """From a worker: how many tokens an admitted request has used."""

    number: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Unpaced:
    """From a worker: the request waits no longer for the rate limit."""

    number: int


@dataclass(frozen=True, slots=True)
class Refused:
    """From a worker: the cap refuses, and no call of this worker can release a reservation."""


@dataclass(frozen=True, slots=True)
class Released:
    """To a worker: try again, or (not `may_retry`) the cap is used up everywhere."""

    may_retry: bool


FromWorker = Performed | Failed | Pace | UsedTokens | Unpaced | Refused
ToWorker = Perform | Paced | Released


class Channel(Protocol):
    """One end of the connection between a run and a worker."""

    def send(self, message: object) -> None:
        """Send one record.

        Raises:
            OSError: the other process has ended.
        """

    def receive(self) -> Any:
        """Wait for the next record.

        Raises:
            EOFError: the other process has ended.
        """


class PipeChannel:
    """One end of two pipes.

    Args:
        incoming, outgoing: binary pipes.
    """

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        """Send one record.

        Raises:
            OSError: the other process has ended.
        """
        body = pickle.dumps(message)
        with self._lock:
            self._outgoing.write(len(body).to_bytes(_LENGTH_BYTES, "big") + body)
            self._outgoing.flush()

    def receive(self) -> Any:
        """Wait for the next record.

        Raises:
            EOFError: the other process has ended.
        """
        size = int.from_bytes(self._read(_LENGTH_BYTES), "big")
        return pickle.loads(self._read(size))  # noqa: S301 - written by our own process

    def close(self) -> None:
        """Tell the other process that nothing more will be sent."""
        with self._lock:
            self._outgoing.close()

    def _read(self, size: int) -> bytes:
        try:
            found = self._incoming.read(size)
        except (OSError, ValueError):
            found = b""
        if len(found) < size:
            raise EOFError
        return found
