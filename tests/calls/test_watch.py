"""Existing litellm code is recorded too, once per call, marked as litellm's own word."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.calls.asking import KEY, asking
from tests.servers import MockProvider
from toolkit.calls.adapters.library import load
from toolkit.calls.watch import watch
from toolkit.records import Call


@pytest.fixture
def rows() -> Iterator[list[Call]]:
    rows: list[Call] = []
    stop = watch(rows.append)
    yield rows
    stop()


def wait_for(rows: list[Call], number: int) -> None:
    until = time.monotonic() + 10
    while len(rows) < number and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.2)  # a second telling would come now
    assert len(rows) == number


def arguments(server: MockProvider, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hello"}]
    return {
        "model": "openai/m", "messages": messages, "api_base": server.base_url,
        "api_key": KEY, "max_retries": 0, **more,
    }  # fmt: skip


def test_a_plain_litellm_call_becomes_one_marked_row(rows: list[Call]) -> None:
    with MockProvider() as server:
        load().completion(**arguments(server))
        wait_for(rows, 1)
    call = rows[0]
    assert (call.recorded_by, call.origin, call.status) == ("callback", "litellm", "ok")
    assert call.output_tokens == 3 and call.ttft_ms is None
    assert KEY not in repr(call)


def test_a_failing_litellm_call_becomes_a_row(rows: list[Call]) -> None:
    with MockProvider() as server:
        server.enqueue("no", status=401)
        with pytest.raises(load().AuthenticationError):
            load().completion(**arguments(server))
        wait_for(rows, 1)
    assert rows[0].status == "error" and rows[0].http_status == 401
    assert (rows[0].error_code, rows[0].blame) == ("AUTHENTICATION_FAILED", "client")


def test_asyncio_run_leaves_every_call(rows: list[Call]) -> None:
    """The reports are delivered before the loop ends, not at the end of the process."""
    with MockProvider() as server:

        async def many() -> None:
            acompletion = load().acompletion
            await asyncio.gather(*(acompletion(**arguments(server)) for _ in range(100)))

        asyncio.run(many())
        assert len(rows) == 100
        assert all(row.status == "ok" and row.output_tokens == 3 for row in rows)
        assert len({row.origin_id for row in rows}) == 100


def test_a_call_is_recorded_when_its_own_loop_ends(rows: list[Call]) -> None:
    """Also where the loop ends before litellm's worker has begun with the report."""
    with MockProvider() as server:
        for number in range(1, 4):
            asyncio.run(load().acompletion(**arguments(server)))
            assert len(rows) == number


def test_calls_that_ended_before_watching_are_not_recorded() -> None:
    """litellm carries their reports over to the next event loop."""
    rows: list[Call] = []
    with MockProvider() as server:
        asyncio.run(load().acompletion(**arguments(server)))
        stop = watch(rows.append)
        try:
            asyncio.run(load().acompletion(**arguments(server)))
        finally:
            stop()
    assert len(rows) == 1


def test_streams_have_tokens_and_failures_our_codes(rows: list[Call]) -> None:
    with MockProvider() as server:
        server.enqueue("one two three")
        server.enqueue("no", status=429, times=2)
        server.enqueue("no", status=500)

        async def several() -> None:
            usage = {"include_usage": True}
            acompletion = load().acompletion
            stream = await acompletion(**arguments(server, stream=True, stream_options=usage))
            assert [chunk async for chunk in stream]
            for _ in range(3):
                with contextlib.suppress(Exception):
                    await acompletion(**arguments(server))
            with contextlib.suppress(Exception):
                await acompletion(**{**arguments(server), "api_base": "http://127.0.0.1:9/v1"})

        asyncio.run(several())
    found = [(row.status, row.error_code, row.blame) for row in rows]
    assert sorted(found, key=str) == sorted(
        [
            ("ok", None, None),
            ("error", "RATE_LIMIT_EXCEEDED", "provider"),
            ("error", "RATE_LIMIT_EXCEEDED", "provider"),
            ("error", "SERVER_ERROR", "provider"),
            ("error", "REQUEST_FAILED", "network"),
        ],
        key=str,
    )
    streamed = next(row for row in rows if row.stream)
    assert streamed.output_tokens == 3 and streamed.ttft_ms is not None


def test_our_own_calls_are_not_recorded_twice(rows: list[Call]) -> None:
    with MockProvider() as server:
        asked = asking(server.base_url)
        asyncio.run(asked.complete())
        wait_for(rows, 0)
    assert len(asked.calls) == 1


def test_after_stopping_nothing_is_recorded() -> None:
    rows: list[Call] = []
    watch(rows.append)()
    with MockProvider() as server:
        load().completion(**arguments(server))
        wait_for(rows, 0)
