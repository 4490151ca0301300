"""Evaluations: throughput against a bare litellm gather, memory, and how fast a resume begins.

One mock server in a process of its own answers after 50 ms; both sides ask with the same number
of calls under way, in interleaved rounds. Memory is the peak of a process of its own.

    python -m benchmarks.evals [--samples 600] [--concurrency 64] [--large 10000] [--done 100000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.rounds import report, serving
from toolkit.evals.dataset import Dataset, Sample
from toolkit.settings import Settings
from toolkit.workbench.bench import Workbench
from toolkit.workbench.evals.earlier import find_done


def open_bench(home: Path, base_url: str) -> Workbench:
    """A workbench with one provider."""
    bench = Workbench(Settings(home=home))
    bench.providers.add("mock", base_url=base_url, local=True, test=False)
    return bench


def samples(count: int) -> Dataset:
    return Dataset(
        Sample(sample_id=str(i), input=f"question {i}", target="one") for i in range(count)
    )


def run_ours(bench: Workbench, count: int, width: int) -> float:
    """Answers per second of an evaluation, rows, scores and summary included."""
    begun = time.perf_counter()
    run = bench.evaluation.run(
        samples(count), "mock/mock-model", scorers="contains", concurrency=width, reuse=False
    )
    seconds = time.perf_counter() - begun
    if run.summary["answers"] != count:
        raise SystemExit(f"only {run}")
    return count / seconds


def run_bare(base_url: str, count: int, width: int) -> float:
    """Answers per second of litellm in a gather behind a semaphore; nothing is kept."""
    import litellm

    async def gather() -> None:
        gate = asyncio.Semaphore(width)

        async def ask(number: int) -> None:
            async with gate:
                await litellm.acompletion(
                    model="openai/mock-model",
                    api_base=base_url,
                    api_key="none",
                    messages=[{"role": "user", "content": f"question {number}"}],
                )

        await asyncio.gather(*map(ask, range(count)))

    begun = time.perf_counter()
    asyncio.run(gather())
    return count / (time.perf_counter() - begun)


def measure_large(base_url: str, count: int, width: int) -> dict[str, float]:
    """Peak memory and rate of one large run, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.evals", "--child", base_url]
    command += ["--large", str(count), "--concurrency", str(width)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


def be_child(base_url: str, count: int, width: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = open_bench(Path(folder), base_url)
        rate = run_ours(bench, count, width)
        bench.close()
    print(json.dumps({"answers_per_s": rate, "peak_mb": peak_mb()}))


def peak_mb() -> float:
    """Most memory this process had resident.

    On Linux from /proc: `ru_maxrss` keeps what the parent had when it started us.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def measure_scan(count: int) -> float:
    """Seconds until a resume knows what `count` answers are done."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Workbench(Settings(home=Path(folder)))
        row = {"run_id": "r", "model": "m/m", "variant": "plain", "epoch": 1, "scorer": "exact"}
        row |= {"status": "ok", "score": 1.0, "scored_at": datetime.now(UTC)}
        rows: list[dict[str, Any]] = [
            {**row, "result_id": str(i), "sample_id": str(i)} for i in range(count)
        ]
        for start in range(0, count, 5_000):
            bench.store.append_many("eval_samples", rows[start : start + 5_000])
        bench.store.ingest()
        begun = time.perf_counter()
        done = find_done(bench.store, "r")
        seconds = time.perf_counter() - begun
        bench.close()
    if len(done) != count:
        raise SystemExit(f"{len(done)} of {count} found")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=600)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=10_000)
    parser.add_argument("--done", type=int, default=100_000)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    width = options.concurrency
    if options.child:
        be_child(options.child, options.large, width)
        return
    rates: dict[str, list[float]] = {"ours": [], "bare": [], "bare_again": []}
    with serving(text="one two three", first_delay_s=0.05) as server:
        with tempfile.TemporaryDirectory() as folder:
            bench = open_bench(Path(folder), server.base_url)
            run_ours(bench, 50, width)
            run_bare(server.base_url, 50, width)
            for _ in range(options.rounds):
                rates["bare"].append(run_bare(server.base_url, options.samples, width))
                rates["ours"].append(run_ours(bench, options.samples, width))
                rates["bare_again"].append(run_bare(server.base_url, options.samples, width))
            bench.close()
        large = measure_large(server.base_url, options.large, width)
    ours, bare, again = (median(rates[name]) for name in ("ours", "bare", "bare_again"))
    report(
        "evals",
        {
            "answers_per_s": rates,
            "ours_to_bare": ours / bare,
            "control_bare_to_bare": again / bare,
            "large": {"samples": options.large, **large},
            "resume_scan_s": {"done": options.done, "seconds": measure_scan(options.done)},
            "targets": "ours_to_bare >= 0.90, peak_mb <= 400, seconds <= 1",
        },
    )


if __name__ == "__main__":
    main()
