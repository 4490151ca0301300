"""`toolkit bench`: a run, its table, JSON and HTML, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.shell import COMMAND, child_environment, run, run_json
from tests.servers import Answer, MockProvider
from toolkit import toolkit as toolkit_module
from toolkit.toolkit import current

MODEL = "mock/mock-model"


def test_a_model_in_the_place_of_a_command_is_load_tested(
    provider: MockProvider, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    done = run("bench", MODEL, "-c", "1,2", "-n", "4", "--slo", "e2e:60000", "--html", str(file))
    assert done.returncode == 0, done.stderr
    assert "Estimate: 11 requests to mock/mock-model" in done.stderr
    assert "1 in flight" in done.stdout and "2 in flight" in done.stdout
    assert "8 of 8 measured requests answered" in done.stdout and "100.0%" in done.stdout
    assert "Load test of mock/mock-model" in file.read_text("utf-8")
    assert len(provider.requests) == 11


def test_a_run_can_be_listed_and_shown_again(provider: MockProvider) -> None:
    made = run_json("bench", "run", MODEL, "--rate", "50", "-n", "4", "--warmup", "1")
    assert made["passed"] and made["status"] == "done"
    assert made["summary"]["steps"][0]["ok"] == 4
    (listed,) = run_json("bench", "list")
    assert listed["run_id"] == made["run_id"] and listed["requests"] == 5
    again = run_json("bench", "show", made["run_id"][:13])
    assert again["summary"] == made["summary"]
    shown = run("bench", "show", made["run_id"])
    assert "50/s" in shown.stdout and made["run_id"] in shown.stdout
    assert {call["origin"] for call in run_json("calls", "list")} == {"load_test"}


def test_a_dry_run_sends_nothing(provider: MockProvider) -> None:
    done = run("bench", MODEL, "--sweep", "--dry-run")
    assert done.returncode == 0 and "Nothing was sent" in done.stdout
    found = run_json("bench", MODEL, "--dry-run", "--param", "temperature=0.5")
    assert found["estimate"]["requests"] == 51
    assert found["config"]["params"] == {"temperature": 0.5}
    assert not provider.requests


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("-c", "two"), "--concurrency"),
        (("--rate", "1;2"), "--rate"),
        (("--rate", "1", "-c", "1"), "together"),
        (("--rate", "5000"), "--max-rate"),
        (("--slo", "ttft"), "ttft:500"),
        (("--slo", "speed:5"), "speed"),
        (("--trace", "none.jsonl"), "cannot be read"),
        (("--dataset", "none.csv"), "none.csv"),
        (("--max-usd", "lots"), "max_usd"),
        (("--nonsense",), "No such option"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_sent(
    provider: MockProvider, args: tuple[str, ...], said: str
) -> None:
    done = run("bench", MODEL, *args)
    assert done.returncode == 2 and said in done.stderr
    assert "Traceback" not in done.stderr and not provider.requests


def test_unknown_runs_and_models_are_refused(provider: MockProvider) -> None:
    unknown = run("bench", "show", "nothing")
    assert unknown.returncode == 2 and "toolkit bench list" in unknown.stderr
    model = run("bench", "nobody/m")
    assert model.returncode != 0 and "nobody" in model.stderr
    assert run("bench", "list").returncode == 0


def test_a_cloud_provider_needs_a_bound_and_a_confirmation(provider: MockProvider) -> None:
    toolkit = current()
    toolkit.providers.registry.add("cloud", base_url="https://llm.example.com/v1")
    toolkit.close()
    toolkit_module._open.cache_clear()
    bare = run("bench", "cloud/m")
    assert bare.returncode == 2 and "--max-usd" in bare.stderr
    unconfirmed = run("bench", "cloud/m", "--max-usd", "1", "--allow-unpriced")
    assert unconfirmed.returncode == 2 and "--yes" in unconfirmed.stderr
    assert run_json("calls", "list") == []


def test_a_run_in_which_nothing_is_answered_exits_with_1(provider: MockProvider) -> None:
    provider.default = Answer(status=500, body="{}")
    done = run("bench", MODEL, "-n", "3", "--warmup", "0")
    assert done.returncode == 1 and "SERVER_ERROR 3" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for children")
def test_an_interrupt_prints_what_was_measured(provider: MockProvider) -> None:
    child = subprocess.Popen(
        [*COMMAND, "bench", MODEL, "-n", "900", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=child_environment(),
        text=True,
    )
    try:
        while len(provider.requests) < 6 and child.poll() is None:
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=120)
    finally:
        child.kill()
    assert child.returncode == 130, err
    found = json.loads(out)
    assert found["summary"]["stopped_by"]["cause"] == "interrupted"
    assert found["summary"]["steps"][0]["ok"] >= 1 and "Traceback" not in err
