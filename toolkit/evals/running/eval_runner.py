"""The runner: requests the answers of a plan, scores each, and writes its rows at once.

Every answer's rows are written before the next one is begun by that worker, so whatever kills
the run, only answers in flight are lost, and resuming asks only for what is missing. At each
provider as many calls are in flight as it accepts (`concurrency`). What a cap
leaves out gets a row that says so, and is asked for by resuming, too.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, islice
from typing import Any, Final, Literal

from toolkit.errors import BudgetExceeded, ToolkitError
from toolkit.evals.bounded import TookTooLong
from toolkit.evals.running.plan import Key, Plan, Progress, Task, hash_id
from toolkit.evals.running.retrying_client import AdaptiveLimit, RetryingClient
from toolkit.evals.scoring.run_client import RunClient, TaggingClient, current_client
from toolkit.evals.scoring.score import UNREADABLE, Answer, AnyScorer, Score
from toolkit.evals.scoring.scoring import is_pass, score_answer
from toolkit.evals.solvers import Solved, solve
from toolkit.evals.toolbox import Ask
from toolkit.records import Message, Reply

_RATE_WINDOW_S: Final = 30.0
_WRITTEN_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one task.

    Attributes:
        end: `done`: its rows are kept; `later`: it failed and may work at the end of the run;
            `left_out`: a cap does not admit it.
        is_failed: whether it is done without an answer.
        usd: what it has cost, judges included; None: no call had a price.
        error: the cap that left it out.
        replies: of its turns before that.
    """

    end: Literal["done", "later", "left_out"]
    is_failed: bool = False
    usd: Decimal | None = None
    error: ToolkitError | None = None
    replies: Sequence[Reply] = ()


Note = Callable[[bool], None]
"""Told about the calls of a task: was any of their attempts answered with 429?"""
Perform = Callable[[Task, bool, Note], Awaitable[Outcome]]
"""Gets one answer, scores it and keeps its rows; the second argument: no later attempt follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerDeps:
    """What a run works with.

    Attributes:
        client: calls models, within the budget of the run.
        write: keeps rows of `eval_samples`; they are durable when it returns.
        provider_of: the name of a model's provider.
        max_concurrency: the most calls in flight at a provider (by its name).
        on_progress: called after every answer.
        perform: performs a task elsewhere, in another process; None: here.
        may_release: whether a call elsewhere may still release a reservation of the cap; awaited
            when no call here can.
    """

    client: RunClient
    write: Callable[[Sequence[Row]], None]
    provider_of: Callable[[str], str]
    max_concurrency: Callable[[str], int] = lambda provider: 64
    on_progress: Callable[[Progress], None] | None = None
    perform: Perform | None = None
    may_release: Callable[[], Awaitable[bool]] | None = None


class Runner:
    """One run of a plan; use it once.

    Args:
        run_id: the run that the rows belong to.
        plan: what to ask.
        scorers: by name.
        deps: what it works with.
    """

    def __init__(
        self, run_id: str, plan: Plan, scorers: Mapping[str, AnyScorer], deps: RunnerDeps
    ) -> None:
        self.run_id = run_id
        self.stopped_by: ToolkitError | None = None
        self.done: int = 0
        self.failed: int = 0
        self.reused: int = 0
        self.skipped: int = 0
        self.cost_usd: Decimal | None = None
        self._plan = plan
        self._scorers = scorers
        self._client = RetryingClient(deps.client, deps.provider_of, may_release=deps.may_release)
        self._perform = deps.perform or self.perform
        self._write = deps.write
        self._provider_of = deps.provider_of
        self._on_progress = deps.on_progress
        names = {deps.provider_of(model) for model in plan.models}
        self._limits = {name: AdaptiveLimit(deps.max_concurrency(name)) for name in names}
        self._retries: list[Task] = []
        self._left_out: list[tuple[Task, Sequence[Reply]]] = []
        self._ends: deque[float] = deque()

    async def run(self, done: Collection[Key] = frozenset()) -> None:
        """Ask for everything but what is `done`; failures worth it are tried once more at the end.

        A cap that is reached ends it early; `stopped_by` says so, and so does a row for each
        answer that is left out. Whatever else ends it early leaves no row: it is simply missing.

        Raises:
            StoreError: a row could not be kept; nothing more is asked.
        """
        self.reused = self.done = len(done)
        tasks: dict[str, list[Iterator[Task]]] = {}
        for model in self._plan.models:
            tasks.setdefault(self._provider_of(model), []).append(self._plan.tasks(model, done))
        first = {name: _alternate(of) for name, of in tasks.items()}
        await self._work(first, is_last=False)
        late: dict[str, list[Task]] = {}
        for task in self._retries:
            late.setdefault(self._provider_of(task.model), []).append(task)
        second = {name: iter(of) for name, of in late.items()}
        await self._work(second, is_last=True)
        if self.stopped_by is not None:
            await self._record_skipped(self.stopped_by, chain(*first.values(), *second.values()))

    async def adopt(self, task: Task, solved: Solved, revision: Any = 0) -> None:
        """Score an answer that is there already and keep its rows; nothing is asked."""
        rows = await self._score(task, solved)
        for row in rows:
            row["result_id"] = hash_id(self.run_id, task.key, row["scorer"], revision)
        self._write(rows)
        self._spend(row["judge_cost_usd"] for row in rows)

    @property
    def progress(self) -> Progress:
        """How far it is."""
        per_s = None
        if len(self._ends) > 1:
            per_s = (len(self._ends) - 1) / max(self._ends[-1] - self._ends[0], 1e-9)
        left = self._plan.total - self.done
        return Progress(
            total=self._plan.total,
            done=self.done,
            failed=self.failed,
            reused=self.reused,
            cost_usd=None if self.cost_usd is None else float(self.cost_usd),
            per_s=per_s,
            left_s=left / per_s if per_s else None,
            limits={name: limit.width for name, limit in self._limits.items()},
        )

    async def _work(self, queues: Mapping[str, Iterator[Task]], *, is_last: bool) -> None:
        async def worker(provider: str, queue: Iterator[Task]) -> None:
            limit = self._limits[provider]
            while self.stopped_by is None:
                async with limit:
                    if self.stopped_by is not None or (task := next(queue, None)) is None:
                        return
                    await self._finish(task, limit, is_last=is_last)

        try:
            async with asyncio.TaskGroup() as group:
                for provider, queue in queues.items():
                    for _ in range(self._limits[provider].most):
                        group.create_task(worker(provider, queue))
        except BaseExceptionGroup as several:  # what stopped the first worker stopped the others
            raise several.exceptions[0] from None

    async def _record_skipped(self, error: ToolkitError, never_begun: Iterator[Task]) -> None:
        left_out = chain(self._left_out, ((task, ()) for task in never_begun))
        rows = (build_skipped_row(self.run_id, task, error, got) for task, got in left_out)
        while batch := list(islice(rows, _WRITTEN_AT_ONCE)):
            await asyncio.to_thread(self._write, batch)
            self.skipped += len(batch)

    async def _finish(self, task: Task, limit: AdaptiveLimit, *, is_last: bool) -> None:
        """Perform one task and count what became of it."""
        outcome = await self._perform(
            task, is_last, lambda was_limited: limit.note(was_limited=was_limited)
        )
        self._spend([outcome.usd])
        match outcome.end:
            case "later":
                self._retries.append(task)
            case "left_out":
                self.stopped_by = self.stopped_by or outcome.error
                self._left_out.append((task, outcome.replies))
            case "done":
                self.failed += outcome.is_failed
                self._count()

    async def perform(self, task: Task, is_last: bool, note: Note) -> Outcome:
        """Get one answer, score it, keep its rows.

        Raises:
            StoreError: its rows could not be kept.
        """
        replies: list[Reply] = []
        is_failed = True
        try:
            solved = await solve(task.solver, task.sample, self._asker(task, replies))
        except BudgetExceeded as error:
            spent = _total(reply.cost_usd for reply in replies)
            return Outcome(end="left_out", usd=spent, error=error, replies=tuple(replies))
        except ToolkitError as error:
            note(_was_limited(getattr(error, "attempts", ())))
            if not is_last and _may_pass(error):
                return Outcome(end="later")
            rows = [build_error_row(self.run_id, task, error.code, error.message, replies, error)]
        except Exception as error:  # noqa: BLE001 - a user's own function may raise anything
            code = "SOLVER_TIMEOUT" if isinstance(error, TookTooLong) else "SOLVER_ERROR"
            message = f"{type(error).__name__}: {error}"
            rows = [build_error_row(self.run_id, task, code, message, replies)]
        else:
            note(any(_was_limited(r.attempts) for r in solved.replies))
            rows, is_failed = await self._score(task, solved), False
        self._write(rows)
        spent = _total([rows[0]["cost_usd"], *(row["judge_cost_usd"] for row in rows)])
        return Outcome(end="done", is_failed=is_failed, usd=spent)

    def _asker(self, task: Task, replies: list[Reply]) -> Ask:
        async def ask(messages: Sequence[Message], **params: Any) -> Reply:
            options = {**task.solver.params, **params}
            options["tags"] = {**task.tags, **(options.get("tags") or {})}
            reply = await self._client.complete(task.model, messages, **options)
            replies.append(reply)
            return reply

        return ask

    async def _score(self, task: Task, solved: Solved) -> list[Row]:
        reply = solved.replies[-1] if solved.replies else None
        answer = Answer(sample=task.sample, text=solved.text, reply=reply)
        rows = []
        for name, scorer in self._scorers.items():
            current_client.set(TaggingClient(self._client, {**task.tags, "scorer": name}))
            found = await score_answer(scorer, answer)
            row = build_row(self.run_id, task, solved, name, found)
            rows.append(row | {"is_pass": is_pass(scorer, found)})
        return rows or [build_row(self.run_id, task, solved, None, None)]

    def _count(self) -> None:
        self.done += 1
        now = time.monotonic()
        self._ends.append(now)
        while now - self._ends[0] > _RATE_WINDOW_S:
            self._ends.popleft()
        if self._on_progress is not None:
            self._on_progress(self.progress)

    def _spend(self, amounts: Iterable[Decimal | None]) -> None:
        for usd in amounts:
            if usd is not None:
                self.cost_usd = (self.cost_usd or Decimal(0)) + usd


def _may_pass(error: ToolkitError) -> bool:
    """Whether the same call may work later; after several attempts the last one decides."""
    last = getattr(error, "last_error", None) or error
    return getattr(last, "retry", "no") != "no"


def _was_limited(attempts: Sequence[Any]) -> bool:
    return any(attempt.http_status == 429 for attempt in attempts)


def _alternate(queues: Sequence[Iterator[Task]]) -> Iterator[Task]:
    """One task of each model in turn, so that all of them get on."""
    waiting = deque(queues)
    while waiting:
        queue = waiting.popleft()
        task = next(queue, None)
        if task is not None:
            waiting.append(queue)
            yield task


Row = dict[str, Any]


def build_row(
    run_id: str, task: Task, solved: Solved, scorer: str | None, found: Score | None
) -> Row:
    """One row of `eval_samples`: an answer as one scorer sees it."""
    reply = solved.replies[-1] if solved.replies else None
    sample, is_cached = task.sample, any("cached" in r.flags for r in solved.replies)
    details = found.details if found else {}
    code = details.get("code") or ("SCORER_ERROR" if found and found.error else None)
    is_unreadable = found is not None and found.is_unreadable
    value = found.value if found else None
    return {
        "result_id": hash_id(run_id, task.key, scorer, 0),
        "run_id": run_id,
        "sample_id": sample.sample_id,
        "epoch": task.epoch,
        "provider": task.model.partition("/")[0],
        "model": task.model,
        "variant": task.solver.name,
        "params": dict(task.solver.params),
        "scorer": scorer,
        "input": sample.input,
        "target": list(sample.target) if isinstance(sample.target, tuple) else sample.target,
        "output": solved.text,
        "score": value,
        "is_pass": None,
        "explanation": (found.error or found.reason or None) if found else None,
        "metadata": dict(sample.metadata),
        "status": "error" if code else "ok",
        # An unreadable answer has been judged: its status is ok, its score 0, its code says why.
        "error_code": code or (UNREADABLE if is_unreadable else None),
        "error_message": found.error if found else None,
        "call_id": reply.call_id if reply else None,
        "request_id": reply.request_id if reply else None,
        "input_tokens": _total(r.usage.input_tokens for r in solved.replies),
        "output_tokens": _total(r.usage.output_tokens for r in solved.replies),
        "cost_usd": None if is_cached else _total(r.cost_usd for r in solved.replies),
        "duration_ms": _total(r.timing.duration_ms for r in solved.replies),
        "ttft_ms": solved.replies[0].timing.ttft_ms if solved.replies else None,
        "is_cached": is_cached,
        "judge_model": details.get("judge_model"),
        "judge_call_id": details.get("judge_call_id"),
        "judge_cost_usd": details.get("judge_cost_usd"),
        "scored_at": datetime.now(UTC),
    }


def build_error_row(
    run_id: str,
    task: Task,
    code: str,
    message: str,
    seen: Sequence[Reply],
    error: ToolkitError | None = None,
) -> Row:
    """The row of a call that failed, with what came of it; `seen` are the replies before it."""
    row = build_row(run_id, task, Solved("", tuple(seen)), None, None)
    attempts = getattr(error, "attempts", ())
    call_id = attempts[-1].call_id if attempts else row["call_id"]
    return row | {
        "result_id": hash_id(run_id, task.key, None, call_id),
        "output": getattr(error, "partial_text", None) or None,
        "status": "error",
        "error_code": code,
        "error_message": message,
        "call_id": call_id,
    }


def build_skipped_row(run_id: str, task: Task, error: ToolkitError, seen: Sequence[Reply]) -> Row:
    """The row of an answer that a cap left out; `seen` are replies of its turns before that."""
    message = (
        f"left out when a cap ended the run: {error.message}. Resume the run with a higher cap "
        f"to ask for it: `toolkit eval resume {run_id} --cap USD`"
    )
    return build_row(run_id, task, Solved("", tuple(seen)), None, None) | {
        "result_id": hash_id(run_id, task.key, None, message),
        "output": None,
        "status": "skipped",
        "error_code": error.code,
        "error_message": message,
    }


def _total(values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None
