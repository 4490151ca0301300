"""Sends the requests of a load test: closed loops, open loops, bounds and the end of a run."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

from toolkit.calls.chat_request import build_request
from toolkit.errors import (
    AuthenticationFailed,
    BudgetExceeded,
    CallError,
    KeyRequired,
    ModelNotFound,
    PermissionDenied,
    QuotaExceeded,
    ToolkitError,
)
from toolkit.load_test.figures import (
    PHASE_TAG,
    REPEAT_TAG,
    SCHEDULED_TAG,
    STEP_TAG,
    Measurement,
    find_saturation,
    find_trends,
    measure_row,
    summarize_steps,
)
from toolkit.load_test.load_config import LoadStep, LoadTestConfig
from toolkit.load_test.prompts import Prompt, output_params

if TYPE_CHECKING:
    from toolkit.calls.client import Client
    from toolkit.load_test.send_schedule import Schedule
    from toolkit.records import Call, ChatRequest

StopCause = Literal[
    "interrupted",
    "failed",
    "max_seconds",
    "max_requests",
    "max_usd",
    "consecutive_errors",
    "not_callable",
]
_CLOCK_DRIFT_S: Final = 0.05
_ALIKE_FOR_ALL: Final = (
    KeyRequired,
    AuthenticationFailed,
    PermissionDenied,
    ModelNotFound,
    QuotaExceeded,
)
"""Errors that say nothing of the request: every other one would fail in the same way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadProgress:
    """How far a run is.

    Attributes:
        total: requests planned; where only time bounds them, the most that there may be.
        done, failed: requests that have ended, and those of them that failed.
        cost_usd: what they cost, USD; None: no price is known.
        step: what is being measured, for people.
    """

    total: int
    done: int
    failed: int
    cost_usd: float | None
    step: str


@dataclass(slots=True)
class _State:
    """What one run has sent and seen so far."""

    sent: int = 0
    done: int = 0
    failed: int = 0
    in_a_row: int = 0
    cost_usd: Decimal | None = None
    held_back: int = 0
    not_sent: Counter[str] = field(default_factory=Counter)
    step: str = ""
    step_calls: list[Call] = field(default_factory=list)


class LoadRunner:
    """One run in progress, on one event loop.

    Args:
        run_id: becomes `origin_id` of every call.
        config: steps, prompts and bounds.
        client: sends the requests, recorded as every call.
        on_progress: called after every request.

    Attributes:
        stopped_by: why the run ended before its plan, and a sentence; None: it did not.
        saturated_at: the step behind which later steps were left out.
    """

    def __init__(
        self,
        run_id: str,
        config: LoadTestConfig,
        client: Client,
        on_progress: Callable[[LoadProgress], None],
    ) -> None:
        self._run_id, self._config, self._client = run_id, config, client
        self._on_progress = on_progress
        self._state = _State()
        self._first_repeat: list[Measurement] = []
        self._prompts: list[Prompt] = []
        self._first_prompt = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        # When the last requests of closed loops were sent, as many as fit into a second or so.
        self._recent_s: deque[float] = deque(maxlen=max(1, int(config.bounds.max_rate)))
        self._began_s = time.monotonic()
        self._began_at = datetime.now(UTC)
        self.stopped_by: dict[str, str] | None = None
        self.saturated_at: int | None = None

    async def run(self) -> None:
        """Run every step of every repeat, until the plan or a bound ends it."""
        timer = asyncio.get_running_loop().call_later(
            self._config.bounds.max_seconds,
            lambda: self.stop(
                "max_seconds", f"the bound of {self._config.bounds.max_seconds:g} s was reached"
            ),
        )
        try:
            for repeat in range(1, self._config.repeats + 1):
                for step in self._config.steps:
                    if self._stopping.is_set():
                        return
                    if self.saturated_at is not None and step.number > self.saturated_at:
                        break
                    await self._run_step(step, repeat)
        finally:
            timer.cancel()
            await self._cancel_tasks()

    def stop(self, cause: StopCause, message: str, *, cancel: bool = True) -> None:
        """End the run: send nothing more, and `cancel` what is in flight or let it finish."""
        if self.stopped_by is None:
            self.stopped_by = {"cause": cause, "message": message}
        self._stopping.set()
        if cancel:
            for task in self._tasks:
                task.cancel()

    def facts(self) -> dict[str, Any]:
        """What the rows of the calls do not say: requests that were never sent, and bounds met."""
        drift_s = (datetime.now(UTC) - self._began_at).total_seconds() - (
            time.monotonic() - self._began_s
        )
        return {
            "not_sent": dict(self._state.not_sent),
            "held_back": self._state.held_back,
            "stopped_by": self.stopped_by,
            "saturated_at": self.saturated_at,
            "clock_drift_s": drift_s if abs(drift_s) > _CLOCK_DRIFT_S else None,
        }

    @property
    def progress(self) -> LoadProgress:
        """How far the run is."""
        state, planned = self._state, self._config.planned
        return LoadProgress(
            total=self._config.bounds.max_requests if planned is None else planned,
            done=state.done,
            failed=state.failed,
            cost_usd=None if state.cost_usd is None else float(state.cost_usd),
            step=state.step,
        )

    async def _run_step(self, step: LoadStep, repeat: int) -> None:
        several = f", repeat {repeat}" if self._config.repeats > 1 else ""
        self._state.step = f"step {step.number} ({step.label}){several}"
        self._state.step_calls.clear()
        self._state.in_a_row = 0
        self._first_prompt = self._state.sent
        schedule = self._config.schedule(step, repeat) if step.loop == "open" else None
        await self._prepare_prompts(len(schedule) if schedule else step.total, schedule)
        first = 0
        if self._state.sent == 0 and (step.extra or step.warmup):
            first = await self._send_first(step)
        if self._stopping.is_set():
            return
        if schedule is None:
            await self._run_closed(step, repeat, first)
        else:
            await self._run_open(step, repeat, schedule, first)
        if repeat == 1 and self._config.values["until_saturated"] and self.stopped_by is None:
            self._look_for_saturation(step)

    async def _send_first(self, step: LoadStep) -> int:
        """Send the first warm-up request alone, and return how many of the step were sent.

        It pays for what a process does once (imports, prices, a connection), which would delay
        the schedule, and shows whether the model can be called at all.
        """
        self._admit()
        index = -step.extra  # below 0: not part of the schedule
        await self._join([self._spawn(self._send(step, 1, index, time.monotonic()))])
        return index + 1

    async def _prepare_prompts(self, count: int | None, schedule: Schedule | None) -> None:
        """Make the prompts of a step beforehand: counting tokens takes time of the event loop."""
        source, first = self._config.prompts, self._first_prompt

        def make() -> list[Prompt]:
            wanted = min(count or 0, self._config.bounds.max_requests - first)
            lengths = schedule.length_of if schedule else lambda index: (None, None)
            return [source.prompt(first + index, lengths(index)) for index in range(wanted)]

        self._prompts = await asyncio.to_thread(make)

    def _look_for_saturation(self, step: LoadStep) -> None:
        """Leave out later steps if the server had no more to give at this one."""
        self._first_repeat.extend(measure_row(call.as_row()) for call in self._state.step_calls)
        rows = summarize_steps(self._config, self._first_repeat, 1)
        if find_saturation(self._config, rows, find_trends(self._first_repeat)):
            self.saturated_at = step.number

    async def _run_closed(self, step: LoadStep, repeat: int, first: int) -> None:
        """Keep so many requests in flight: each worker sends the next one when one has ended."""
        taken, ends_at_s = first, None if step.seconds is None else float("inf")

        async def work() -> None:
            nonlocal taken, ends_at_s
            while not self._stopping.is_set():
                index, taken = taken, taken + 1
                if step.total is not None and index >= step.total:
                    return
                if index == step.warmup and step.seconds is not None:
                    ends_at_s = time.monotonic() + step.seconds
                if ends_at_s is not None and time.monotonic() >= ends_at_s:
                    return
                due_s = await self._wait_for_slot()
                if due_s is None:
                    return
                await self._send(step, repeat, index, due_s)

        await self._join([self._spawn(work()) for _ in range(int(step.target))])

    async def _run_open(self, step: LoadStep, repeat: int, schedule: Schedule, first: int) -> None:
        """Send each request when it is due, whatever has become of the earlier ones."""
        slots = asyncio.Semaphore(self._config.bounds.max_concurrency)
        offsets_s, tasks = schedule.offsets_s[first:], list[asyncio.Task[None]]()
        began_s = time.monotonic() - (offsets_s[0] if offsets_s else 0.0)

        async def send(index: int, due_s: float) -> None:
            async with slots:
                if self._stopping.is_set():
                    self._state.not_sent["STOPPED"] += 1
                    return
                await self._send(step, repeat, index, due_s)

        for index, offset_s in enumerate(offsets_s, first):
            due_s = began_s + offset_s
            if not await self._wait_until(due_s) or not self._admit():
                break
            tasks.append(self._spawn(send(index, due_s)))
        await self._join(tasks)

    async def _wait_until(self, due_s: float) -> bool:
        """Wait until a moment of the clock; False when the run was stopped meanwhile."""
        left_s = due_s - time.monotonic()
        if left_s > 0 and not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._stopping.wait()
        else:
            await asyncio.sleep(0)  # let the requests that are due be sent
        return not self._stopping.is_set()

    async def _wait_for_slot(self) -> float | None:
        """The moment of the next request of a closed loop, at most `max_rate` a second."""
        if not self._admit():
            return None
        now_s = time.monotonic()
        window_s = (self._recent_s.maxlen or 1) / self._config.bounds.max_rate
        is_full = len(self._recent_s) == self._recent_s.maxlen
        due_s = max(now_s, self._recent_s[0] + window_s) if is_full else now_s
        self._recent_s.append(due_s)
        if due_s > now_s:
            self._state.held_back += 1
            if not await self._wait_until(due_s):
                return None
        return due_s

    def _admit(self) -> bool:
        """Count one more request, unless the bound on them is reached."""
        bounds = self._config.bounds
        if self._state.sent >= bounds.max_requests:
            message = f"the bound of {bounds.max_requests:,} requests was reached"
            self.stop("max_requests", message, cancel=False)
            return False
        self._state.sent += 1
        return True

    async def _send(self, step: LoadStep, repeat: int, index: int, due_s: float) -> None:
        """Send one request and note how it ended; whatever happens, its row is written."""
        request = self._build(step, repeat, index, due_s)
        try:
            call = await self._call(request)
        except ToolkitError as error:
            attempts = error.attempts if isinstance(error, CallError) else ()
            self._note_error(error, attempts[-1] if attempts else None)
        else:
            self._state.in_a_row = 0
            self._note(call)
        finally:
            self._state.done += 1
            self._on_progress(self.progress)

    async def _call(self, request: ChatRequest) -> Call:
        """The row of an answered request.

        Raises:
            ToolkitError: why there is no answer.
        """
        if not request.stream:
            return (await self._client.complete(request)).attempts[-1]
        async with self._client.stream(request) as stream:
            async for _ in stream.deltas():
                pass
        return stream.reply.attempts[-1]

    def _build(self, step: LoadStep, repeat: int, index: int, due_s: float) -> ChatRequest:
        values = self._config.values
        # Every step and repeat has prompts of its own, or a prefix cache would answer later ones.
        place = max(index, 0)
        if place < len(self._prompts):
            prompt = self._prompts[place]
        else:
            prompt = self._config.prompts.prompt(self._first_prompt + place)
        scheduled_at = self._began_at + timedelta(seconds=due_s - self._began_s)
        options: dict[str, Any] = {
            **output_params(values["params"], prompt.output_tokens),
            "origin": "load_test",
            "origin_id": self._run_id,
            "max_retries": values["retries"],
            "tags": {
                **values["tags"],
                STEP_TAG: str(step.number),
                REPEAT_TAG: str(repeat),
                PHASE_TAG: "warmup" if index < step.warmup else "measured",
                SCHEDULED_TAG: scheduled_at.isoformat(timespec="microseconds"),
            },
        }
        if values["timeout_s"] is not None:
            options["timeout_s"] = values["timeout_s"]
        return build_request(self._config.model, prompt.messages, options, stream=values["stream"])

    def _note(self, call: Call) -> None:
        self._state.step_calls.append(call)
        if call.cost_usd is not None:
            self._state.cost_usd = (self._state.cost_usd or Decimal(0)) + call.cost_usd

    def _note_error(self, error: ToolkitError, call: Call | None) -> None:
        """Count a failure; one that no other request can avoid ends the run."""
        state, most = self._state, self._config.bounds.max_consecutive_errors
        if call is None:
            state.not_sent[error.code] += 1
        else:
            self._note(call)
        if isinstance(error, BudgetExceeded):
            self.stop("max_usd", error.message, cancel=False)
            return
        state.failed += 1
        state.in_a_row += 1
        if state.done == 0 and isinstance(error, _ALIKE_FOR_ALL):
            self.stop("not_callable", f"the first request failed: {error.message}")
        elif state.in_a_row >= most:
            self.stop(
                "consecutive_errors",
                f"{most:,} requests failed one after another, the last one with {error.code}: "
                f"{error.message}",
            )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _join(self, tasks: list[asyncio.Task[None]]) -> None:
        """Wait for the requests of a step; those that were cancelled by `stop` have ended too."""
        if tasks:
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and (bug := task.exception()) is not None:
                raise bug

    async def _cancel_tasks(self) -> None:
        left = [task for task in self._tasks if not task.done()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
