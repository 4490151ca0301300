"""Checks by hand and states: free, recorded, and telling whose fault it is."""

from __future__ import annotations

import socket

import pytest

import toolkit as tk
from tests.servers import MockProvider
from toolkit.errors import ProviderNotFound
from toolkit.toolkit import current

KEY = "sk-" + "h" * 40


@pytest.fixture
def provider(home):
    with MockProvider() as server:
        current().providers.registry.add(
            "mock", base_url=server.base_url, is_local=True, needs_key=False
        )
        yield server


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def state_of(name):
    return next(row for row in tk.health.status() if row["provider"] == name)


def test_a_check_is_free_recorded_and_tells_the_state(provider):
    (row,) = tk.health.check("mock")
    assert (row["status"], row["state"]) == ("ok", "healthy")
    assert {r.path for r in provider.requests} == {"/v1/models"}
    assert len(tk.probes(provider="mock")) == 1
    assert state_of("mock")["state"] == "healthy"
    assert tk.health.frame().set_index("provider").loc["mock", "state"] == "healthy"
    assert len(tk.calls()) == 0


def test_nothing_seen_is_unknown(provider):
    assert state_of("mock")["state"] == "unknown"


def test_three_failed_checks_are_an_outage(home):
    url = f"http://127.0.0.1:{free_port()}/v1"
    current().providers.registry.add("dead", base_url=url, is_local=True, needs_key=False)
    states = [tk.health.check("dead")[0]["state"] for _ in range(3)]
    assert states == ["unknown", "unknown", "down"]
    assert "3 failures in a row" in state_of("dead")["reason"]


def test_the_built_in_server_at_rest_is_no_outage(home):
    for _ in range(4):
        (row,) = tk.health.check("local")
        assert (row["status"], row["outcome"]) == ("skipped", "neutral")
        assert "is stopped" in row["error_message"]
    assert tk.health.incidents() == []
    assert not [row for row in tk.health.status() if row["state"] == "down"]


def test_real_calls_tell_the_state_without_a_probe(provider):
    tk.complete("mock/m", "hi")
    assert state_of("mock")["state"] == "healthy"
    assert len(tk.probes()) == 0


def test_a_refused_key_is_no_outage(provider):
    provider.enqueue(status=401, body=b'{"error": {"code": "invalid_api_key"}}', times=4)
    for _ in range(4):
        with pytest.raises(tk.errors.AuthenticationFailed):
            tk.complete("mock/m", "hi", api_key=KEY)
    assert state_of("mock")["state"] == "auth_error"


def test_an_unknown_name_is_said_plainly(home):
    with pytest.raises(ProviderNotFound):
        tk.health.check("nobody")
