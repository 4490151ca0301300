"""An encrypted manager of custom providers with health checks, import and export."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import toolkit as tk
from tests.cli.shell import child_environment, run, run_json
from tests.mission.conftest import KEY, WRONG, reopen
from toolkit.errors import AuthenticationFailed, ConnectionFailed, ProviderExists
from toolkit.settings import Settings


def test_providers_are_added_changed_removed_restored_and_listed(strict, api):
    tk.providers.add("one", base_url=strict.base_url, local=True, api_key=KEY)
    with pytest.raises(ProviderExists):
        tk.providers.add("one", base_url=strict.base_url, local=True, test=False)
    assert run("providers", "update", "one", "--display-name", "First").returncode == 0
    assert api("GET", "/api/providers/one")["display_name"] == "First"
    api("DELETE", "/api/providers/one")
    assert [row["name"] for row in run_json("providers", "list", "--removed")] == ["one"]
    assert "one" not in [provider.name for provider in tk.providers.list()]
    api("POST", "/api/providers/one/restore")
    assert tk.providers.require("one").display_name == "First"


def test_a_provider_is_tested_before_it_is_saved_or_changed(strict, api):
    with pytest.raises(AuthenticationFailed):
        tk.providers.add("one", base_url=strict.base_url, local=True, api_key=WRONG)
    refused = api.raw(
        "POST", "/api/providers", name="one", base_url=strict.base_url, local=True, api_key=WRONG
    )
    assert refused.status_code == 424, refused.text
    done = run("providers", "add", "one", "--url", "http://127.0.0.1:59999/v1", "--local")
    assert done.returncode == 1
    assert tk.providers.find("one") is None
    tk.providers.add("one", base_url=strict.base_url, local=True, api_key=KEY)
    with pytest.raises(ConnectionFailed):
        tk.providers.update("one", base_url="http://127.0.0.1:59999/v1")
    assert tk.providers.require("one").base_url == strict.base_url


def test_keys_are_encrypted_at_rest(strict, home, tmp_path, monkeypatch):
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery")
    passphrase.chmod(0o600)
    monkeypatch.setenv("TOOLKIT_VAULT_PASSPHRASE_FILE", str(passphrase))
    reopen()
    tk.providers.add("one", base_url=strict.base_url, local=True, api_key=KEY, key_store="vault")
    assert tk.complete("one/small", "hello").text == "works"
    tk.keys.list()
    reopen()
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {"vault", "keys.json", "providers.toml"} <= {path.name for path in files}
    raw = KEY.encode()
    for form in (
        raw,
        raw[6:30],
        base64.b64encode(raw),
        raw.hex().encode(),
        KEY.encode("utf-16-le"),
    ):
        assert not [path for path in files if form in path.read_bytes()]


def test_a_broken_file_of_providers_is_reported_and_restored(mock, home):
    tk.providers.update("mock", display_name="Mock")
    (home / "providers.toml").write_text("[providers\nmock = ")
    reopen()
    assert run("providers", "list").returncode == 1
    assert run("providers", "restore", "--last-good").returncode == 0
    reopen()
    assert tk.providers.find("mock") is not None


def test_health_is_checked_every_five_minutes_for_one_or_all_with_time_and_error(mock, api):
    assert Settings().health_interval_s == 300
    (row,) = tk.health.check("mock")
    assert row["status"] == "ok"
    assert row["latency_ms"] > 0
    mock.enqueue("out of order", status=500, times=9)
    for _ in range(3):
        api("POST", "/api/health/check", name="mock")
    cached = {row["provider"]: row for row in api("GET", "/api/health")["data"]}["mock"]
    assert cached["state"] == "down"
    shown = {row["provider"]: row for row in run_json("health", "status")}["mock"]
    assert (shown["state"], shown["reason"]) == (cached["state"], cached["reason"])
    assert "server_error" in cached["reason"]


def test_a_failed_check_is_tried_again_and_harms_no_other(mock, strict, api):
    tk.providers.add("one", base_url=strict.base_url, local=True, api_key=KEY)
    mock.enqueue("out of order", status=500, times=3)
    rows = {row["provider"]: row["status"] for row in tk.health.check(["mock", "one"])}
    assert rows == {"mock": "error", "one": "ok"}
    states = {row["provider"]: row["state"] for row in api("GET", "/api/health")["data"]}
    assert states["one"] == "healthy"
    assert states["mock"] not in ("healthy", "down"), "one failure is a doubt"
    asked = len(mock.requests)
    mock.forget()
    assert run("health", "check", "--all").returncode == 0
    assert len(mock.requests) > asked or mock.requests
    assert {row["provider"]: row["status"] for row in tk.health.check("mock")} == {"mock": "ok"}


def test_requests_go_to_the_default_provider_with_its_default_model(mock, api):
    assert run("providers", "default", "mock").returncode == 0
    tk.providers.update("mock", params={"temperature": 0.7})
    assert tk.complete("default", "hello").text == "works"
    assert run("chat", "hello", "--no-stream").returncode == 0
    message = {"role": "user", "content": "hello"}
    api("POST", "/v1/chat/completions", model="default", messages=[message])
    bodies = [request.json for request in mock.requests if request.method == "POST"]
    assert [(body["model"], body["temperature"]) for body in bodies] == [("m", 0.7)] * 3


def test_export_has_no_keys_and_import_brings_providers_back(strict, api, tmp_path):
    tk.providers.add("one", base_url=strict.base_url, local=True, api_key=KEY)
    tk.providers.update("one", default_model="small", params={"temperature": 0.5}, rpm=7)
    tk.providers.set_default("one")
    exported = tmp_path / "providers.json"
    assert run("providers", "export", "-o", str(exported)).returncode == 0
    document = api("POST", "/api/providers/export")["document"]
    assert json.loads(document).keys() == json.loads(exported.read_text()).keys()
    assert KEY not in document + exported.read_text()
    tk.keys.clear("one")
    tk.providers.remove("one")
    done = run("providers", "import", str(exported), "--on-conflict", "replace", "--yes")
    assert done.returncode == 0, done.stderr
    reopen()
    back = tk.providers.require("one")
    assert (back.base_url, back.default_model) == (strict.base_url, "small")
    assert (dict(back.params), back.rpm) == ({"temperature": 0.5}, 7)
    assert not tk.keys.has("one")


def test_built_in_and_custom_providers_are_in_one_list(mock, api):
    names = [provider.name for provider in tk.providers.list()]
    assert {"mock", "openai", "ollama", "local"} <= set(names)
    assert [row["name"] for row in run_json("providers", "list")] == names
    assert [row["name"] for row in api("GET", "/api/providers")["data"]] == names


@pytest.mark.parametrize(
    ("kind", "base", "path", "field"),
    [
        ("openai-compatible", "/v1", "/v1/chat/completions", "messages"),
        ("anthropic-compatible", "/v1", "/v1/messages", "max_tokens"),
        ("gemini", "/v1beta", "/v1beta/models/m:generateContent", "contents"),
        ("ollama_chat", "", "/api/chat", "messages"),
    ],
)
def test_types_decide_the_form_of_the_request(mock, kind, base, path, field):
    tk.providers.add(
        "typed", base_url=mock.origin + base, type=kind, local=True, api_key=KEY, test=False
    )
    assert tk.complete("typed/m", "hello", max_tokens=5).text == "works"
    assert mock.requests[-1].path.partition("?")[0] == path
    assert field in mock.requests[-1].json
    with tk.stream("typed/m", "hello") as stream:
        assert "".join(stream) == "works"


def test_a_custom_type_is_a_plugin(home):
    class Parrot:
        name = "parrot"
        models = ("green",)

        def complete(self, request):
            return request.messages[-1]["content"].upper()

    tk.providers.register(Parrot)
    assert tk.complete("parrot/green", "hello").text == "HELLO"


def test_parameters_templates_and_several_models_are_set_per_provider_and_model(mock, api):
    api(
        "PUT",
        "/api/providers/mock",
        model_settings={"large": {"params": {"temperature": 0.1}, "prompt_template": "Q: {text}"}},
    )
    done = run("providers", "update", "mock", "--param", "top_p=0.5")
    assert done.returncode == 0, done.stderr
    reopen()
    tk.complete("mock/large", "why?")
    body = mock.requests[-1].json
    assert (body["temperature"], body["messages"][-1]["content"]) == (0.1, "Q: why?")
    tk.complete("mock/small", "why?")
    body = mock.requests[-1].json
    assert (body["top_p"], body["messages"][-1]["content"]) == (0.5, "why?")


_SAVE_FOR_EVER = """
import toolkit as tk
number = 0
while True:
    number += 1
    tk.providers.registry.update("mock", params={"text": str(number) * 2000})
    print(number, flush=True)
"""


def test_a_killed_save_leaves_a_readable_file_and_nothing_behind(mock, home: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", _SAVE_FOR_EVER],
        stdout=subprocess.PIPE,
        env=child_environment(),
        text=True,
    )
    assert process.stdout is not None
    for _ in range(5):
        assert process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    process.wait()
    process.stdout.close()
    reopen()
    number = tk.providers.require("mock").params["text"]
    assert set(number) <= set("0123456789")
    tk.providers.update("mock", display_name="After")
    assert not [
        path.name
        for path in home.iterdir()
        if path.name.endswith((".tmp", ".part"))
        or (path.name.startswith(".providers.toml.") and path.suffix != ".lock")
    ]
