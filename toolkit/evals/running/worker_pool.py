"""The worker processes of a run: they get tasks one by one, and share its limits.

The run itself stays in one process: it decides what is asked next, how many calls are in flight
at each provider, what is tried again and when a cap ends it. A worker gets one task for each such
call and performs it as the ordinary runner does, so a slow worker simply gets fewer tasks, and
the tasks of one that was killed go to the others. Requests and tokens per minute are counted here,
for all workers and for this process together; budgets are reserved in the home folder's own file.
A circuit breaker belongs to each worker: a failing provider is tried by each of them.
"""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

from toolkit.calls.attempt_spec import current_source
from toolkit.calls.client import Client
from toolkit.calls.policy.rate_limiter import Reservation
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.evals.config import EvalConfig
from toolkit.evals.running.eval_runner import Note, Outcome
from toolkit.evals.running.plan import Task
from toolkit.evals.running.worker_messages import (
    Channel,
    Failed,
    FromWorker,
    Pace,
    Paced,
    Perform,
    Performed,
    PipeChannel,
    Refused,
    Released,
    Setup,
    Unpaced,
    UsedTokens,
)

_MOST_LOSSES: Final = 3  # of one task, and of all workers on average
_END_S: Final = 15.0


class WorkerLost(Exception):
    """A worker process ended with tasks in progress."""


class WorkerLink(Channel, Protocol):
    """One started worker: the messages to and from it, and its end."""

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""

    def close(self) -> None:
        """Tell it that nothing more will be sent."""

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; False where the time runs out first."""

    def kill(self) -> None:
        """End it at once."""


class Launcher(Protocol):
    """Starts workers, here or on a cluster."""

    def start(self) -> WorkerLink:
        """Start one worker.

        Raises:
            ToolkitError: none can be started.
        """

    def close(self) -> None:
        """Close what starting them has opened."""


class WorkerProcess(PipeChannel):
    """A worker in a process of this machine.

    Args:
        command: starts it.
    """

    def __init__(self, command: Sequence[str]) -> None:
        is_windows = sys.platform == "win32"
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C in the terminal is for the run, which then ends its workers in order.
            start_new_session=not is_windows,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) if is_windows else 0,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("a process started with pipes has none")
        super().__init__(self._process.stdout, self._process.stdin)

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; False where the time runs out first."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


class LocalLauncher:
    """Starts workers as processes of this machine.

    Args:
        command: starts one, which then calls `toolkit.evals.running.worker.serve_pipes`.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command

    def start(self) -> WorkerProcess:
        """Start one worker."""
        return WorkerProcess(self._command)

    def close(self) -> None:
        """Nothing was opened."""


class _Worker:
    """One worker as the pool sees it."""

    def __init__(self, link: WorkerLink) -> None:
        self.link: WorkerLink = link
        self.tasks: dict[int, asyncio.Future[Performed]] = {}
        self.pacing: dict[int, asyncio.Task[None]] = {}
        self.admitted: dict[int, Reservation] = {}
        self.is_refused = False
        self.is_live = True


class WorkerPool:
    """The workers of one run; use it in an `async with` block.

    Args:
        count: how many workers.
        launcher: starts each.
        setup: what each is given first.
        client: keeps the rate limits.
    """

    def __init__(self, count: int, launcher: Launcher, setup: Setup, client: Client) -> None:
        self._count, self._launcher, self._setup, self._client = count, launcher, setup, client
        self._workers: list[_Worker] = []
        self._number = 0
        self._losses = 0
        self._failure: ToolkitError | None = None
        self._starting = threading.Lock()

    @property
    def _live(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.is_live]

    async def __aenter__(self) -> WorkerPool:
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._start_missing)
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self._workers:
            for pacing in worker.pacing.values():
                pacing.cancel()
            with suppress(OSError):
                worker.link.close()
        await asyncio.shield(asyncio.to_thread(self._wait_for_ends))

    async def perform(self, task: Task, is_last: bool, note: Note) -> Outcome:
        """Have a worker perform a task; another one where it is lost.

        Raises:
            ToolkitError: the rows could not be kept, or the workers keep ending.
        """
        losses = 0
        while True:
            try:
                performed = await self._send(task, is_last=is_last)
            except WorkerLost:
                losses += 1
                if losses < _MOST_LOSSES and self._losses < _MOST_LOSSES * self._count:
                    continue
                raise ToolkitError(
                    f"the worker processes of the run keep ending (last exit code: "
                    f"{self._exit_code()}); what is done is kept",
                    hint="Memory may be short: resume with fewer workers, or with `workers=1` to "
                    "see the error in this process.",
                ) from None
            if performed.was_limited is not None:
                note(performed.was_limited)
            return performed.outcome

    async def _send(self, task: Task, *, is_last: bool) -> Performed:
        if self._failure is not None:
            raise self._failure
        if len(self._live) < self._count:
            await asyncio.to_thread(self._start_missing)
        if not self._live:
            raise WorkerLost
        worker = min(self._live, key=lambda worker: len(worker.tasks))
        self._number += 1
        number = self._number
        performed: asyncio.Future[Performed] = self._loop.create_future()
        worker.tasks[number] = performed
        try:
            with suppress(OSError):  # its end is on the way
                worker.link.send(Perform(number, task.key, is_last))
            return await performed
        finally:
            worker.tasks.pop(number, None)

    def _start_missing(self) -> None:
        """Start workers until there are as many as wanted, each read by a thread."""
        with self._starting:
            while len(self._live) < self._count:
                worker = _Worker(self._launcher.start())
                self._workers.append(worker)
                with suppress(OSError):
                    worker.link.send(list(sys.path))
                    worker.link.send(self._setup)
                threading.Thread(
                    target=self._receive, args=(worker,), daemon=True, name="toolkit-eval-worker"
                ).start()

    def _receive(self, worker: _Worker) -> None:
        with suppress(RuntimeError):  # the loop was closed under the run
            while True:
                try:
                    message: FromWorker = worker.link.receive()
                except EOFError:
                    # Its output ends shortly before it does; the exit code is there afterwards.
                    worker.link.wait(_END_S)
                    self._loop.call_soon_threadsafe(self._lose, worker)
                    return
                self._loop.call_soon_threadsafe(self._handle, worker, message)

    def _handle(self, worker: _Worker, message: FromWorker) -> None:
        match message:
            case Performed():
                self._settle(worker, message.number, message)
                self._release(may_retry=True)
            case Failed(number=None):
                self._fail(message.error)
            case Failed():
                self._settle(worker, message.number, message.error)
            case Pace():
                worker.pacing[message.number] = self._loop.create_task(self._pace(worker, message))
            case Unpaced() if message.number in worker.pacing:
                worker.pacing[message.number].cancel()
            case UsedTokens() if message.number in worker.admitted:
                worker.admitted.pop(message.number).correct(message.tokens)
            case Refused():
                self._refuse(worker)

    def _settle(self, worker: _Worker, number: int | None, result: Performed | Exception) -> None:
        future = worker.tasks.get(number) if number is not None else None
        if future is None or future.done():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    def _refuse(self, worker: _Worker) -> None:
        """The run's cap refuses, and nothing in this worker can release a reservation."""
        worker.is_refused = True
        busy = [each for each in self._workers if each.is_live and each.tasks]
        if all(each.is_refused for each in busy):
            self._release(may_retry=False)

    def _release(self, *, may_retry: bool) -> None:
        """Answer the workers whose requests the run's cap refuses."""
        for worker in self._workers:
            if worker.is_refused:
                worker.is_refused = False
                with suppress(OSError):
                    worker.link.send(Released(may_retry))

    async def _pace(self, worker: _Worker, message: Pace) -> None:
        """Let one request of a worker pass the rate limit."""
        waited_ms, error = 0.0, None
        try:
            limiter = self._client.limiter(message.limit)
            deadline = time.monotonic() + message.wait_s
            reservation = await limiter.wait(
                message.tokens, deadline=deadline, provider=message.limit.provider
            )
            waited_ms = reservation.waited_ms
            if message.limit.tpm is not None:
                worker.admitted[message.number] = reservation
        except ToolkitError as refusal:
            error = refusal
        finally:
            worker.pacing.pop(message.number, None)
        with suppress(OSError):
            worker.link.send(Paced(message.number, waited_ms, error))

    def _lose(self, worker: _Worker) -> None:
        """A worker has ended: its tasks go to the others."""
        worker.is_live = False
        for pacing in worker.pacing.values():
            pacing.cancel()
        if worker.tasks or worker.link.exit_code not in (0, None):
            self._losses += 1
        for number in list(worker.tasks):
            self._settle(worker, number, WorkerLost())
        self._release(may_retry=True)

    def _fail(self, error: ToolkitError) -> None:
        """A worker cannot work at all, so no other can."""
        self._failure = error
        for worker in self._workers:
            for number in list(worker.tasks):
                self._settle(worker, number, error)

    def _exit_code(self) -> int | None:
        codes = [worker.link.exit_code for worker in self._workers if not worker.is_live]
        return codes[-1] if codes else None

    def _wait_for_ends(self) -> None:
        for worker in self._workers:
            if not worker.link.wait(_END_S):
                worker.link.kill()
        self._launcher.close()


def scorers_by_reference(config: EvalConfig) -> list[Any]:
    """The scorers of a run as another process can make them; functions by module and name.

    Raises:
        InvalidInput: another process cannot have a function of the run, or a cassette is open.
    """
    if current_source() != "live":
        raise InvalidInput(
            "an evaluation inside an open cassette cannot have worker processes, whose calls "
            "the cassette would not see",
            hint="Leave out `workers`.",
        )
    scorers = [
        config.scorers[item["function"]]
        if isinstance(item, Mapping) and "function" in item
        else item
        for item in config.config["scorers"]
    ]
    own = [item for item in scorers if not isinstance(item, str | Mapping)]
    for solver in config.plan.solvers:
        own += [*solver.tools, *([] if solver.function is None else [solver.function])]
    for function in own:
        _require_importable(function)
    return scorers


def _require_importable(function: Any) -> None:
    module = getattr(function, "__module__", None) or type(function).__module__
    try:
        pickle.dumps(function)
    except Exception:  # noqa: BLE001 - pickling a user's object may raise anything
        is_importable = False
    else:
        is_importable = module != "__main__"
    if not is_importable:
        name = getattr(function, "__qualname__", type(function).__qualname__)
        raise InvalidInput(
            f"the function {name} cannot be used by worker processes, which have to import it",
            hint="Put it at the top level of a module (not the script or the notebook itself), "
            "or leave out `workers`.",
        )
