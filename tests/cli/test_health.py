"""`toolkit health`: incidents as rows, and the monitor in a terminal that ends in order."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.shell import COMMAND, child_environment, run, run_json
from toolkit import toolkit as toolkit_module
from toolkit.health.monitoring.lease import read_holder
from toolkit.toolkit import current


@pytest.fixture
def incident(home):
    now = datetime.now(UTC)
    row = {
        "incident_id": "i1",
        "provider": "acme",
        "state": "down",
        "scope": "provider",
        "opened_at": now - timedelta(hours=2),
        "closed_at": now - timedelta(hours=1),
        "reason": "3 failures in a row",
        "failures": 7,
    }
    toolkit = current()
    toolkit.store.append("incidents", row)
    toolkit.store.append("incidents", {**row, "incident_id": "old", **_long_ago(now)})
    toolkit.close()
    toolkit_module._open.cache_clear()


def _long_ago(now):
    return {"opened_at": now - timedelta(days=50), "closed_at": now - timedelta(days=49)}


def test_incidents_are_told_with_place_and_end(incident):
    (row,) = run_json("health", "incidents")
    assert (row["provider"], row["scope"], row["failures"]) == ("acme", "provider", 7)
    assert len(run_json("health", "incidents", "--days", "90")) == 2
    assert "3 failures in a row" in run("health", "incidents").stdout


def test_no_incident_is_said_in_words(home):
    done = run("health", "incidents")
    assert (done.returncode, done.stdout) == (0, "")
    assert "No incidents within 30 days." in done.stderr


def test_a_pause_is_told_with_its_end_and_reason_until_it_is_taken_back(provider):
    done = run("health", "pause", "mock", "--for", "2h", "--why", "moving house")
    assert done.returncode == 0, done.stderr
    assert re.search(r"mock is paused: .* until 20..-.*UTC: moving house\.", done.stderr)
    row = state_of("mock")
    assert row["state"] == "paused" and row["reason"].endswith("moving house")
    lasts = datetime.fromisoformat(row["until"]) - datetime.fromisoformat(row["since"])
    assert lasts == timedelta(hours=2)
    assert "paused" in run("health", "status").stdout
    told = run_json("health", "resume", "mock")
    assert told["state"] == state_of("mock")["state"] == "unknown"


def state_of(name):
    return next(row for row in run_json("health", "status") if row["provider"] == name)


@pytest.mark.parametrize("given", ["soon", "2", "0h", "99999w", "-1h"])
def test_a_length_that_nobody_can_mean_is_refused_and_pauses_nobody(provider, given):
    done = run("health", "pause", "mock", f"--for={given}")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert state_of("mock")["state"] != "paused"


def test_pausing_somebody_unknown_is_refused(home):
    done = run("health", "pause", "nobody")
    assert done.returncode != 0 and "nobody" in done.stderr


def test_models_are_told_the_worst_first(provider):
    now, toolkit = datetime.now(UTC), current()
    fields = {"provider": "mock", "source": "live", "origin": "api"}
    broken = {"status": "error", "error_code": "SERVER_ERROR", "blame": "provider"}
    rows = [
        {"call_id": f"{model}{age}", "model": f"mock/{model}", **fields, **outcome}
        | {"started_at": now - timedelta(minutes=age)}
        for model, outcome in (("large", {"status": "ok"}), ("small", broken))
        for age in range(1, 5)
    ]
    toolkit.store.append_many("calls", rows)
    toolkit.close()
    toolkit_module._open.cache_clear()
    told = [(row["model"], row["state"], row["bad"]) for row in run_json(*MODELS)]
    assert told == [("mock/small", "down", 4), ("mock/large", "healthy", 0)]
    assert "4 of 4" in run(*MODELS).stdout
    assert state_of("mock")["models_in_trouble"] == ["mock/small"]


MODELS = ("health", "status", "--models")


def test_watch_probes_ends_by_itself_and_says_by_its_code_that_all_is_well(provider, monkeypatch):
    monkeypatch.setenv("TOOLKIT_HEALTH_INTERVAL_S", "0.5")
    done = run("health", "watch", "--for", "4", "--json")
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["state"] for row in told if row["provider"] == "mock"] == ["unknown", "healthy"]
    assert {request.path for request in provider.requests} == {"/v1/models"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for children")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_ends_at_once_when_told_to_and_gives_the_lease_back(provider, home, number):
    watch = subprocess.Popen(
        [*COMMAND, "health", "watch"],
        env={**child_environment(), "TOOLKIT_HEALTH_INTERVAL_S": "0.5"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        lines = iter(watch.stdout.readline, "")
        assert any("mock: unknown -> healthy" in line for line in lines)
        watch.send_signal(number)
        _, errors = watch.communicate(timeout=60)
    finally:
        watch.kill()
    assert watch.returncode == 0, errors
    assert "Traceback" not in errors
    assert read_holder(home / "health-lease.json") is None
