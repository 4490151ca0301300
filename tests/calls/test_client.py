"""One call from question to record: what the caller gets and what the row says."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any

import pytest

from tests.calls.asking import KEY, PATHS, Asking, asking, make_provider, quick_settings
from tests.servers import MockProvider
from toolkit import errors
from toolkit.calls.chat_request import build_request
from toolkit.records import Call

STYLES = ("openai", "anthropic", "gemini")
TOOL = {"id": "t1", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}


@pytest.fixture
def server() -> Any:
    with MockProvider() as server:
        yield server


def at(server: MockProvider, style: str = "openai", **changes: Any) -> Asking:
    return asking(server.origin + PATHS[style], style, **changes)


@pytest.mark.parametrize("style", STYLES)
def test_a_whole_answer_comes_back_with_everything(server: MockProvider, style: str) -> None:
    server.enqueue("It rains.", reasoning="clouds", tool_calls=[TOOL], finish_reason="tool_calls")
    asked = at(server, style)
    reply = asyncio.run(asked.complete("Weather?", temperature=0.5, max_tokens=9))
    assert (reply.text, reply.reasoning) == ("It rains.", "clouds")
    assert [(c.name, c.arguments.replace(" ", "")) for c in reply.tool_calls] == [
        ("weather", '{"city":"Rome"}')
    ]
    assert reply.finish_reason == "tool_calls"
    assert (reply.usage.output_tokens, reply.usage.source) == (2, "provider")
    assert reply.timing.ttft_ms is None, "TTFT is a measurement of streams"
    assert reply.timing.duration_ms and reply.timing.headers_ms
    assert asked.calls == list(reply.attempts)
    sent = server.requests[0].json
    assert "0.5" in str(sent) and KEY not in str(sent)


@pytest.mark.parametrize("style", STYLES)
def test_a_stream_comes_in_pieces_and_ends_with_its_reply(server: MockProvider, style: str) -> None:
    server.enqueue("one two three", reasoning="hm", chunk_delay_s=0.02)

    async def scenario() -> None:
        stream = at(server, style).stream()
        deltas = [delta async for delta in stream.deltas()]
        reply = stream.reply
        assert [(d.kind, d.text) for d in deltas] == [
            ("reasoning", "hm"), ("text", "one "), ("text", "two "), ("text", "three"),
        ]  # fmt: skip
        assert (reply.text, reply.reasoning, reply.finish_reason) == ("one two three", "hm", "stop")
        timing = reply.timing
        assert timing.ttft_ms == deltas[0].at_ms and timing.ttfo_ms == deltas[1].at_ms
        assert timing.ttfo_ms > timing.ttft_ms
        assert timing.last_token_ms == deltas[-1].at_ms
        expected = (timing.last_token_ms - timing.ttft_ms) / (reply.usage.output_tokens - 1)
        assert timing.tpot_ms == pytest.approx(expected)
        assert timing.output_tps == pytest.approx(1000 / expected)
        assert len(timing.chunk_offsets_us) == 4 and len(timing.itl_ms) == 3
        assert stream.progress.state == "done" and stream.progress.chunks == 4

    asyncio.run(scenario())


def test_an_empty_role_delta_is_no_first_token(server: MockProvider) -> None:
    server.enqueue("word", role_delta_first=True, content_delay_s=0.15)

    async def scenario() -> Call:
        asked = at(server)
        async for _ in asked.stream():
            pass
        return asked.calls[0]

    call = asyncio.run(scenario())
    assert call.first_byte_ms is not None and call.ttft_ms is not None
    assert call.ttft_ms - call.first_byte_ms > 100


def test_one_output_token_has_no_time_per_token(server: MockProvider) -> None:
    server.enqueue("word", usage={"prompt_tokens": 3, "completion_tokens": 1})

    async def scenario() -> Call:
        asked = at(server)
        async for _ in asked.stream():
            pass
        return asked.calls[0]

    call = asyncio.run(scenario())
    assert (call.tpot_ms, call.output_tps) == (None, None)


def test_the_row_stands_before_the_caller_has_the_end(server: MockProvider) -> None:
    seen: list[str] = []

    async def scenario() -> None:
        asked = Asking(make_provider(server.base_url), record=lambda call: seen.append(call.status))
        stream = asked.stream()
        with pytest.raises(StopAsyncIteration):
            while True:
                await anext(stream)
        assert seen == ["ok"]
        await asked.complete()
        assert seen == ["ok", "ok"]

    asyncio.run(scenario())


def test_usage_is_asked_for_in_streams(server: MockProvider) -> None:
    async def scenario() -> None:
        async for _ in at(server).stream():
            pass

    asyncio.run(scenario())
    assert server.requests[0].json["stream_options"] == {"include_usage": True}


def test_a_server_that_refuses_to_count_is_asked_again_without(server: MockProvider) -> None:
    """Both requests are rows, and the refusal is remembered."""
    server.enqueue("Unrecognized request argument: stream_options", status=400)

    async def scenario() -> Asking:
        asked = at(server, settings=quick_settings(max_retries=1))
        for _ in range(2):
            async for _ in asked.stream():
                pass
        return asked

    asked = asyncio.run(scenario())
    assert [(c.status, c.attempt) for c in asked.calls] == [("error", 1), ("ok", 2), ("ok", 1)]
    assert ["stream_options" in r.json for r in server.requests] == [True, False, False]
    assert asked.calls[1].usage_source == "none"


def test_the_key_goes_in_a_header_and_nowhere_else(server: MockProvider) -> None:
    for style, header in (
        ("openai", "authorization"), ("anthropic", "x-api-key"), ("gemini", "x-goog-api-key"),
    ):  # fmt: skip
        asked = at(server, style)
        asyncio.run(asked.complete())
        request = server.requests[-1]
        assert KEY in request.headers[header]
        assert KEY not in request.path + str(request.json) + repr(asked.calls)


def test_a_provider_without_key_is_sent_none(server: MockProvider) -> None:
    provider = make_provider(server.base_url, needs_key=False)
    asyncio.run(Asking(provider, key=None).complete())
    assert "authorization" not in server.requests[0].headers


def test_a_missing_key_is_an_error_with_a_row_and_no_request(server: MockProvider) -> None:
    asked = at(server, key=None)
    with pytest.raises(errors.KeyRequired) as caught:
        asyncio.run(asked.complete())
    assert "mock" in str(caught.value) and server.requests == []
    assert [(c.status, c.error_code) for c in asked.calls] == [("error", "API_KEY_REQUIRED")]


@pytest.mark.parametrize("name", ["api_base", "api_key", "mock_response", "num_retries"])
def test_a_parameter_cannot_send_the_call_elsewhere(server: MockProvider, name: str) -> None:
    asked = at(server)
    with pytest.raises((errors.InvalidRequest, errors.InvalidInput), match=name):
        asyncio.run(asked.client.complete(asked.request(**{name: "x"})))
    assert server.requests == []


def test_a_parameter_that_a_provider_does_not_take_is_a_clear_error(server: MockProvider) -> None:
    asked = at(server, "anthropic")
    with pytest.raises(errors.InvalidRequest, match="logprobs") as caught:
        asyncio.run(asked.complete(logprobs=True))
    assert "on_unsupported" in caught.value.hint and server.requests == []


def test_a_parameter_is_dropped_with_a_note_where_the_user_wants_it(server: MockProvider) -> None:
    reply = asyncio.run(at(server, "anthropic").complete(logprobs=True, drop_params=True))
    assert reply.text and any("logprobs" in note for note in reply.notes)
    assert "logprobs" not in server.requests[0].json
    reply = asyncio.run(at(server, "anthropic").complete(temperature=0.3, max_tokens=9))
    assert reply.notes == ()


def test_unknown_parameters_reach_an_openai_compatible_server(server: MockProvider) -> None:
    asyncio.run(at(server).complete(top_k=4, reasoning_effort="low", user="u1"))
    sent = server.requests[0].json
    assert (sent["top_k"], sent["reasoning_effort"], sent["user"]) == (4, "low", "u1")


# ---- leaving a stream -----------------------------------------------------------------------


async def _wait_until(check: Any, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until, "it never happened"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("how", ["break", "aclose", "cancel", "drop"])
def test_a_left_stream_is_cancelled_and_its_connection_closed(
    server: MockProvider, style: str, how: str
) -> None:
    server.enqueue("tick " * 200, chunk_delay_s=0.02)

    async def read(asked: Asking) -> None:
        async for _ in asked.stream():
            if how == "break":
                break

    async def scenario() -> None:
        asked = at(server, style)
        if how == "aclose":
            stream = asked.stream()
            assert await anext(stream)
            await stream.aclose()
        elif how == "drop":
            stream = asked.stream()
            assert await anext(stream)
            del stream
            gc.collect()
        else:
            task = asyncio.create_task(read(asked))
            await _wait_until(lambda: len(server.stamps) > 2, 10)
            task.cancel()
            await asyncio.wait([task])
        await _wait_until(lambda: [c.status for c in asked.calls] == ["cancelled"])
        await _wait_until(lambda: server.requests[0].closed_early)
        assert asked.calls[0].output_text, "what had come is kept"
        assert (asked.calls[0].error_code, asked.calls[0].blame) == (None, None)

    asyncio.run(scenario())


def test_a_cancelled_whole_call_is_a_row(server: MockProvider) -> None:
    server.enqueue("late", first_delay_s=5)

    async def scenario() -> None:
        asked = at(server)
        task = asyncio.create_task(asked.complete())
        await _wait_until(lambda: server.requests, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [c.status for c in asked.calls] == ["cancelled"]

    asyncio.run(scenario())


def test_a_loop_that_ends_with_an_open_stream_leaves_a_row(server: MockProvider) -> None:
    server.enqueue("tick " * 200, chunk_delay_s=0.02)
    asked = at(server)
    held = []

    async def scenario() -> None:
        stream = asked.stream()
        held.append(stream)
        await anext(stream)

    asyncio.run(scenario())
    assert [c.status for c in asked.calls] == ["cancelled"]


# ---- connections ----------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
def test_a_second_stream_uses_the_same_connection(server: MockProvider, style: str) -> None:
    async def scenario() -> None:
        asked = at(server, style)
        for _ in range(5):
            async for _ in asked.stream():
                pass
        assert [c.connection_reused for c in asked.calls] == [False] + [True] * 4
        assert asked.calls[0].connect_ms is not None and asked.calls[1].connect_ms is None

    asyncio.run(scenario())
    assert server.connections == 1


def test_a_client_works_on_one_loop_after_another(
    server: MockProvider, recwarn: pytest.WarningsRecorder
) -> None:
    asked = at(server)
    for _ in range(3):
        assert asyncio.run(asked.complete()).text
    gc.collect()
    assert [str(w.message) for w in recwarn if "nclosed" in str(w.message)] == []


# ---- rows that cannot be written ------------------------------------------------------------


def test_a_row_that_cannot_be_written_does_not_destroy_the_answer(server: MockProvider) -> None:
    def full(_: Call) -> None:
        raise errors.StoreError("the disk is full")

    asked = Asking(make_provider(server.base_url), record=full)
    reply = asyncio.run(asked.complete())
    assert reply.text and any("disk is full" in note for note in reply.notes)
    assert asked.client.ledger.lost == 1


@pytest.mark.parametrize("leaves", [False, True])
def test_a_large_row_is_written_beside_the_event_loop(server: MockProvider, leaves: bool) -> None:
    """The loop goes on meanwhile; a caller that leaves does not take the row with it."""
    begun, go_on = threading.Event(), threading.Event()
    calls: list[Call] = []

    def write(call: Call) -> None:
        begun.set()
        assert go_on.wait(60)
        calls.append(call)

    asked = Asking(make_provider(server.base_url), record=write)

    async def scenario() -> None:
        calling = asyncio.create_task(asked.complete("word " * 100_000))
        await asyncio.to_thread(begun.wait, 60)
        assert not calls and not calling.done()
        if leaves:
            calling.cancel()
        await asyncio.sleep(0)
        go_on.set()
        if leaves:
            with pytest.raises(asyncio.CancelledError):
                await calling
        else:
            reply = await calling
            assert reply.attempts == tuple(calls)

    asyncio.run(scenario())
    assert [call.status for call in calls] == ["ok"]


def test_a_provider_that_hangs_does_not_hold_up_another(server: MockProvider) -> None:
    server.enqueue("late", first_delay_s=5)

    async def scenario() -> None:
        slow, fast = at(server), at(server)
        hanging = asyncio.create_task(slow.complete())
        await _wait_until(lambda: server.requests, 10)
        reply = await fast.complete()
        assert reply.text and not hanging.done()
        hanging.cancel()

    asyncio.run(scenario())


def test_the_first_call_of_a_process_to_each_model_is_marked_as_cold(
    server: MockProvider,
) -> None:
    server.enqueue(body=b"{}", status=500)
    asked = at(server)

    async def scenario() -> None:
        with pytest.raises(errors.ToolkitError):
            await asked.complete()
        await asked.complete()
        async for _ in asked.stream():
            pass
        await asked.client.complete(build_request("mock/other", "hello", {}))
        await asked.complete()

    asyncio.run(scenario())
    assert [(call.model, call.is_cold) for call in asked.calls] == [
        ("mock/m", True),
        ("mock/m", False),
        ("mock/m", False),
        ("mock/other", True),
        ("mock/m", False),
    ]


def test_a_jumping_wall_clock_does_not_bend_durations(
    server: MockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.enqueue("slow", first_delay_s=0.1)
    real = time.time
    started = real()
    monkeypatch.setattr(time, "time", lambda: real() - (3600 if real() - started > 0.05 else 0))
    asked = at(server)
    reply = asyncio.run(asked.complete())
    assert 90 < (reply.timing.duration_ms or 0) < 5000


def test_recording_off_keeps_no_words_and_hash_keeps_digests(server: MockProvider) -> None:
    for recording in ("off", "hash", "full"):
        asked = at(server, settings=quick_settings(recording=recording))
        asyncio.run(asked.complete("my secret plan"))
        kept = repr(asked.calls[0].messages) + repr(asked.calls[0].output_text)
        assert ("my secret plan" in kept) is (recording == "full")
        assert ("sha256" in kept) is (recording == "hash")
