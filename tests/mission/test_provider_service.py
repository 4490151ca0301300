"""A provider service: discovery from the environment, types from addresses, model sync, REST."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import toolkit as tk
from tests.catalog.listing_server import ListingServer
from tests.cli.shell import run, run_json
from tests.mission.conftest import KEY, reopen
from tests.servers import Answer
from toolkit.errors import ModelNotFound, ToolkitError
from toolkit.providers.type_detection import detect_type


def test_providers_are_found_in_the_environment_and_in_dotenv(strict, monkeypatch, api):
    monkeypatch.setenv("PROVIDER_ACME_URL", strict.base_url)
    monkeypatch.setenv("PROVIDER_ACME_KEY", KEY)
    Path(".env").write_text(f"OLLAMA_BASE_URL=http://127.0.0.1:7105\nFIREWORKS_API_KEY={KEY}\n")
    reopen()
    assert tk.complete("acme/small", "hello").text == "works"
    assert tk.providers.require("ollama").base_url.startswith("http://127.0.0.1:7105")
    shown = {row["name"]: row for row in api("GET", "/api/providers")["data"]}
    assert shown["fireworks"]["key"]["source"].startswith((".env", "dotenv"))
    assert KEY not in run("providers", "list").stdout


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://api.anthropic.com", "anthropic"),
        ("https://generativelanguage.googleapis.com/v1beta", "gemini"),
        ("http://localhost:11434", "ollama"),
        ("https://ollama.com", "ollama"),
        ("https://openrouter.ai/api/v1", "openai-compatible"),
        ("https://api.groq.com/openai/v1", "openai-compatible"),
        ("https://my-company.openai.azure.com", "azure"),
        ("https://llm.example.com/v1", "openai-compatible"),
    ],
)
def test_the_type_is_found_from_the_address(home, url, kind):
    assert detect_type(url) == kind
    tk.providers.add("found", base_url=url, test=False)
    assert tk.providers.require("found").type == kind
    assert run_json("providers", "show", "found")["type"] == kind


def test_sync_adds_updates_and_marks_what_is_gone_with_status_time_and_error(strict, api):
    tk.providers.add("one", base_url=strict.base_url, local=True, api_key=KEY)
    first = tk.catalog.sync("one").results[0]
    assert (first.status, first.models) == ("ok", 2)
    strict.models = [{"id": "large"}, {"id": "new"}]
    run("models", "sync", "one")
    rows = {row["model_id"]: row["gone_at"] for row in run_json("models", "list", "--gone")}
    assert (rows["new"], rows["small"] is None) == (None, False)
    strict.server.put("/v1/models", "out of order", 500)
    api("POST", "/api/providers/one/sync")
    sync = api("GET", "/api/providers/one")["sync"]
    assert sync["status"] == "error"
    assert sync["synced_at"] < sync["tried_at"] < sync["next_at"]
    shown = run_json("providers", "show", "one")["sync"]
    assert (shown["status"], shown["error"]) == (sync["status"], sync["error"])
    assert shown["next_at"]
    assert tk.catalog.syncs().set_index("provider").loc["one", "error"] == sync["error"]
    assert "500" in sync["error"]
    assert len(tk.models(provider="one")) == 3  # a failed sync leaves models as they were


def test_ollama_is_listed_by_its_own_api_with_abilities(api):
    with ListingServer() as server:
        server.put("/api/tags", {"models": [{"name": "eye:1b", "model": "eye:1b", "size": 1}]})
        server.put(
            "/api/show",
            {
                "capabilities": ["completion", "tools", "vision"],
                "model_info": {"general.architecture": "x", "x.context_length": 4096},
            },
        )
        tk.providers.update("ollama", base_url=server.origin, test=False)
        api("POST", "/api/providers/ollama/sync")
        model = tk.catalog.show("ollama/eye:1b")
        assert {"tools", "vision"} <= set(tk.catalog.capabilities("ollama/eye:1b"))
        assert model["context_window"] == 4096
        assert (
            "vision"
            in next(
                row
                for row in run_json("models", "list", "-p", "ollama")
                if row["model_id"] == "eye:1b"
            )["capabilities"]
        )


def test_a_disabled_model_is_listed_nowhere_and_called_by_nobody(mock, api):
    tk.catalog.sync("mock")
    api("PUT", "/api/providers/mock/models/mock-small/enable", enabled=False)
    assert "mock/mock-small" not in [row["id"] for row in api("GET", "/v1/models")["data"]]
    assert "mock/mock-small" not in tk.catalog.choices()
    with pytest.raises(ToolkitError, match="disabled"):
        tk.complete("mock/mock-small", "hello")
    assert run("chat", "hello", "-m", "mock/mock-small").returncode == 1
    message = {"role": "user", "content": "hello"}
    refused = api.raw("POST", "/v1/chat/completions", model="mock/mock-small", messages=[message])
    assert refused.status_code >= 400
    run("models", "enable", "mock/mock-small")
    reopen()
    assert tk.complete("mock/mock-small", "hello").text == "works"


def test_rest_routes_do_what_the_shell_does(strict, api):
    added = api(
        "POST", "/api/providers", name="one", base_url=strict.base_url, local=True, api_key=KEY
    )
    assert added["test"]["checks"]
    assert api("PUT", "/api/providers/one", rpm=30)["rpm"] == 30
    assert api("POST", "/api/providers/one/sync")["status"] == "ok"
    assert len(api("POST", "/api/providers/sync-all")["data"]) >= 1
    assert api("GET", "/api/providers/one/models")["total"] == 2
    trial = api("POST", "/api/providers/test", base_url=strict.base_url, local=True, api_key=KEY)
    assert next(check["answer"] for check in trial["checks"]) == "works"
    assert api("GET", "/api/providers/one")["models"] == ["large", "small"]
    assert api("DELETE", "/api/providers/one")["deactivated_at"]


def test_one_provider_that_fails_takes_no_other_down(strict, mock, api):
    tk.providers.add("one", base_url=strict.base_url, local=True, api_key=KEY)
    strict.server.put("/v1/models", "out of order", 500)
    results = {
        row["provider"]: row["status"] for row in api("POST", "/api/providers/sync-all")["data"]
    }
    assert (results["one"], results["mock"]) == ("error", "ok")
    assert api("GET", "/api/providers")["total"] > 2


def test_keys_and_secret_headers_are_sent_and_never_returned(strict, api):
    api(
        "POST",
        "/api/providers",
        name="one",
        base_url=strict.base_url,
        local=True,
        api_key=KEY,
        headers={"x-team": "blue", "x-auth-token": "t0p-secret-value"},
    )
    tk.complete("one/small", "hello")
    headers = strict.server.asked[-1].headers
    assert (headers["x-team"], headers["x-auth-token"]) == ("blue", "t0p-secret-value")
    shown = api.raw("GET", "/api/providers/one").text + run("providers", "show", "one").stdout
    assert KEY not in shown
    assert "t0p-secret" not in shown


def test_models_are_synced_at_an_interval_of_each_provider(strict):
    tk.providers.add("one", base_url=strict.base_url, local=True, api_key=KEY, sync_interval_s=3600)
    later = datetime.now(UTC) + timedelta(hours=2)
    catalog = tk.catalog
    catalog.sync("one")
    assert "one" not in catalog._find_due(datetime.now(UTC))
    assert "one" in catalog._find_due(later)


def test_a_model_that_is_not_there_is_a_clear_error(mock, api):
    mock.default = Answer(text="no such model", status=404)
    with pytest.raises(ModelNotFound) as caught:
        tk.complete("mock/none", "hello")
    assert (caught.value.provider, caught.value.model) == ("mock", "mock/none")
    assert "toolkit models list --provider mock" in caught.value.hint
    done = run("chat", "hello", "-m", "mock/none")
    assert done.returncode == 1
    assert "MODEL_NOT_FOUND" in done.stderr
    message = {"role": "user", "content": "hello"}
    refused = api.raw("POST", "/v1/chat/completions", model="mock/none", messages=[message])
    assert (refused.status_code, "mock" in refused.text) == (404, True), refused.text
    assert "MODEL_NOT_FOUND" in refused.text
    for unknown in ("nothing/none", "none"):
        with pytest.raises(ToolkitError):
            tk.complete(unknown, "hello")


def test_abilities_are_shown_by_real_requests_with_their_cost_told_before(mock, api):
    tk.catalog.sync("mock")
    tk.catalog.override("mock/mock-small", {"price:input": 1, "price:output": 10})
    route = "/api/providers/mock/models/mock-small/probe"
    told = api("POST", route, capabilities=["tools"])
    assert (told["sent"], told["data"]) == (False, [])
    assert float(told["most_usd"]) > 0
    assert not [asked for asked in mock.requests if asked.method == "POST"]
    assert run("models", "probe", "mock/mock-small").returncode == 2, "it costs money"
    call = {"id": "c", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
    mock.enqueue("", tool_calls=[call], finish_reason="tool_calls")
    mock.enqueue("It is blue.")
    mock.enqueue("no such parameter", status=400)
    mock.enqueue("The larger one is 9.9.", reasoning="Compare the tenths.")
    mock.enqueue("1 2 3")
    found = {verdict.capability: verdict for verdict in tk.catalog.probe("mock/mock-small")}
    shown = {name: verdict.supported for name, verdict in found.items()}
    assert shown == {
        "tools": True, "vision": False, "json_schema": False, "reasoning": True, "streaming": True,
    }  # fmt: skip
    assert found["tools"].cost_usd
    tk.catalog.sync("mock")
    assert {"tools", "reasoning"} <= set(tk.catalog.capabilities("mock/mock-small"))
    (claim,) = tk.catalog.show("mock/mock-small")["claims"]["capability:vision"]
    assert (claim["source"], claim["value"]) == ("probe", False)
    mock.enqueue("out of order", status=500)
    (failed,) = tk.catalog.probe("mock/mock-small", ["tools"])
    assert failed.supported is None
    assert "tools" in tk.catalog.capabilities("mock/mock-small"), "a failure shows nothing"
