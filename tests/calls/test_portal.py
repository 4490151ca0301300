"""The synchronous form works everywhere: scripts, threads, inside a running loop."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.calls.asking import Asking, asking
from tests.servers import MockProvider
from toolkit import errors
from toolkit.calls.sync_calls import Portal


@pytest.fixture
def server() -> Iterator[MockProvider]:
    with MockProvider() as server:
        yield server


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal()
    yield portal
    portal.close()


def _wait_until(check: Any) -> None:
    until = time.monotonic() + 20
    while not check():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.01)


def _read(portal: Portal, asked: Asking) -> str:
    return "".join(portal.iterate(asked.stream))


def test_a_stream_is_iterated_and_has_its_reply(server: MockProvider, portal: Portal) -> None:
    server.enqueue("one two three", reasoning="hm")
    stream = portal.iterate(asking(server.base_url).stream)
    assert list(stream) == ["one ", "two ", "three"]
    assert stream.reply.reasoning == "hm" and stream.progress.state == "done"
    assert list(stream) == [], "an iterator that is over stays over"


def test_deltas_give_reasoning_too(server: MockProvider, portal: Portal) -> None:
    server.enqueue("one", reasoning="hm")
    deltas = portal.iterate(asking(server.base_url).stream).deltas()
    assert [(d.kind, d.text) for d in deltas] == [("reasoning", "hm"), ("text", "one")]


def test_an_error_reaches_the_caller_in_place(server: MockProvider, portal: Portal) -> None:
    server.enqueue("one two three", drop_after=2)
    pieces = []
    with pytest.raises(errors.StreamInterrupted) as caught:
        pieces.extend(portal.iterate(asking(server.base_url).stream))
    assert caught.value.partial_text == "one two "
    with pytest.raises(errors.InvalidInput):
        server.enqueue("a b", chunk_delay_s=0.2)
        _ = portal.iterate(asking(server.base_url).stream).reply


def test_it_works_inside_a_running_loop(server: MockProvider, portal: Portal) -> None:
    async def notebook() -> str:
        asked = asking(server.base_url)
        return portal.run(asked.complete()).text + _read(portal, asked)

    assert asyncio.run(notebook()).count("hello") == 2


def test_it_works_from_many_threads_at_once(server: MockProvider, portal: Portal) -> None:
    asked, texts = asking(server.base_url), []
    threads = [
        threading.Thread(target=lambda: texts.append(_read(portal, asked))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert texts == ["You said: hello"] * 8 and len(asked.calls) == 8


@pytest.mark.parametrize("how", ["close", "with", "drop"])
def test_a_left_stream_is_cancelled(server: MockProvider, portal: Portal, how: str) -> None:
    server.enqueue("tick " * 200, chunk_delay_s=0.02)
    asked = asking(server.base_url)
    stream: Any = portal.iterate(asked.stream)
    assert next(stream) == "tick "
    if how == "close":
        stream.close()
    elif how == "with":
        with stream:
            pass
    else:
        del stream
        gc.collect()
    _wait_until(lambda: [c.status for c in asked.calls] == ["cancelled"])
    _wait_until(lambda: server.requests[0].closed_early)


def test_a_slow_reader_does_not_bend_the_measurements(server: MockProvider, portal: Portal) -> None:
    server.enqueue("a b c d", chunk_delay_s=0.02)
    asked = asking(server.base_url)
    for _ in portal.iterate(asked.stream):
        time.sleep(0.15)
    assert max(asked.calls[0].chunk_offsets_us) < 300_000


def test_the_callers_context_is_seen(portal: Portal) -> None:
    word: contextvars.ContextVar[str] = contextvars.ContextVar("word", default="")
    word.set("mine")

    async def read() -> str:
        return word.get()

    assert portal.run(read()) == "mine"


def test_waiting_for_itself_is_refused(portal: Portal) -> None:
    async def outer() -> None:
        portal.run(asyncio.sleep(0))

    with pytest.raises(RuntimeError, match="asynchronous"):
        portal.run(outer())


def test_a_timeout_of_the_work_is_the_works_own(portal: Portal) -> None:
    async def late() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        portal.run(late())


def test_closing_cancels_what_is_under_way_and_it_can_start_again(server: MockProvider) -> None:
    server.enqueue("tick " * 200, chunk_delay_s=0.02)
    portal, asked = Portal(), asking(server.base_url)
    stream = portal.iterate(asked.stream)
    next(stream)
    portal.close()
    assert [c.status for c in asked.calls] == ["cancelled"]
    assert portal.run(asked.complete()).text
    portal.close()
