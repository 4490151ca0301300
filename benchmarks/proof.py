"""One table of the figures of reliability and security: what is required, and what was measured.

    python -m benchmarks.proof [--run] [--only TEXT]... [--output FILE]

Without `--run` it shows the results that are committed; a figure without one is shown as not
measured. With `--run` the tests and benchmarks that give the figures run first, one after the
other, which takes hours, and the results are written to `proof_result.json`. Exits with 1 where a
measured figure is not met.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.rounds import ROOT

RESULTS: Final = Path(__file__).with_name("proof_result.json")
_TIMEOUT_S: Final = 3 * 3600
_PYTEST: Final = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")

Measured = tuple[str, bool]
"""What is shown, and whether it meets the figure."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        name: what is measured.
        required: what it must be.
        command: what measures it.
        read: reads the JSON that the command prints; None: the tests of the command must pass.
        kept: the committed file with that JSON, where the command has one of its own.
    """

    name: str
    required: str
    command: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], Measured] | None = None
    kept: str = ""


def _tests(*paths: str) -> tuple[str, ...]:
    return (*_PYTEST, *paths)


def _benchmark(name: str, *options: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"benchmarks.{name}", *options)


def _guards(found: Mapping[str, Any]) -> Measured:
    shown = f"{found['noticed']} of {found['guards']} noticed"
    return shown, found["noticed"] == found["guards"] >= 40


def _kills(found: Mapping[str, Any]) -> Measured:
    shown = (
        f"{found['acknowledged']:,} acknowledged, {found['lost']} lost, {found['doubled']} twice"
    )
    is_met = found["lost"] == found["doubled"] == 0 and found["acknowledged"] >= 100_000
    return shown, is_met


def _mutants(found: Mapping[str, Any]) -> Measured:
    killed, mutants = found["killed"], found["mutants"]
    share = killed / mutants if mutants else 0.0
    return f"{killed} of {mutants} noticed ({share:.0%})", share >= 0.8


def _fuzz(found: Mapping[str, Any]) -> Measured:
    runs = sum(row["runs"] for row in found["targets"])
    crashes = sum(row["crashes"] for row in found["targets"])
    return f"{runs:,} inputs to {len(found['targets'])} readers, {crashes} crashes", crashes == 0


def _soak(found: Mapping[str, Any]) -> Measured:
    slope = max(row["mb_per_minute"] for row in found["processes"])
    shown = (
        f"{found['minutes']:g} min, {found['errors']} errors, {found['rows_lost']} rows lost, "
        f"memory at most {slope:+.2f} MB/min"
    )
    good = found["errors"] == found["rows_lost"] == 0 and slope < 1.0
    return shown, good and found["minutes"] >= 60


def _load(found: Mapping[str, Any]) -> Measured:
    errors = found.get("errors", found.get("failed"))
    return f"{errors} errors", errors in (0, {}, [])


FIGURES: Final = (
    Figure("fault cases classified", "all", _tests("tests/calls/test_faults.py")),
    Figure(
        "wrong answers are no success", "0 silent", _tests("tests/calls/test_mutated_answers.py")
    ),
    Figure("verdict of llmock", "100 %", _tests("tests/calls/test_llmock.py")),
    Figure("verdict of aimock", "0 unclassified", _tests("tests/calls/test_aimock.py")),
    Figure("retries and deadlines", "<= 1.2x; <= 1 s late", _tests("tests/calls/test_policy.py")),
    Figure("hostile bodies", "<= 50 MB", _tests("tests/calls/test_hostile_bodies.py")),
    Figure(
        "a key in clear anywhere",
        "0",
        _tests("tests/api/test_canary.py", "tests/ui/test_canary_page.py"),
    ),
    Figure("a key at another origin", "0", _tests("tests/calls/test_faults.py", "-k", "redirect")),
    Figure(
        "kill -9, normal", ">= 100,000, 0 lost", _benchmark("durability", "--rounds", "200"), _kills
    ),
    Figure(
        "kill -9, full",
        ">= 100,000, 0 lost",
        _benchmark("durability", "--rounds", "200", "--sync", "full"),
        _kills,
    ),
    Figure("failing writes", "0 lost", _tests("tests/store/test_write_faults.py")),
    Figure("bit flips and cuts", "0 silent", _tests("tests/store/test_damage.py")),
    Figure("properties of parsers", "0 crashes", _tests("tests", "-k", "property or properties")),
    Figure("fuzzed readers", "0 crashes", _benchmark("fuzz"), _fuzz, "fuzz_result.json"),
    Figure("the HTTP API by its schema", "0 5xx", _tests("tests/api/test_schema.py")),
    Figure(
        "load of the gateway", "0 errors", _benchmark("gateway", "load", "--minutes", "10"), _load
    ),
    Figure("soak", "60 min, < 1 MB/min", _benchmark("soak"), _soak, "soak_result.json"),
    Figure("health on simulated time", "0 false", _tests("tests/health/test_monitor.py")),
    Figure("hostile texts in the app", "0 requests", _tests("tests/ui/test_browser.py")),
    Figure("keyrings", "all", _tests("tests/providers/test_os_keyring.py")),
    Figure("supply chain", "all", _tests("tests/test_supply_chain.py")),
    Figure("guards", "all, >= 40", _benchmark("guards"), _guards, "guards_result.json"),
    Figure("mutants noticed", ">= 80 %", _benchmark("mutation"), _mutants, "mutation_result.json"),
)


def measure(figure: Figure) -> dict[str, Any]:
    """Run the command of a figure; gives what is kept of it."""
    done = subprocess.run(
        figure.command, cwd=ROOT, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    at = datetime.now(UTC).isoformat(timespec="minutes")
    if figure.read is None:
        closing = re.findall(r"^(?:=+ )?(\d+ .* in [\d.]+s.*?)(?: =+)?$", done.stdout, re.M)
        shown = re.sub(r" in [\d.]+s.*", "", closing[-1]) if closing else "no test ran"
        return {"shown": shown, "is_met": done.returncode == 0, "at": at}
    found = _last_json(done.stdout)
    if found is None:
        return {"shown": "the benchmark printed no result", "is_met": False, "at": at}
    shown, is_met = figure.read(found)
    return {"shown": shown, "is_met": is_met, "at": at}


def _last_json(output: str) -> Mapping[str, Any] | None:
    """The JSON object at the end of an output; before it there may be lines of text."""
    for match in re.finditer(r"^\{", output, re.M):
        try:
            found = json.loads(output[match.start() :])
        except ValueError:
            continue
        return found if isinstance(found, dict) else None
    return None


def committed(figure: Figure, results: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The last result of a figure; None: it has not been measured."""
    path = Path(__file__).with_name(figure.kept) if figure.kept else None
    if path is not None and path.exists() and figure.read is not None:
        shown, is_met = figure.read(json.loads(path.read_text("utf-8")))
        return {"shown": shown, "is_met": is_met, "at": ""}
    found: Mapping[str, Any] | None = results.get(figure.name)
    return found


def table(figures: Sequence[Figure], results: Mapping[str, Any]) -> str:
    """The figures as lines of text."""
    lines = [f"{'figure':30} {'required':22} {'':7} measured"]
    for figure in figures:
        result = committed(figure, results)
        mark, shown = "–", "not measured"
        if result is not None:
            mark = "met" if result["is_met"] else "NOT MET"
            shown = f"{result['shown']}  {result['at']}".rstrip()
        lines.append(f"{figure.name:30} {figure.required:22} {mark:7} {shown}")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", action="store_true", help="Measure first (hours).")
    parser.add_argument("--only", action="append", help="Figures whose name holds this text.")
    parser.add_argument("--output", type=Path, default=RESULTS, help="Where results are kept.")
    options = parser.parse_args()
    texts = options.only or [""]
    figures = [figure for figure in FIGURES if any(text in figure.name for text in texts)]
    path: Path = options.output
    results = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for figure in figures if options.run else ():
        print(f"measuring {figure.name} ...", file=sys.stderr, flush=True)
        results[figure.name] = measure(figure)
        path.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(table(figures, results))
    sys.exit(any((found := committed(f, results)) and not found["is_met"] for f in figures))


if __name__ == "__main__":
    main()
