"""Streams through the gateway: slow readers, clients that go away, reasoning, the last chunk."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import httpx
import openai
import pytest

PIECE = "x" * 20_000
PIECES = 1400  # 28 MB, more than all the buffers of two connections


def body(**fields):
    return {"model": "mock/m", "messages": [{"role": "user", "content": "hi"}], **fields}


def rows(served, columns="*"):
    return served.toolkit.store.rows(f"SELECT {columns} FROM calls ORDER BY started_at, attempt")


def wait_for(condition, what):
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def wait_until_still(count):
    """The number once it has stopped growing for a second."""
    seen, since, deadline = -1, time.monotonic(), time.monotonic() + 60
    while time.monotonic() - since < 1.0 or seen < 1:
        assert time.monotonic() < deadline, "it never stopped"
        if (now := count()) != seen:
            seen, since = now, time.monotonic()
        time.sleep(0.05)
    return seen


def open_raw(served, sent):
    """A connection with small buffers on which a request was sent and nothing is read."""
    host, port = served.url.removeprefix("http://").split(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    raw.settimeout(60)
    raw.connect((host, int(port)))
    data = json.dumps(sent).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n"
        f"authorization: Bearer {served.token}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(data)}\r\n\r\n"
    )
    raw.sendall(head.encode() + data)
    return raw


def read_all(raw):
    parts = []
    while data := raw.recv(1 << 20):
        parts.append(data)
    return b"".join(parts)


def test_a_client_that_does_not_read_holds_the_provider_back(served):
    served.provider.enqueue(chunks=[PIECE] * PIECES)
    with open_raw(served, body(stream=True)) as raw:
        sent = wait_until_still(lambda: len(served.provider.stamps))
        assert sent < PIECES * 0.9
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        answer = read_all(raw)
    assert answer.count(b"x") >= PIECES * len(PIECE)
    assert answer.rstrip(b"0\r\n").endswith(b"data: [DONE]")
    (row,) = rows(served, "status, flags")
    assert row["status"] == "ok"
    assert "held_back" in row["flags"]


def test_a_client_that_goes_away_while_held_back_ends_the_call(served):
    served.provider.enqueue(chunks=[PIECE] * PIECES)
    with open_raw(served, body(stream=True)):
        wait_until_still(lambda: len(served.provider.stamps))
    wait_for(lambda: rows(served, "status"), "the call did not end")
    assert rows(served, "status") == [{"status": "cancelled"}]


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_before_the_first_word_ends_the_call(served, stream):
    served.provider.enqueue(text="late", first_delay_s=120)
    with open_raw(served, body(stream=stream)):
        wait_for(lambda: served.provider.requests, "the provider was not asked")
    wait_for(lambda: rows(served, "status"), "the call did not end")
    assert rows(served, "status") == [{"status": "cancelled"}]


def test_the_head_of_a_stream_tells_who_answers(served):
    served.toolkit.providers.registry.set_alias("fast", ["mock/first", "mock/second"])
    served.provider.enqueue(status=401, body={"error": {"message": "no"}})
    served.provider.enqueue(text="one two")
    asked = body(stream=True, stream_options={"include_usage": True}) | {"model": "fast"}
    answer = served.ask("POST", "/v1/chat/completions", json=asked)
    last = rows(served, "call_id, model")[-1]
    assert last["model"] == "mock/second"
    assert answer.headers["x-toolkit-provider"] == "mock"
    assert answer.headers["x-toolkit-attempts"] == "2"
    assert answer.headers["x-toolkit-call-id"] == last["call_id"]
    events = [json.loads(e[6:]) for e in answer.text.splitlines() if e.startswith("data: {")]
    assert {e["model"] for e in events} == {"mock/second"}
    assert {e["id"] for e in events} == {f"chatcmpl-{last['call_id']}"}
    assert events[-1]["toolkit"] == {
        "provider": "mock",
        "call_id": last["call_id"],
        "attempts": 2,
        "cost_usd": None,
    }
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 2


def test_without_being_asked_no_usage_is_streamed(served):
    answer = served.ask("POST", "/v1/chat/completions", json=body(stream=True))
    assert '"usage"' not in answer.text


def test_reasoning_passes_whole_and_streamed(served):
    with openai.OpenAI(base_url=served.url + "/v1", api_key=served.token, max_retries=0) as client:
        for stream in (False, True):
            served.provider.enqueue(text="42", reasoning="thinking hard")
            answer = client.chat.completions.create(**body(stream=stream))
            if stream:
                deltas = [c.choices[0].delta for c in answer if c.choices]
                thought = "".join(getattr(d, "reasoning_content", None) or "" for d in deltas)
                text = "".join(d.content or "" for d in deltas)
            else:
                message = answer.choices[0].message
                thought, text = message.reasoning_content, message.content
            assert (thought, text) == ("thinking hard", "42")


CALLS = [
    {"id": "call_a", "function": {"name": "weather", "arguments": '{"city": "Bonn", "days": 3}'}},
    {"id": "call_b", "function": {"name": "time", "arguments": ""}},
]


def test_tool_calls_come_in_the_pieces_in_which_the_provider_sends_them(served):
    served.provider.enqueue(
        text="", tool_calls=CALLS, tool_pieces=4, finish_reason="tool_calls", chunk_delay_s=0.05
    )
    client = openai.OpenAI(base_url=served.url + "/v1", api_key=served.token, max_retries=0)
    with client, client.chat.completions.stream(**body()) as stream:
        pieces = [
            call.function.arguments
            for event in stream
            if event.type == "chunk" and event.chunk.choices
            for call in event.chunk.choices[0].delta.tool_calls or []
        ]
        calls = stream.get_final_completion().choices[0].message.tool_calls
    assert len(pieces) > 3
    assert [(c.id, c.function.name, c.function.arguments) for c in calls] == [
        ("call_a", "weather", CALLS[0]["function"]["arguments"]),
        ("call_b", "time", "{}"),
    ]


def test_a_stream_that_breaks_is_an_error_to_the_official_client(served):
    served.provider.enqueue(chunks=["one ", "two "], drop_after=1)
    with openai.OpenAI(base_url=served.url + "/v1", api_key=served.token, max_retries=0) as client:
        stream = client.chat.completions.create(**body(stream=True))
        seen = []
        with pytest.raises(openai.APIError):
            seen += [c.choices[0].delta.content for c in stream if c.choices]


def test_parameters_of_many_providers_pass_as_they_are(served):
    given = {"top_k": 40, "reasoning_effort": "low", "verbosity": "low", "prompt_cache_key": "a"}
    answer = served.ask("POST", "/v1/chat/completions", json=body(**given, seed=7, stop=["x"]))
    assert answer.status_code == 200, answer.text
    sent = served.provider.requests[-1].json
    assert {name: sent[name] for name in given} == given
    assert (sent["seed"], sent["stop"]) == (7, ["x"])


def test_several_answers_at_once_reach_the_client(served):
    choices = [
        {"index": i, "message": {"role": "assistant", "content": t}, "finish_reason": "stop"}
        for i, t in enumerate(["one", "two"])
    ]
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    reply = {"id": "x", "object": "chat.completion", "model": "m", "choices": choices}
    served.provider.enqueue(
        body=json.dumps({**reply, "usage": usage}).encode(),
        headers={"content-type": "application/json"},
    )
    answer = served.ask("POST", "/v1/chat/completions", json=body(n=2)).json()
    assert [c["message"]["content"] for c in answer["choices"]] == ["one", "two"]
    assert served.provider.requests[-1].json["n"] == 2


def test_tokens_take_turns_by_their_own_limits(served):
    narrow = served.tokens.create("narrow", concurrency=1).reveal()
    served.provider.enqueue(text="slow", first_delay_s=120)
    with open_raw(Served(served, narrow), body()):
        wait_for(lambda: served.provider.requests, "the provider was not asked")
        refused = served.ask("POST", "/v1/chat/completions", json=body(), token=narrow)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert served.ask("GET", "/v1/models").status_code == 200
    wait_for(lambda: rows(served, "status"), "the call did not end")
    assert served.ask("GET", "/v1/models", token=narrow).status_code == 200


class Served:
    """The same server, asked with another token."""

    def __init__(self, served, token):
        self.url, self.token = served.url, token


def test_a_token_that_has_spent_its_day_waits_for_tomorrow_over_a_restart(served):
    from toolkit.api.bearer_tokens import BearerTokens

    poor = served.tokens.create("poor", usd_per_day=0.01).reveal()
    assert served.ask("POST", "/v1/chat/completions", json=body(), token=poor).status_code == 200
    spend(served, "poor", "0.02")
    again = BearerTokens(served.tokens.path).find(poor)
    assert again.usd_per_day == 0.01
    refused = served.ask("POST", "/v1/chat/completions", json=body(), token=poor)
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "BUDGET_EXCEEDED"
    assert 1 <= int(refused.headers["retry-after"]) <= 86_400
    assert len(served.provider.requests) == 1
    assert served.ask("POST", "/v1/chat/completions", json=body()).status_code == 200


def spend(served, name, usd):
    """Write into the ledger that a token's call has cost something."""
    import dataclasses
    from datetime import UTC, datetime
    from decimal import Decimal

    from toolkit.records import Call

    call = Call(
        call_id="00000000-0000-7000-8000-000000000001",
        request_id="00000000-0000-7000-8000-000000000002",
        attempt=1,
        attempt_kind="first",
        origin="gateway",
        started_at=datetime.now(UTC),
        seq=1,
        provider="mock",
        model="mock/m",
        status="ok",
    )
    served.toolkit.record(dataclasses.replace(call, cost_usd=Decimal(usd), tags={"token": name}))


def test_a_head_that_does_not_come_closes_the_connection(served, monkeypatch):
    from toolkit.api import http_server

    monkeypatch.setattr(http_server, "HEADER_TIMEOUT_S", 0.3)
    host, port = served.url.removeprefix("http://").split(":")
    head = f"GET /v1/models HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {served.token}\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as raw:
        raw.sendall(head.encode() + b"\r\n")
        assert b" 200 " in raw.recv(1 << 16)
        raw.sendall(head.encode())  # and the empty line never comes
        while data := raw.recv(1 << 16):
            assert b"HTTP/1.1 200" not in data
    with socket.create_connection((host, int(port)), timeout=60) as raw:
        raw.sendall(b"GET / HT")
        assert raw.recv(1) == b""
    assert httpx.get(served.url + "/api/docs").status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(served, monkeypatch):
    from toolkit.api import guard

    monkeypatch.setattr(guard, "BODY_TIMEOUT_S", 0.3)
    host, port = served.url.removeprefix("http://").split(":")
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-length: 100\r\n"
        f"authorization: Bearer {served.token}\r\ncontent-type: application/json\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=60) as raw:
        raw.sendall(head.encode() + b"{")
        answer = raw.recv(1 << 16)
    assert b" 408 " in answer.splitlines()[0]
    assert served.provider.requests == []


def test_calls_in_progress_cannot_exceed_a_tokens_budget_together(home):
    from toolkit.api.bearer_tokens import BearerToken
    from toolkit.api.token_limits import check_budget
    from toolkit.calls.chat_request import build_request
    from toolkit.errors import BudgetExceeded
    from toolkit.toolkit import current

    toolkit = current()
    asyncio.run(toolkit.prices.prepare("openai/gpt-4o-mini"))
    asyncio.run(check_budget(toolkit.budgets, BearerToken(name="t", digest="", usd_per_day=0.001)))

    def request(name="t", origin="gateway"):
        options = {"max_tokens": 1000, "origin": origin, "tags": {"token": name}}
        return build_request("openai/gpt-4o-mini", "hi", options)  # at most $0.0006

    first, second = request(), request()
    toolkit.budgets.before(first)
    with pytest.raises(BudgetExceeded) as caught:
        toolkit.budgets.before(second)
    assert caught.value.cap == "token:t"
    assert caught.value.retry_after > 0
    assert caught.value.reserved_usd > 0
    toolkit.budgets.before(request("another"))
    toolkit.budgets.before(request(origin="chat"))
    toolkit.budgets.ended(first, ())
    toolkit.budgets.before(second)
    toolkit.close()


def test_a_token_that_has_spent_exactly_its_cap_is_refused(home):
    from dataclasses import replace
    from datetime import UTC, datetime
    from decimal import Decimal

    from toolkit.api.bearer_tokens import BearerToken
    from toolkit.api.token_limits import check_budget
    from toolkit.errors import BudgetExceeded
    from toolkit.records import Call
    from toolkit.toolkit import current

    toolkit = current()
    call = Call(
        call_id="c1",
        request_id="r1",
        attempt=1,
        attempt_kind="first",
        origin="gateway",
        started_at=datetime.now(UTC),
        seq=1,
        provider="mock",
        model="mock/m",
        status="ok",
        cost_usd=Decimal("0.25"),
        tags={"token": "t"},
    )
    toolkit.record(call)
    token = BearerToken(name="t", digest="", usd_per_day=0.25)
    with pytest.raises(BudgetExceeded):
        asyncio.run(check_budget(toolkit.budgets, token))
    asyncio.run(check_budget(toolkit.budgets, replace(token, usd_per_day=0.26)))
    toolkit.close()


def test_a_call_that_could_pass_a_tokens_cap_is_never_sent(served):
    poor = served.tokens.create("poor", usd_per_day=0.001).reveal()
    asked = body(max_tokens=100_000) | {"model": "openai/gpt-4o-mini"}
    refused = served.ask("POST", "/v1/chat/completions", json=asked, token=poor)
    assert refused.status_code == 429
    assert "'poor'" in refused.json()["error"]["message"]
    assert rows(served) == []
