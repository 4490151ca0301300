"""After its first piece, a stream is read where the event loop receives it, without a task."""

from __future__ import annotations

import asyncio

import pytest

from tests.calls.asking import asking, quick_settings
from tests.servers import MockProvider
from toolkit.calls.pipeline import Processor
from toolkit.calls.transport.guarded import StreamBody
from toolkit.errors import BudgetExceeded, CallError, StreamInterrupted

WORDS = [f"word{number} " for number in range(200)]


@pytest.fixture
def provider():
    with MockProvider() as server:
        yield server


def read(this):
    """The text of one stream, and the error that ended it."""

    async def go():
        stream, pieces = this.stream(), []
        try:
            async for piece in stream:
                pieces.append(piece)
        except Exception as error:
            return pieces, error
        finally:
            await this.client.aclose()
        return pieces, stream.reply

    return asyncio.run(go())


def test_no_task_reads_each_piece(provider, monkeypatch):
    reads, real = [], StreamBody.read

    def counting(self, wait_s):
        reads.append(wait_s)
        return real(self, wait_s)

    monkeypatch.setattr(StreamBody, "read", counting)
    provider.enqueue(chunks=WORDS, chunk_delay_s=0.001)
    pieces, reply = read(asking(provider.base_url))
    assert pieces == WORDS
    assert reply.text == "".join(WORDS)
    assert len(reply.timing.chunk_offsets_us) == len(WORDS)
    assert len(reads) < 10


def test_a_stream_that_breaks_keeps_what_came(provider):
    provider.enqueue(chunks=WORDS, chunk_delay_s=0.001, drop_after=50)
    this = asking(provider.base_url)
    pieces, error = read(this)
    assert isinstance(error, StreamInterrupted)
    assert pieces == WORDS[:50]
    assert error.partial_text == "".join(WORDS[:50])
    assert this.calls[-1].status == "error"


def test_a_silence_ends_a_stream_whose_pieces_no_task_awaits(provider):
    provider.enqueue(chunks=["a", "b"], chunk_delay_s=30)
    pieces, error = read(asking(provider.base_url, settings=quick_settings(chunk_timeout_s=0.3)))
    assert isinstance(error, CallError) and error.cause == "stream_stall"
    assert pieces == ["a"]


class Limit(Processor):
    """Ends a stream whose text has more than so many characters."""

    def __init__(self, most):
        self.most, self.seen, self.rows = most, 0, None

    def on_text(self, request, text):
        self.seen += len(text)
        if self.seen > self.most:
            raise BudgetExceeded("too long", request_id=request.request_id)

    def ended(self, request, attempts):
        self.rows = tuple(attempts)


def test_a_processor_ends_a_stream_in_the_middle(provider):
    limit = Limit(400)
    provider.enqueue(chunks=WORDS, chunk_delay_s=0.001)
    this = asking(provider.base_url, processors=[limit])
    pieces, error = read(this)
    assert isinstance(error, BudgetExceeded)
    assert "".join(pieces) == error.partial_text[: len("".join(pieces))]
    assert 400 < len(error.partial_text) < len("".join(WORDS))
    assert [call.status for call in this.calls] == ["cancelled"]
    assert limit.rows == tuple(this.calls)


def test_a_processor_that_fails_is_no_silence(provider):
    class Broken(Processor):
        def on_text(self, request, text):
            if "word7" in text:
                raise RuntimeError("a fault of the processor")

    provider.enqueue(chunks=WORDS, chunk_delay_s=0.001)
    pieces, error = read(asking(provider.base_url, processors=[Broken()]))
    assert isinstance(error, RuntimeError)
    assert 7 <= len(pieces) < len(WORDS)


def test_every_text_is_shown_to_a_processor_once(provider):
    limit = Limit(10**6)
    provider.enqueue(chunks=WORDS, chunk_delay_s=0.001)
    pieces, reply = read(asking(provider.base_url, processors=[limit]))
    assert limit.seen == len("".join(pieces)) == len(reply.text)


def test_a_text_that_has_to_wait_for_its_reader_is_shown_once_too(provider):
    limit = Limit(10**6)
    provider.enqueue(chunks=WORDS, chunk_delay_s=0.001)
    this = asking(provider.base_url, processors=[limit])

    async def go():
        stream = this.stream()
        stream.hold_back(20)
        pieces = []
        async for piece in stream:
            pieces.append(piece)
            await asyncio.sleep(0.005)
        await this.client.aclose()
        return pieces

    pieces = asyncio.run(go())
    assert pieces == WORDS
    assert limit.seen == len("".join(pieces))
