"""Bodies meant to exhaust the reader cost little memory and little time.

Each is read in a fresh process, which reports how much its peak memory grew and how much CPU
it spent; the server is here. A quiet machine needs under 1 s for the worst of them (100,000
events); the bound here leaves room for a busy one and still tells bounded from unbounded.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.fault_server import FaultServer
from tests.servers.faults import FAULTS, bomb

ROOT = Path(__file__).resolve().parents[2]
READER = """
import asyncio, json, resource, sys, time
from tests.calls.asking import asking
from toolkit import errors

good, hostile, mode = sys.argv[1:]

async def ask(url):
    asked = asking(url)
    try:
        if mode == "whole":
            return await asked.complete()
        async for _ in asked.stream():
            pass
    except errors.ToolkitError as error:
        return error

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

async def main():
    await ask(good)  # imports and connections are no part of it
    memory, cpu = peak_mb(), time.process_time()
    error = await ask(hostile)
    print(json.dumps({"cause": getattr(error, "cause", repr(error)),
                      "grown_mb": peak_mb() - memory, "cpu_s": time.process_time() - cpu}))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    bomb()
    with FaultServer(FAULTS) as server:
        yield server


def read(server: FaultServer, fault: str, mode: str) -> dict[str, Any]:
    urls = [server.base_url(name, "openai") for name in ("good", fault)]
    command = [sys.executable, "-c", READER, *urls, mode]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is read by getrusage")
@pytest.mark.parametrize(
    ("fault", "mode", "cause"),
    [
        ("gzip_bomb", "whole", "too_large"),
        ("gzip_bomb", "stream", "too_large"),
        ("large_body", "whole", "too_large"),
        ("long_line", "stream", "too_large"),
        ("endless_stream", "stream", "too_large"),
        ("deep_body", "whole", "bad_body"),
        ("long_header", "whole", "protocol"),
    ],
)
def test_a_hostile_body_is_bounded(server: FaultServer, fault: str, mode: str, cause: str) -> None:
    result = read(server, fault, mode)
    assert result["cause"] == cause
    assert result["grown_mb"] <= 50
    assert result["cpu_s"] <= 4.0
