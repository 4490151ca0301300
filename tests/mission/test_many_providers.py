"""A service over many providers: encryption, defaults, soft deletion, failover, validation."""

from __future__ import annotations

import json
import os

import pytest

import toolkit as tk
from tests.cli.shell import run, run_json
from tests.mission.conftest import KEY, reopen
from tests.servers import MockProvider
from toolkit.errors import (
    InvalidProvider,
    KeyStoreError,
    NoProviderAvailable,
    ProviderNotFound,
    ToolkitError,
)
from toolkit.keys.encryption import NotOpened, seal, unseal


def test_many_types_are_built_in(api):
    types = {row["name"]: row["type"] for row in api("GET", "/api/presets")["data"]}
    assert {"deepseek", "gemini", "ollama", "lm-studio", "vllm", "llama-cpp"} <= types.keys()
    assert (types["gemini"], types["ollama"]) == ("gemini", "ollama")


def test_a_locked_vault_gives_no_key(strict, tmp_path, monkeypatch):
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery")
    passphrase.chmod(0o600)
    monkeypatch.setenv("TOOLKIT_VAULT_PASSPHRASE_FILE", str(passphrase))
    reopen()
    tk.providers.add("one", base_url=strict.base_url, local=True, api_key=KEY, key_store="vault")
    monkeypatch.delenv("TOOLKIT_VAULT_PASSPHRASE_FILE")
    reopen()
    with pytest.raises(ToolkitError, match="vault"):
        tk.complete("one/small", "hello")
    with pytest.raises(KeyStoreError):
        tk.keys.unlock_vault("another passphrase")
    tk.keys.unlock_vault("correct horse battery")
    assert tk.complete("one/small", "hello").text == "works"


def test_providers_are_paused_removed_filtered_and_searched(mock, api):
    tk.providers.update("mock", display_name="Scripted server")
    assert [row["name"] for row in run_json("providers", "list", "--search", "scripted")] == [
        "mock"
    ]
    assert "mock" in [row["name"] for row in api("GET", "/api/providers?place=local")["data"]]
    run("providers", "disable", "mock")
    reopen()
    with pytest.raises(ToolkitError, match="disabled"):
        tk.complete("mock/m", "hello")
    tk.providers.enable("mock")
    tk.providers.set_default("mock")
    tk.providers.remove("mock")
    with pytest.raises(ProviderNotFound):
        tk.providers.require("mock")
    assert [row["name"] for row in api("GET", "/api/providers?removed=true")["data"]] == ["mock"]


def test_failover_reaches_the_next_provider_and_says_who_failed(mock, api):
    quick = {"retry_initial_s": 0.0, "retry_max_s": 0.0, "max_retries": 0}
    tk.providers.update("mock", **quick)
    with MockProvider() as second:
        tk.providers.add("second", base_url=second.base_url, local=True, **quick)
        tk.providers.registry.set_alias("best", ["mock/m", "second/m"])
        mock.enqueue(status=500)
        assert tk.complete("best", "hello").model == "second/m"
        mock.enqueue(status=500)
        message = {"role": "user", "content": "hello"}
        answer = api.raw("POST", "/v1/chat/completions", model="best", messages=[message])
        assert answer.headers["x-toolkit-provider"] == "second"
        assert run("chat", "hello", "-m", "best").returncode == 0
        mock.enqueue(status=500, times=4)
        second.enqueue(status=500, times=4)
        with pytest.raises(NoProviderAvailable, match=r"mock/m.*second/m"):
            tk.complete("best", "hello")


def test_a_provider_is_tested_by_a_real_generation(mock, api):
    result = tk.providers.test("mock", call=True)
    assert [check.answer for check in result.checks] == ["works"] * 4
    assert api("POST", "/api/providers/test", name="mock", call=True)["checks"][3]["answer"] == (
        "works"
    )
    mock.enqueue()  # the listing
    mock.enqueue("no such model", status=404)
    refused = run("providers", "test", "mock", "--call", "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["checks"][3]["answer"] == "refused"


@pytest.mark.parametrize(
    ("name", "fields", "named"),
    [
        ("My Provider", {}, "name"),
        ("one", {"base_url": "ftp://example.com"}, "http"),
        ("one", {"base_url": "https://user:word@example.com/v1"}, "password"),
        ("one", {"base_url": "http://169.254.169.254/v1"}, "169.254.169.254"),
        ("one", {"type": "no-such-type"}, "type"),
        ("one", {"rpm": -1}, "rpm"),
        ("one", {"timeout_s": 0}, "timeout_s"),
        ("one", {"max_retries": -1}, "max_retries"),
        ("one", {"headers": {"bad name": "x"}}, "header"),
        ("one", {"prompt_template": "no place"}, "{text}"),
        ("one", {"params": {"api_key": "x"}}, "api_key"),
    ],
)
def test_what_cannot_be_a_provider_is_refused_by_its_field(api, name, fields, named):
    values = {"base_url": "https://llm.example.com/v1", **fields}
    with pytest.raises(InvalidProvider) as caught:
        tk.providers.add(name, test=False, **values)
    assert named in f"{caught.value.message} {caught.value.hint}"
    refused = api.raw("POST", "/api/providers", name=name, test=False, **values)
    assert refused.status_code in (400, 422)
    assert named in refused.text
    assert tk.providers.find(name) is None


def test_the_encryption_is_authenticated():
    key = os.urandom(32)
    box = seal(key, b"a key", ["one"])
    assert unseal(key, box, ["one"]) == b"a key"
    for other, bound_to in ((os.urandom(32), ["one"]), (key, ["two"])):
        with pytest.raises(NotOpened):
            unseal(other, box, bound_to)
