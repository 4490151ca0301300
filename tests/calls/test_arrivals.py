"""A piece is stamped when it came, not when its reader had its turn."""

from __future__ import annotations

import asyncio
import time

from tests.calls.asking import Asking, make_provider
from tests.servers import Answer, MockProvider
from toolkit.calls.transport.connections import Sessions
from toolkit.calls.transport.exchange_record import Deadlines, WireRecord
from toolkit.calls.transport.guarded import StreamBody, find_handler


async def wait_for_arrivals(handler, count):
    while len(handler._received_ns) < count:
        await asyncio.sleep(0.005)


async def open_stream(sessions, server):
    session = await sessions.require_session(local=True)
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
    return await session.post(
        f"{server.base_url}/chat/completions", json=body, trace_request_ctx=a_record()
    )


def a_record():
    deadlines = Deadlines(5, 5, 5, time.monotonic() + 30)
    return WireRecord(origin="http://127.0.0.1", stream=True, deadlines=deadlines)


def test_what_waited_for_its_reader_keeps_the_moment_in_which_it_came():
    async def run(server):
        sessions = Sessions()
        response = await open_stream(sessions, server)
        handler = find_handler(response)
        assert handler is not None, "aiohttp no longer uses the protocol that we gave it"
        record = a_record()
        record.headers_ns = handler.pop_arrival(0)
        await wait_for_arrivals(handler, 1)
        came_before_ns = time.monotonic_ns()
        data = await StreamBody(response, record).read(5)
        response.close()
        await sessions.aclose()
        return record, data, came_before_ns

    with MockProvider() as server:
        server.default = Answer(chunks=["a", "b", "c"], chunk_delay_s=0.05)
        record, data, came_before_ns = asyncio.run(run(server))
    assert data
    assert record.headers_ns < record.first_byte_ns < came_before_ns
    assert record.last_byte_ns == record.first_byte_ns


def test_an_answer_on_a_kept_connection_has_no_stamp_of_the_one_before():
    with MockProvider() as server:
        asking = Asking(make_provider(server.base_url))

        async def run():
            for _ in range(3):
                assert [piece async for piece in asking.stream("hello")]

        asyncio.run(run())
    for call in asking.calls:
        assert 0 < call.headers_ms <= call.ttft_ms <= call.duration_ms
    assert [call.connection_reused for call in asking.calls] == [False, True, True]
