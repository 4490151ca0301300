"""What a recorded call costs beside a bare `litellm.acompletion`, in one interleaved run.

Two more arms have no toolkit at all: raw aiohttp and httpx, whose answers orjson decodes. Of a
stream the cost of one more chunk (calls of 50 and of 250 chunks, difference / 200) and what
remains for the call itself are reported apart, in CPU time, which a busy machine distorts less.

Arms: a whole answer alone (c=1) and 64 at once, streams of 50 chunks alone and 32 at once, and
the synchronous stream. Ours is the full path: guards, measurements, row in the SQLite journal.
Wall and CPU time are of this process; the server has its own. Ratios are ours / bare litellm.

    python -m benchmarks.overhead [--rounds 9] [--calls 100]
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.callers import Callers, open_callers, open_raw_callers
from benchmarks.rounds import ratio, report, serving

Arm = Callable[[], Awaitable[None]]
CHUNKS = 50
MORE_CHUNKS = 250
STREAMS_AT_ONCE = 32


async def timed(arm: Arm) -> tuple[float, float]:
    """Wall and CPU seconds of one arm."""
    wall, cpu = time.perf_counter(), time.process_time()
    await arm()
    return time.perf_counter() - wall, time.process_time() - cpu


def many(call: Callable[[], Awaitable[Any]], calls: int, at_once: int) -> Arm:
    """`calls` calls, `at_once` of them under way."""

    async def worker(todo: list[int]) -> None:
        while todo:
            todo.pop()
            await call()

    async def arm() -> None:
        todo = list(range(calls))
        await asyncio.gather(*(worker(todo) for _ in range(at_once)))

    return arm


async def compare(ours: Arm, theirs: Arm, control: Arm, rounds: int) -> dict[str, Any]:
    """Interleave the arms in changing order and put their times side by side."""
    arms = {"ours": ours, "litellm": theirs, "litellm_again": control}
    for arm in arms.values():
        await arm()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    for number in range(rounds):
        names = list(arms)
        names = names[number % 3 :] + names[: number % 3]
        for name in names if number % 2 else reversed(names):
            times[name].append(await timed(arms[name]))
    wall = {name: [w for w, _ in measured] for name, measured in times.items()}
    cpu = {name: [c for _, c in measured] for name, measured in times.items()}
    return {
        "wall_ratio": ratio(wall["ours"], wall["litellm"]),
        "cpu_ratio": ratio(cpu["ours"], cpu["litellm"]),
        "control_wall_ratio": ratio(wall["litellm_again"], wall["litellm"]),
        "wall_s": {name: round(sorted(w)[len(w) // 2], 4) for name, w in wall.items()},
        "cpu_s": {name: round(sorted(c)[len(c) // 2], 4) for name, c in cpu.items()},
    }


def per_call(result: dict[str, Any], calls: int, chunks: int = 1) -> dict[str, Any]:
    """Add milliseconds of CPU per call (or microseconds per chunk) to a comparison."""
    cpu = result["cpu_s"]
    each = {name: round(seconds / calls * 1000, 3) for name, seconds in cpu.items()}
    result["cpu_ms_per_call"] = each
    result["added_cpu_ms_per_call"] = round(each["ours"] - each["litellm"], 3)
    if chunks > 1:
        result["cpu_us_per_chunk"] = {
            name: round(seconds / calls / chunks * 1e6, 1) for name, seconds in cpu.items()
        }
    return result


async def whole(callers: Callers, rounds: int, calls: int) -> dict[str, Any]:
    """Whole answers, alone and 64 at once."""
    results = {}
    for at_once in (1, 64):
        number = calls if at_once == 1 else max(calls, 256)
        result = await compare(
            many(callers.ours, number, at_once),
            many(callers.bare, number, at_once),
            many(callers.bare, number, at_once),
            rounds,
        )
        result["calls_per_s"] = {
            name: round(number / seconds, 1) for name, seconds in result["wall_s"].items()
        }
        results[f"c{at_once}"] = per_call(result, number)
    return results


async def streams(callers: Callers, rounds: int, calls: int) -> dict[str, Any]:
    """Streams of 50 chunks, alone and 32 at once."""
    results = {}
    for at_once in (1, 32):
        number = max(32, calls // 4)
        result = await compare(
            many(callers.ours_streamed, number, at_once),
            many(callers.bare_streamed, number, at_once),
            many(callers.bare_streamed, number, at_once),
            rounds,
        )
        results[f"c{at_once}"] = per_call(result, number, CHUNKS)
    return results


async def cpu_per_call(arms: dict[str, Arm], rounds: int, calls: int) -> dict[str, float]:
    """Microseconds of CPU per call of each arm: the best of the interleaved rounds."""
    best = dict.fromkeys(arms, float("inf"))
    for arm in arms.values():
        await arm()
    for _ in range(rounds):
        for name, arm in arms.items():
            best[name] = min(best[name], (await timed(arm))[1])
    return {name: seconds / calls * 1e6 for name, seconds in best.items()}


async def cpu_of_sides(
    callers: Callers, rounds: int, calls: int, at_once: int, *, stream: bool
) -> dict[str, float]:
    """The same for ours, litellm, aiohttp and httpx."""
    async with open_raw_callers(callers) as raw:
        sides = {
            "ours": callers.ours_streamed if stream else callers.ours,
            "litellm": callers.bare_streamed if stream else callers.bare,
            "aiohttp_orjson": raw.by_aiohttp_streamed if stream else raw.by_aiohttp,
            "httpx_orjson": raw.by_httpx_streamed if stream else raw.by_httpx,
        }
        arms = {name: many(call, calls, at_once) for name, call in sides.items()}
        return await cpu_per_call(arms, rounds, calls)


def marginal(short: dict[str, float], long: dict[str, float]) -> dict[str, dict[str, float]]:
    """Microseconds of CPU per further chunk, per call without its chunks, and per chunk of 50."""
    found = {}
    for name, whole_us in short.items():
        chunk_us = (long[name] - whole_us) / (MORE_CHUNKS - CHUNKS)
        found[name] = {
            "us_per_chunk": round(chunk_us, 1),
            "fixed_us_per_call": round(whole_us - CHUNKS * chunk_us),
            "whole_call_us_per_chunk": round(whole_us / CHUNKS, 1),
        }
    return found


def chunk_costs(rounds: int, calls: int) -> dict[str, dict[str, float]]:
    """CPU of streams, 32 at once, by chunk and by call."""
    costs = []
    for chunks in (CHUNKS, MORE_CHUNKS):
        with (
            serving(chunks=["word "] * chunks, chunk_delay_s=0.0005) as server,
            open_callers(server.base_url) as callers,
        ):
            number = max(STREAMS_AT_ONCE * 2, calls // 2)
            measured = cpu_of_sides(callers, rounds, number, STREAMS_AT_ONCE, stream=True)
            costs.append(asyncio.run(measured))
    return marginal(*costs)


def call_costs(callers: Callers, rounds: int, calls: int) -> dict[str, Any]:
    """CPU of whole answers, 64 at once, and how many times raw aiohttp ours is."""
    number = max(calls, 256)
    costs = asyncio.run(cpu_of_sides(callers, rounds, number, 64, stream=False))
    return {
        "us_per_call": {name: round(us) for name, us in costs.items()},
        "ours_by_aiohttp": round(costs["ours"] / costs["aiohttp_orjson"], 2),
        "added_by_aiohttp": round(costs["ours"] / costs["aiohttp_orjson"] - 1, 2),
    }


def synchronous(callers: Callers, rounds: int, calls: int) -> dict[str, Any]:
    """Streams of 50 chunks through the synchronous forms of both, litellm with its defaults."""

    def arm(call: Callable[[], Any], number: int) -> Arm:
        async def run() -> None:
            for _ in range(number):
                call()

        return run

    number = max(16, calls // 8)
    ours, theirs = arm(callers.ours_sync, number), arm(callers.bare_sync, number)
    return per_call(asyncio.run(compare(ours, theirs, theirs, rounds)), number, CHUNKS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=100)
    options = parser.parse_args()
    results: dict[str, Any] = {}
    with (
        serving(text="fine, thank you", first_delay_s=0.005) as server,
        open_callers(server.base_url) as callers,
    ):
        results["whole"] = asyncio.run(whole(callers, options.rounds, options.calls))
        results["whole"]["c64_cpu"] = call_costs(callers, options.rounds, options.calls)
    with (
        serving(chunks=["word "] * CHUNKS, chunk_delay_s=0.0005) as server,
        open_callers(server.base_url) as callers,
    ):
        results["streams"] = asyncio.run(streams(callers, options.rounds, options.calls))
        results["sync_streams"] = synchronous(callers, options.rounds, options.calls)
    results["streams"]["c32_cpu"] = chunk_costs(options.rounds, options.calls)
    targets = {
        "whole.c1.wall_ratio": "<= 1.05",
        "whole.c64 calls_per_s ours / litellm": ">= 0.95",
        "whole.added_cpu_ms_per_call": "<= 0.3",
        "whole.c64_cpu.added_by_aiohttp": "<= 3",
        "streams.cpu_ratio": "<= 1.10",
        "streams.c32_cpu.ours.us_per_chunk": "<= 50",
        "sync_streams.cpu_ratio": "<= 0.6",
    }
    report("overhead", {"targets": targets, **results})


if __name__ == "__main__":
    main()
