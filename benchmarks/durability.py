"""kill -9 at random moments: is an acknowledged record ever lost or doubled?

In each round N processes append calls as fast as they can and print each id once it is
acknowledged; each process also moves and reads, as the app does. Each is killed at a random
moment. After every round the ledger is read and compared with what was acknowledged; at the end
everything is moved and compared again, and `verify` looks at every value.

    python -m benchmarks.durability [--rounds 20] [--writers 4] [--sync normal|full]
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.rounds import ROOT, percentiles, report
from toolkit.settings import Settings
from toolkit.store.store import Store

WRITER = """
import os, sys, time
from pathlib import Path
from tests.store.rows import call_row
from toolkit.settings import Settings
from toolkit.store.store import Store
store = Store(Settings(home=Path(sys.argv[1]), journal_sync=sys.argv[3]))
number = 0
print("ready", flush=True)
while True:
    call_id = f"{sys.argv[2]}-{number:07d}"
    began = time.perf_counter()
    store.append("calls", call_row(call_id=call_id, input_tokens=number, output_text="x" * 400))
    took_us = (time.perf_counter() - began) * 1e6
    os.write(1, f"{call_id} {took_us:.0f}\\n".encode())
    number += 1
    if number % 500 == 0:
        store.rows("SELECT count(*) FROM calls")
"""


class Writer:
    """One writing process and what it acknowledged."""

    def __init__(self, home: Path, name: str, sync: str) -> None:
        self.acknowledged: list[str] = []
        self.took_us: list[float] = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(home), name, sync],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            # A line that the kill cut short was acknowledged, but its id cannot be told.
            if line.endswith("\n"):
                call_id, took_us = line.split()
                self.acknowledged.append(call_id)
                self.took_us.append(float(took_us))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._listener.join()


def compare(store: Store, acknowledged: set[str]) -> tuple[int, int, int]:
    """Lost, doubled, and stored without having been acknowledged."""
    stored = Counter(row["call_id"] for row in store.rows("SELECT call_id FROM calls"))
    doubled = sum(count > 1 for count in stored.values())
    return len(acknowledged - stored.keys()), doubled, len(stored.keys() - acknowledged)


def measure(options: argparse.Namespace, home: Path) -> dict[str, Any]:
    chance = random.Random(options.seed)
    store = Store(Settings(home=home))
    acknowledged: set[str] = set()
    took_us: list[float] = []
    lost = doubled = 0
    reopen_ms: list[float] = []
    for number in range(options.rounds):
        writers = [
            Writer(home, f"r{number}-w{index}", options.sync) for index in range(options.writers)
        ]
        for writer in writers:
            time.sleep(chance.uniform(0.05, options.longest_s) / options.writers)
            writer.kill()
            acknowledged.update(writer.acknowledged)
            took_us += writer.took_us
        began = time.perf_counter()
        missing, twice, _ = compare(store, acknowledged)
        reopen_ms.append((time.perf_counter() - began) * 1000)
        lost, doubled = lost + missing, doubled + twice
        print(f"round {number + 1}: {len(acknowledged)} acknowledged", file=sys.stderr)
    store.ingest()
    missing, twice, unacknowledged = compare(store, acknowledged)
    checks = store.verify()
    store.close()
    return {
        "rounds": options.rounds,
        "writers": options.writers,
        "journal_sync": options.sync,
        "kills": options.rounds * options.writers,
        "acknowledged": len(acknowledged),
        "lost": lost + missing,
        "doubled": doubled + twice,
        "stored_but_killed_before_the_id_was_printed": unacknowledged,
        "append_us": percentiles(took_us),
        "first_whole_read_after_kills_ms": percentiles(reopen_ms),
        "verify": {check.name: check.detail for check in checks},
        "passed": not (lost or missing or doubled or twice) and all(c.is_ok for c in checks),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--longest-s", type=float, default=1.5)
    parser.add_argument("--sync", choices=["normal", "full"], default="normal")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(options, Path(folder) / "home")
    report("durability", results)
    sys.exit(0 if results["passed"] else 1)


if __name__ == "__main__":
    main()
