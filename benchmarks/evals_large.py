"""Large evaluations: memory, a kill -9 in the middle, and how fast a resume begins.

Each run is a process of its own, so that its peak is its own and that a kill is a real one. What
was sent is counted by the server, what was recorded is read from the ledger afterwards.

    python -m benchmarks.evals_large run|resume BASE_URL HOME SAMPLES CONCURRENCY
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.evals_server import CountingServer
from benchmarks.rounds import ROOT
from toolkit.evals.dataset import Dataset, Sample
from toolkit.evals.running.reuse import find_done
from toolkit.settings import Settings
from toolkit.toolkit import Toolkit

_NAME: Final = "large"
_MODEL: Final = "mock/mock-model"
_RECORDED: Final = """
    SELECT count(*) AS rows, count(DISTINCT sample_id) AS samples FROM eval_samples"""


def open_bench(home: Path, base_url: str) -> Toolkit:
    """A toolkit with one provider."""
    toolkit = Toolkit(settings=Settings(home=home))
    if "mock" not in {provider.name for provider in toolkit.providers.list()}:
        toolkit.providers.add("mock", base_url=base_url, local=True, test=False)
    return toolkit


def samples(count: int) -> Dataset:
    """What is asked: a different prompt for each sample."""
    return Dataset(
        Sample(sample_id=str(i), input=f"question {i}", target="one") for i in range(count)
    )


def measure_memory(server: CountingServer, count: int, width: int) -> dict[str, Any]:
    """Peak memory, rate and CPU of one large run."""
    with tempfile.TemporaryDirectory() as home, _start("run", server, home, count, width) as child:
        return {"samples": count, **_end(child)}


def measure_kill(server: CountingServer, count: int, width: int) -> dict[str, Any]:
    """Kill a run outright at half of its samples and resume it: what was sent and kept twice."""
    server.counts(forget=True)
    with tempfile.TemporaryDirectory() as home:
        with _start("run", server, home, count, width) as child:
            while server.counts()["requests"] < count // 2 and child.poll() is None:
                time.sleep(0.01)
            child.kill()
            was_killed = child.wait() == -signal.SIGKILL
        before = server.counts()["requests"]
        with _start("resume", server, home, count, width) as child:
            resumed = _end(child)
        toolkit = open_bench(Path(home), server.base_url)
        recorded = toolkit.store.rows(_RECORDED)[0]
        toolkit.close()
    sent = server.counts(forget=True)
    return {
        "samples": count,
        "was_killed": was_killed,
        "sent_when_killed": before,
        "sent_by_resume": sent["requests"] - before,
        "sent_again": sent["sent_again"],
        "never_sent": count - sent["prompts"],
        "recorded": recorded["samples"],
        "recorded_twice": recorded["rows"] - recorded["samples"],
        "resumed": resumed,
    }


def measure_scan(count: int) -> dict[str, float]:
    """Seconds until a resume knows what `count` answers are done."""
    with tempfile.TemporaryDirectory() as folder:
        toolkit = Toolkit(settings=Settings(home=Path(folder)))
        row = {"run_id": "r", "model": "m/m", "variant": "plain", "epoch": 1, "scorer": "exact"}
        row |= {"status": "ok", "score": 1.0, "scored_at": datetime.now(UTC)}
        rows: list[dict[str, Any]] = [
            {**row, "result_id": str(i), "sample_id": str(i)} for i in range(count)
        ]
        for start in range(0, count, 5_000):
            toolkit.store.append_many("eval_samples", rows[start : start + 5_000])
        toolkit.store.ingest()
        begun = time.perf_counter()
        done = find_done(toolkit.store, "r")
        seconds = time.perf_counter() - begun
        toolkit.close()
    if len(done) != count:
        raise SystemExit(f"{len(done)} of {count} found")
    return {"done": count, "seconds": round(seconds, 3)}


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


def _start(
    what: str, server: CountingServer, home: str, count: int, width: int
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.evals_large", what, server.base_url, home]
    command += [str(count), str(width)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)


def _end(child: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = child.communicate()
    if child.returncode:
        raise SystemExit(f"the run ended with {child.returncode}")
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    return told


def main() -> None:
    """Be the process that is measured."""
    what, base_url, home, count, width = sys.argv[1:]
    toolkit, many = open_bench(Path(home), base_url), int(count)
    begun, cpu = time.perf_counter(), time.process_time()
    if what == "resume":
        run = toolkit.evaluation.resume(_NAME)
    else:
        run = toolkit.evaluation.run(
            samples(many), _MODEL, name=_NAME, scorers="contains", concurrency=int(width)
        )
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    toolkit.close()
    if run.summary["answers"] != many:
        raise SystemExit(f"only {run}")
    print(json.dumps({"seconds": round(seconds, 2), "cpu_s": round(cpu, 2), "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
