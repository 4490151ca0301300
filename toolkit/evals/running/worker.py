"""A worker process of an evaluation: the ordinary runner, fed with tasks by the run's process.

It ends when its channel ends, so it never outlives the process that started it.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import platform
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final, TypeVar

from toolkit.calls.policy.rate_limiter import RateLimit, Reservation
from toolkit.errors import ToolkitError
from toolkit.evals.dataset import Dataset
from toolkit.evals.running.dependencies import EvalDependencies, OpenWorker
from toolkit.evals.running.eval_client import EvalClient
from toolkit.evals.running.eval_runner import Runner, RunnerDeps
from toolkit.evals.running.plan import Key, Plan, Task
from toolkit.evals.running.run_folder import dataset_path, lock_path
from toolkit.evals.running.worker_messages import (
    Channel,
    Failed,
    Pace,
    Paced,
    Perform,
    Performed,
    PipeChannel,
    Refused,
    Released,
    Setup,
    ToWorker,
    Unpaced,
    UsedTokens,
)
from toolkit.evals.scoring.scoring import read_scorers
from toolkit.files import write_atomic
from toolkit.settings import Settings

T = TypeVar("T")
_ROUNDING_S: Final = 0.001


def serve_pipes(open_dependencies: OpenWorker) -> None:
    """Perform tasks until standard input ends."""
    # A user's function may print: that must not end up among the messages.
    channel = PipeChannel(sys.stdin.buffer, os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    serve(channel, open_dependencies)


def serve(channel: Channel, open_dependencies: OpenWorker) -> None:
    """Perform the tasks of a channel until it ends."""
    try:
        paths: list[str] = channel.receive()
        sys.path[:] = [*paths, *(path for path in sys.path if path not in paths)]
        setup: Setup = channel.receive()
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001 - the import of a user's module may raise anything
        channel.send(Failed(None, _cannot_start(error)))
        return
    try:
        setup = adapt_to_machine(setup)
    except ToolkitError as error:
        channel.send(Failed(None, error))
        return
    worker = _Worker(channel, setup)
    deps, close = open_dependencies(setup.settings, worker.find_limiter)
    try:
        with suppress(OSError):  # the run's process has ended
            asyncio.run(worker.run(deps))
    finally:
        close()


def adapt_to_machine(setup: Setup) -> Setup:
    """The setup as it applies on this machine, which may not be that of the run.

    The lock file of the run says whether this is the home folder of the run. Elsewhere the home
    folder of this machine is used, whose database must be the one that the run writes to.

    Raises:
        ToolkitError: the rows would end up in another database, or a cap could not be kept.
    """
    home = setup.settings.home
    if setup.samples is None or lock_path(home, setup.run_id).exists():
        return setup
    settings = Settings()
    if not settings.is_store_shared or settings.store != setup.settings.store:
        raise ToolkitError(
            f"the worker on {platform.node()} does not have the database of the run",
            hint="Workers on other machines need the run's shared database: set `store` to the "
            "same quack: or ducklake: URL on all of them (see docs/sharing.md).",
        )
    if setup.cap_usd is not None:
        raise ToolkitError(
            "the cap of a run is kept in its home folder, which workers on other machines do not "
            "have",
            hint="Leave out `cap_usd`, or send the calls through a gateway whose token has a "
            "budget.",
        )
    path = dataset_path(settings.home, setup.dataset[0].stem)
    if not path.is_file():
        settings.make_home()
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_atomic(path, setup.samples)
    return replace(setup, settings=settings, dataset=(path, setup.dataset[1]))


def _cannot_start(error: Exception) -> ToolkitError:
    return ToolkitError(
        f"a worker process cannot import what the run uses: {type(error).__name__}: {error}",
        hint="Solvers and scorers that are functions need a module that can be imported.",
    )


def _answer(waiting: asyncio.Future[T] | None, value: T) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(value)


class _Worker:
    """The tasks of one worker process."""

    def __init__(self, channel: Channel, setup: Setup) -> None:
        self._channel, self._setup = channel, setup
        self._numbers = itertools.count()
        self._paced: dict[int, asyncio.Future[Paced]] = {}
        self._released: asyncio.Future[bool] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, deps: EvalDependencies) -> None:
        """Perform what comes until nothing more comes."""
        try:
            tasks, runner = self._prepare(deps)
        except ToolkitError as error:
            self._channel.send(Failed(None, error))
            return
        arrived: asyncio.Queue[ToWorker | None] = asyncio.Queue()
        threading.Thread(
            target=self._receive,
            args=(asyncio.get_running_loop(), arrived),
            daemon=True,
            name="toolkit-eval-messages",
        ).start()
        while (message := await arrived.get()) is not None:
            match message:
                case Perform():
                    task = asyncio.create_task(self._perform(runner, tasks[message.key], message))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                case Paced():
                    _answer(self._paced.pop(message.number, None), message)
                case Released():
                    _answer(self._released, message.may_retry)
        await self._stop()

    def _receive(
        self, loop: asyncio.AbstractEventLoop, arrived: asyncio.Queue[ToWorker | None]
    ) -> None:
        """Hand every message to the event loop; None when no more will come."""
        message: ToWorker | None
        while True:
            try:
                message = self._channel.receive()
            except EOFError:
                message = None
            with suppress(RuntimeError):  # the loop is closed: this process is ending
                loop.call_soon_threadsafe(arrived.put_nowait, message)
            if message is None:
                return

    def _prepare(self, deps: EvalDependencies) -> tuple[Mapping[Key, Task], Runner]:
        setup = self._setup
        path, name = setup.dataset
        dataset = Dataset.from_file(path)
        dataset.name = name
        plan = Plan(
            dataset=dataset,
            models=setup.models,
            solvers=setup.solvers,
            epochs=setup.epochs,
            seed=setup.seed,
        )
        runner_deps = RunnerDeps(
            client=EvalClient(deps, setup.run_id, setup.cap_usd, setup.cached_models),
            write=lambda rows: deps.store.append_many("eval_samples", rows),
            provider_of=lambda model: deps.resolve(model)[0].name,
            may_release=self._may_release,
        )
        tasks = {task.key: task for model in plan.models for task in plan.tasks(model)}
        scorers = read_scorers(list(setup.scorers), default=())
        return tasks, Runner(setup.run_id, plan, scorers, runner_deps)

    async def _perform(self, runner: Runner, task: Task, message: Perform) -> None:
        limited: list[bool] = []
        try:
            outcome = await runner.perform(task, message.is_last, limited.append)
        except ToolkitError as error:
            self._channel.send(Failed(message.number, error))
            return
        was_limited = any(limited) if limited else None
        self._channel.send(Performed(message.number, outcome, was_limited))

    async def _stop(self) -> None:
        """Cancel what is in progress; each call then writes its row."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _may_release(self) -> bool:
        self._released = asyncio.get_running_loop().create_future()
        self._channel.send(Refused())
        return await self._released

    def find_limiter(self, limit: RateLimit) -> SharedLimiter:
        """The limiter of a provider, kept by the run's process."""
        return SharedLimiter(self, limit)

    async def pace(self, limit: RateLimit, tokens: int, wait_s: float) -> Reservation:
        """Ask the run's process to let one request pass."""
        number = next(self._numbers)
        answer = self._paced[number] = asyncio.get_running_loop().create_future()
        self._channel.send(Pace(number, limit, tokens, wait_s))
        try:
            paced = await answer
        except asyncio.CancelledError:
            self._paced.pop(number, None)
            self._channel.send(Unpaced(number))
            raise
        if paced.error is not None:
            raise paced.error
        if limit.tpm is None:
            return Reservation(paced.waited_ms)
        return Reservation(
            paced.waited_ms, lambda total: self._channel.send(UsedTokens(number, total))
        )


class SharedLimiter:
    """A rate limiter that the run's process keeps for all its workers.

    Args:
        worker: sends the messages.
        limit: of the provider.
    """

    def __init__(self, worker: _Worker, limit: RateLimit) -> None:
        self._worker, self._limit = worker, limit

    async def wait(self, tokens: int, *, deadline: float, provider: str) -> Reservation:
        """Wait until one request may be sent; see `RateLimiter.wait`."""
        del provider  # named by the limit
        if self._limit.rpm is None and self._limit.tpm is None:
            return Reservation(0.0)
        # A monotonic clock is a process's own, so what is left of the time is sent.
        wait_s = max(0.0, deadline - time.monotonic() - _ROUNDING_S)
        return await self._worker.pace(self._limit, tokens, wait_s)
