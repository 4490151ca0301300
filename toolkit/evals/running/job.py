"""One run under way: its row, its rows, its end; and the samples it is about, kept beside it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from uuid_utils import uuid7

from toolkit.evals.config import EvalConfig
from toolkit.evals.dataset import Dataset
from toolkit.evals.eval_run import EvalRun, judge_thresholds
from toolkit.evals.results.summary import (
    compare_sides,
    count_codes,
    count_status,
    newest_rows,
    scorers_of,
    summarize,
)
from toolkit.evals.running.client import EvalClient
from toolkit.evals.running.plan import Key, Progress
from toolkit.evals.running.reuse import find_answers, find_reusable
from toolkit.evals.running.runner import Runner, RunnerDeps

if TYPE_CHECKING:
    from toolkit.toolkit import Toolkit

OnProgress = Callable[[Progress], None]
_MOST: Final = 64
_MOST_LOCAL: Final = 2  # the built-in server has a core or two; more would only wait inside it
_TELL_EVERY_S: Final = 2.0
_SCORED: Final = """
    SELECT model, variant, sample_id, epoch, scorer, score, status, error_code, scored_at
    FROM eval_samples WHERE run_id = ?"""
_SPENT: Final = "SELECT coalesce(sum(cost_usd), 0) AS usd FROM calls WHERE origin_id = ?"


class EvalJob:
    """One run under way: its row, its rows, its end."""

    def __init__(
        self,
        toolkit: Toolkit,
        run_id: str,
        order: EvalConfig,
        on_progress: OnProgress | None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self._toolkit, self._run_id, self._order = toolkit, run_id, order
        self._facts, self._on_progress = facts, on_progress
        self._started_at = facts["started_at"] if facts else datetime.now(UTC)
        self._told_at = time.monotonic()
        self._spent = Decimal(0)

    async def run(self, done: frozenset[Key] = frozenset()) -> EvalRun:
        """Ask what is not done; whatever happens, the run's row says how it ended."""
        plan, store = self._order.plan, self._toolkit.store
        await asyncio.to_thread(_keep_dataset, self._toolkit, plan.dataset)
        if self._facts is not None:
            row = (await asyncio.to_thread(store.rows, _SPENT, [self._run_id]))[0]
            self._spent = Decimal(str(row["usd"]))
        runner = await asyncio.to_thread(
            self._prepare, lambda model: self._toolkit.resolver.resolve(model)[0].name
        )
        self._write("running", runner)
        self._tell(runner.progress)
        is_through = False
        try:
            if self._order.get("reuse", True) and self._facts is None:
                done = await self._adopt_earlier(runner)
            await runner.run(done)
            is_through = runner.stopped_by is None
        finally:
            summary = self._summarize(runner, self._order.plan.total)
            ended = "done" if summary["answers"] else "failed"
            self._write(ended if is_through else "stopped", runner, summary)
        return as_run(self._last, self._toolkit)

    async def rescore(self) -> EvalRun:
        """Score what is stored."""
        # Nothing is asked, so that the models' providers may be gone, or were never here.
        runner = await asyncio.to_thread(self._prepare, lambda model: model.partition("/")[0])
        revision = str(uuid7())
        found = await asyncio.to_thread(
            lambda: find_answers(self._toolkit.store, [self._run_id], self._order.plan, is_own=True)
        )
        for task, solved in found:
            await runner.adopt(task, solved, revision)
        facts = self._facts or {}
        costs = [usd for usd in (facts["cost_usd"], runner.cost_usd) if usd is not None]
        row = {
            **facts,
            "summary": self._summarize(runner, int(facts["samples"])),
            "scorers": list(self._order.scorers),
            "config": {**read_json(facts["config"]), "scorers": self._order.config["scorers"]},
            "cost_usd": sum(costs, Decimal(0)) if costs else None,
        }
        self._toolkit.store.append("eval_runs", row)
        return as_run(row, self._toolkit)

    def _prepare(self, provider_of: Callable[[str], str]) -> Runner:
        order, toolkit = self._order, self._toolkit
        cap = order.get("cap_usd")
        desk = EvalClient(
            toolkit,
            self._run_id,
            None if cap is None else Decimal(str(cap)),
            order.plan.models if order.get("cache") else (),
        )
        means = RunnerDeps(
            desk=desk,
            write=lambda rows: toolkit.store.append_many("eval_samples", rows),
            provider_of=provider_of,
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
        found = await asyncio.to_thread(find_reusable, self._toolkit.store, self._order.plan)
        for task, solved in found:
            await runner.adopt(task, solved)
        return frozenset(task.key for task, _ in found)

    def _tell(self, progress: Progress) -> None:
        if self._on_progress is not None:
            self._on_progress(progress)
        if time.monotonic() - self._told_at >= _TELL_EVERY_S:
            self._told_at = time.monotonic()
            self._write("running", self._runner)

    def _summarize(self, runner: Runner, planned: int) -> dict[str, Any]:
        rows = newest_rows(self._toolkit.store.rows(_SCORED, [self._run_id]))
        scores = summarize(rows)
        failed, skipped = (count_status(rows, status) for status in ("error", "skipped"))
        answered = {(row["model"], row["variant"], row["sample_id"], row["epoch"]) for row in rows}
        summary = {
            "planned": planned,
            "answers": len(answered) - failed - skipped,
            "failed": failed,
            "skipped": skipped,
            "not_asked": planned - len(answered),
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
            "seed": plan.seed,
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
        self._toolkit.store.append("eval_runs", self._last)


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


def as_run(row: Mapping[str, Any], toolkit: Toolkit) -> EvalRun:
    """A run from its row of `eval_runs`."""
    summary = read_json(row["summary"])
    return EvalRun(
        run_id=row["run_id"],
        name=row["name"],
        status=row["status"],
        summary=summary,
        facts=row,
        toolkit=toolkit,
    )


def read_json(value: Any) -> Any:
    """The value of a JSON column; an empty mapping for none."""
    return (json.loads(value) if isinstance(value, str) else value) or {}


def dataset_path(toolkit: Toolkit, digest: str) -> Path:
    """Where the samples of this digest are kept."""
    return toolkit.settings.home / "datasets" / f"{digest}.jsonl"


def _keep_dataset(toolkit: Toolkit, dataset: Dataset) -> None:
    """Keep the samples beside the ledger, so that the run can be resumed anywhere on this home."""
    path, now = dataset_path(toolkit, dataset.digest), datetime.now(UTC)
    if path.is_file():
        return
    toolkit.settings.make_home()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    dataset.write(path)
    path.chmod(0o600)
    columns: Sequence[str] = sorted({key for sample in dataset for key in sample.metadata})
    toolkit.store.append(
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
