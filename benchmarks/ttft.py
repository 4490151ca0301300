"""How far our first-token time is from the server's own stamp, and litellm's beside it.

Every chunk's text is the server's monotonic stamp, so both ends read one clock. The error is
the stamp we gave the first content minus the server's. Alone, and 32 streams at once while
something else takes the event loop for 2 ms of every 5, so that with the streams' own work it
is half busy or more; how busy it was is in the report. Each stream opens with an empty role
delta, long before its content: an instrument that counts it is wrong by as much.

    python -m benchmarks.ttft [--calls 200]
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any, ClassVar

from benchmarks.callers import Callers, open_callers
from benchmarks.rounds import percentiles, report, serving
from toolkit.calls import attempt
from toolkit.calls.adapters.library import load
from toolkit.calls.parsers.stream_parser import StreamParser

# With an answer after 0.1 s, 32 streams would keep any loop more than busy by being started.
CONTENT_DELAY_S = {"alone": 0.1, "32_on_a_half_busy_loop": 1.0}


class KeptListener(StreamParser):
    """Our listener, kept so that its stamps can be laid beside the server's."""

    kept: ClassVar[list[StreamParser]] = []

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.kept.append(self)


async def ours(callers: Callers) -> tuple[float, bool]:
    """TTFT of one stream, ms (its error is read from the listeners), and a misattribution."""
    reply = await callers.ours_streamed()
    return 0.0, reply.timing.ttft_ms < min(CONTENT_DELAY_S.values()) * 1000 * 0.9


def our_errors() -> list[float]:
    """First content stamp minus the server's, ms, of every stream so far."""
    errors = [
        (listener.stamps_ns[0] - int(listener.reading.text[0])) / 1e6
        for listener in KeptListener.kept
        if listener.stamps_ns
    ]
    KeptListener.kept.clear()
    return errors


async def litellms(callers: Callers) -> tuple[float, bool]:
    """The same for a loop over litellm's chunks, timed where a user would time it."""
    stream = await load().acompletion(**callers.arguments(stream=True))
    server_ns, seen_ns = 0, 0
    async for chunk in stream:
        content = chunk.choices[0].delta.content if chunk.choices else None
        if content and not seen_ns:
            seen_ns, server_ns = time.monotonic_ns(), int(content.split()[0])
    return (seen_ns - server_ns) / 1e6, False


async def keep_half_busy(stop: asyncio.Event) -> None:
    """Take the loop for 2 ms of every 5."""
    while not stop.is_set():
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0.003)


async def measure(call: Any, callers: Callers, calls: int, at_once: int, busy: bool) -> Any:
    await call(callers)
    our_errors()
    stop, errors, wrong = asyncio.Event(), [], 0
    noise = asyncio.create_task(keep_half_busy(stop)) if busy else None

    async def worker(todo: list[int]) -> None:
        nonlocal wrong
        while todo:
            todo.pop()
            error_ms, misattributed = await call(callers)
            errors.append(error_ms)
            wrong += misattributed

    todo = list(range(calls))
    began, began_cpu = time.perf_counter(), time.thread_time()
    await asyncio.gather(*(worker(todo) for _ in range(at_once)))
    loop_busy = (time.thread_time() - began_cpu) / (time.perf_counter() - began)
    stop.set()
    if noise is not None:
        await noise
    errors = our_errors() or errors
    return {
        "error_ms": percentiles(errors),
        "loop_busy": round(loop_busy, 2),
        "role_delta_taken_for_content": wrong,
    }


async def both(callers: Callers, calls: int, at_once: int) -> dict[str, Any]:
    busy = at_once > 1
    return {
        "ours": await measure(ours, callers, calls, at_once, busy),
        "litellm_loop": await measure(litellms, callers, calls, at_once, busy),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100)
    options = parser.parse_args()
    attempt.StreamParser = KeptListener  # type: ignore[misc]
    results = {}
    for name, at_once in (("alone", 1), ("32_on_a_half_busy_loop", 32)):
        calls = options.calls if at_once == 1 else options.calls * 4
        with (
            serving(
                chunks=["x"] * 5,
                stamp_in_text=True,
                content_delay_s=CONTENT_DELAY_S[name],
                chunk_delay_s=0.01,
            ) as server,
            open_callers(server.base_url) as callers,
        ):
            results[name] = asyncio.run(both(callers, calls, at_once))
    targets = {"alone p99": "<= 1.5 ms", "32 on a half-busy loop p99": "<= 5 ms"}
    report("ttft", {"targets": targets, **results})


if __name__ == "__main__":
    main()
