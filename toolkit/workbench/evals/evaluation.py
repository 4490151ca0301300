"""Evaluations over the workbench: run, resume, score again, list, compare. `tk.evaluate`."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from uuid_utils import uuid7

from toolkit.errors import InvalidInput
from toolkit.evals.dataset import Dataset
from toolkit.evals.plan import Key, Progress
from toolkit.evals.run import Means, Runner
from toolkit.evals.summary import (
    compare_sides,
    count_codes,
    count_status,
    newest_rows,
    scorers_of,
    summarize,
)
from toolkit.workbench.evals.config import Order, find_dataset, read_order
from toolkit.workbench.evals.desk import EvalDesk
from toolkit.workbench.evals.earlier import find_answers, find_done, find_reusable
from toolkit.workbench.evals.run import EvalRun, judge_thresholds

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.workbench.bench import Workbench
    from toolkit.workbench.evals.estimate import Estimate

__all__ = ["EvalRun", "Evaluation"]

OnProgress = Callable[[Progress], None]
_MOST: Final = 64
_MOST_LOCAL: Final = 2  # the built-in server has a core or two; more would only wait inside it
_TELL_EVERY_S: Final = 2.0
_END_S: Final = 10.0
_SCORED: Final = """
    SELECT model, variant, sample_id, epoch, scorer, score, status, error_code, scored_at
    FROM eval_samples WHERE run_id = ?"""
_SPENT: Final = "SELECT coalesce(sum(cost_usd), 0) AS usd FROM calls WHERE origin_id = ?"


class Evaluation:
    """The evaluations of one workbench."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def run(
        self, dataset: Any, models: Any, *, on_progress: OnProgress | None = None, **options: Any
    ) -> EvalRun:
        """See `toolkit.evaluate`; Ctrl-C stops the run, and what is done is kept."""
        return self._wait(lambda: self.arun(dataset, models, on_progress=on_progress, **options))

    async def arun(
        self, dataset: Any, models: Any, *, on_progress: OnProgress | None = None, **options: Any
    ) -> EvalRun:
        """The same as `run`, for use with `await` on the portal's loop or one of your own."""
        order = self.order(dataset, models, **options)
        return await _Session(self._bench, str(uuid7()), order, on_progress).run()

    def order(self, dataset: Any, models: Any, **options: Any) -> Order:
        """Read what was ordered, without asking anything; `estimate` takes it.

        Raises:
            InvalidInput: something makes no sense.
        """
        return read_order(find_dataset(dataset, self._bench), models, options)

    def estimate(self, dataset: Any, models: Any, **options: Any) -> Sequence[Estimate]:
        """What a run would cost: low, expected and high for each model, and where that is from."""
        from toolkit.workbench.evals.estimate import estimate

        order = self.order(dataset, models, **options)
        return self._bench.portal.run(estimate(self._bench, order.plan))

    def resume(
        self,
        run: str,
        *,
        solvers: Any = None,
        scorers: Any = None,
        retry_errors: bool = False,
        on_progress: OnProgress | None = None,
        **changes: Any,
    ) -> EvalRun:
        """Ask what is missing of a run, and nothing else.

        Args:
            run: its id, the begin of it, or its name.
            solvers, scorers: where they were functions, these again.
            retry_errors: ask again where a call failed, too.
            on_progress: told of the progress.
            changes: other `cap_usd` or `concurrency`.
        """
        known = self.get(run)
        order = self._order_of(known, solvers=solvers, scorers=scorers, **changes)
        session = _Session(self._bench, known.run_id, order, on_progress, facts=known.facts)
        done = find_done(self._bench.store, known.run_id, with_errors=not retry_errors)
        return self._wait(lambda: session.run(done))

    def rescore(self, run: str, scorers: Any) -> EvalRun:
        """Score the stored answers of a run again; the models are not asked (a judge is)."""
        known = self.get(run)
        order = self._order_of(known, scorers=scorers)
        session = _Session(self._bench, known.run_id, order, None, facts=known.facts)
        return self._wait(session.rescore)

    def list(self, limit: int | None = None) -> pd.DataFrame:
        """The runs, newest first, one row each."""
        query = "SELECT * FROM eval_runs ORDER BY started_at DESC, run_id DESC LIMIT ?"
        return self._bench.store.frame(query, [2**62 if limit is None else limit])

    def get(self, run: str) -> EvalRun:
        """A run by its id, the begin of its id, or its name (the newest of that name).

        Raises:
            InvalidInput: there is none, or several ids begin like that.
        """
        rows = self._bench.store.rows(
            "SELECT * FROM eval_runs WHERE name = ? OR starts_with(run_id, ?) "
            "ORDER BY started_at DESC",
            [run, run],
        )
        named = [row for row in rows if row["name"] == run or row["run_id"] == run]
        if not rows or not run:
            raise InvalidInput(f"there is no run {run!r}", hint="See `toolkit eval list`.")
        if not named and len(rows) > 1:
            raise InvalidInput(f"{len(rows)} runs begin with {run!r}", hint="Write more of the id.")
        return _as_run((named or rows)[0], self._bench)

    def compare(self, a: str, b: str, scorer: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Run B against run A; see `EvalRun.compare`."""
        return self.get(a).compare(self.get(b), scorer)

    def _order_of(self, run: EvalRun, **given: Any) -> Order:
        """The order of a stored run, with what is given in place of what was kept."""
        config = dict(_json(run.facts["config"]))
        if not run.facts["dataset_sha256"]:
            raise InvalidInput(
                f"the run {run.name!r} was imported, so nothing can be asked or scored again",
                hint="It can be read, compared, exported and reported.",
            )
        dataset = Dataset.from_file(_dataset_path(self._bench, run.facts["dataset_sha256"]))
        dataset.name = config.pop("dataset")
        models = config.pop("models")
        options = {**config, **{k: v for k, v in given.items() if v is not None}}
        return read_order(dataset, models, {**options, "name": run.name})

    def _wait(self, work: Callable[[], Any]) -> EvalRun:
        """Run on the background loop; an interrupted wait lets the run put its things in order."""
        ended = threading.Event()

        async def whole() -> Any:
            try:
                return await work()
            finally:
                ended.set()

        try:
            result: EvalRun = self._bench.portal.run(whole())
        except KeyboardInterrupt:
            ended.wait(_END_S)
            raise
        return result


class _Session:
    """One run under way: its row, its rows, its end."""

    def __init__(
        self,
        bench: Workbench,
        run_id: str,
        order: Order,
        on_progress: OnProgress | None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self._bench, self._run_id, self._order = bench, run_id, order
        self._facts, self._on_progress = facts, on_progress
        self._started_at = facts["started_at"] if facts else datetime.now(UTC)
        self._told_at = time.monotonic()
        self._spent = Decimal(0)

    async def run(self, done: frozenset[Key] = frozenset()) -> EvalRun:
        """Ask what is not done; whatever happens, the run's row says how it ended."""
        plan, store = self._order.plan, self._bench.store
        await asyncio.to_thread(_keep_dataset, self._bench, plan.dataset)
        if self._facts is not None:
            row = (await asyncio.to_thread(store.rows, _SPENT, [self._run_id]))[0]
            self._spent = Decimal(str(row["usd"]))
        runner = await asyncio.to_thread(self._prepare)
        self._write("running", runner)
        is_through = False
        try:
            if self._order.get("reuse", True) and self._facts is None:
                done = await self._adopt_earlier(runner)
            await runner.run(done)
            is_through = runner.stopped_by is None
        finally:
            summary = self._summarize(runner)
            ended = "done" if summary["answers"] else "failed"
            self._write(ended if is_through else "stopped", runner, summary)
        return _as_run(self._last, self._bench)

    async def rescore(self) -> EvalRun:
        """Score what is stored."""
        runner, revision = await asyncio.to_thread(self._prepare), str(uuid7())
        found = await asyncio.to_thread(
            find_answers, self._bench.store, [self._run_id], self._order.plan
        )
        for task, solved in found:
            await runner.adopt(task, solved, revision)
        facts = self._facts or {}
        row = {**facts, "summary": self._summarize(runner), "scorers": list(self._order.scorers)}
        row["config"] = {**_json(facts["config"]), "scorers": self._order.config["scorers"]}
        self._bench.store.append("eval_runs", row)
        return _as_run(row, self._bench)

    def _prepare(self) -> Runner:
        order, bench = self._order, self._bench
        cap = order.get("cap_usd")
        desk = EvalDesk(
            bench,
            self._run_id,
            None if cap is None else Decimal(str(cap)),
            self._spent,
            order.plan.models if order.get("cache") else (),
        )
        means = Means(
            desk=desk,
            write=lambda rows: bench.store.append_many("eval_samples", rows),
            provider_of=lambda model: bench.resolver.resolve(model)[0].name,
            most_of=lambda name: order.get(
                "concurrency", _MOST_LOCAL if name == "local" else _MOST
            ),
            on_progress=self._tell,
        )
        runner = Runner(self._run_id, order.plan, order.scorers, means)
        self._runner = runner
        return runner

    async def _adopt_earlier(self, runner: Runner) -> frozenset[Key]:
        """Take finished work of earlier runs that asked the same in the same way."""
        found = await asyncio.to_thread(find_reusable, self._bench.store, self._order.plan)
        for task, solved in found:
            await runner.adopt(task, solved)
        return frozenset(task.key for task, _ in found)

    def _tell(self, progress: Progress) -> None:
        if self._on_progress is not None:
            self._on_progress(progress)
        if time.monotonic() - self._told_at >= _TELL_EVERY_S:
            self._told_at = time.monotonic()
            self._write("running", self._runner)

    def _summarize(self, runner: Runner) -> dict[str, Any]:
        rows = newest_rows(self._bench.store.rows(_SCORED, [self._run_id]))
        scores = summarize(rows)
        failed, skipped = (count_status(rows, status) for status in ("error", "skipped"))
        answered = {(row["model"], row["variant"], row["sample_id"], row["epoch"]) for row in rows}
        total = self._order.plan.total
        summary = {
            "planned": total,
            "answers": len(answered) - failed - skipped,
            "failed": failed,
            "skipped": skipped,
            "not_asked": total - len(answered),
            "errors": count_codes(rows),
            "scores": scores,
            "comparisons": {name: compare_sides(rows, name) for name in scorers_of(rows)},
            "thresholds": judge_thresholds(self._order.get("thresholds", ()), scores),
            "stopped_by": runner.stopped_by.as_dict() if runner.stopped_by else None,
        }
        return {**summary, "sentence": _say(summary)}

    def _write(self, status: str, runner: Runner, summary: Mapping[str, Any] | None = None) -> None:
        order, plan = self._order, self._order.plan
        cost = runner.cost_usd
        if self._facts is not None and (self._spent or cost is not None):
            cost = self._spent + (cost or Decimal(0))
        self._last = {
            "run_id": self._run_id,
            "name": order.name,
            "dataset_id": plan.dataset.digest,
            "dataset": plan.dataset.name,
            "dataset_sha256": plan.dataset.digest,
            "models": list(plan.models),
            "scorers": list(order.scorers),
            "epochs": plan.epochs,
            "params": {},
            "config": dict(order.config),
            "seed": order.get("seed", 0),
            "status": status,
            "samples": plan.total,
            "done": summary["answers"] + summary["failed"] if summary else runner.done,
            "errors": summary["failed"] if summary else runner.failed,
            "cost_usd": cost,
            "started_at": self._started_at,
            "ended_at": None if status == "running" else datetime.now(UTC),
            "summary": summary or {},
            "tags": dict(order.tags),
        }
        self._bench.store.append("eval_runs", self._last)


def _say(summary: Mapping[str, Any]) -> str:
    """What a run came to, in one or two sentences."""
    text = f"{summary['answers']:,} of {summary['planned']:,} answers"
    if summary["failed"]:
        codes = ", ".join(f"{code} {n:,}" for code, n in summary["errors"].items())
        text += f", {summary['failed']:,} failed ({codes})"
    if summary["not_asked"]:
        text += f", {summary['not_asked']:,} not asked yet"
    if summary["skipped"]:
        stopped = summary["stopped_by"]
        text += f", {summary['skipped']:,} left out by a cap"
        text += f": {stopped['message']}" if stopped else ""
    for pairs in summary["comparisons"].values():
        if len(pairs) == 1:
            text += f". {pairs[0]['sentence']}"
    return f"{text}."


def _as_run(row: Mapping[str, Any], bench: Workbench) -> EvalRun:
    summary = _json(row["summary"])
    return EvalRun(
        run_id=row["run_id"],
        name=row["name"],
        status=row["status"],
        summary=summary,
        facts=row,
        bench=bench,
    )


def _json(value: Any) -> Any:
    return (json.loads(value) if isinstance(value, str) else value) or {}


def _dataset_path(bench: Workbench, digest: str) -> Any:
    return bench.settings.home / "datasets" / f"{digest}.jsonl"


def _keep_dataset(bench: Workbench, dataset: Dataset) -> None:
    """Keep the samples beside the ledger, so that the run can be resumed anywhere on this home."""
    path, now = _dataset_path(bench, dataset.digest), datetime.now(UTC)
    if path.is_file():
        return
    bench.settings.make_home()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    dataset.write(path)
    path.chmod(0o600)
    columns: Sequence[str] = sorted({key for sample in dataset for key in sample.metadata})
    bench.store.append(
        "datasets",
        {
            "dataset_id": dataset.digest,
            "name": dataset.name,
            "path": str(path),
            "sha256": dataset.digest,
            "samples": len(dataset),
            "columns": ["id", "input", "target", *columns],
            "created_at": now,
            "updated_at": now,
        },
    )
