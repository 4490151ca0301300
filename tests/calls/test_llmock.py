"""The strict verdict of a server that we did not write: how we retry, wait, stop and give up.

llmock keeps every attempt with its timing and judges the client by them. It cannot see what a
caller was told, so it counts a broken stream as noticed only when it is asked for again: `ask`
does that, once, and only if the client raised an error that says so. A client that takes half
an answer for a whole one is never asked again and fails.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.calls.asking import Asking, make_provider, quick_settings
from toolkit import errors

STYLES = ("openai", "anthropic", "gemini")
PATHS = {"openai": "/v1", "anthropic": "/anthropic", "gemini": "/gemini/v1beta"}
ANSWER = "One two three four five six seven eight nine ten eleven twelve."
Ask = tuple[str, bool]
EVERY_WAY = list(itertools.product(STYLES, (False, True)))


@dataclass
class Asked:
    """What a caller got: the answer, or the error that ended it, and the errors before."""

    text: str | None
    failed: list[errors.CallError]

    @property
    def codes(self) -> list[str]:
        return [error.code for error in self.failed]


@pytest.fixture(params=STYLES)
def style(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=EVERY_WAY, ids=lambda way: f"{way[0]}-{'stream' if way[1] else 'whole'}")
def way(request: pytest.FixtureRequest) -> Ask:
    style, stream = request.param
    return style, stream


def ask(llmock: Any, style: str, *, stream: bool, times: int = 1, **settings: Any) -> Asked:
    """Ask with our own retries on; a broken stream is asked for again, as its error advises."""
    provider = make_provider(llmock.url + PATHS[style], style)
    asking = Asking(provider, settings=quick_settings(max_retries=2, **settings))
    # Two waits with full jitter look like a constant interval to the judge once in four times.
    asking.client._policy._rng = lambda: 0.5

    async def run() -> Asked:
        failed: list[errors.CallError] = []
        for _ in range(times):
            try:
                return Asked(await _answer(asking, stream=stream), failed)
            except errors.CallError as error:
                failed.append(error)
                if error.retry == "no":
                    break
                # The judge takes a repeat for another call while it has not seen us hang up.
                await asyncio.to_thread(lambda: llmock.requests)
        return Asked(None, failed)

    return asyncio.run(run())


async def _answer(asking: Asking, *, stream: bool) -> str:
    if not stream:
        return str((await asking.complete("hello")).text)
    return "".join([piece async for piece in asking.stream("hello")])


def test_a_sound_answer_is_read_whole_with_one_request(llmock: Any, way: Ask) -> None:
    llmock.reply(ANSWER)
    assert ask(llmock, way[0], stream=way[1]).text == ANSWER
    assert len(llmock.requests) == 1
    llmock.assert_resilient(strict=True)


def test_retry_after_is_kept_to(llmock: Any, way: Ask) -> None:
    llmock.rate_limit(times=2, retry_after=0.4).reply(ANSWER)
    assert ask(llmock, way[0], stream=way[1]).text == ANSWER
    assert [request.status for request in llmock.requests] == [429, 429, 200]
    llmock.assert_resilient(strict=True)


def test_a_quota_of_requests_per_minute_is_waited_for(llmock: Any, style: str) -> None:
    """The judge refuses by a bucket of its own, and says how long it takes to fill."""
    llmock.limits(rpm=20)
    provider = make_provider(llmock.url + PATHS[style], style)
    asking = Asking(provider, settings=quick_settings(max_retries=2))

    async def run() -> None:
        for _ in range(60):
            await asking.complete("hello")
            if asking.calls[-2:-1] and asking.calls[-2].http_status == 429:
                return
        raise AssertionError("the bucket never ran dry")

    asyncio.run(run())
    assert asking.calls[-1].status == "ok"
    llmock.assert_resilient(strict=True)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529])
def test_a_failure_that_passes_is_asked_again(llmock: Any, way: Ask, status: int) -> None:
    llmock.fail(status).reply(ANSWER)
    assert ask(llmock, way[0], stream=way[1]).text == ANSWER
    assert [request.status for request in llmock.requests] == [status, 200]
    llmock.assert_resilient(strict=True)


def test_waits_grow_from_try_to_try(llmock: Any, way: Ask) -> None:
    """A 500: with a 503 the judge sends `Retry-After`, and our own waits would not be seen."""
    llmock.fail(500, times=2).reply(ANSWER)
    assert ask(llmock, way[0], stream=way[1]).text == ANSWER
    assert [request.retry_after for request in llmock.requests] == [None] * 3
    llmock.assert_resilient(strict=True)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "CLIENT_ERROR"),
        (401, "AUTHENTICATION_FAILED"),
        (403, "PERMISSION_DENIED"),
        (404, "MODEL_NOT_FOUND"),
        (422, "CLIENT_ERROR"),
    ],
)
def test_what_would_fail_again_is_asked_once(llmock: Any, way: Ask, status: int, code: str) -> None:
    llmock.fail(status, times=None)
    assert ask(llmock, way[0], stream=way[1]).codes == [code]
    assert len(llmock.requests) == 1
    llmock.assert_resilient(strict=True)


def test_a_prompt_that_is_too_long_is_named_and_asked_once(llmock: Any, way: Ask) -> None:
    llmock.context_overflow(times=None)
    assert ask(llmock, way[0], stream=way[1]).codes == ["CONTEXT_WINDOW_EXCEEDED"]
    llmock.assert_resilient(strict=True)


def test_an_outage_is_given_up_after_three_tries(llmock: Any, way: Ask) -> None:
    llmock.outage(status=500)
    assert ask(llmock, way[0], stream=way[1]).codes == ["MAX_RETRIES_EXCEEDED"]
    assert len(llmock.requests) == 3
    llmock.assert_resilient(strict=True)


@pytest.mark.parametrize("after_chunks", [1, 4])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("disconnect", "STREAM_ERROR"),
        ("truncate", "STREAM_ERROR"),
        ("corrupt", "PARSE_ERROR"),
    ],
)
def test_a_broken_stream_is_no_answer(
    llmock: Any, style: str, fault: str, code: str, after_chunks: int
) -> None:
    llmock.pace(40).reply(ANSWER, times=2)  # so that the judge sees us leave before the end
    getattr(llmock, fault)(after_chunks=after_chunks)
    asked = ask(llmock, style, stream=True, times=2)
    assert asked.text == ANSWER
    assert set(asked.codes) <= {code}, "before any text the client asks again by itself"
    assert len(llmock.requests) == 2
    llmock.assert_resilient(strict=True)


def test_a_stalled_stream_is_left(llmock: Any, style: str) -> None:
    llmock.reply(ANSWER, times=3).stall(after_chunks=4, seconds=20)
    asked = ask(llmock, style, stream=True, times=2, chunk_timeout_s=0.5)
    assert (asked.text, asked.codes) == (ANSWER, ["TIMEOUT"])
    llmock.assert_resilient(strict=True)


def test_a_slow_first_token_is_waited_for_or_left_by_its_deadline(llmock: Any, style: str) -> None:
    llmock.reply(ANSWER, times=4).slow_first_token(0.5)
    assert ask(llmock, style, stream=True).text == ANSWER
    llmock.slow_first_token(20)
    asked = ask(llmock, style, stream=True, first_token_timeout_s=0.5)
    assert asked.text == ANSWER
    llmock.assert_resilient(strict=True)


def test_a_tool_call_comes_as_it_was_scripted(llmock: Any, way: Ask) -> None:
    style, stream = way
    llmock.call_tool("find_weather", {"city": "Łódź", "days": 3})
    asking = Asking(make_provider(llmock.url + PATHS[style], style))

    async def run() -> Any:
        if not stream:
            return await asking.complete("hello", tools=[_tool()])
        answer = asking.stream("hello", tools=[_tool()])
        async for _ in answer:
            pass
        return answer.reply

    reply = asyncio.run(run())
    calls = [(call.name, json.loads(call.arguments)) for call in reply.tool_calls]
    assert calls == [("find_weather", {"city": "Łódź", "days": 3})]
    assert reply.finish_reason == "tool_calls"
    llmock.assert_resilient(strict=True)


def test_the_judge_condemns_a_client_that_takes_half_an_answer(llmock: Any, style: str) -> None:
    """A verdict that never fails would prove nothing."""
    llmock.reply(ANSWER).truncate(after_chunks=4)
    url, body = _plain_request(style)
    with httpx.stream("POST", llmock.url + url, json=body) as answer:
        assert answer.read()
    with pytest.raises(AssertionError, match="truncated_stream_accepted"):
        llmock.assert_resilient()


def _tool() -> dict[str, Any]:
    city = {"type": "object", "properties": {"city": {"type": "string"}}}
    return {"type": "function", "function": {"name": "find_weather", "parameters": city}}


def _plain_request(style: str) -> tuple[str, dict[str, Any]]:
    messages = [{"role": "user", "content": "hello"}]
    if style == "gemini":
        path = "/gemini/v1beta/models/m:streamGenerateContent?alt=sse"
        return path, {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
    body = {"model": "m", "messages": messages, "stream": True, "max_tokens": 100}
    return ("/v1/chat/completions" if style == "openai" else "/anthropic/v1/messages"), body
