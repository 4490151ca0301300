"""A client for people with keys of their own: presets, limits, retries, checks, error codes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from streamlit.testing.v1 import AppTest

import toolkit as tk
from tests.cli.shell import ROOT, run, run_json
from tests.mission.conftest import KEY, WRONG, reopen
from toolkit.errors import (
    AuthenticationFailed,
    CatalogSyncFailed,
    ConnectionFailed,
    InvalidInput,
    InvalidRequest,
    KeyRequired,
    RateLimited,
    RetriesExhausted,
    ServerError,
    ToolkitError,
)

EIGHT = ("openai", "anthropic", "gemini", "openrouter", "groq", "sambanova", "ollama", "lm-studio")


def test_eight_presets_say_where_they_run_and_where_to_get_a_key(api):
    shown = {row["name"]: row for row in api("GET", "/api/presets")["data"]}
    assert set(EIGHT) <= shown.keys()
    assert {row["name"] for row in run_json("providers", "presets")} == set(shown)
    for name in EIGHT:
        row = shown[name]
        is_local = name in ("ollama", "lm-studio")
        assert (row["is_local"], row["needs_key"]) == (is_local, not is_local)
        assert row["key_url"] or is_local


def test_keys_are_set_read_listed_removed_and_cleared_after_a_check(strict, api):
    tk.providers.add("one", base_url=strict.base_url, local=True, test=False)
    with pytest.raises(AuthenticationFailed):
        tk.keys.set("one", WRONG)
    assert run("keys", "set", "one", stdin=WRONG).returncode == 1
    assert api.raw("PUT", "/api/providers/one/keys", value=WRONG).status_code == 424
    assert not tk.keys.has("one")
    assert run("keys", "set", "one", stdin=f'"{KEY}"').returncode == 0
    reopen()
    assert (tk.keys.get("one"), tk.keys.get("one", reveal=True)) == ("…kkkk", KEY)
    assert KEY not in run("keys", "get", "one").stdout
    assert run("keys", "get", "one", "--reveal").stdout.strip() == KEY
    tk.keys.set("one", KEY, name="work")
    assert len(api("GET", "/api/providers/one/keys")["data"]) == 2
    removed = api("DELETE", "/api/providers/one/keys")
    assert removed["now_used"]["name"] == "work"
    assert run("keys", "clear", "one", "--yes").returncode == 0
    reopen()
    assert run("keys", "has", "one").returncode == 1


def test_sixty_requests_a_minute_by_default_with_a_window_that_can_be_set(mock, strict):
    tk.providers.add("one", base_url=strict.base_url, local=True, api_key=KEY)
    assert tk.providers.require("openai").rpm in (None, 60)
    assert tk.settings.default_rpm == 60
    tk.providers.update("mock", rpm=2, rate_window_s=3600.0)
    tk.complete("mock/m", "hello")
    tk.complete("mock/m", "hello")
    with pytest.raises(RateLimited) as caught:
        tk.complete("mock/m", "hello", max_retries=0, timeout_s=1)
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 60
    assert len([asked for asked in mock.requests if asked.method == "POST"]) == 2
    tk.providers.update("mock", rpm=None, rate_window_s=None)
    for _ in range(61):  # a local provider has no limit unless it is given one
        tk.complete("mock/m", "hello")
    tk.providers.update("mock", rpm=60)
    with pytest.raises(RateLimited):
        for _ in range(61):
            tk.complete("mock/m", "hello", max_retries=0, timeout_s=0.5)


def test_retries_wait_longer_each_time_with_values_of_provider_and_call(mock):
    tk.providers.update("mock", retry_initial_s=0.0, retry_max_s=0.0, max_retries=4)
    mock.enqueue(status=500, times=4)
    reply = tk.complete("mock/m", "hello")
    assert (reply.text, len(reply.attempts)) == ("works", 5)
    mock.enqueue(status=500, times=2)
    with pytest.raises(ToolkitError):
        tk.complete("mock/m", "hello", max_retries=1, retry_initial_s=0.0, retry_factor=1)
    with pytest.raises(InvalidInput):
        tk.complete("mock/m", "hello", retry_inital_s=1)


def test_models_have_context_prices_and_abilities(strict, api):
    strict.models = [
        {
            "id": "acme/one",
            "name": "One",
            "context_length": 128000,
            "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
            "pricing": {"prompt": "0.0000025", "completion": "0.00001"},
            "supported_parameters": ["tools", "structured_outputs"],
            "top_provider": {"max_completion_tokens": 4096},
        }
    ]
    tk.providers.add("one", base_url=strict.base_url, local=True, api_key=KEY)
    api("POST", "/api/providers/one/sync")
    (row,) = run_json("models", "list", "-p", "one")
    assert row["context_window"] == 128000
    assert Decimal(str(row["input_usd_per_mtok"])) == Decimal("2.5")
    assert Decimal(str(row["output_usd_per_mtok"])) == Decimal(10)
    assert {"tools", "vision"} <= set(row["capabilities"])
    shown = tk.catalog.show("one/acme/one")
    assert (shown["context_window"], shown["max_output_tokens"]) == (128000, 4096)
    (over_http,) = api("GET", "/api/models?provider=one")["data"]
    assert over_http["context_window"] == 128000
    assert list(tk.models(provider="one")["model"]) == ["one/acme/one"]


def test_chat_is_answered_whole_and_in_pieces(mock, api):
    assert tk.complete("mock/m", "hello").text == "works"
    with tk.stream("mock/m", "hello") as stream:
        assert "".join(stream) == "works"
    assert "works" in run("chat", "hello", "-m", "mock/m").stdout
    body = {"model": "mock/m", "messages": [{"role": "user", "content": "hello"}]}
    assert "works" in str(api("POST", "/v1/chat/completions", **body))
    assert "[DONE]" in api.raw("POST", "/v1/chat/completions", stream=True, **body).text


def test_a_connection_is_tested_by_four_answers(mock, strict, api):
    answers = [check.answer for check in tk.providers.test("mock").checks]
    assert "refused" not in answers
    assert len(answers) == 4
    over_http = api("POST", "/api/providers/test", name="mock")["checks"]
    assert [check["answer"] for check in over_http] == answers
    assert run("providers", "test", "mock").returncode == 0
    trial = {"base_url": strict.base_url, "local": True, "api_key": WRONG}
    checks = {c.question: c.answer for c in tk.providers.test(None, **trial).checks}
    assert (checks["address"], checks["reachable"], checks["key"]) == ("works", "works", "refused")
    gone = tk.providers.test(None, base_url="http://127.0.0.1:59999/v1", local=True)
    assert [c.answer for c in gone.checks][:2] == ["works", "refused"]


def test_the_chosen_provider_and_model_are_kept(mock):
    run("providers", "default", "mock")
    run("providers", "update", "mock", "--default-model", "mock-small")
    reopen()
    assert tk.complete("default", "hello").model == "mock/mock-small"


def test_an_export_with_keys_is_encrypted(strict, api):
    tk.providers.add("one", base_url=strict.base_url, local=True, api_key=KEY)
    sealed = api("POST", "/api/providers/export", names=["one"], passphrase="correct horse battery")
    assert sealed["has_keys"]
    assert KEY not in sealed["document"]
    tk.keys.clear("one")
    options = {"document": sealed["document"], "on_conflict": "replace"}
    refused = api.raw("POST", "/api/providers/import", passphrase="another passphrase", **options)
    assert refused.status_code >= 400
    done = api("POST", "/api/providers/import", passphrase="correct horse battery", **options)
    assert done["keys"] == 1
    assert tk.keys.get("one", reveal=True) == KEY


def test_errors_have_the_seven_codes(mock, strict, api):
    def fails(*args: object, **options: object) -> str:
        with pytest.raises(ToolkitError) as caught:
            tk.complete(*args, **options)  # type: ignore[arg-type]
        return caught.value.code

    tk.providers.add("one", base_url=strict.base_url, local=True, needs_key=True, test=False)
    once = {"max_retries": 0}
    assert fails("one/m", "hello") == KeyRequired.code == "API_KEY_REQUIRED"
    mock.enqueue("odd", status=400)
    assert fails("mock/m", "hello", **once) == InvalidRequest.code == "CLIENT_ERROR"
    mock.enqueue(status=429, headers={"retry-after": "0"})
    assert fails("mock/m", "hello", **once) == RateLimited.code == "RATE_LIMIT_EXCEEDED"
    mock.enqueue(status=500)
    assert fails("mock/m2", "hello", **once) == ServerError.code == "SERVER_ERROR"
    mock.enqueue(status=500, times=2)
    quick = {"max_retries": 1, "retry_initial_s": 0.0}
    assert fails("mock/m3", "hello", **quick) == RetriesExhausted.code == "MAX_RETRIES_EXCEEDED"
    tk.providers.add("off", base_url="http://127.0.0.1:59999/v1", local=True, test=False)
    assert fails("off/m", "hello", **once) == ConnectionFailed.code == "REQUEST_FAILED"
    listed = run("models", "sync", "off")
    assert listed.returncode == 1
    assert CatalogSyncFailed.code == "FETCH_MODELS_FAILED"
    mock.enqueue("odd", status=400, times=2)
    assert "CLIENT_ERROR" in run("chat", "hello", "-m", "mock/m4").stderr
    message = {"role": "user", "content": "hello"}
    refused = api.raw("POST", "/v1/chat/completions", model="mock/m4", messages=[message])
    assert refused.status_code == 400
    assert "CLIENT_ERROR" in refused.text
    shown = {row["error_code"] for row in api("GET", "/api/calls?status=error")["data"]}
    assert {"CLIENT_ERROR", "RATE_LIMIT_EXCEEDED", "SERVER_ERROR"} <= shown


def test_the_page_of_providers_has_cloud_and_local_keys_and_links(mock):
    app = AppTest.from_file(str(ROOT / "toolkit/ui/pages/frame.py"), default_timeout=60)
    app.switch_page("providers.py").run()
    assert not app.exception
    presets = app.pills(key="preset")
    assert {"OpenAI", "Ollama", "Built-in local model"} <= {str(name) for name in presets.options}
    places = app.button_group(key="place")
    assert {"cloud 0", "local 1"} <= {str(option) for option in places.options}
    presets.select("Groq").run()
    assert not app.exception
    assert app.text_input(key="add-key").proto.type == app.text_input(key="add-key").proto.PASSWORD
    assert "console.groq.com" in str(app.get("link_button")[0].proto.url)
    app.query_params["provider"] = "mock"
    app.run()
    for field in ("new-key-mock", "url-mock", "header-value-mock"):
        assert app.text_input(key=field) is not None
    assert {"test-mock", "sync-mock", "default-mock", "remove-mock"} <= {b.key for b in app.button}


def test_usage_cost_and_comparison_are_seen_before_and_after_a_call(mock, api):
    tk.catalog.sync("mock")
    tk.catalog.override("mock/mock-small", {"price:input": 2, "price:output": 8})
    estimate = tk.estimate("mock/mock-small", "hello", max_tokens=100)
    assert estimate.most_usd is not None
    told = run("chat", "hello", "-m", "mock/mock-small", "--estimate", "--param", "max_tokens=100")
    assert told.returncode == 0
    assert "$" in told.stdout + told.stderr
    assert not [asked for asked in mock.requests if asked.method == "POST"], "nothing was sent"
    board = tk.compare("hello", ["mock/mock-small", "mock/mock-large"])
    assert len(board.frame()) == len(board.panes) == 2
    spend = tk.spend("model").set_index("model")
    cost = spend.loc["mock/mock-small", "cost_usd"]
    assert Decimal(0) < cost <= estimate.most_usd
    shown = {row["model"]: row for row in run_json("spend", "--by", "model")}
    assert Decimal(str(shown["mock/mock-small"]["cost_usd"])) == cost
    answer = api("GET", "/api/spend?by=model")
    assert Decimal(answer["forecast"]["spent_usd"]) == sum(tk.spend("model")["cost_usd"])
    over_http = {row["model"]: row for row in answer["data"]}
    assert Decimal(over_http["mock/mock-small"]["cost_usd"]) == cost
