"""Whether a load test reports what an independent load generator measures on the same server.

The other side is a closed loop over plain aiohttp that shares no code with the toolkit. Both send
the same prompts to a mock provider in a process of its own, in interleaved rounds; the toolkit
runs twice in each round as its own control. All ratios should be within 5 % of 1 on a machine
that is not busy with other work.

    python -m benchmarks.load_agreement [--rounds 5] [--requests 60] [--concurrency 4]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.rounds import ratio, report, serving
from toolkit.toolkit import Toolkit

ANSWER = {
    "text": " ".join(f"word{number}" for number in range(20)),
    "first_delay_s": 0.1,
    "chunk_delay_s": 0.01,
}
PROMPT = "Say something about rivers. " * 20
FIGURES = ("requests_per_s", "output_tokens_per_s", "ttft_p50_ms", "e2e_p50_ms")


async def plain_loop(base_url: str, requests: int, concurrency: int) -> dict[str, float]:
    """The figures of a closed loop over aiohttp."""
    body = {
        "model": "mock-model",
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": 64,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    left, times = requests, list[tuple[float, float]]()
    tokens = 0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal left, tokens
        while left > 0:
            left -= 1
            began, first = time.perf_counter(), None
            async with session.post(f"{base_url}/chat/completions", json=body) as answer:
                async for line in answer.content:
                    if not line.startswith(b"data: {"):
                        continue
                    event = json.loads(line[6:])
                    choices = event.get("choices") or [{}]
                    if first is None and choices[0].get("delta", {}).get("content"):
                        first = time.perf_counter()
                    tokens += (event.get("usage") or {}).get("completion_tokens", 0)
            ended = time.perf_counter()
            times.append((((first or ended) - began) * 1000, (ended - began) * 1000))

    async with aiohttp.ClientSession() as session:
        began = time.perf_counter()
        await asyncio.gather(*(work(session) for _ in range(concurrency)))
        took_s = time.perf_counter() - began
    return {
        "requests_per_s": len(times) / took_s,
        "output_tokens_per_s": tokens / took_s,
        "ttft_p50_ms": statistics.median(ttft for ttft, _ in times),
        "e2e_p50_ms": statistics.median(e2e for _, e2e in times),
    }


def load_test(toolkit: Toolkit, requests: int, concurrency: int) -> dict[str, float]:
    """The same figures, as the load test reports them."""
    run = toolkit.load_tests.run(
        "mock/mock-model", concurrency=concurrency, requests=requests, dataset=[PROMPT]
    )
    (step,) = run.summary["steps"]
    return {name: step[name] for name in FIGURES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--concurrency", type=int, default=4)
    options = parser.parse_args()
    sizes = (options.requests, options.concurrency)
    with (
        serving(**ANSWER) as server,
        tempfile.TemporaryDirectory() as home,
        Toolkit(home=Path(home)) as toolkit,
    ):
        toolkit.providers.add("mock", base_url=server.base_url, local=True, test=False)
        sides: dict[str, Callable[[], Any]] = {
            "load_test": lambda: load_test(toolkit, *sizes),
            "plain": lambda: asyncio.run(plain_loop(server.base_url, *sizes)),
            "control": lambda: load_test(toolkit, *sizes),
        }
        found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
        for number in range(options.rounds + 1):  # the first round warms up
            order = list(sides) if number % 2 else list(reversed(sides))
            for name in order:
                figures = sides[name]()
                if number:
                    found[name].append(figures)
    results: dict[str, Any] = {}
    for name in FIGURES:
        series = {side: [one[name] for one in rows] for side, rows in found.items()}
        results[name] = {
            "load_test": round(statistics.median(series["load_test"]), 2),
            "plain": round(statistics.median(series["plain"]), 2),
            "load_test_to_plain": ratio(series["load_test"], series["plain"]),
            "load_test_to_control": ratio(series["load_test"], series["control"]),
        }
    report("load_agreement", results)


if __name__ == "__main__":
    main()
