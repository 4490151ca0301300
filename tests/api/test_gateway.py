"""The gateway as other people's clients see it: the official one, curl, a raw socket."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time

import openai
import pytest


def rows(served, columns="*"):
    return served.toolkit.store.rows(f"SELECT {columns} FROM calls ORDER BY started_at, attempt")


@pytest.fixture
def client(served):
    with openai.OpenAI(base_url=served.url + "/v1", api_key=served.token, max_retries=0) as client:
        yield client


def ask(client, **options):
    messages = [{"role": "user", "content": "hi"}]
    return client.chat.completions.create(model="mock/m", messages=messages, **options)


def test_the_official_client_gets_a_whole_answer(served, client):
    served.provider.enqueue(text="Hello there", usage={"prompt_tokens": 3, "completion_tokens": 2})
    answer = ask(client, temperature=0)
    assert answer.choices[0].message.content == "Hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens == 2
    assert answer.model == "mock/m"
    assert served.provider.requests[-1].json["temperature"] == 0
    (row,) = rows(served, "origin, tags, status")
    assert row["origin"] == "gateway"
    assert dict(row["tags"])["token"] == "test"


def test_the_official_client_streams(served, client):
    served.provider.enqueue(
        chunks=["Hel", "lo"], usage={"prompt_tokens": 3, "completion_tokens": 2}
    )
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "Hello"
    assert chunks[-1].usage.completion_tokens == 2
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"


def test_the_official_asynchronous_client_streams(served):
    async def go():
        async with openai.AsyncOpenAI(
            base_url=served.url + "/v1", api_key=served.token, max_retries=0
        ) as client:
            stream = await client.chat.completions.create(
                model="mock/m", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

    served.provider.enqueue(chunks=["a", "b", "c"])
    assert asyncio.run(go()) == "abc"


def test_tool_calls_reach_the_client_whole_and_streamed(served, client):
    function = {"name": "weather", "arguments": '{"city": "Bonn"}'}
    call = {"id": "call_1", "type": "function", "function": function}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    for stream in (False, True):
        served.provider.enqueue(text="", tool_calls=[call], finish_reason="tool_calls")
        answer = ask(client, tools=tools, stream=stream)
        if stream:
            deltas = [c.choices[0].delta for c in answer if c.choices]
            found = [t for d in deltas for t in d.tool_calls or ()]
        else:
            found = answer.choices[0].message.tool_calls
        assert [(t.function.name, t.function.arguments) for t in found] == [
            ("weather", '{"city": "Bonn"}')
        ]


def test_headers_tell_who_answered_and_how_often(served):
    body = {"model": "mock/m", "messages": [{"role": "user", "content": "hi"}]}
    answer = served.ask("POST", "/v1/chat/completions", json=body)
    assert answer.headers["x-toolkit-provider"] == "mock"
    assert answer.headers["x-toolkit-attempts"] == "1"
    (row,) = rows(served, "call_id")
    assert answer.headers["x-toolkit-call-id"] == row["call_id"]


def test_an_alias_fails_over_along_its_chain(served, client):
    served.toolkit.providers.registry.set_alias("fast", ["mock/first", "mock/second"])
    served.provider.enqueue(
        status=401, body=b'{"error": {"message": "no", "code": "invalid_api_key"}}'
    )
    served.provider.enqueue(text="from the second")
    answer = client.chat.completions.create(
        model="fast", messages=[{"role": "user", "content": "hi"}]
    )
    assert answer.choices[0].message.content == "from the second"
    assert [r["attempt_kind"] for r in rows(served, "attempt_kind")] == ["first", "fallback"]
    assert "fast" in [m.id for m in client.models.list()]


def test_a_providers_refusal_is_an_error_of_the_format(served, client):
    served.provider.enqueue(status=400, body=b'{"error": {"message": "bad temperature"}}')
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client)
    assert caught.value.code == "CLIENT_ERROR"
    assert "bad temperature" in json.dumps(caught.value.body)


def test_an_unknown_provider_is_not_found(served, client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(
            model="nobody/m", messages=[{"role": "user", "content": "x"}]
        )
    assert caught.value.code == "PROVIDER_NOT_FOUND"


def test_a_stream_that_breaks_says_so_inside_the_stream(served):
    served.provider.enqueue(chunks=["one ", "two "], drop_after=1)
    body = {"model": "mock/m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    text = served.ask("POST", "/v1/chat/completions", json=body).text
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    assert events[-1]["error"]["code"] == "STREAM_ERROR"
    assert "[DONE]" not in text


@pytest.mark.parametrize(
    "field",
    ["api_base", "base_url", "api_key", "extra_headers", "mock_response", "litellm_metadata"],
)
def test_a_caller_can_set_nothing_of_the_machinery(served, field):
    body = {"model": "mock/m", "messages": [{"role": "user", "content": "x"}], field: "http://evil"}
    answer = served.ask("POST", "/v1/chat/completions", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == field
    assert "is not accepted" in answer.json()["error"]["message"]
    assert served.provider.requests == []


def test_scopes_and_models_of_a_token_are_kept(served):
    reader = served.tokens.create("reader", scopes=("read",)).reveal()
    narrow = served.tokens.create("narrow", models=("local/*",)).reveal()
    body = {"model": "mock/m", "messages": [{"role": "user", "content": "x"}]}
    for token, code in ((reader, "SCOPE_REQUIRED"), (narrow, "TOKEN_FORBIDDEN")):
        answer = served.ask("POST", "/v1/chat/completions", json=body, token=token)
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == code
    assert served.provider.requests == []


def test_a_client_that_goes_away_ends_the_call_upstream(served):
    served.provider.enqueue(chunks=["x"] * 200, chunk_delay_s=0.05)
    body = {"model": "mock/m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    import httpx

    with httpx.stream(
        "POST",
        served.url + "/v1/chat/completions",
        json=body,
        headers={"authorization": f"Bearer {served.token}"},
    ) as answer:
        next(answer.iter_bytes())
    deadline = time.monotonic() + 10
    while not rows(served, "status") and time.monotonic() < deadline:
        time.sleep(0.05)
    (row,) = rows(served, "status, duration_ms")
    assert row["status"] == "cancelled"
    assert row["duration_ms"] < 5000


def test_curl_gets_an_answer(served):
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    body = json.dumps({"model": "mock/m", "messages": [{"role": "user", "content": "hi"}]})
    done = subprocess.run(
        [
            *(curl, "-sS", served.url + "/v1/chat/completions", "-d", body),
            *(
                "-H",
                f"Authorization: Bearer {served.token}",
                "-H",
                "Content-Type: application/json",
            ),
        ],
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert json.loads(done.stdout)["object"] == "chat.completion"


# ---- bodies that do not fit ---------------------------------------------------------------------


def test_a_body_of_the_wrong_types_is_the_callers_error_at_every_endpoint(served):
    hi = {"role": "user", "content": "hi"}
    wrong = {
        "/v1/responses": [
            {"input": [{"type": "message", "content": 5}]},
            {"input": [{"type": "message", "content": [5]}]},
            {"input": "x", "tools": [{"type": "function", "name": 5}], "tool_choice": 5},
        ],
        "/v1/messages": [
            {"messages": [{"role": "user", "content": [5]}]},
            {"messages": [{"role": "user", "content": [{"type": "image", "source": 5}]}]},
            {"messages": [hi], "system": [5]},
        ],
        "/api/chat": [
            {"messages": [{"role": "user", "content": "x", "images": 5}]},
            {"messages": [{"role": "assistant", "tool_calls": [5]}]},
        ],
        "/v1/completions": [{"prompt": 5}, {"prompt": [[]]}, {"prompt": None}],
        "/v1/embeddings": [{"input": 5}, {"input": []}, {"input": ["a", 5]}],
    }
    for path, bodies in wrong.items():
        for body in bodies:
            answer = served.ask("POST", path, json={"model": "mock/m", "max_tokens": 5, **body})
            assert answer.status_code in (400, 422), (path, body, answer.text)
            assert "constrained" not in answer.text
    assert served.provider.requests == []


def test_a_model_of_several_types_is_named_by_its_field(served):
    for path, field in (("/v1/completions", "prompt"), ("/v1/embeddings", "input")):
        answer = served.ask("POST", path, json={"model": "mock/m", field: 5})
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (422, field)
        assert error["message"].startswith(f"{field}: its type")
    error = served.ask("POST", "/v1/chat/completions", json=[]).json()["error"]
    assert error["message"] == "body: it must be a JSON object"


@pytest.mark.parametrize("name", ["../../admin", "a/../b", "m\r\nx: y", "\x00", "./m", ".."])
def test_the_name_of_a_model_never_leads_elsewhere(served, name):
    body = {"model": f"mock/{name}", "messages": [{"role": "user", "content": "hi"}]}
    answer = served.ask("POST", "/v1/chat/completions", json=body)
    assert answer.status_code == 422
    assert "is not the name of a model" in answer.json()["error"]["message"]
    assert served.provider.requests == []


def test_an_unexpected_error_has_the_form_of_the_endpoint(served, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(served.toolkit, "acomplete", fail)
    body = {"model": "mock/m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    answer = served.ask("POST", "/v1/chat/completions", json=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")
    answer = served.ask("POST", "/v1/messages", json=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "api_error")
    assert "a bug" not in answer.text
