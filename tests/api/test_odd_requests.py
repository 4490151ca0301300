"""Requests that are legal and rare, in front of providers whose APIs have no form for them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.api.every_api import PROVIDERS, Gateway, model_of

FUNCTION = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
TOOL = {"type": "function", "function": FUNCTION}
CALL = {"id": "c1", "function": {"name": "weather", "arguments": '{"city": "Bonn"}'}}
HI = [{"role": "user", "content": "hi"}]
THREE = ("openai", "anthropic", "gemini")


@pytest.fixture(autouse=True)
def nothing_left(gateway: Gateway) -> None:
    gateway.provider.forget()


def sent(gateway: Gateway) -> str:
    return gateway.provider.requests[-1].body.decode()


@pytest.mark.parametrize("api", THREE)
def test_functions_of_openais_first_form_are_called_and_answered_as_such(gateway, api):
    body: dict[str, Any] = {"model": model_of(api), "messages": HI, "functions": [FUNCTION]}
    answered = {"text": "", "tool_calls": [CALL], "finish_reason": "tool_calls"}
    gateway.provider.enqueue(**answered)
    (choice,) = gateway.post("/v1/chat/completions", body).json()["choices"]
    assert "weather" in sent(gateway) and '"functions"' not in sent(gateway)
    called = choice["message"]["function_call"]
    assert (called["name"], json.loads(called["arguments"])) == ("weather", {"city": "Bonn"})
    assert choice["finish_reason"] == "function_call" and "tool_calls" not in choice["message"]

    gateway.provider.enqueue(**answered, tool_pieces=3)
    stream = gateway.post("/v1/chat/completions", {**body, "stream": True}).text
    deltas = [
        json.loads(line[6:])["choices"][0] for line in stream.split("\n") if "choices" in line
    ]
    parts = [d["delta"]["function_call"] for d in deltas if "function_call" in d["delta"]]
    assert "".join(part.get("name", "") for part in parts) == "weather"
    assert json.loads("".join(part["arguments"] for part in parts)) == {"city": "Bonn"}
    assert deltas[-1]["finish_reason"] == "function_call"

    messages = [
        *HI,
        {"role": "assistant", "content": None, "function_call": called},
        {"role": "function", "name": "weather", "content": "rain"},
    ]
    gateway.provider.enqueue(text="It rains.")
    answer = gateway.post("/v1/chat/completions", {**body, "messages": messages})
    assert answer.json()["choices"][0]["message"]["content"] == "It rains."
    assert "rain" in sent(gateway) and "Bonn" in sent(gateway)


@pytest.mark.parametrize("api", PROVIDERS)
def test_an_empty_list_of_tools_is_left_out_and_named(gateway, api):
    body = {"model": model_of(api), "messages": HI, "tools": [], "tool_choice": "auto"}
    answer = gateway.post("/v1/chat/completions", body)
    assert answer.status_code == 200
    assert answer.headers["x-toolkit-dropped-parameters"] == "tools, tool_choice"
    assert "tool" not in sent(gateway).lower()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
@pytest.mark.parametrize("api", THREE)
def test_only_the_allowed_tools_are_offered(gateway, path, api):
    other = {"type": "function", "function": {**FUNCTION, "name": "secretly"}}
    if path == "/v1/responses":
        tools = [{"type": "function", **tool["function"]} for tool in (TOOL, other)]
        choice = {"type": "allowed_tools", "mode": "auto"}
        choice |= {"tools": [{"type": "function", "name": "weather"}]}
        body = {"input": "hi", "tools": tools, "tool_choice": choice}
    else:
        allowed = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "weather"}}]}
        choice = {"type": "allowed_tools", "allowed_tools": allowed}
        body = {"messages": HI, "tools": [TOOL, other], "tool_choice": choice}
    assert gateway.post(path, {"model": model_of(api), **body}).status_code == 200
    if api == "openai":  # it takes the choice itself
        assert json.loads(sent(gateway))["tool_choice"]["allowed_tools"]["tools"] == [
            {"type": "function", "function": {"name": "weather"}}
        ]
    else:
        assert "weather" in sent(gateway) and "secretly" not in sent(gateway)


def test_what_an_api_cannot_be_given_is_refused_in_the_clients_own_form(gateway):
    audio = {"type": "input_audio", "input_audio": {"data": "UklGRiQAAABXQVZF", "format": "wav"}}
    count = len(gateway.provider.requests)
    body = {"model": model_of("anthropic"), "messages": [{"role": "user", "content": [audio]}]}
    answer = gateway.post("/v1/chat/completions", body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert "does not take a recording" in error["message"] and "Leave it out" in error["hint"]
    broken = {**CALL, "type": "function", "function": {"name": "weather", "arguments": '{"a'}}
    messages = [
        *HI,
        {"role": "assistant", "content": "", "tool_calls": [broken]},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    ]
    body = {"model": model_of("gemini"), "messages": messages, "tools": [TOOL]}
    answer = gateway.post("/v1/chat/completions", body)
    assert answer.status_code == 400
    assert "`weather` are not a JSON object" in answer.json()["error"]["message"]
    assert len(gateway.provider.requests) == count


def test_ollamas_tool_results_are_matched_by_name_over_several_turns(gateway):
    def called(*names):
        calls = [{"function": {"name": name, "arguments": {}}} for name in names]
        return {"role": "assistant", "content": "", "tool_calls": calls}

    def result(name):
        return {"role": "tool", "tool_name": name, "content": f"of {name}"}

    messages = [*HI, called("f", "g"), result("g"), result("f"), called("f"), result("f")]
    body = {"model": model_of("openai"), "messages": messages, "stream": False}
    assert gateway.post("/api/chat", body).status_code == 200
    names, pairs = {}, []
    for message in json.loads(sent(gateway))["messages"]:
        names |= {c["id"]: c["function"]["name"] for c in message.get("tool_calls") or ()}
        if message["role"] == "tool":
            pairs.append((names[message["tool_call_id"]], message["content"]))
    assert pairs == [("g", "of g"), ("f", "of f"), ("f", "of f")]
    assert len(names) == 3


@pytest.mark.parametrize(
    ("path", "empty", "answer"),
    [
        ("/api/chat", {"messages": []}, ("message", {"role": "assistant", "content": ""})),
        ("/api/generate", {}, ("response", "")),
        ("/api/generate", {"prompt": ""}, ("response", "")),
    ],
)
def test_loading_and_unloading_an_ollama_model_calls_no_provider(gateway, path, empty, answer):
    count = len(gateway.provider.requests)
    for keep_alive, reason in ((None, "load"), ("5m", "load"), (0, "unload")):
        body = {"model": model_of("openai"), "keep_alive": keep_alive, **empty}
        (line,) = gateway.post(path, body).text.splitlines()
        loaded = json.loads(line)
        assert (loaded["done"], loaded["done_reason"]) == (True, reason)
        assert loaded[answer[0]] == answer[1]
    assert gateway.post(path, {"model": "nobody/m", **empty}).status_code == 404
    assert len(gateway.provider.requests) == count


def test_what_steers_ollamas_own_server_is_named_as_left_out(gateway):
    options = {"num_ctx": 4096, "temperature": 0.5, "num_predict": -1}
    body = {"model": model_of("openai"), "messages": HI, "options": options, "keep_alive": "5m"}
    answer = gateway.post("/api/chat", {**body, "stream": False, "think": False})
    assert answer.headers["x-toolkit-dropped-parameters"] == "keep_alive, options.num_ctx"
    assert json.loads(sent(gateway))["temperature"] == 0.5
    answer = gateway.post(
        "/api/generate", {"model": model_of("openai"), "prompt": "a", "raw": True}
    )
    assert answer.headers["x-toolkit-dropped-parameters"] == "raw"
    refused = gateway.post(
        "/api/generate", {"model": model_of("openai"), "prompt": "a", "suffix": "b"}
    )
    assert refused.status_code == 400 and "suffix" in refused.json()["error"]


def test_ollamas_other_endpoints_answer_in_its_form(gateway):
    headers = {"authorization": f"Bearer {gateway.token}"}
    made = gateway.post("/api/embed", {"model": "openai/m", "input": ["a", "b"], "truncate": True})
    assert len(made.json()["embeddings"]) == 2
    shown = gateway.post("/api/show", {"name": model_of("openai")}).json()
    assert shown["capabilities"][0] == "completion"
    missing = gateway.post("/api/show", {"model": "nobody/m"})
    assert missing.status_code == 404 and isinstance(missing.json()["error"], str)
    assert httpx.get(gateway.url + "/api/ps", headers=headers).json() == {"models": []}
