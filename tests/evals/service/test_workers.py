"""An evaluation by several processes: the rows of one process, its limits, and no lost sample."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.evals.service import importable
from tests.evals.service.conftest import data
from tests.servers.dialects import Answer
from tests.servers.mock_provider import MockProvider
from toolkit.calls.attempt_spec import marked_source
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.evals.dataset import Dataset, Sample
from toolkit.evals.running.plan import Task
from toolkit.evals.running.worker_messages import Setup
from toolkit.evals.running.worker_pool import LocalLauncher, WorkerPool
from toolkit.evals.solvers import Solver
from toolkit.toolkit import Toolkit, current

ROOT = Path(__file__).resolve().parents[3]
_ONCE = {"call_id", "request_id", "duration_ms", "ttft_ms", "scored_at", "run_id", "result_id"}


def rows_of(toolkit: Toolkit, run_id: str) -> list[dict[str, Any]]:
    """The rows of a run without what differs from run to run."""
    found = toolkit.store.rows(
        "SELECT * FROM eval_samples WHERE run_id = ? ORDER BY sample_id, variant, epoch, scorer",
        [run_id],
    )
    return [{key: value for key, value in row.items() if key not in _ONCE} for row in found]


def by_side(scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Scores in one order; a summary lists them as the answers came."""
    return sorted(scores, key=lambda entry: (entry["variant"], entry["scorer"]))


@pytest.fixture
def paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes find the tests' functions."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_rows_are_those_of_one_process(toolkit: Toolkit, server: MockProvider, paths: None) -> None:
    options: dict[str, Any] = {
        "solvers": ["{{ input }}", importable.twice],
        "scorers": ["contains", importable.first_letter, {"type": "exact", "name": "same"}],
        "epochs": 2,
        "seed": 7,
        "reuse": False,
    }
    one = toolkit.evaluation.run(data(6), "mock/mock-model", **options)
    before = len(server.requests)
    progress: list[int] = []
    two = toolkit.evaluation.run(
        data(6),
        "mock/mock-model",
        workers=2,
        on_progress=lambda p: progress.append(p.done),
        **options,
    )
    assert two.status == "done" and len(server.requests) == 2 * before
    assert rows_of(toolkit, two.run_id) == rows_of(toolkit, one.run_id)
    assert by_side(two.summary["scores"]) == by_side(one.summary["scores"])
    assert progress == sorted(progress) and progress[-1] == 24
    calls = toolkit.store.rows(
        "SELECT count(*) AS n FROM calls WHERE origin_id = ? AND origin = 'eval'", [two.run_id]
    )
    assert calls[0]["n"] == before
    assert toolkit.evaluation.get(two.run_id).facts["config"]


def test_samples_of_a_killed_worker_are_asked_again(
    toolkit: Toolkit, tmp_path: Path, paths: None
) -> None:
    marker = tmp_path / "died"
    samples = [
        Sample(sample_id=f"s{i}", input=f"q {i}", target="Paris", metadata={"marker": str(marker)})
        for i in range(12)
    ]
    run = toolkit.evaluation.run(
        Dataset(samples), "mock/mock-model", solvers=importable.dies_once, workers=2
    )
    assert marker.exists()
    assert run.status == "done" and run.summary["answers"] == 12
    rows = rows_of(toolkit, run.run_id)
    assert Counter(row["sample_id"] for row in rows) == {f"s{i}": 1 for i in range(12)}


def test_workers_that_keep_ending_end_the_run(toolkit: Toolkit, tmp_path: Path) -> None:
    setup = Setup(
        run_id="run",
        settings=toolkit.settings,
        dataset=(tmp_path / "none.jsonl", "none"),
        models=("mock/mock-model",),
        solvers=(),
        scorers=(),
        epochs=1,
        seed=None,
        cap_usd=None,
        cached_models=(),
    )
    task = Task("mock/mock-model", Solver(name="plain"), next(iter(data(1))), 1)
    command = (sys.executable, "-c", "raise SystemExit(3)")

    async def perform() -> None:
        async with WorkerPool(2, LocalLauncher(command), setup, toolkit.client) as pool:
            await pool.perform(task, False, lambda was_limited: None)

    with pytest.raises(ToolkitError, match=r"keep ending \(last exit code: 3"):
        asyncio.run(perform())


def test_the_workers_share_one_rate_limit(toolkit: Toolkit, server: MockProvider) -> None:
    """50 requests in each second: 120 take two full windows, whoever sends them."""
    toolkit.providers.update("mock", rpm=50, rate_window_s=1, test=False)
    began = time.monotonic()
    run = toolkit.evaluation.run(data(120), "mock/mock-model", workers=2, concurrency=120)
    assert time.monotonic() - began >= 2
    assert run.summary["answers"] == len(server.requests) == 120
    # Each worker asked the limit. How long it waited depends on how busy this machine is.
    known = toolkit.store.rows("SELECT count(queue_ms) AS calls FROM calls")[0]["calls"]
    assert known == 120


def test_a_cap_holds_over_all_workers(toolkit: Toolkit, server: MockProvider) -> None:
    toolkit.catalog.sync("mock")
    toolkit.catalog.override("mock/mock-model", {"price:input": "0", "price:output": "10000"})
    run = toolkit.evaluation.run(
        data(40), "mock/mock-model", cap_usd=0.2, workers=2, params={"max_tokens": 1}
    )
    assert run.status == "stopped"
    spent = toolkit.store.rows(
        "SELECT sum(cost_usd) AS usd FROM calls WHERE origin_id = ?", [run.run_id]
    )[0]["usd"]
    assert 0 < float(spent) <= 0.2
    assert run.summary["answers"] + run.summary["skipped"] == 40


def test_functions_that_cannot_be_imported_are_refused(
    toolkit: Toolkit, server: MockProvider
) -> None:
    with pytest.raises(InvalidInput, match="cannot be used by worker processes"):
        toolkit.evaluation.run(data(2), "mock/mock-model", scorers=lambda answer: 1.0, workers=2)
    with marked_source("replay"), pytest.raises(InvalidInput, match="open cassette"):
        toolkit.evaluation.run(data(2), "mock/mock-model", workers=2)
    with pytest.raises(InvalidInput, match="workers"):
        toolkit.evaluation.run(data(2), "mock/mock-model", workers=0)
    assert not server.requests


_RUN = """
from toolkit.evals.dataset import Dataset, Sample
from toolkit.toolkit import current
data = Dataset(Sample(sample_id=str(i), input=f"q {i}", target="x") for i in range(160))
current().evaluation.run(data, "mock/mock-model", name="ended", concurrency=8, workers=2)
"""


@pytest.mark.parametrize("how", ["interrupt", "kill"])
def test_the_end_of_the_run_ends_its_workers(home: Path, how: str) -> None:
    with MockProvider(Answer(text="x", first_delay_s=0.05)) as server:
        toolkit = current()
        toolkit.providers.add("mock", base_url=server.base_url, local=True, test=False)
        child = subprocess.Popen(
            [sys.executable, "-c", _RUN],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        ends = time.monotonic() + 120
        while len(server.requests) < 40 and child.poll() is None:
            assert time.monotonic() < ends, "the run makes no progress"
            time.sleep(0.01)
        child.send_signal(signal.SIGINT if how == "interrupt" else signal.SIGKILL)
        child.wait()
        found = toolkit.evaluation.get("ended")
        assert found.status == ("stopped" if how == "interrupt" else "interrupted")
        run = toolkit.evaluation.resume("ended", workers=1)
        assert run.status == "done" and run.summary["answers"] == 160
        rows = toolkit.store.rows(
            "SELECT count(*) AS n, count(DISTINCT sample_id) AS samples FROM eval_samples"
        )
        assert rows == [{"n": 160, "samples": 160}]
        assert len(server.requests) <= 160 + 8
