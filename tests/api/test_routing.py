"""What the gateway does around a call: cache, sticky sessions, hedging, shadow traffic."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal

import pytest

import toolkit as tk
from tests.servers import Answer, MockProvider
from tests.store.rows import call_row
from toolkit.api.formats.model_request import ModelRequest
from toolkit.api.routing.chain_routing import (
    RecentLatency,
    StickySessions,
    first_answer,
    read_hedge,
)
from toolkit.api.routing.response_cache import ResponseCache, cache_key, read_ttl
from toolkit.api.routing.shadow_traffic import ShadowTraffic
from toolkit.errors import InvalidInput, ServerError
from toolkit.records import Call, Reply

HI = [{"role": "user", "content": "hi"}]
BODY = {"model": "mock/m", "messages": HI}
CACHE = {"x-toolkit-cache": "60"}
CHAT = "/v1/chat/completions"


def ask(served, body=None, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = served.ask("POST", CHAT, json=body or BODY, headers=names)
    assert answer.status_code == 200, answer.text
    return answer


def text_of(answer) -> str:
    return answer.json()["choices"][0]["message"]["content"]


def add_chain(served, *models: str) -> None:
    registry = served.toolkit.providers.registry
    for name in {model.partition("/")[0] for model in models} - {"mock"}:
        registry.add(name, base_url=served.provider.base_url, is_local=True, needs_key=False)
    registry.set_alias("fast", list(models))


# ---- cache --------------------------------------------------------------------------------------


def test_an_exact_repetition_is_answered_from_the_cache_and_recorded_so(served):
    served.provider.enqueue(text="first", usage={"prompt_tokens": 3, "completion_tokens": 1})
    first = ask(served, **CACHE)
    again = ask(served, **CACHE)
    assert [a.headers["x-toolkit-cache"] for a in (first, again)] == ["miss", "hit"]
    assert text_of(first) == text_of(again) == "first"
    assert again.json()["usage"]["completion_tokens"] == 1
    assert len(served.provider.requests) == 1
    assert Decimal(again.headers["x-toolkit-cost-usd"]) == 0
    rows = tk.calls(origin="gateway", source="cache").to_dict("records")
    assert [row["call_id"] for row in rows] == [again.headers["x-toolkit-call-id"]]
    assert dict(rows[0]["tags"])["cache_of"] == first.headers["x-toolkit-call-id"]
    assert float(rows[0]["cost_usd"]) == 0


def test_a_kept_answer_can_be_streamed_and_a_stream_can_be_kept(served):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    served.provider.enqueue(
        text="Hello", reasoning="Hm", tool_calls=[call], finish_reason="tool_calls"
    )
    streamed = ask(served, {**BODY, "stream": True}, **CACHE)
    whole = ask(served, **CACHE).json()["choices"][0]
    assert (whole["message"]["content"], whole["finish_reason"]) == ("Hello", "tool_calls")
    assert whole["message"]["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'
    again = ask(served, {**BODY, "stream": True}, **CACHE)
    assert (streamed.headers["x-toolkit-cache"], again.headers["x-toolkit-cache"]) == (
        "miss",
        "hit",
    )
    for part in ('"Hello"', '"Hm"', '"tool_calls"', "[DONE]"):
        assert part in again.text
    assert len(served.provider.requests) == 1


def test_nothing_is_kept_unasked_or_for_another_token_or_question(served):
    for number in range(6):
        served.provider.enqueue(text=f"answer {number}")
    other = served.tokens.create("other", cache_ttl_s=60).reveal()
    answers = [
        text_of(ask(served)),
        text_of(ask(served, **CACHE)),
        text_of(served.ask("POST", CHAT, json=BODY, token=other)),
        text_of(ask(served, {**BODY, "temperature": 0.5}, **CACHE)),
        text_of(ask(served, x_toolkit_cache="off")),
    ]
    assert answers == [f"answer {number}" for number in range(5)]
    kept = served.ask("POST", CHAT, json=BODY, token=other)
    assert (kept.headers["x-toolkit-cache"], text_of(kept)) == ("hit", "answer 2")


def test_the_cache_is_bounded_in_time_and_number():
    now = [0.0]
    cache = ResponseCache(clock=lambda: now[0])
    reply = Reply(text="x", finish_reason="stop", call_id="c", request_id="r", model="p/m")
    cache.keep("old", reply, (), 10)
    now[0] = 11
    assert cache.find("old") is None
    for number in range(1100):
        cache.keep(str(number), reply, (), 10)
    assert (cache.find("0"), cache.find("1099")) == (None, (reply, ()))
    keys = {cache_key(t, ModelRequest(model=m, messages=HI)) for t in "ab" for m in ("p/m", "p/n")}
    assert len(keys) == 4


@pytest.mark.parametrize(("text", "seconds"), [(None, None), ("on", 300), ("OFF", 0), ("7.5", 7.5)])
def test_the_header_of_the_cache(text, seconds):
    assert read_ttl(text) == seconds


@pytest.mark.parametrize("text", ["yes", "-1", "nan", "inf", "99999999999"])
def test_nonsense_in_a_header_is_refused(served, text):
    with pytest.raises(InvalidInput):
        read_ttl(text)
    answer = served.ask("POST", CHAT, json=BODY, headers={"x-toolkit-cache": text})
    assert (answer.status_code, served.provider.requests) == (400, [])


# ---- sticky sessions ----------------------------------------------------------------------------


def test_a_session_stays_with_the_provider_that_answered_it(served):
    add_chain(served, "one/m", "two/m")
    body = {**BODY, "model": "fast"}
    served.provider.enqueue(status=500, text="down", times=3)
    served.toolkit.providers.registry.update("one", max_retries=2)
    moved = ask(served, body, x_toolkit_session="talk")
    assert moved.headers["x-toolkit-provider"] == "two"
    assert ask(served, body).headers["x-toolkit-provider"] == "one"
    same = ask(served, body, x_toolkit_session="talk")
    assert same.headers["x-toolkit-provider"] == "two"
    by_key = ask(served, {**body, "prompt_cache_key": "talk"})
    assert by_key.headers["x-toolkit-provider"] == "two"


def test_sessions_end_and_belong_to_a_token():
    now = [0.0]
    sessions = StickySessions(clock=lambda: now[0])
    sessions.note("t", "s", "b/m")
    assert sessions.order("t", "s", ["a/m", "b/m"]) == ("b/m", "a/m")
    assert sessions.order("u", "s", ["a/m", "b/m"]) == ("a/m", "b/m")
    assert sessions.order("t", "s", ["a/m", "c/m"]) == ("a/m", "c/m")
    now[0] = 3601
    assert sessions.order("t", "s", ["a/m", "b/m"]) == ("a/m", "b/m")


# ---- hedging ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_slow_model_is_hedged_and_both_calls_have_rows(served, stream):
    add_chain(served, "one/m", "two/m")
    body = {**BODY, "model": "fast", "stream": stream}
    with MockProvider(Answer(text="slow", first_delay_s=60)) as slow:
        served.toolkit.providers.registry.update("one", base_url=slow.base_url)
        slow.enqueue(text="quick")
        for model in ("one/m", "two/m"):  # the first call to a model reads its price
            ask(served, {**body, "model": model})
        served.provider.enqueue(text="quick")
        answer = ask(served, body, x_toolkit_hedge="1000")
        assert "quick" in answer.text
        assert answer.headers["x-toolkit-provider"] == "two"
        assert answer.headers["x-toolkit-hedged"] == "yes"
        until = time.monotonic() + 20
        while len(tk.calls()) < 4 and time.monotonic() < until:
            time.sleep(0.05)
    rows = [(row["provider"], row["status"]) for row in tk.calls().to_dict("records")]
    assert sorted(rows) == [("one", "cancelled"), ("one", "ok"), ("two", "ok"), ("two", "ok")]


def test_without_a_chain_or_a_slow_answer_nothing_is_hedged(served):
    add_chain(served, "one/m", "two/m")
    for body in (BODY, {**BODY, "model": "fast"}):
        assert "x-toolkit-hedged" not in ask(served, body, x_toolkit_hedge="60000").headers
    unknown = ask(served, {**BODY, "model": "fast"}, x_toolkit_hedge="p95")
    assert "x-toolkit-hedged" not in unknown.headers
    assert len(served.provider.requests) == 3


async def _raising(error: Exception) -> str:
    raise error


async def _saying(text: str, after_s: float = 0.0) -> str:
    await asyncio.sleep(after_s)
    return text


def test_of_two_calls_the_good_one_counts_and_the_rest_is_closed():
    closed: list[str] = []

    async def discard(text: str) -> None:
        closed.append(text)

    async def race(first, second):
        return await first_answer(first, second, 0.01, discard)

    async def late_failure() -> str:
        await asyncio.sleep(0.03)
        return await _raising(ServerError("first"))

    good = asyncio.run(race(late_failure, lambda: _saying("second", 0.1)))
    assert good == ("second", True)
    with pytest.raises(ServerError, match="first"):
        asyncio.run(race(late_failure, lambda: _raising(ServerError("second"))))
    assert asyncio.run(race(lambda: _saying("a"), lambda: _saying("b"))) == ("a", False)
    assert closed == []


def test_the_percentile_needs_enough_calls():
    latency = RecentLatency()
    for number in range(19):
        latency.observe_call(Call(**call_row(model="p/m", duration_ms=float(number))))
    assert latency.p95_ms("p/m", stream=False) is None
    latency.observe_call(Call(**call_row(model="p/m", duration_ms=1000.0)))
    assert latency.p95_ms("p/m", stream=False) == 18
    assert latency.p95_ms("p/m", stream=True) is None
    assert (read_hedge("auto"), read_hedge("off"), read_hedge("80")) == ("p95", 0, 80)


# ---- shadow traffic -----------------------------------------------------------------------------


def test_a_copy_goes_to_the_second_model_and_never_delays_the_answer(served, monkeypatch):
    request = ModelRequest(model="mock/m", messages=HI, params={"seed": 1})
    release = asyncio.Event()
    copied = []

    async def complete(model, messages, **options):
        copied.append((model, messages, options))
        await release.wait()

    async def go() -> None:
        shadow = ShadowTraffic({"mock/m": "mock/big"}, 1.0, complete)
        for _ in range(10):
            shadow.send(request, "r1")
        shadow.send(ModelRequest(model="mock/other", messages=HI), "r2")
        assert shadow.skipped == 2
        await asyncio.sleep(0)
        await shadow.aclose()

    asyncio.run(go())
    assert len(copied) == 8
    model, _, options = copied[0]
    assert (model, options["origin"], options["tags"]) == (
        "mock/big",
        "shadow",
        {"shadow_of": "r1"},
    )
    assert options["seed"] == 1


def test_a_shadow_call_has_a_row_of_its_own_origin(served):
    calls = ShadowTraffic({"mock/m": "mock/big"}, 1.0, served.toolkit.acomplete)

    async def go() -> None:
        calls.send(ModelRequest(model="mock/m", messages=HI), "r1")
        await asyncio.wait(calls._running)
        await served.toolkit.client.aclose()

    served.provider.enqueue(text="copy")
    asyncio.run(go())
    (row,) = tk.calls(origin="shadow").to_dict("records")
    assert (row["model"], row["source"], dict(row["tags"])["shadow_of"]) == (
        "mock/big",
        "live",
        "r1",
    )
