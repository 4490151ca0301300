"""Whether tests notice that a guard is missing: each is removed in turn, and a test must fail.

    python -m benchmarks.guards [--only TEXT]... [--output FILE]

`guards.toml` lists guards, as text that is replaced in a file, with the tests that must notice.
The checkout is copied to a temporary folder, so nothing here is changed. The tests of an entry
run unchanged first: where they fail then, the entry says nothing and is reported as broken. Prints
one line for each guard and a JSON summary; exits with 1 unless every removal was noticed. With
`--only`, rows of other guards that the output file has already stay in it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.rounds import ROOT

TABLE: Final = Path(__file__).with_name("guards.toml")
_COPIED: Final = (
    *("toolkit", "tests", "benchmarks", "notebooks", "cassettes", "docs"),
    *("app.py", "pyproject.toml", "README.md"),
)
_TESTS_FAILED: Final = 1  # pytest's exit code; others mean that no test was judged
_TIMEOUT_S: Final = 600


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard and how to remove it.

    Attributes:
        name: what it guards.
        file: where it is, from the root of the checkout.
        old: its text, which occurs once in the file.
        new: what replaces it.
        tests: test files or ids; one of their tests must fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def read_guards() -> list[Guard]:
    """The table."""
    found = tomllib.loads(TABLE.read_text("utf-8"))["guard"]
    return [Guard(**{**entry, "tests": tuple(entry["tests"])}) for entry in found]


def check(guards: Sequence[Guard]) -> Iterator[dict[str, Any]]:
    """Remove each guard in a copy of the checkout and run its tests."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy2(source, copy / name)
        good: dict[tuple[str, ...], tuple[int, str]] = {}
        for guard in guards:
            if guard.tests not in good:
                good[guard.tests] = _run(copy, guard.tests)
            path = copy / guard.file
            text = path.read_text("utf-8")
            unchanged, failing = good[guard.tests]
            if text.count(guard.old) != 1 or unchanged != 0:
                reason = f"its tests fail unchanged: {failing}"
                if text.count(guard.old) != 1:
                    reason = "its text is not there once"
                yield {"guard": guard.name, "is_noticed": False, "by": "", "problem": reason}
                continue
            path.write_text(text.replace(guard.old, guard.new), "utf-8")
            code, failed = _run(copy, guard.tests)
            path.write_text(text, "utf-8")
            yield {"guard": guard.name, "is_noticed": code == _TESTS_FAILED, "by": failed}


def _run(copy: Path, tests: Sequence[str]) -> tuple[int, str]:
    """pytest's exit code, and the first test that failed."""
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command,
            cwd=copy,
            env=environment,
            text=True,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _TESTS_FAILED, "the tests did not end"
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M)
    return done.returncode, failed[1] if failed else ""


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    noticed = sum(bool(row["is_noticed"]) for row in rows)
    return {"guards": len(rows), "noticed": noticed, "rows": rows}


def _earlier(path: Path) -> dict[str, dict[str, Any]]:
    """The rows of a result that was written before, by guard."""
    if not path.exists():
        return {}
    return {row["guard"]: row for row in json.loads(path.read_text("utf-8"))["rows"]}


def main() -> None:
    """Check the guards and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", action="append", help="Guards whose name or file holds this text; repeatable."
    )
    parser.add_argument("--output", type=Path, help="Write the result to this file, too.")
    options = parser.parse_args()
    table = read_guards()
    texts = options.only or [""]
    rows = []
    for row in check([g for g in table if any(t in g.name or t in g.file for t in texts)]):
        rows.append(row)
        mark = "noticed" if row["is_noticed"] else "NOT NOTICED"
        print(f"{mark}: {row['guard']}: {row['by'] or row.get('problem', '')}", flush=True)
    summary = _summary(rows)
    print(json.dumps(summary))
    if options.output is not None:
        kept = _earlier(options.output) if options.only else {}
        kept |= {row["guard"]: row for row in rows}
        merged = _summary([kept[guard.name] for guard in table if guard.name in kept])
        options.output.write_text(json.dumps(merged, indent=1) + "\n", "utf-8")
    sys.exit(summary["guards"] != summary["noticed"])


if __name__ == "__main__":
    main()
