"""The load tests of one home folder: estimate, run, list and read again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Unpack

from uuid_utils import uuid7

from toolkit.calls.adapters import warm
from toolkit.calls.chat_request import build_request
from toolkit.display import Card, Shown, money
from toolkit.errors import InvalidInput
from toolkit.evals.config import find_dataset
from toolkit.evals.running.dependencies import RunDependencies
from toolkit.evals.running.run_folder import run_lock, with_real_status
from toolkit.load_test.load_config import (
    LoadTestConfig,
    LoadTestOptions,
    read_load_config,
    read_stored,
)
from toolkit.load_test.load_result import LoadTestRun, summarize_run
from toolkit.load_test.load_runner import LoadProgress, LoadRunner
from toolkit.load_test.prompts import output_params
from toolkit.pricing.budget import Cap
from toolkit.pricing.cost_estimate import estimate_request
from toolkit.pricing.spend import read_answer_lengths
from toolkit.store.queries.load_tests import find_load_tests, load_test_rows, request_rows

if TYPE_CHECKING:
    from toolkit.store.store import Store

OnLoadProgress = Callable[[LoadProgress], None]

_SAMPLED: Final = 20
_POLL_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadEstimate(Shown):
    """What a load test will send and may cost; nothing was sent.

    Attributes:
        model: `provider/model_id`.
        requests: how many, warm-up included; the bound where only time limits them.
        is_bound: whether `requests` is the bound and not the plan.
        input_tokens, output_tokens: of all requests together; of the output, the most.
        expected_usd, most_usd: the cost; None: no price is known.
        max_usd: the bound on the cost.
        own_limit: requests per second that the toolkit's own rate limit lets through.
        prompts: how the prompts were made and counted.
    """

    model: str
    requests: int
    is_bound: bool
    input_tokens: int
    output_tokens: int
    expected_usd: Decimal | None
    most_usd: Decimal | None
    max_usd: Decimal | None
    own_limit: float | None
    prompts: str

    def sentence(self) -> str:
        """The estimate for people."""
        most = "at most " if self.is_bound else ""
        text = (
            f"{most}{self.requests:,} requests to {self.model}, about {self.input_tokens:,} input "
            f"tokens and at most {self.output_tokens:,} output tokens"
        )
        if self.expected_usd is None:
            text += "; no price is known"
        else:
            text += f"; expected {money(self.expected_usd)}, at most {money(self.most_usd)}"
        if self.max_usd is not None:
            text += f"; the run ends at {money(self.max_usd)}"
        if self.own_limit is not None:
            text += f". The toolkit's own rate limit lets {self.own_limit:.4g} requests/s through"
        return f"{text}. Prompts: {self.prompts}."

    def _card(self) -> Card:
        return Card(title=f"Estimate for {self.model}; nothing was sent", text=self.sentence())


class LoadTests:
    """The load tests of one home folder."""

    def __init__(self, deps: RunDependencies) -> None:
        self._deps = deps

    def run(
        self,
        model: str,
        *,
        on_progress: OnLoadProgress | None = None,
        **options: Unpack[LoadTestOptions],
    ) -> LoadTestRun:
        """Run a load test; see `toolkit.load_test`. Ctrl-C ends it and keeps what was measured."""
        job = _Job(self._deps, self.configure(model, **options), on_progress)
        portal = self._deps.portal()
        future = portal.start(job.run())
        while True:
            try:
                if wait([future], _POLL_S).done:
                    return future.result()
            except KeyboardInterrupt:
                if job.is_interrupted:  # the second one does not wait for the end
                    future.cancel()
                    raise
                job.is_interrupted = True
                portal.run(job.interrupt())

    async def arun(
        self,
        model: str,
        *,
        on_progress: OnLoadProgress | None = None,
        **options: Unpack[LoadTestOptions],
    ) -> LoadTestRun:
        """Do the same as `run`, for use with `await`."""
        config = await asyncio.to_thread(lambda: self.configure(model, **options))
        return await _Job(self._deps, config, on_progress).run()

    def configure(self, model: str, **options: Unpack[LoadTestOptions]) -> LoadTestConfig:
        """Check the options of a run; nothing is sent.

        Raises:
            InvalidInput: an option makes no sense, or a bound would not hold.
            ToolkitError: there is no such provider.
        """
        provider, model_id = self._deps.resolve(model)
        given: Mapping[str, Any] = options
        data = given.get("dataset")
        dataset = None if data is None else find_dataset(data, self._deps.store)
        name = f"{provider.name}/{model_id}"
        config = read_load_config(name, provider, self._deps.settings, given, dataset)
        is_free = provider.is_local or config.values["allow_unpriced"]
        if not is_free and self._deps.prices.look_up(name).prices.in_force is None:
            raise InvalidInput(
                f"no price of {name} is known, so that max_usd cannot hold",
                provider=provider.name,
                hint="Set its price (see docs/pricing.md), or allow it with allow_unpriced "
                "(--allow-unpriced).",
            )
        return config

    def estimate(self, model: str, **options: Unpack[LoadTestOptions]) -> LoadEstimate:
        """Estimate what a run would send and cost; nothing is sent."""
        return self.estimate_config(self.configure(model, **options))

    def estimate_config(self, config: LoadTestConfig) -> LoadEstimate:
        """The estimate of a checked configuration, from its first prompts."""
        planned = config.planned
        requests = config.bounds.max_requests if planned is None else planned
        costs = self._deps.prices.look_up(config.model)
        lengths = read_answer_lengths(self._deps.store, config.model)
        found = []
        for index in range(min(_SAMPLED, requests)):
            known = config.trace.length_of(index) if config.trace else (None, None)
            prompt = config.prompts.prompt(index, known)
            params = output_params(config.values["params"], prompt.output_tokens)
            request = build_request(config.model, prompt.messages, params)
            found.append(estimate_request(request, costs, lengths))
        expected = [one.expected_usd for one in found if one.expected_usd is not None]
        most = [one.most_usd for one in found if one.most_usd is not None]
        share = Decimal(requests) / len(found)
        return LoadEstimate(
            model=config.model,
            requests=requests,
            is_bound=planned is None,
            input_tokens=round(sum(one.input_tokens for one in found) * share),
            output_tokens=round(sum(one.most_output_tokens for one in found) * share),
            expected_usd=sum(expected, Decimal(0)) * share if expected else None,
            most_usd=sum(most, Decimal(0)) * share if most else None,
            max_usd=config.bounds.max_usd,
            own_limit=config.own_limit,
            prompts=config.prompts.basis,
        )

    def list(self, limit: int = 20) -> list[dict[str, Any]]:
        """The runs, newest first, one row of `load_tests` each."""
        home = self._deps.settings.home
        rows = load_test_rows(self._deps.store, limit)
        return [with_real_status(row, home) for row in rows]

    def get(self, run: str) -> LoadTestRun:
        """Find a run by its id, a prefix of its id, or its name (the newest of that name).

        Raises:
            InvalidInput: no run matches, or several ids begin so.
        """
        rows = find_load_tests(self._deps.store, run) if run else []
        named = [row for row in rows if run in (row["name"], row["run_id"])]
        if not rows:
            raise InvalidInput(f"there is no load test {run!r}", hint="See `toolkit bench list`.")
        if not named and len(rows) > 1:
            raise InvalidInput(
                f"{len(rows)} load tests begin with {run!r}",
                hint="Give a longer prefix of the id.",
            )
        row = with_real_status((named or rows)[0], self._deps.settings.home)
        summary = _read_json(row["summary"])
        if not summary:  # its process was killed: the calls say what was measured
            config = read_stored(_read_json(row["config"]))
            calls = request_rows(self._deps.store, row["run_id"])
            summary = summarize_run(config, calls, {})
        return _as_result(row, summary, self._deps.store)


class _Job:
    """One run: its row, its budget and its runner."""

    def __init__(
        self,
        deps: RunDependencies,
        config: LoadTestConfig,
        on_progress: OnLoadProgress | None,
    ) -> None:
        self._deps, self._config = deps, config
        self._on_progress = on_progress or (lambda progress: None)
        self._run_id = str(uuid7())
        self._started_at = datetime.now(UTC)
        self._runner: LoadRunner | None = None
        self.is_interrupted: bool = False

    async def interrupt(self) -> None:
        """End the run because a person wants it; what was measured is kept."""
        self.is_interrupted = True
        if self._runner is not None:
            self._runner.stop("interrupted", "interrupted by the user")

    async def run(self) -> LoadTestRun:
        """Send everything; whatever happens, the run's row says how it ended."""
        lock = run_lock(self._deps.settings.home, self._run_id)
        await asyncio.to_thread(lock.acquire)
        budget = self._set_budget()
        try:
            client = self._deps.client()
            # Imports at the first request would be taken for the server's time.
            await warm(self._deps.resolve(self._config.model)[0].type)
            runner = LoadRunner(self._run_id, self._config, client, self._on_progress)
            self._runner = runner
            await asyncio.to_thread(self._write, "running", None)
            if self.is_interrupted:
                await self.interrupt()
            try:
                await runner.run()
            except asyncio.CancelledError:
                runner.stop("interrupted", "cancelled")
                raise
            except Exception as bug:  # its row says so, and the caller gets it
                runner.stop("failed", f"it failed with {type(bug).__name__}")
                raise
            finally:
                row, summary = await asyncio.to_thread(self._finish, runner)
            return _as_result(row, summary, self._deps.store)
        finally:
            if budget is not None:
                self._deps.budgets().remove(budget.key)
            lock.release()

    def _set_budget(self) -> Cap | None:
        """The cap of this run; the requests in flight are reserved under it."""
        limit = self._config.bounds.max_usd
        if limit is None:
            return None
        cap = Cap(
            kind="run",
            name=self._run_id,
            limit_usd=limit,
            period="ever",
            allows_unpriced=bool(self._config.values["allow_unpriced"]),
        )
        self._deps.budgets().set(cap)
        return cap

    def _finish(self, runner: LoadRunner) -> tuple[dict[str, Any], dict[str, Any]]:
        rows = request_rows(self._deps.store, self._run_id)
        summary = summarize_run(self._config, rows, runner.facts())
        costs = [row["cost_usd"] for row in rows if row["cost_usd"] is not None]
        status = "stopped" if runner.stopped_by else "done"
        cost_usd = sum(costs, Decimal(0)) if costs else None
        return self._write(status, summary, len(rows), cost_usd), summary

    def _write(
        self,
        status: str,
        summary: Mapping[str, Any] | None,
        done: int = 0,
        cost_usd: Decimal | None = None,
    ) -> dict[str, Any]:
        row = {
            "run_id": self._run_id,
            "name": self._config.name,
            "model": self._config.model,
            "config": self._config.as_stored(),
            "status": status,
            "requests": self._config.planned,
            "done": done,
            "cost_usd": cost_usd,
            "started_at": self._started_at,
            "ended_at": None if status == "running" else datetime.now(UTC),
            "summary": summary or {},
            "tags": dict(self._config.values["tags"]),
        }
        self._deps.store.append("load_tests", row)
        return row


def _as_result(row: Mapping[str, Any], summary: Mapping[str, Any], store: Store) -> LoadTestRun:
    return LoadTestRun(
        run_id=row["run_id"],
        name=row["name"],
        model=row["model"],
        status=row["status"],
        summary=summary,
        config=_read_json(row["config"]),
        facts=row,
        store=store,
    )


def _read_json(value: Any) -> Any:
    return (json.loads(value) if isinstance(value, str) else value) or {}
