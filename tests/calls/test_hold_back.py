"""A slow reader makes the stream slow and not the memory large; nobody else is blamed for it."""

from __future__ import annotations

import asyncio

import pytest

from tests.calls.asking import asking, quick_settings
from tests.servers import MockProvider

PIECE = "x" * 20_000


@pytest.fixture
def provider():
    with MockProvider() as server:
        yield server


async def until_still(count, *, at_least=1):
    """Wait until a number has stopped growing."""
    seen, calm = -1, 0
    for _ in range(600):
        await asyncio.sleep(0.1)
        now = count()
        calm = calm + 1 if now == seen and now >= at_least else 0
        seen = now
        if calm == 10:
            return now
    raise AssertionError("it never stopped")


def test_no_more_is_read_than_may_wait_and_nothing_is_lost(provider):
    provider.enqueue(chunks=[PIECE] * 1200)
    this = asking(provider.base_url, settings=quick_settings(chunk_timeout_s=0.3))

    async def go():
        stream = this.stream()
        stream.hold_back(100_000)
        async for _ in stream:
            break
        sent = await until_still(lambda: len(provider.stamps))
        waiting = stream.progress.chunks
        text = [piece async for piece in stream]
        reply = stream.reply
        await this.client.aclose()
        return sent, waiting, text, reply

    sent, waiting, text, reply = asyncio.run(go())
    assert waiting * len(PIECE) < 2_000_000
    assert sent < 1200
    assert len(text) == 1199
    assert len(reply.text) == 1200 * len(PIECE)
    assert "held_back" in reply.flags
    assert reply.timing.ttft_ms is not None
    assert reply.timing.tpot_ms is reply.timing.output_tps is None, "the reader's speed, not ours"


def test_a_reader_who_keeps_up_leaves_no_flag(provider):
    provider.enqueue(chunks=["a ", "b ", "c"])
    this = asking(provider.base_url)

    async def go():
        stream = this.stream()
        stream.hold_back(100_000)
        text = [piece async for piece in stream]
        answering, reply = stream.answering, stream.reply
        await this.client.aclose()
        return text, answering, reply

    text, answering, reply = asyncio.run(go())
    assert text == ["a ", "b ", "c"]
    assert reply.flags == ()
    assert (answering.model, answering.call_id) == (reply.model, reply.call_id)
    assert answering.attempts == 1


def test_a_stream_held_back_can_be_given_up(provider):
    provider.enqueue(chunks=[PIECE] * 1200)
    this = asking(provider.base_url)

    async def go():
        stream = this.stream()
        stream.hold_back(100_000)
        async for _ in stream:
            break
        await until_still(lambda: stream.progress.chunks)
        await stream.aclose()
        await this.client.aclose()

    asyncio.run(go())
    (row,) = this.calls
    assert row.status == "cancelled"
