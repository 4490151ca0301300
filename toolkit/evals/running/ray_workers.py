"""Workers of a run on a Ray cluster: an actor performs what a local worker process performs.

Ray starts the actors, moves the messages and says when an actor or its machine is lost. Whoever
reaches a cluster can run programs on it unless it was started with `RAY_AUTH_MODE=token`.
"""

from __future__ import annotations

import importlib
import pickle
import re
import socket
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import Any, Final

from toolkit.errors import InvalidInput, ToolkitError
from toolkit.evals.running.dependencies import OpenWorker
from toolkit.evals.running.worker import serve

_ADDRESS: Final = re.compile(r"(ray://)?(?P<host>[^/:]+):(?P<port>\d{1,5})")
_ANSWER_S: Final = 30.0
_GROUPS: Final = {"deliver": 1, "collect": 1}  # one thread each keeps messages in order


def find_ray() -> ModuleType:
    """The package `ray`.

    Raises:
        InvalidInput: it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise InvalidInput(
            'backend="ray" needs the package ray, which is not installed',
            hint="Install it here and on the cluster: pip install 'llm-provider-toolkit[ray]'. "
            "Or use `workers=N` without a backend for processes of this machine.",
        ) from None


class RayWorker:
    """One worker, in the process of its actor.

    Args:
        open_worker: opens the toolkit.
    """

    def __init__(self, open_worker: OpenWorker) -> None:
        self._incoming: SimpleQueue[bytes | None] = SimpleQueue()
        self._outgoing: SimpleQueue[bytes | None] = SimpleQueue()
        threading.Thread(
            target=self._serve, args=(open_worker,), daemon=True, name="toolkit-eval-worker"
        ).start()

    def deliver(self, body: bytes | None) -> None:
        """Take one message of the run; None: no more will come."""
        self._incoming.put(body)

    def collect(self) -> list[bytes]:
        """Wait for messages to the run; none when the worker has ended."""
        found: list[bytes] = []
        body = self._outgoing.get()
        with suppress(Empty):
            while body is not None:
                found.append(body)
                body = self._outgoing.get_nowait()
        if body is None and found:
            self._outgoing.put(None)  # for the next time
        return found

    def _serve(self, open_worker: OpenWorker) -> None:
        try:
            serve(_ActorChannel(self._incoming, self._outgoing), open_worker)
        finally:
            self._outgoing.put(None)


class _ActorChannel:
    """The worker's end: messages that the actor's methods take and give."""

    def __init__(
        self, incoming: SimpleQueue[bytes | None], outgoing: SimpleQueue[bytes | None]
    ) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    def send(self, message: object) -> None:
        self._outgoing.put(pickle.dumps(message))

    def receive(self) -> Any:
        body = self._incoming.get()
        if body is None:
            raise EOFError
        return pickle.loads(body)  # noqa: S301 - written by the run's process


class RayLink:
    """The run's end of one actor.

    Args:
        ray: the package.
        actor: of `RayWorker`.
    """

    def __init__(self, ray: ModuleType, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self._collected: list[bytes] = []
        self._ended = threading.Event()
        self._exit_code: int | None = None

    @property
    def exit_code(self) -> int | None:
        """0 where it ended in order, 1 where it was lost; None while it runs."""
        return self._exit_code

    def send(self, message: object) -> None:
        """Send one message; where the actor is lost, `receive` says so."""
        self._deliver(pickle.dumps(message))

    def receive(self) -> Any:
        """Wait for the next message.

        Raises:
            EOFError: the worker has ended, or is lost.
        """
        if not self._collected:
            method = self._actor.collect.options(concurrency_group="collect")
            try:
                self._collected = list(reversed(self._ray.get(method.remote())))
            except self._ray.exceptions.RayError:
                self._end(1)
                raise EOFError from None
            if not self._collected:
                self._end(0)
                raise EOFError
        return pickle.loads(self._collected.pop())  # noqa: S301 - written by our own worker

    def close(self) -> None:
        """Tell it that nothing more will be sent."""
        self._deliver(None)

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; False where the time runs out first."""
        return self._ended.wait(timeout_s)

    def kill(self) -> None:
        """End it at once."""
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._actor)

    def _deliver(self, body: bytes | None) -> None:
        method = self._actor.deliver.options(concurrency_group="deliver")
        try:
            method.remote(body)
        except self._ray.exceptions.RayError as error:
            raise OSError(f"the worker is lost: {error}") from None

    def _end(self, exit_code: int) -> None:
        self._exit_code = exit_code
        self.kill()  # its process would wait for further calls
        self._ended.set()


class RayLauncher:
    """Starts workers on a Ray cluster; connects to it at the first one.

    Args:
        address: of the cluster (`HOST:PORT` or `ray://HOST:PORT`); empty: `RAY_ADDRESS`, else the
            cluster that this machine belongs to.
        open_worker: opens the toolkit in each.
    """

    def __init__(self, address: str, open_worker: OpenWorker) -> None:
        self._ray = find_ray()
        self._address, self._open_worker = address, open_worker
        self._has_connected = False

    def start(self) -> RayLink:
        """Start one worker.

        Raises:
            ToolkitError: the cluster cannot be reached.
        """
        self._connect()
        as_actor = self._ray.remote(concurrency_groups=_GROUPS, scheduling_strategy="SPREAD")
        return RayLink(self._ray, as_actor(RayWorker).remote(self._open_worker))

    def close(self) -> None:
        """Disconnect, unless the program had connected before."""
        if self._has_connected:
            self._ray.shutdown()
            self._has_connected = False

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        try:
            _require_answer(self._address)
            # "auto" is RAY_ADDRESS or a cluster of this machine; it never starts one.
            self._ray.init(address=self._address or "auto", logging_level="warning")
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise ToolkitError(
                f"no Ray cluster answers at {self._address or 'RAY_ADDRESS or this machine'}: "
                f"{error}",
                hint="Start one with `ray start --head` in a terminal, or give its address: "
                'backend="ray:HOST:6379".',
            ) from None
        self._has_connected = True


def _require_answer(address: str) -> None:
    """Check that something listens at an address; Ray itself would try for minutes.

    Raises:
        OSError: nothing does.
    """
    if found := _ADDRESS.fullmatch(address):
        with socket.create_connection((found["host"], int(found["port"])), timeout=_ANSWER_S):
            pass
