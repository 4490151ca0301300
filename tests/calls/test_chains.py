"""Failover chains by name: the settings' own, and the providers in use, the default one first."""

from __future__ import annotations

import pytest

import toolkit as tk
from tests.servers.mock_provider import MockProvider
from toolkit.calls.chat_request import build_request
from toolkit.calls.policy.chains import FailoverChains
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
        chain = FailoverChains({}, registry).require("active")
        assert chain == ("two/two-model", "one/one-model")
        assert tk.complete("broken/m", "hello", fallbacks="active").model == "two/two-model"


def test_a_model_stands_in_a_chain_once_and_not_after_itself(home):
    own = Settings(chains={"c": ("a/m", "b/m", "b/m")}).chains
    chains = FailoverChains(own, tk.providers.registry)

    def fallbacks(given):
        request = chains.expand(build_request("a/m", "hi", {"fallbacks": given}))
        assert request.model == "a/m"
        return request.fallbacks

    assert fallbacks("c") == ("b/m",)
    assert fallbacks(["b/m", "a/m", "c/m"]) == ("b/m", "c/m")
    assert fallbacks("b/m") == ("b/m",)


def test_a_chain_is_a_model_wherever_one_is_named(broken):
    with MockProvider() as server:
        add("spare", server, default_model="s")
        assert tk.complete("spare", "hello").model == "spare/s", "a provider's default model"
        assert tk.complete("active", "hello").model == "spare/s"
        tk.providers.set_default("spare")
        assert tk.complete("default", "hello").model == "spare/s"
        tk.providers.registry.set_alias("cheap", ["broken/m", "spare/s"])
        assert tk.complete("cheap", "hello").model == "spare/s"
        with tk.stream("cheap", "hello") as stream:
            assert "".join(stream)
        assert stream.reply.model == "spare/s"


def test_no_default_model_is_said_with_what_to_do(home):
    with pytest.raises(InvalidInput, match="default") as caught:
        tk.complete("default", "hello")
    assert "providers default" in caught.value.hint


def test_a_name_that_nobody_knows_is_told_with_those_that_are_known(broken):
    with pytest.raises(InvalidInput, match="'nope'") as caught:
        tk.complete("broken/m", "hello", fallbacks="nope")
    assert "spare, default, active" in caught.value.hint
    assert broken.requests == []


def test_a_chain_that_fails_names_everybody(broken):
    add("also-broken", broken)
    with pytest.raises(NoProviderAvailable, match="broken/m, also-broken/m"):
        tk.complete("broken/m", "hello", fallbacks=["also-broken/m"])
