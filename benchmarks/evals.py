"""Evaluations beside a bare litellm gather, Inspect AI and promptfoo; memory; a kill; a resume.

One mock server in a process of its own answers after 50 ms. Every side is a process that stays,
asks the same prompts with as many calls under way, and scores each answer by what it contains;
the sides take turns in interleaved rounds, litellm twice as an A/A control. Where the control is
outside 1.00 ± 0.03 the machine was too busy: the output says that its figures are void.

The other tools are installed from PyPI and npm into a temporary folder (promptfoo is large), or
into `--tools`, where the next run finds them; a tool that cannot be installed is told as missing.

    python -m benchmarks.evals [--samples 600] [--rounds 5] [--tools FOLDER]
        [--large 10000] [--done 100000] [--without inspect promptfoo large]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.evals_large import measure_kill, measure_memory, measure_scan
from benchmarks.evals_server import CountingServer, counting
from benchmarks.evals_tools import QUIET, install_inspect, install_promptfoo
from benchmarks.rounds import ROOT, ratio, report

LATENCY_MS: Final = 50.0
CONTROL: Final = 0.03
TARGETS: Final = {
    "ours_to_litellm": ">= 2.5",
    "ours_to_inspect": ">= 7",
    "ours_to_promptfoo": ">= 2.5",
    "two_processes_to_one": ">= 1.7",
    "memory.peak_mb": "<= 350",
    "kill.sent_again": "<= concurrency",
    "kill.recorded_twice": "0",
    "resume_scan.seconds": "<= 1",
}


class Side:
    """One process that evaluates when it is told to."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        environment = {**os.environ, **QUIET, "PYTHONPATH": str(ROOT)}
        environment["PROMPTFOO_CONFIG_DIR"] = str(log.parent)
        self._log = log
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            text=True,
            env=environment,
            cwd=ROOT,
        )

    def listen(self) -> str:
        """The next thing that it tells."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise SystemExit(f"{self._log.name}: {self._log.read_text('utf-8')[-2000:]}")
        return line

    def tell(self, count: int) -> None:
        """Let it begin; `listen` waits for the end."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()

    def cpu_s(self) -> float:
        """CPU seconds that it has used so far; NaN where the system does not tell (not Linux)."""
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{self._process.pid}/stat").read_text("utf-8")
            fields = stat.rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return float("nan")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Arena:
    """All sides, and what was measured of them: each round's rate, CPU and calls under way."""

    def __init__(self, server: CountingServer, width: int, folder: Path) -> None:
        self._server, self._width, self._folder = server, width, folder
        self._sides: dict[str, Side] = {}
        self.rates: dict[str, list[float]] = {}
        self.cpu_ms: dict[str, list[float]] = {}
        self.at_once: dict[str, int] = {}

    def add(self, name: str, *program: str | Path) -> None:
        """A side by its name; address and width are told to each of them."""
        last = [self._folder / "home"] if name.startswith("ours") else []
        command = [*program, self._server.base_url, self._width, *last]
        self._sides[name] = Side([str(part) for part in command], self._folder / f"{name}.log")
        self._sides[name].listen()

    def measure(self, name: str, count: int, *together: str, keep: bool = True) -> None:
        """One turn of a side, or of several that share the samples."""
        sides = [self._sides[each] for each in together or (name.removesuffix("_again"),)]
        share, used = count // len(sides), [side.cpu_s() for side in sides]
        begun = time.perf_counter()
        for side in sides:
            side.tell(share)
        for side in sides:
            side.listen()
        seconds = time.perf_counter() - begun
        counts = self._server.counts(forget=True)
        if counts["requests"] < share * len(sides):
            raise SystemExit(f"{name} sent only {counts['requests']} requests: not the same work")
        if keep:
            cpu_s = sum(side.cpu_s() for side in sides) - sum(used)
            self.rates.setdefault(name, []).append(round(count / seconds, 1))
            self.cpu_ms.setdefault(name, []).append(round(cpu_s * 1000 / count, 2))
            self.at_once[name] = max(self.at_once.get(name, 0), counts["most_at_once"])

    def close(self) -> None:
        for side in self._sides.values():
            side.close()


def measure_rates(
    server: CountingServer, options: argparse.Namespace, tools: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    """Every side in turn; the order changes with each round."""
    arena, count = Arena(server, options.concurrency, folder), options.samples
    ours = (sys.executable, "-m", "benchmarks.evals_sides", "toolkit")
    both = ("ours", "ours_beside")
    with contextlib.closing(arena):
        for name in both:
            arena.add(name, *ours)
        arena.add("litellm", *ours[:3], "litellm")
        if "inspect" in tools:
            arena.add("inspect", tools["inspect"], "-m", "benchmarks.evals_sides", "inspect")
        if "promptfoo" in tools:
            script = ROOT / "benchmarks" / "evals_promptfoo.mjs"
            arena.add("promptfoo", "node", script, tools["promptfoo"])
        turns: dict[str, tuple[str, ...]] = dict.fromkeys(
            ("litellm", "ours", "litellm_again", *tools), ()
        )
        turns |= {"two_processes": both}
        for name, together in turns.items():
            arena.measure(name, 64, *together, keep=False)
        names = list(turns)
        for number in range(options.rounds):
            start = number % len(names)
            for name in names[start:] + names[:start]:
                arena.measure(name, count, *turns[name])
    return summarize(arena)


def summarize(arena: Arena) -> dict[str, Any]:
    """Ratios of the rounds, medians, and whether the control lets them count."""
    rates = arena.rates
    control = ratio(rates["litellm_again"], rates["litellm"])
    ratios = {
        f"ours_to_{name}": ratio(rates["ours"], rates[name])
        for name in ("litellm", "inspect", "promptfoo")
        if name in rates
    }
    return {
        "is_void": abs(control["median"] - 1) > CONTROL,
        "control_litellm_to_litellm": control,
        **ratios,
        "two_processes_to_one": ratio(rates["two_processes"], rates["ours"]),
        "samples_per_s": {name: median(values) for name, values in rates.items()},
        "cpu_ms_per_sample": {name: median(values) for name, values in arena.cpu_ms.items()},
        "most_calls_at_once": arena.at_once,
        "rounds_samples_per_s": rates,
    }


def install(folder: Path, without: Sequence[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """Where each tool is, and its version or why it is missing."""
    places, versions = dict[str, Path](), dict[str, str]()
    for name, find in (("inspect", install_inspect), ("promptfoo", install_promptfoo)):
        if name in without:
            versions[name] = "left out"
            continue
        try:
            places[name], versions[name] = find(folder)
        except (OSError, subprocess.CalledProcessError) as error:
            versions[name] = f"missing: {error}"
    return places, versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=600, help="of one turn")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, default=10_000, help="samples of the large runs")
    parser.add_argument("--done", type=int, default=100_000, help="answers of the resume scan")
    parser.add_argument("--tools", type=Path, help="keep the other tools here")
    parser.add_argument("--without", nargs="*", default=[], help="inspect promptfoo rates large")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        kept = options.tools or Path(folder)
        kept.mkdir(parents=True, exist_ok=True)
        with counting(LATENCY_MS) as server:
            if "rates" not in options.without:
                tools, found["tools"] = install(kept, options.without)
                found |= {"load_before": os.getloadavg() if hasattr(os, "getloadavg") else None}
                found |= measure_rates(server, options, tools, Path(folder))
            if "large" not in options.without:
                found["memory"] = measure_memory(server, options.large, options.concurrency)
                found["kill"] = measure_kill(server, options.large, options.concurrency)
    found["resume_scan"] = measure_scan(options.done)
    report("evals", {"targets": TARGETS, "latency_ms": LATENCY_MS, **found})


if __name__ == "__main__":
    main()
