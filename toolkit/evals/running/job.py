"""One run in progress: its row of `eval_runs`, its samples' rows, its end, its dataset."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from uuid_utils import uuid7

from toolkit.errors import InvalidInput
from toolkit.evals.config import RAY, EvalConfig
from toolkit.evals.eval_run import EvalRun, judge_thresholds
from toolkit.evals.results.summary import (
    compare_sides,
    count_codes,
    count_status,
    newest_rows,
    scorers_of,
    summarize,
)
from toolkit.evals.running.dependencies import EvalDependencies
from toolkit.evals.running.eval_client import EvalClient
from toolkit.evals.running.eval_runner import Runner, RunnerDeps
from toolkit.evals.running.plan import Key, Progress
from toolkit.evals.running.reuse import find_answers, find_reusable
from toolkit.evals.running.run_folder import dataset_path, keep_dataset, run_lock
from toolkit.evals.running.worker_messages import Setup
from toolkit.evals.running.worker_pool import (
    Launcher,
    LocalLauncher,
    WorkerPool,
    scorers_by_reference,
)
from toolkit.store.queries import evals as queries

if TYPE_CHECKING:
    from toolkit.store.store import Store

OnProgress = Callable[[Progress], None]
_MOST: Final = 64
_MOST_LOCAL: Final = 2  # the built-in server has few cores; more would only wait inside it
_REPORT_EVERY_S: Final = 2.0


class EvalJob:
    """One run in progress."""

    def __init__(
        self,
        deps: EvalDependencies,
        run_id: str,
        config: EvalConfig,
        on_progress: OnProgress | None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self._deps, self._run_id, self._config = deps, run_id, config
        self._facts, self._on_progress = facts, on_progress
        self._started_at = facts["started_at"] if facts else datetime.now(UTC)
        self._reported_at = time.monotonic()
        self._spent = Decimal(0)

    async def run(self, done: frozenset[Key] = frozenset()) -> EvalRun:
        """Ask for what is not done; whatever happens, the run's row says how it ended."""
        lock = run_lock(self._deps.settings.home, self._run_id)
        if not await asyncio.to_thread(lock.acquire):
            raise InvalidInput(
                f"the run {self._config.name!r} is in progress in another process",
                hint="Wait for it, or stop that process first.",
            )
        try:
            return await self._run(done)
        finally:
            lock.release()

    async def _run(self, done: frozenset[Key]) -> EvalRun:
        plan, store = self._config.plan, self._deps.store
        await asyncio.to_thread(keep_dataset, self._deps, plan.dataset)
        if self._facts is not None:
            self._spent = await asyncio.to_thread(queries.spent_usd, store, self._run_id)
        pool = await asyncio.to_thread(self._prepare_workers)
        runner = await asyncio.to_thread(
            self._prepare, lambda model: self._deps.resolve(model)[0].name, pool
        )
        self._write("running", runner)
        self._report(runner.progress)
        is_through = False
        try:
            if self._config.get("reuse", True) and self._facts is None:
                done = await self._adopt_earlier(runner)
            async with pool or nullcontext():
                await runner.run(done)
            is_through = runner.stopped_by is None
        finally:
            summary = self._summarize(runner, self._config.plan.total)
            ended = "done" if summary["answers"] else "failed"
            self._write(ended if is_through else "stopped", runner, summary)
        return as_run(self._last, self._deps.store)

    async def rescore(self) -> EvalRun:
        """Score what is stored."""
        # No model is called, so their providers need not exist here any more.
        runner = await asyncio.to_thread(self._prepare, lambda model: model.partition("/")[0])
        revision = str(uuid7())
        found = await asyncio.to_thread(
            lambda: find_answers(self._deps.store, [self._run_id], self._config.plan, is_own=True)
        )
        for task, solved in found:
            await runner.adopt(task, solved, revision)
        facts = self._facts or {}
        asked = self._config.config["scorers"]
        if facts["status"] != "done":  # resuming it scores what is missing by all of its scorers
            asked = _add_scorers(read_json(facts["config"]).get("scorers", ()), asked)
        costs = [usd for usd in (facts["cost_usd"], runner.cost_usd) if usd is not None]
        row = {
            **facts,
            "summary": self._summarize(runner, int(facts["samples"])),
            "scorers": list(self._config.scorers),
            "config": {**read_json(facts["config"]), "scorers": asked},
            "cost_usd": sum(costs, Decimal(0)) if costs else None,
        }
        self._deps.store.append("eval_runs", row)
        return as_run(row, self._deps.store)

    def _prepare_workers(self) -> WorkerPool | None:
        """The workers that the run asks for; None: it stays in this process."""
        config, deps, plan = self._config, self._deps, self._config.plan
        count, launcher = int(config.get("workers", 1)), self._launcher()
        if count == 1 and isinstance(launcher, LocalLauncher):
            return None
        path = dataset_path(deps.settings.home, plan.dataset.digest)
        setup = Setup(
            run_id=self._run_id,
            settings=deps.settings,
            dataset=(path, plan.dataset.name),
            models=plan.models,
            solvers=plan.solvers,
            scorers=scorers_by_reference(config),
            epochs=plan.epochs,
            seed=plan.seed,
            cap_usd=self._cap_usd,
            cached_models=self._cached_models,
            samples=None if isinstance(launcher, LocalLauncher) else path.read_bytes(),
        )
        return WorkerPool(count, launcher, setup, deps.client())

    def _launcher(self) -> Launcher:
        backend = RAY.fullmatch(self._config.get("backend", "local"))
        if backend is None:
            return LocalLauncher(self._deps.worker_command)
        from toolkit.evals.running.ray_workers import RayLauncher

        return RayLauncher(backend["address"] or backend["client"] or "", self._deps.open_worker)

    @property
    def _cap_usd(self) -> Decimal | None:
        cap = self._config.get("cap_usd")
        return None if cap is None else Decimal(str(cap))

    @property
    def _cached_models(self) -> Sequence[str]:
        return self._config.plan.models if self._config.get("cache") else ()

    def _prepare(self, provider_of: Callable[[str], str], pool: WorkerPool | None = None) -> Runner:
        config, deps = self._config, self._deps
        client = EvalClient(deps, self._run_id, self._cap_usd, self._cached_models)
        runner_deps = RunnerDeps(
            client=client,
            write=lambda rows: deps.store.append_many("eval_samples", rows),
            provider_of=provider_of,
            max_concurrency=lambda name: config.get(
                "concurrency", _MOST_LOCAL if name == "local" else _MOST
            ),
            on_progress=self._report,
            perform=None if pool is None else pool.perform,
        )
        runner = Runner(self._run_id, config.plan, config.scorers, runner_deps)
        self._runner = runner
        return runner

    async def _adopt_earlier(self, runner: Runner) -> frozenset[Key]:
        """Reuse answers of earlier runs with the same data, models and solvers."""
        found = await asyncio.to_thread(find_reusable, self._deps.store, self._config.plan)
        for task, solved in found:
            await runner.adopt(task, solved)
        return frozenset(task.key for task, _ in found)

    def _report(self, progress: Progress) -> None:
        if self._on_progress is not None:
            self._on_progress(progress)
        if time.monotonic() - self._reported_at >= _REPORT_EVERY_S:
            self._reported_at = time.monotonic()
            self._write("running", self._runner)

    def _summarize(self, runner: Runner, planned: int) -> dict[str, Any]:
        stopped_by = runner.stopped_by.as_dict() if runner.stopped_by else None
        thresholds = self._config.get("thresholds", ())
        return summarize_run(self._deps.store, self._run_id, planned, thresholds, stopped_by)

    def _write(self, status: str, runner: Runner, summary: Mapping[str, Any] | None = None) -> None:
        config, plan = self._config, self._config.plan
        cost = runner.cost_usd
        if self._facts is not None and (self._spent or cost is not None):
            cost = self._spent + (cost or Decimal(0))
        self._last = {
            "run_id": self._run_id,
            "name": config.name,
            "dataset_id": plan.dataset.digest,
            "dataset": plan.dataset.name,
            "dataset_sha256": plan.dataset.digest,
            "models": list(plan.models),
            "scorers": list(config.scorers),
            "epochs": plan.epochs,
            "params": {},
            "config": dict(config.config),
            "seed": plan.seed,
            "status": status,
            "samples": plan.total,
            "done": summary["answers"] + summary["failed"] if summary else runner.done,
            "errors": summary["failed"] if summary else runner.failed,
            "cost_usd": cost,
            "started_at": self._started_at,
            "ended_at": None if status == "running" else datetime.now(UTC),
            "summary": summary or {},
            "tags": dict(config.tags),
        }
        self._deps.store.append("eval_runs", self._last)


def _add_scorers(kept: Sequence[Any], added: Sequence[Any]) -> list[Any]:
    """The scorers of a configuration with others, which replace those of the same name."""

    def name_of(item: Any) -> Any:
        if isinstance(item, str):
            return item
        return item.get("name") or item.get("type") or item.get("function")

    names = {name_of(item) for item in added}
    return [*(item for item in kept if name_of(item) not in names), *added]


def summarize_run(
    store: Store,
    run_id: str,
    planned: int,
    thresholds: Sequence[Mapping[str, Any]],
    stopped_by: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The summary of the answers that a run has stored, of which `planned` are wanted."""
    rows = newest_rows(queries.score_rows(store, run_id))
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
        "thresholds": judge_thresholds(thresholds, scores),
        "stopped_by": stopped_by,
    }
    return {**summary, "sentence": _say(summary)}


def _say(summary: Mapping[str, Any]) -> str:
    """What a run came to, in one or two sentences."""
    text = f"{summary['answers']:,} of {summary['planned']:,} answers"
    if summary["failed"]:
        codes = ", ".join(f"{code} {n:,}" for code, n in summary["errors"].items())
        text += f", {summary['failed']:,} failed ({codes})"
    unreadable = sum(entry["unreadable"] for entry in summary["scores"])
    if unreadable:
        text += f", {unreadable:,} unreadable"
    if summary["not_asked"]:
        text += f", {summary['not_asked']:,} not asked yet"
    if summary["skipped"]:
        stopped = summary["stopped_by"]
        text += f", {summary['skipped']:,} left out by a cap"
        text += f": {stopped['message']}" if stopped else ""
    compared = {name: pairs[0] for name, pairs in summary["comparisons"].items() if len(pairs) == 1}
    for name, pair in compared.items():
        text += f". {f'{name}: ' if len(compared) > 1 else ''}{pair['sentence']}"
    return f"{text}."


def as_run(row: Mapping[str, Any], store: Store) -> EvalRun:
    """A run from its row of `eval_runs`."""
    summary = read_json(row["summary"])
    return EvalRun(
        run_id=row["run_id"],
        name=row["name"],
        status=row["status"],
        summary=summary,
        facts=row,
        store=store,
    )


def read_json(value: Any) -> Any:
    """The value of a JSON column; an empty mapping for none."""
    return (json.loads(value) if isinstance(value, str) else value) or {}
