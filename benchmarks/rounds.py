"""How every benchmark measures: a server in a process of its own, interleaved rounds, medians.

Both sides run in the same rounds in changing order; the ratio of each round is taken, then the
median of the rounds with a bootstrap interval. An A/A control (one side twice) must read
1.00 ± 0.03, or the machine was too busy for the figures to mean anything.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("litellm", "openai", "httpx", "aiohttp", "duckdb")


class ServerProcess:
    """The mock provider in its own interpreter; `base_url` is where it listens."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process = process
        self.base_url = process.stdout.readline().strip()
        self.origin = self.base_url.removesuffix("/v1")

    def connections(self) -> int:
        """How many TCP connections it has accepted so far."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("connections\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextlib.contextmanager
def serving(**answer: Any) -> Iterator[ServerProcess]:
    """A mock provider that gives the same answer for ever."""
    code = "from tests.servers.mock_provider import main; main()"
    command = [sys.executable, "-c", code, "--answer", json.dumps(answer)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as process:
        try:
            yield ServerProcess(process)
        finally:
            process.terminate()


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Median over rounds of ours / theirs, with a 95 % bootstrap interval."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    chance = random.Random(0)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(2000))
    return {
        "median": round(statistics.median(ratios), 3),
        "ci95": [round(medians[50], 3), round(medians[1949], 3)],
        "rounds": len(ratios),
    }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p90, p99 and the maximum, by linear interpolation."""
    ordered = sorted(values)

    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return round(ordered[low] + (ordered[high] - ordered[low]) * (place - low), 3)

    return {"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0), "n": len(ordered)}


def report(name: str, results: Mapping[str, Any]) -> None:
    """Print the result as JSON, with what it was measured on."""
    about = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "packages": {package: version(package) for package in _PACKAGES},
    }
    print(json.dumps({"benchmark": name, **about, **results}, indent=2))
