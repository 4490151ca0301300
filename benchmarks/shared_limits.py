"""A simulation of limits that many processes share: how exact, how fair, and what it costs.

Three ways to keep one limit of requests per window between N processes, in simulated time:

- `split`: each process keeps 1/N of the limit by itself.
- `leased`: each process takes blocks of permits from one counter, and loses what it did not use
  when the window ends.
- `central`: each request asks the one process that keeps the window, as workers of an evaluation
  do; a message takes `--message-ms`, handling one takes `--handle-us` of its core.

The load is skewed as in practice: a tenth of the processes sends nine tenths of the requests. For
each way it prints the share of the limit that was used while demand exceeded it, the most requests
in any window as a share of the limit, the messages per second and the share of one core they take.

    python -m benchmarks.shared_limits [--processes 1000] [--limit 60000] [--windows 5]

Nothing is sent; it runs in seconds and prints JSON.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from collections import deque
from collections.abc import Callable
from typing import Any

WINDOW_S = 60.0
_SHARE_OF_BUSY = 0.1
_LOAD_OF_BUSY = 0.9


class SlidingWindow:
    """At most `limit` requests in any window, as `toolkit.calls.policy.rate_limiter` keeps it."""

    def __init__(self, limit: int) -> None:
        self._last: deque[float] = deque(maxlen=limit)

    def earliest(self, now: float) -> float:
        """When the next request may be sent: a window after the one that is `limit` before it."""
        if len(self._last) < (self._last.maxlen or 0):
            return now
        return max(now, self._last[0] + WINDOW_S)

    def take(self, at: float) -> None:
        """Count one request."""
        self._last.append(at)


def arrivals(
    processes: int, per_window: float, windows: int, rng: random.Random
) -> list[tuple[float, int]]:
    """Moments and processes of requests: Poisson, most of them from a tenth of the processes."""
    busy = max(1, round(processes * _SHARE_OF_BUSY))
    found, now, end = [], 0.0, windows * WINDOW_S
    while True:
        now += rng.expovariate(per_window / WINDOW_S)
        if now >= end:
            return found
        is_busy = rng.random() < _LOAD_OF_BUSY
        process = rng.randrange(busy) if is_busy else busy + rng.randrange(processes - busy)
        found.append((now, process))


def split(demand: list[tuple[float, int]], processes: int, limit: int) -> list[float]:
    """Each process keeps its own part of the limit; a request waits for its own process only."""
    part = max(1, limit // processes)
    windows = [SlidingWindow(part) for _ in range(processes)]
    admitted = []
    for at, process in demand:
        when = windows[process].earliest(at)
        windows[process].take(when)
        admitted.append(when)
    return sorted(admitted)


def leased(
    demand: list[tuple[float, int]], processes: int, limit: int, block: int
) -> tuple[list[float], int]:
    """Blocks of permits from one counter, each good until its fixed window ends."""
    admitted, messages = [], 0
    left: dict[tuple[int, int], int] = {}
    held: dict[tuple[int, int], int] = {}
    for at, process in demand:
        window = int(at // WINDOW_S)
        while True:
            if held.get((window, process), 0):
                held[window, process] -= 1
                admitted.append(max(at, window * WINDOW_S))
                break
            free = left.setdefault((window, 0), limit)
            messages += 1
            if free:
                taken = min(block, free)
                left[window, 0] = free - taken
                held[window, process] = taken
            else:
                window += 1
    return sorted(admitted), messages


def central(
    demand: list[tuple[float, int]], limit: int, message_s: float, handle_s: float
) -> tuple[list[float], float]:
    """One process keeps the window; messages queue for its core."""
    window, admitted, free_at, busy_s = SlidingWindow(limit), [], 0.0, 0.0
    arriving = [(at + message_s, at) for at, _ in demand]
    heapq.heapify(arriving)
    while arriving:
        at, _ = heapq.heappop(arriving)
        begun = max(at, free_at)
        free_at = begun + handle_s
        busy_s += handle_s
        when = window.earliest(free_at)
        window.take(when)
        admitted.append(when + message_s)
    return sorted(admitted), busy_s


def judge(admitted: list[float], limit: int, windows: int) -> dict[str, Any]:
    """How far the limit was used and exceeded while there was more demand than it admits."""
    end = windows * WINDOW_S
    inside = sum(at < end for at in admitted)
    worst, begin = 0, 0
    for index, at in enumerate(admitted):
        while admitted[begin] <= at - WINDOW_S:
            begin += 1
        worst = max(worst, index - begin + 1)
    return {
        "used": round(inside / (limit * windows), 4),
        "worst_window": round(worst / limit, 4),
    }


def main() -> None:
    """Simulate all three ways with the same arrivals and print what came of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=1000)
    parser.add_argument("--limit", type=int, default=60_000, help="requests per minute")
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--demand", type=float, default=1.2, help="demand / limit")
    parser.add_argument("--block", type=int, default=20, help="permits of a lease")
    parser.add_argument("--message-ms", type=float, default=1.0)
    parser.add_argument("--handle-us", type=float, default=100.0)
    given = parser.parse_args()
    rng = random.Random(1)
    demand = arrivals(given.processes, given.limit * given.demand, given.windows, rng)
    seconds = given.windows * WINDOW_S

    def told(admitted: list[float], messages: float, busy_s: float = 0.0) -> dict[str, Any]:
        return {
            **judge(admitted, given.limit, given.windows),
            "messages_per_s": round(messages / seconds, 1),
            "core": round(busy_s / seconds, 4),
        }

    by_lease, leases = leased(demand, given.processes, given.limit, given.block)
    by_one, busy_s = central(demand, given.limit, given.message_ms / 1e3, given.handle_us / 1e6)
    ways: dict[str, Callable[[], dict[str, Any]]] = {
        "split": lambda: told(split(demand, given.processes, given.limit), 0),
        "leased": lambda: told(by_lease, leases, leases * given.handle_us / 1e6),
        "central": lambda: told(by_one, len(demand), busy_s),
    }
    print(
        json.dumps(
            {**vars(given), "requests": len(demand), **{name: way() for name, way in ways.items()}},
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
