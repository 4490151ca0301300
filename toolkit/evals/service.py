"""The evaluations of one home folder: run, resume, rescore, list and compare."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any, Final, Unpack

from uuid_utils import uuid7

from toolkit.calls.sync_calls import Portal
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.evals.config import DatasetLike, EvalConfig, EvalOptions, find_dataset, read_config
from toolkit.evals.dataset import Dataset
from toolkit.evals.eval_run import EvalRun
from toolkit.evals.running.dependencies import EvalDependencies
from toolkit.evals.running.job import (
    EvalJob,
    OnProgress,
    as_run,
    read_json,
    summarize_run,
)
from toolkit.evals.running.plan import Key, Progress
from toolkit.evals.running.reuse import config_of_rows, find_done
from toolkit.evals.running.run_folder import dataset_path, with_real_status
from toolkit.store.queries import evals as queries

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.evals.estimate import Estimate

__all__ = ["EvalRun", "Evaluation", "RunningEval"]

_END_S: Final = 10.0


class Evaluation:
    """The evaluations of one home folder."""

    def __init__(self, deps: EvalDependencies) -> None:
        self._deps = deps
        self._in_background: dict[str, RunningEval] = {}

    def run(
        self,
        dataset: DatasetLike,
        models: str | Sequence[str],
        *,
        on_progress: OnProgress | None = None,
        **options: Unpack[EvalOptions],
    ) -> EvalRun:
        """Run an evaluation; see `toolkit.evaluate`. Ctrl-C stops it, and what is done is kept."""
        return self._wait(lambda: self.arun(dataset, models, on_progress=on_progress, **options))

    async def arun(
        self,
        dataset: DatasetLike,
        models: str | Sequence[str],
        *,
        on_progress: OnProgress | None = None,
        **options: Unpack[EvalOptions],
    ) -> EvalRun:
        """The same as `run`, for use with `await`."""
        config = self.configure(dataset, models, **options)
        return await EvalJob(self._deps, str(uuid7()), config, on_progress).run()

    def start(
        self, dataset: DatasetLike, models: str | Sequence[str], **options: Unpack[EvalOptions]
    ) -> RunningEval:
        """Start a run in the background; it goes on until it ends or is stopped.

        Args:
            dataset, models, options: as in `toolkit.evaluate`.

        Raises:
            InvalidInput: something makes no sense; nothing was begun.
        """
        return self._start(str(uuid7()), self.configure(dataset, models, **options))

    def start_resume(self, run: str, *, retry_errors: bool = False, **changes: Any) -> RunningEval:
        """Start `resume` in the background; with the same arguments.

        Raises:
            InvalidInput: the run is unknown, cannot be repeated, or is in progress here.
        """
        known = self.get(run)
        config = self._config_of(known, **changes)
        self._refuse_twice(known)
        done = find_done(self._deps.store, known.run_id, with_errors=not retry_errors)
        return self._start(known.run_id, config, known.facts, done)

    def find_background_run(self, run_id: str) -> RunningEval | None:
        """The run of this id if it was started in the background of this process, else None."""
        return self._in_background.get(run_id)

    def _start(
        self,
        run_id: str,
        config: EvalConfig,
        facts: Mapping[str, Any] | None = None,
        done: frozenset[Key] = frozenset(),
    ) -> RunningEval:
        running = RunningEval(run_id)
        session = EvalJob(self._deps, run_id, config, running.note, facts=facts)
        running.begin(self._deps.portal(), lambda: session.run(done))
        self._in_background[run_id] = running
        return running

    def _refuse_twice(self, run: EvalRun) -> None:
        running = self._in_background.get(run.run_id)
        if running is not None and not running.is_over:
            raise InvalidInput(f"the run {run.name!r} is in progress", hint="Stop it first.")

    def configure(
        self, dataset: DatasetLike, models: str | Sequence[str], **options: Unpack[EvalOptions]
    ) -> EvalConfig:
        """Check the configuration of a run without calling a model.

        Raises:
            InvalidInput: something makes no sense.
        """
        return read_config(find_dataset(dataset, self._deps.store), models, options)

    def estimate(
        self, dataset: DatasetLike, models: str | Sequence[str], **options: Unpack[EvalOptions]
    ) -> Sequence[Estimate]:
        """Estimate what a run would cost: low, expected and high for each model and judge."""
        from toolkit.evals.estimate import estimate

        config = self.configure(dataset, models, **options)
        return self._deps.portal().run(estimate(self._deps, config.plan, config.scorers))

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
        """Continue a run: only missing answers are requested.

        Args:
            run: its id, a prefix of it, or its name.
            solvers, scorers: given again where they were functions.
            retry_errors: also repeat calls that failed.
            on_progress: called with the progress.
            changes: a new `cap_usd`, `concurrency`, `workers` or `backend`.
        """
        known = self.get(run)
        config = self._config_of(known, solvers=solvers, scorers=scorers, **changes)
        self._refuse_twice(known)
        session = EvalJob(self._deps, known.run_id, config, on_progress, facts=known.facts)
        done = find_done(self._deps.store, known.run_id, with_errors=not retry_errors)
        return self._wait(lambda: session.run(done))

    def rescore(self, run: str, scorers: Any) -> EvalRun:
        """Score the stored answers of a run again; only judges are called.

        An imported run is scored by the samples that its file holds.
        """
        known = self.get(run)
        if known.facts["dataset_sha256"]:
            config = self._config_of(known, scorers=scorers)
        else:
            config = config_of_rows(known.name, known.rows(), scorers)
        session = EvalJob(self._deps, known.run_id, config, None, facts=known.facts)
        return self._wait(session.rescore)

    def list(self, limit: int | None = None) -> pd.DataFrame:
        """The runs, newest first, one row each."""
        frame = queries.list_runs(self._deps.store, limit)
        home = self._deps.settings.home
        frame["status"] = [
            with_real_status({"run_id": run_id, "status": status}, home)["status"]
            for run_id, status in zip(frame["run_id"], frame["status"], strict=True)
        ]
        # A killed process reported its progress every few seconds; its kept answers are the truth.
        is_lost = frame["status"] == "interrupted"
        kept = queries.count_done(self._deps.store, list(frame.loc[is_lost, "run_id"]))
        frame["done"] = [
            kept.get(run_id, 0) if lost else done
            for run_id, done, lost in zip(frame["run_id"], frame["done"], is_lost, strict=True)
        ]
        return frame

    def recent(self, limit: int) -> Sequence[Mapping[str, Any]]:
        """The same as plain rows."""
        store, home = self._deps.store, self._deps.settings.home
        rows = [with_real_status(row, home) for row in queries.run_rows(store, limit)]
        lost = [row["run_id"] for row in rows if row["status"] == "interrupted"]
        kept = queries.count_done(store, lost) if lost else {}
        return [
            {**row, "done": kept.get(row["run_id"], 0)} if row["run_id"] in lost else row
            for row in rows
        ]

    def get(self, run: str) -> EvalRun:
        """Find a run by its id, a prefix of its id, or its name (the newest of that name).

        Raises:
            InvalidInput: no run matches, or several ids begin so.
        """
        rows = queries.find_runs(self._deps.store, run)
        named = [row for row in rows if row["name"] == run or row["run_id"] == run]
        if not rows or not run:
            raise InvalidInput(f"there is no run {run!r}", hint="See `toolkit eval list`.")
        if not named and len(rows) > 1:
            raise InvalidInput(
                f"{len(rows)} runs begin with {run!r}", hint="Give a longer prefix of the id."
            )
        row = with_real_status((named or rows)[0], self._deps.settings.home)
        return as_run(self._with_summary(row), self._deps.store)

    def _with_summary(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row of a run; if its process ended without writing a summary, one of its answers."""
        if row["status"] != "interrupted":
            return row
        thresholds = read_json(row["config"]).get("thresholds", ())
        planned = int(row["samples"] or 0)
        summary = summarize_run(self._deps.store, row["run_id"], planned, thresholds)
        done = summary["answers"] + summary["failed"]
        return {**row, "summary": summary, "done": done, "errors": summary["failed"]}

    def compare(self, a: str, b: str, scorer: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Run B against run A; see `EvalRun.compare`."""
        return self.get(a).compare(self.get(b), scorer)

    def _config_of(self, run: EvalRun, **given: Any) -> EvalConfig:
        """The configuration of a stored run, with the given options in place of the stored ones."""
        config = dict(read_json(run.facts["config"]))
        if not run.facts["dataset_sha256"]:
            raise InvalidInput(
                f"the run {run.name!r} was imported: its configuration is not known, so it cannot "
                "be resumed",
                hint="It can be shown, compared, exported, reported and rescored.",
            )
        dataset = Dataset.from_file(
            dataset_path(self._deps.settings.home, run.facts["dataset_sha256"])
        )
        dataset.name = config.pop("dataset")
        models = config.pop("models")
        options = {**config, **{k: v for k, v in given.items() if v is not None}}
        return read_config(dataset, models, {**options, "name": run.name})

    def _wait(self, work: Callable[[], Any]) -> EvalRun:
        """Wait for work on the background loop; an interrupt lets the run store its end first."""
        ended = threading.Event()

        async def whole() -> Any:
            try:
                return await work()
            finally:
                ended.set()

        try:
            result: EvalRun = self._deps.portal().run(whole())
        except KeyboardInterrupt:
            ended.wait(_END_S)
            raise
        return result


_BEGIN_S: Final = 60.0


class RunningEval:
    """One run in the background, on the event loop of the toolkit.

    Attributes:
        run_id: its id; its row of `eval_runs` is there from the beginning.
        progress: how far it is; None before it has begun.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.progress: Progress | None = None
        self._has_begun = threading.Event()
        self._ended = threading.Event()
        self._future: Future[EvalRun] | None = None

    def begin(self, portal: Portal, work: Callable[[], Coroutine[Any, Any, EvalRun]]) -> None:
        """Start the work and wait until its row is kept.

        Raises:
            ToolkitError: it failed before it had begun.
        """

        async def whole() -> EvalRun:
            try:
                return await work()
            finally:
                self._ended.set()
                self._has_begun.set()

        self._future = portal.start(whole())
        self._has_begun.wait(_BEGIN_S)
        if self.progress is None and self._ended.is_set():
            self._future.result()

    def note(self, progress: Progress) -> None:
        """Take note of the progress; called by the run."""
        self.progress = progress
        self._has_begun.set()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, however it ended; its row says how."""
        return self._ended.is_set()

    @property
    def failure(self) -> ToolkitError | None:
        """What ended it before its time, a full disk for example; None for a cap or a person."""
        if not self.is_over or self._future is None:
            return None
        try:
            self._future.result()
        except ToolkitError as error:
            return error
        except CancelledError:
            return None
        return None

    def stop(self) -> None:
        """Stop it; calls in flight are cancelled, finished answers are kept."""
        if self._future is not None:
            self._future.cancel()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is over; False when the time runs out first."""
        return self._ended.wait(timeout_s)
