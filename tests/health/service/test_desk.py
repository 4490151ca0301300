"""`tk.health`: states by model, objectives, and who watches."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

import toolkit as tk
from tests.health.simulated import new_toolkit
from tests.servers import MockProvider
from toolkit.errors import InvalidInput, ProviderNotFound
from toolkit.health.evidence import utc_now
from toolkit.toolkit import current


def record(toolkit, n, *, model="acme/small", minutes_ago=1.0, apart_ms=1, **fields):
    fields = {"status": "ok", "ttft_ms": 100.0, "duration_ms": 900.0} | fields
    at = utc_now() - timedelta(minutes=minutes_ago)
    toolkit.store.append_many(
        "calls",
        [
            {
                "call_id": f"{model}-{minutes_ago}-{fields['status']}-{number}",
                "request_id": f"{model}-{number}",
                "provider": "acme",
                "model": model,
                "started_at": at + timedelta(milliseconds=apart_ms * number),
                "source": "live",
                "origin": "api",
                **fields,
            }
            for number in range(n)
        ],
    )


@pytest.fixture
def toolkit(home):
    toolkit = new_toolkit()
    toolkit.providers.registry.add("acme", base_url="https://acme.example/v1", needs_key=False)
    yield toolkit
    toolkit.close()


BROKEN = {"status": "error", "error_code": "SERVER_ERROR", "blame": "provider"}


def test_each_model_has_a_state_of_its_own(toolkit):
    record(toolkit, 5)
    record(toolkit, 5, model="acme/large", apart_ms=1_000, **BROKEN)
    record(toolkit, 5, model="acme/burst", **BROKEN)  # of one moment: they count once
    states = {row["model"]: (row["state"], row["n"]) for row in toolkit.health.model_states()}
    assert states == {
        "acme/burst": ("degraded", 5),
        "acme/large": ("down", 5),
        "acme/small": ("healthy", 5),
    }


def test_a_provider_with_a_model_that_is_down_is_degraded(toolkit):
    record(toolkit, 30, minutes_ago=10, apart_ms=20_000)
    record(toolkit, 4, model="acme/large", minutes_ago=9.9, apart_ms=90_000, **BROKEN)
    row = next(row for row in toolkit.health.status() if row["provider"] == "acme")
    assert (row["state"], row["models_in_trouble"]) == ("degraded", ["acme/large"])
    assert row["reason"] == "large is in trouble; its other models answer"
    assert {row["model"] for row in toolkit.health.model_states("acme")} == {
        "acme/large",
        "acme/small",
    }
    assert toolkit.health.model_states("nobody") == []


def test_objectives_count_by_window_and_leave_out_the_callers_own_faults(toolkit):
    record(toolkit, 90)
    record(toolkit, 10, **BROKEN)
    record(toolkit, 50, minutes_ago=120)
    record(toolkit, 30, minutes_ago=2, status="error", error_code="CLIENT_ERROR", blame="client")
    availability, ttft, duration = toolkit.health.slo("acme")
    assert (availability["good"], availability["total"]) == (140, 150)
    assert availability["verdict"] == "missed"
    assert availability["burn"]["5m"] == pytest.approx(10.0)
    assert availability["burn"]["6h"] == pytest.approx(10 / 150 / 0.01)
    assert (ttft["share"], ttft["verdict"], ttft["threshold_ms"]) == (1.0, "met", 5000.0)
    assert duration["verdict"] == "met"
    assert availability["goodput"] == pytest.approx(140 / 150)


def test_late_answers_cost_goodput_and_the_latency_objective_alone(toolkit):
    record(toolkit, 50)
    record(toolkit, 50, minutes_ago=3, ttft_ms=9_000.0)
    availability, ttft, _ = toolkit.health.slo("acme")
    assert (availability["verdict"], ttft["verdict"]) == ("met", "missed")
    assert availability["goodput"] == 0.5


def test_without_calls_there_is_not_enough_data(toolkit):
    assert {row["verdict"] for row in toolkit.health.slo()} == {"not enough data"}
    assert toolkit.health.model_states() == []
    assert toolkit.health.incidents() == []


def test_objectives_that_make_no_sense_are_said_plainly(home):
    toolkit = new_toolkit(objectives={"default": {"latency": 1.0}})
    toolkit.providers.registry.add("acme", base_url="https://acme.example/v1", needs_key=False)
    with pytest.raises(InvalidInput, match="latency"):
        toolkit.health.slo("acme")
    toolkit.close()


def test_pausing_somebody_who_is_not_there_is_refused(toolkit):
    with pytest.raises(ProviderNotFound):
        toolkit.health.pause("nobody")


def test_a_pause_ends_by_itself_and_keeps_its_begin_when_it_is_prolonged(toolkit):
    toolkit.health.pause("acme", for_s=3600, why="new wiring, key sk-" + "x" * 40)
    (first,) = toolkit.health.pauses.read(utc_now()).values()
    toolkit.health.pause("acme", for_s=7200)
    (second,) = toolkit.health.pauses.read(utc_now()).values()
    assert "new wiring" in first.words and "x" * 40 not in first.words
    assert (second.since, second.why) == (first.since, "")
    assert second.until > first.until
    assert toolkit.health.pauses.read(second.until - timedelta(seconds=1)) == {"acme": second}
    assert toolkit.health.pauses.read(second.until) == {}


@pytest.mark.parametrize("for_s", [0, -1, float("nan"), float("inf"), 1e12])
def test_a_pause_that_cannot_be_meant_is_refused(toolkit, for_s):
    with pytest.raises(InvalidInput, match="pause"):
        toolkit.health.pause("acme", for_s=for_s)
    assert toolkit.health.pauses.read(utc_now()) == {}


@pytest.mark.parametrize("text", ["", "[]", "null", '{"acme": 1}', '{"acme": {"since": "then"}}'])
def test_a_file_of_pauses_that_cannot_be_read_pauses_nobody(toolkit, text):
    (toolkit.settings.home / "health-paused.json").write_text(text)
    assert toolkit.health.pauses.read(utc_now()) == {}


def test_the_monitor_says_that_it_runs_here_until_it_is_stopped(monkeypatch):
    monkeypatch.setenv("TOOLKIT_HEALTH_INTERVAL_S", "0.2")
    with MockProvider() as server:
        current().providers.registry.add(
            "mock", base_url=server.base_url, is_local=True, needs_key=False
        )
        assert tk.health.monitor_status()["running"] == "nowhere"
        tk.health.monitor.start("test")
        wait_until(lambda: len(tk.probes(provider="mock")) >= 2)
        told = tk.health.monitor_status()
        assert (told["running"], told["what"]) == ("here", "test")
        tk.health.monitor.stop()
    assert tk.health.monitor_status()["running"] == "nowhere"
    assert {(row["is_manual"], row["cost_usd"]) for row in probes()} == {(False, 0)}


def test_an_interval_of_nought_turns_the_monitor_off(monkeypatch):
    monkeypatch.setenv("TOOLKIT_HEALTH_INTERVAL_S", "0")
    tk.health.monitor.start("test")
    assert tk.health.monitor.monitor is None


def probes():
    return current().store.rows("SELECT is_manual, cost_usd FROM probes")


def wait_until(holds):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
