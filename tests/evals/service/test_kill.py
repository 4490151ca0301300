"""A run that is killed outright loses only what was under way, and resuming doubles nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.servers.dialects import Answer
from tests.servers.mock_provider import MockProvider
from toolkit.toolkit import current

ROOT = Path(__file__).resolve().parents[3]
_SAMPLES, _WIDTH = 300, 8
_RUN = f"""
from toolkit.evals.dataset import Dataset, Sample
from toolkit.toolkit import current
data = Dataset(Sample(sample_id=str(i), input=f"q {{i}}", target="x") for i in range({_SAMPLES}))
current().evaluation.run(data, "mock/mock-model", name="killed", concurrency={_WIDTH})
"""


def test_kill_in_the_middle_then_resume_asks_only_what_is_missing(home: Path) -> None:
    with MockProvider(Answer(text="x", first_delay_s=0.02)) as server:
        toolkit = current()
        toolkit.providers.add("mock", base_url=server.base_url, local=True, test=False)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        child = subprocess.Popen([sys.executable, "-c", _RUN], env=environment)
        ends = time.monotonic() + 120
        while len(server.requests) < _SAMPLES // 2 and child.poll() is None:
            assert time.monotonic() < ends, "the run does not get on"
            time.sleep(0.01)
        child.kill()
        child.wait()
        lost = toolkit.evaluation.get("killed")
        assert lost.status == "interrupted"
        assert list(toolkit.evaluation.list()["status"]) == ["interrupted"]
        before = len(server.requests)
        kept = toolkit.store.rows("SELECT count(DISTINCT sample_id) AS n FROM eval_samples")[0]["n"]
        assert list(toolkit.evaluation.list()["done"]) == [kept]
        assert before - _WIDTH <= kept <= before < _SAMPLES

        run = toolkit.evaluation.resume("killed")

        assert len(server.requests) - before == _SAMPLES - kept
        assert len(server.requests) <= _SAMPLES + _WIDTH
        rows = toolkit.store.rows(
            "SELECT count(*) AS n, count(DISTINCT sample_id) AS samples, "
            "count(DISTINCT result_id) AS ids FROM eval_samples"
        )
        assert rows == [{"n": _SAMPLES, "samples": _SAMPLES, "ids": _SAMPLES}]
        assert run.status == "done" and run.summary["answers"] == _SAMPLES
