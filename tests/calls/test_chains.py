"""Failover chains by name: the settings' own, and the providers in use, the default one first."""

from __future__ import annotations

import pytest

import toolkit as tk
from tests.servers.mock_provider import MockProvider
from toolkit.calls.policy.chains import expand_fallbacks
from toolkit.errors import InvalidInput, NoProviderAvailable
from toolkit.settings import Settings


@pytest.fixture
def broken(monkeypatch, home):
    """A server that always fails, behind the provider `broken`."""
    monkeypatch.setenv("TOOLKIT_MAX_RETRIES", "0")
    home.mkdir(exist_ok=True)
    (home / "settings.toml").write_text('[chains]\nspare = ["broken/m", "spare/s"]\n')
    with MockProvider() as server:
        server.enqueue(status=500, times=9)
        add("broken", server)
        yield server


def add(name, server, **fields):
    tk.providers.add(
        name, base_url=server.base_url, local=True, test=False, type="openai-compatible", **fields
    )


def test_a_chain_of_the_settings_takes_over(broken):
    with MockProvider() as server:
        add("spare", server)
        reply = tk.complete("broken/m", "hello", fallbacks="spare")
    assert reply.model == "spare/s"
    assert [(c.provider, c.attempt_kind, c.status) for c in reply.attempts] == [
        ("broken", "first", "error"),
        ("spare", "fallback", "ok"),
    ]


def test_without_a_chain_nobody_else_is_asked(broken):
    with MockProvider() as server:
        add("spare", server, default_model="s")
        with pytest.raises(tk.errors.ServerError):
            tk.complete("broken/m", "hello")
        assert server.requests == []


def test_the_providers_in_use_come_after_the_default_one(broken):
    with MockProvider() as server:
        for name in ("one", "two", "three"):
            add(name, server, default_model=f"{name}-model")
        add("without-a-model", server)
        tk.providers.set_default("two")
        tk.providers.disable("three")
        registry = tk.providers.registry
        chain = expand_fallbacks("broken/m", "active", {}, registry)
        assert chain == ("two/two-model", "one/one-model")
        assert tk.complete("broken/m", "hello", fallbacks="active").model == "two/two-model"


def test_a_model_stands_in_a_chain_once_and_not_after_itself(home):
    chains = Settings(chains={"c": ("a/m", "b/m", "b/m")}).chains
    assert expand_fallbacks("a/m", "c", chains, None) == ("b/m",)
    assert expand_fallbacks("a/m", ["b/m", "a/m", "c/m"], chains, None) == ("b/m", "c/m")
    assert expand_fallbacks("a/m", "b/m", chains, None) == ("b/m",)


def test_a_name_that_nobody_knows_is_told_with_those_that_are_known(broken):
    with pytest.raises(InvalidInput, match="'nope'") as caught:
        tk.complete("broken/m", "hello", fallbacks="nope")
    assert "spare, active" in caught.value.hint
    assert broken.requests == []


def test_a_chain_that_fails_names_everybody(broken):
    add("also-broken", broken)
    with pytest.raises(NoProviderAvailable, match="broken/m, also-broken/m"):
        tk.complete("broken/m", "hello", fallbacks=["also-broken/m"])
