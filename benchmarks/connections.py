"""How many connections twenty streamed calls in a row open: ours, and bare litellm.

Real servers end the chunked body some milliseconds after the last event; a client that stops
reading at `[DONE]` throws the connection away. Both cases are measured, asynchronous and
synchronous.

    python -m benchmarks.connections [--calls 20]
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from benchmarks.callers import Callers, open_callers
from benchmarks.rounds import ServerProcess, report, serving


async def one_after_another(call: Any, calls: int) -> None:
    for _ in range(calls):
        await call()


def count(server: ServerProcess, callers: Callers, calls: int) -> dict[str, int]:
    """Connections opened by each way of asking."""
    opened = {}
    ways = {
        "ours_async": lambda: asyncio.run(one_after_another(callers.ours_streamed, calls)),
        "litellm_async": lambda: asyncio.run(one_after_another(callers.bare_streamed, calls)),
        "ours_sync": lambda: [callers.ours_sync() for _ in range(calls)],
        "litellm_sync": lambda: [callers.bare_sync() for _ in range(calls)],
    }
    for name, run in ways.items():
        before = server.connections()
        run()
        opened[name] = server.connections() - before
    return opened


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20)
    options = parser.parse_args()
    results: dict[str, Any] = {"calls": options.calls, "target": "ours_async = 1, ours_sync = 1"}
    for delay_ms in (0, 3, 20):
        with (
            serving(text="one two three", terminator_delay_s=delay_ms / 1000) as server,
            open_callers(server.base_url) as callers,
        ):
            results[f"terminator_after_{delay_ms}_ms"] = count(server, callers, options.calls)
    report("connections", results)


if __name__ == "__main__":
    main()
