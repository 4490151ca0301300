"""An evaluation on a Ray cluster: the rows of one process, its limits, and no lost sample.

The tests with a cluster start one on this machine. They are skipped where Ray is not installed, as
in the lock of the checkout (270 MB, no wheel for some platforms); to run them:
`pip install -r requirements-ray.lock && python -m pytest tests/evals/service/test_ray_workers.py`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.evals.service import importable
from tests.evals.service.conftest import data
from tests.evals.service.test_workers import by_side, rows_of
from tests.servers.mock_provider import MockProvider
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.evals.dataset import Dataset, Sample
from toolkit.evals.running.run_folder import dataset_path, run_lock
from toolkit.evals.running.worker import adapt_to_machine
from toolkit.evals.running.worker_messages import Setup
from toolkit.settings import Settings
from toolkit.toolkit import Toolkit

ROOT = Path(__file__).resolve().parents[3]
needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed (pip install -r requirements-ray.lock)"
)
SHARED = "quack:127.0.0.1:9494"


@pytest.mark.parametrize("backend", ["rays", "ray:", "ray://", "dask", "", 3])
def test_an_unknown_backend_is_refused(
    toolkit: Toolkit, server: MockProvider, backend: Any
) -> None:
    with pytest.raises(InvalidInput, match="is not a backend"):
        toolkit.evaluation.run(data(2), "mock/mock-model", backend=backend)
    assert not server.requests


def test_without_ray_the_error_names_the_extra(
    toolkit: Toolkit, server: MockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InvalidInput, match=r"llm-provider-toolkit\[ray\]"):
        toolkit.evaluation.run(data(2), "mock/mock-model", backend="ray")
    assert not server.requests


def setup_of(home: Path, **changes: Any) -> Setup:
    """What a worker gets of a run in another home folder."""
    return Setup(
        run_id="run",
        settings=Settings(home=home, store=changes.pop("store", "")),
        dataset=(dataset_path(home, "abc"), "questions"),
        models=("mock/m",),
        solvers=(),
        scorers=(),
        epochs=1,
        seed=None,
        cap_usd=changes.pop("cap_usd", None),
        cached_models=(),
        samples=b'{"id": "s1", "input": "hello"}\n',
    )


def test_a_worker_on_the_machine_of_the_run_uses_its_home(tmp_path: Path) -> None:
    setup = setup_of(tmp_path / "run", cap_usd=Decimal(1))
    lock = run_lock(tmp_path / "run", "run")
    assert lock.acquire()
    assert adapt_to_machine(setup) == setup
    lock.release()


def test_a_worker_elsewhere_needs_the_shared_database(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = setup_of(tmp_path / "run", store=SHARED)
    for other in ("", "quack:127.0.0.1:9495"):
        monkeypatch.setenv("TOOLKIT_STORE", other)
        with pytest.raises(ToolkitError, match="does not have the database of the run"):
            adapt_to_machine(shared)
    monkeypatch.delenv("TOOLKIT_STORE")
    with pytest.raises(ToolkitError, match="does not have the database of the run"):
        adapt_to_machine(setup_of(tmp_path / "run"))

    monkeypatch.setenv("TOOLKIT_STORE", SHARED)
    with pytest.raises(ToolkitError, match="cap of a run"):
        adapt_to_machine(replace(shared, cap_usd=Decimal(1)))
    adapted = adapt_to_machine(shared)
    assert adapted.settings.home == home
    path, name = adapted.dataset
    assert path.is_relative_to(home) and path.read_bytes() == shared.samples
    assert name == "questions"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Ray cluster of one node on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("ray") / "log"
    # With bytecode: Ray gives its own processes 15 s to import their modules.
    environment = {
        **{name: value for name, value in os.environ.items() if "BYTECODE" not in name},
        **{"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"},
    }
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--port={port}"]
    command += ["--block", "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats"]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        while "Ray runtime started" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield f"ray:127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@needs_ray
@pytest.mark.timeout(900)
def test_rows_are_those_of_one_process_and_limits_are_kept(
    toolkit: Toolkit, server: MockProvider, cluster: str
) -> None:
    toolkit.providers.update("mock", rpm=48, rate_window_s=1, test=False)
    options: dict[str, Any] = {
        "solvers": ["{{ input }}", importable.twice],
        "scorers": ["contains", importable.first_letter],
        "epochs": 2,
        "reuse": False,
    }
    one = toolkit.evaluation.run(data(8), "mock/mock-model", **options)
    before = len(server.requests)
    began = time.monotonic()
    two = toolkit.evaluation.run(data(8), "mock/mock-model", workers=2, backend=cluster, **options)
    assert time.monotonic() - began >= 1  # 48 requests beside those of the same second
    assert two.status == "done" and len(server.requests) == 2 * before
    assert rows_of(toolkit, two.run_id) == rows_of(toolkit, one.run_id)
    assert by_side(two.summary["scores"]) == by_side(one.summary["scores"])


@needs_ray
@pytest.mark.timeout(900)
def test_samples_of_a_killed_worker_are_asked_again(
    toolkit: Toolkit, server: MockProvider, tmp_path: Path, cluster: str
) -> None:
    marker = tmp_path / "died"
    samples = [
        Sample(sample_id=f"s{i}", input=f"q {i}", target="Paris", metadata={"marker": str(marker)})
        for i in range(12)
    ]
    run = toolkit.evaluation.run(
        Dataset(samples),
        "mock/mock-model",
        solvers=importable.dies_once,
        workers=2,
        backend=cluster,
    )
    assert marker.exists()
    assert run.status == "done" and run.summary["answers"] == 12
    rows = rows_of(toolkit, run.run_id)
    assert Counter(row["sample_id"] for row in rows) == {f"s{i}": 1 for i in range(12)}


@needs_ray
@pytest.mark.timeout(900)
def test_a_cluster_that_does_not_answer_is_an_error(toolkit: Toolkit, server: MockProvider) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ToolkitError, match="no Ray cluster answers"):
        toolkit.evaluation.run(data(2), "mock/mock-model", backend=f"ray:127.0.0.1:{port}")
    assert not server.requests
