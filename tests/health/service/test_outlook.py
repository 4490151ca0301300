"""Failover asks who is up first: nobody is left out, and no call waits for the ledger."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

import toolkit as tk
from tests.servers import MockProvider
from toolkit.calls.chat_request import build_request
from toolkit.calls.policy.chains import FailoverChains
from toolkit.errors import StoreLocked
from toolkit.health.analysis.state import Health
from toolkit.health.evidence import utc_now
from toolkit.health.snapshot import HealthSnapshot
from toolkit.toolkit import current


def outlook_of(**states):
    snapshot = HealthSnapshot(lambda: {})
    snapshot.learn({name: Health(state=state, last_at=utc_now()) for name, state in states.items()})
    return snapshot


def test_who_is_down_or_refuses_the_key_comes_last_and_the_order_stays():
    snapshot = outlook_of(a="down", b="healthy", c="auth_error", d="degraded", e="rate_limited")
    models = ["a/1", "b/1", "c/1", "d/1", "e/1", "f/1"]
    assert snapshot.worst_last(models) == ["b/1", "d/1", "e/1", "f/1", "a/1", "c/1"]


def test_when_all_are_down_all_are_asked_all_the_same():
    snapshot = outlook_of(a="down", b="down")
    assert snapshot.worst_last(["a/1", "b/1"]) == ["a/1", "b/1"]


def test_old_news_keep_nobody_from_being_asked():
    snapshot = HealthSnapshot(lambda: {})
    long_ago = utc_now() - timedelta(minutes=11)
    snapshot.learn({"a": Health(state="down", last_at=long_ago)})
    assert snapshot.worst_last(["a/1", "b/1"]) == ["a/1", "b/1"]


def test_a_call_does_not_wait_while_states_are_read():
    """The ledger answers only after the chain was built."""
    go = threading.Event()

    def read():
        go.wait(30)
        return {"a": Health(state="down", last_at=utc_now())}

    snapshot = HealthSnapshot(read)
    assert snapshot.worst_last(["a/1", "b/1"]) == ["a/1", "b/1"]
    go.set()
    snapshot.wait(30)
    assert snapshot.worst_last(["a/1", "b/1"]) == ["b/1", "a/1"]


def test_states_are_read_once_in_a_while_and_a_locked_ledger_is_no_trouble():
    reads = []

    def read():
        reads.append(1)
        raise StoreLocked("the store is in use")

    snapshot = HealthSnapshot(read)
    for _ in range(50):
        assert snapshot.worst_last(["a/1"]) == ["a/1"]
        snapshot.wait(30)
    assert len(reads) == 1


def test_an_explicit_key_keeps_the_named_model_first():
    worst_last = outlook_of(a="down", b="down").worst_last
    chains = FailoverChains({}, current().providers.registry, worst_last)
    request = build_request("a/1", "hi", {"fallbacks": ["b/1", "c/1"]})
    kept = chains.expand(request, keep_first=True)
    assert (kept.model, kept.fallbacks) == ("a/1", ("c/1", "b/1"))
    sorted_ = chains.expand(request)
    assert (sorted_.model, sorted_.fallbacks) == ("c/1", ("a/1", "b/1"))


@pytest.fixture
def two():
    with MockProvider() as up, MockProvider() as down:
        for name, server in (("up", up), ("down", down)):
            current().providers.registry.add(
                name, base_url=server.base_url, is_local=True, needs_key=False
            )
        yield up, down


def test_a_chain_asks_the_provider_that_is_up_and_spares_the_other(two):
    up, down = two
    toolkit = current()
    toolkit.health.snapshot.learn({"down": Health(state="down", last_at=utc_now())})
    reply = tk.complete("down/m", "hi", fallbacks=["up/m"])
    assert reply.model == "up/m"
    assert (len(up.requests), len(down.requests)) == (1, 0)


def test_without_a_chain_nobody_answers_in_anothers_place(two):
    _, down = two
    current().health.snapshot.learn({"down": Health(state="down", last_at=utc_now())})
    assert tk.complete("down/m", "hi").model == "down/m"
    assert len(down.requests) == 1
