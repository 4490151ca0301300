"""Whether tests notice small mistakes: a random sample of mutants of each package.

    python -m benchmarks.mutation [--mutants 60] [--only PACKAGE] [--seed 1] [--output FILE]

A mutant is the checkout with one small change: a comparison turned round or moved by one, `and`
for `or`, a `not` left out, a constant changed, a value that is not returned. Which mutants are
taken depends on the seed and the code alone. First the quick tests of the package run once, and
note which of them reach which line; then each mutant runs those that reach its line, the quickest
first, until one fails. A mutant that none of them notices, or that none reaches, is printed with
its line. Mutants run one at a time, each in a fork of a process that has read the slow libraries
already (Linux and macOS only).
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.rounds import ROOT

QUICK_TESTS: Final[Mapping[str, tuple[str, ...]]] = {
    "calls": ("tests/calls",),
    "store": ("tests/store",),
    "keys": ("tests/providers",),
    "pricing": ("tests/pricing",),
    "api": ("tests/api",),
    "replay": ("tests/replay",),
    "stats": ("tests/stats", "tests/evals/test_statistics.py"),
}
_COPIED: Final = ("toolkit", "tests", "benchmarks", "cassettes", "app.py", "pyproject.toml")
_TIMEOUT_S: Final = 600
_LIBRARIES: Final = ("pytest", "httpx", "numpy", "pandas", "duckdb", "litellm")
_LITELLM: Final = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"}
_QUICK: Final = ("-m", "not slow and not browser", "-q", "-p", "no:cacheprovider")
_MOST_TESTS: Final = 60
_CONTROLS: Final = 3
Reached = Mapping[str, Mapping[int, Sequence[str]]]
"""Of each file, the tests that reach a line, the quickest first."""
_COMPARISONS: Final[Mapping[type[ast.cmpop], str]] = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file.

    Attributes:
        file: from the root of the checkout.
        line: where it is.
        begin, end: the place in the file, in characters.
        old, new: what is replaced by what.
    """

    file: str
    line: int
    begin: int
    end: int
    old: str
    new: str


class _Finder(ast.NodeVisitor):
    """Collects every change that can be made to one file."""

    def __init__(self, file: str, source: str) -> None:
        self._file, self._source = file, source
        starts = [0]
        for line in source.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        self._starts = starts
        self.found: list[Mutant] = []

    def visit_Compare(self, node: ast.Compare) -> None:
        if len(node.ops) == 1 and (new := _COMPARISONS.get(type(node.ops[0]))):
            self._between(node.left, node.comparators[0], f" {new} ")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        new = " or " if isinstance(node.op, ast.And) else " and "
        self._between(node.values[0], node.values[1], new)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._replace(node, self._text(node.operand))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace(node, str(not node.value))
        elif isinstance(node.value, int | float):
            self._replace(node, f"({self._text(node)} + 1)")

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not isinstance(node.value, ast.Constant):
            self._replace(node.value, "None")
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:  # what an annotation says is never run
            self.visit(node.value)

    def visit_arg(self, node: ast.arg) -> None:
        """Nothing: an annotation is never run."""

    def _at(self, line: int, column: int) -> int:
        text = self._source[self._starts[line - 1] : self._starts[line]]
        return self._starts[line - 1] + len(text.encode()[:column].decode())

    def _span(self, node: ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        begin = self._at(node.lineno, node.col_offset)
        return begin, self._at(node.end_lineno, node.end_col_offset)

    def _text(self, node: ast.expr) -> str:
        begin, end = self._span(node)
        return self._source[begin:end]

    def _between(self, left: ast.expr, right: ast.expr, new: str) -> None:
        begin, end = self._span(left)[1], self._span(right)[0]
        old = self._source[begin:end]
        if "(" not in old and ")" not in old and "\n" not in old and "#" not in old:
            self._add(left.lineno, begin, end, new)

    def _replace(self, node: ast.expr, new: str) -> None:
        self._add(node.lineno, *self._span(node), new)

    def _add(self, line: int, begin: int, end: int, new: str) -> None:
        old = self._source[begin:end]
        self.found.append(Mutant(self._file, line, begin, end, old, new))


def choose(package: str, count: int, seed: int) -> list[Mutant]:
    """A random sample of the mutants of a package."""
    found: list[Mutant] = []
    for path in sorted((ROOT / "toolkit" / package).rglob("*.py")):
        source = path.read_text("utf-8")
        finder = _Finder(path.relative_to(ROOT).as_posix(), source)
        finder.visit(ast.parse(source))
        found += finder.found
    return random.Random(f"{seed}-{package}").sample(found, min(count, len(found)))


def reach(package: str, copy: Path) -> Reached:
    """Run the quick tests of a package without any change, and note which reach which line.

    Raises:
        SystemExit: one of them fails.
    """
    from coverage import CoverageData

    report = copy / "tests-of-lines"
    options = [f"--cov={copy / 'toolkit' / package}", "--cov-context=test", "--cov-report="]
    command = [sys.executable, "-m", "pytest", *_QUICK, *options, *QUICK_TESTS[package]]
    environment = {**os.environ, **_paths(copy), "COVERAGE_FILE": str(report)}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, check=False)
    if done.returncode:
        tail = done.stdout.decode(errors="replace")[-1500:]
        sys.exit(f"the quick tests of {package} fail without any change:\n{tail}")
    durations = json.loads((copy / "tests" / "durations.json").read_text("utf-8"))

    def seconds(test: str) -> float:
        cases, total = durations.get(test.partition("[")[0], (1, 0.0))
        return float(total / max(cases, 1))

    data = CoverageData(str(report))
    data.read()
    reached: dict[str, dict[int, list[str]]] = {}
    for name in data.measured_files():
        lines = data.contexts_by_lineno(name)
        reached[Path(name).relative_to(copy).as_posix()] = {
            line: sorted({c.rpartition("|")[0] for c in contexts if c}, key=seconds)
            for line, contexts in lines.items()
        }
    return reached


def tests_of(mutant: Mutant, reached: Reached) -> Sequence[str]:
    """The tests that reach the statement of a mutant: of what runs at import, those of the file."""
    lines = reached.get(mutant.file, {})
    begin = next((n for n in range(mutant.line, 0, -1) if n in lines), None)
    if begin is None:
        return ()
    if tests := lines[begin]:
        return tests[:_MOST_TESTS]
    # The default of a parameter has a line of its own within the `def`, which runs at import.
    text = (Path(ROOT) / mutant.file).read_text("utf-8").splitlines()[begin - 1]
    is_at_import = begin == mutant.line or text[:1] != " "
    everything = [test for tests in lines.values() for test in tests] if is_at_import else []
    return list(dict.fromkeys(everything))[:_MOST_TESTS]


def check(mutants: Sequence[Mutant], reached: Reached, copy: Path) -> Iterator[dict[str, Any]]:
    """Make each change in the copy of the checkout and run the tests that reach it."""
    for mutant in mutants:
        path = copy / mutant.file
        source = path.read_text("utf-8")
        tests = tests_of(mutant, reached)
        path.write_text(source[: mutant.begin] + mutant.new + source[mutant.end :], "utf-8")
        try:
            is_noticed = bool(tests) and not _passes(copy, tests)
        finally:
            path.write_text(source, "utf-8")
        package = mutant.file.split("/")[1]
        yield {"package": package, "tests": len(tests), "is_noticed": is_noticed, **asdict(mutant)}


def _paths(copy: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}


def _passes(copy: Path, tests: Sequence[str]) -> bool:
    """Whether the tests pass in a fork of this process; a mutant that never ends does not."""
    process = os.fork()
    if process == 0:
        _run_in_fork(copy, tests)
    until = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < until:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return False


def _run_in_fork(copy: Path, tests: Sequence[str]) -> None:
    code = 1
    try:
        os.setpgid(0, 0)
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        os.chdir(copy)
        os.environ.update(_paths(copy))
        sys.path[:] = [str(copy), *(p for p in sys.path if p and Path(p).resolve() != ROOT)]
        for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
            del sys.modules[name]
        import pytest

        # What was read before the fork cannot be rewritten for better messages: nobody reads them.
        ignored = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
        code = pytest.main([*_QUICK, *ignored, "-x", *tests])
    finally:
        os._exit(int(code))


def interval(killed: int, mutants: int) -> tuple[float, float]:
    """The 95 % interval of a share, after Wilson."""
    if not mutants:
        return 0.0, 1.0
    z, share = 1.959964, killed / mutants
    middle = share + z * z / (2 * mutants)
    reach = z * math.sqrt(share * (1 - share) / mutants + z * z / (4 * mutants**2))
    low, high = ((middle + sign * reach) / (1 + z * z / mutants) for sign in (-1, 1))
    return round(low, 3), round(high, 3)


def summarize(rows: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    """The result as it is kept: the score of each package, and every survivor."""
    packages = {}
    for name in dict.fromkeys(row["package"] for row in rows):
        own = [row["is_noticed"] for row in rows if row["package"] == name]
        killed, score = sum(own), round(sum(own) / len(own), 3)
        packages[name] = {
            "mutants": len(own),
            "killed": killed,
            "score": score,
            "interval_95": interval(killed, len(own)),
        }
    return {
        "seed": seed,
        "mutants": len(rows),
        "killed": sum(row["is_noticed"] for row in rows),
        "packages": packages,
        "survivors": [row for row in rows if not row["is_noticed"]],
    }


def main() -> None:
    """Check a sample and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=60, help="For each package.")
    parser.add_argument("--only", action="append", choices=list(QUICK_TESTS), help="Packages.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="Write the result to this file, too.")
    options = parser.parse_args()
    os.environ.update(_LITELLM)
    for library in _LIBRARIES:
        importlib.import_module(library)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        ignored = shutil.ignore_patterns("__pycache__", "node_modules")
        for name in _COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, copy / name, ignore=ignored)
            else:
                shutil.copy2(ROOT / name, copy / name)
        for package in options.only or QUICK_TESTS:
            chosen = choose(package, options.mutants, options.seed)
            reached = reach(package, copy)
            for mutant in chosen[:_CONTROLS]:
                if (tests := tests_of(mutant, reached)) and not _passes(copy, tests):
                    sys.exit(f"{len(tests)} tests of {package} fail in a fork without any change")
            for row in check(chosen, reached, copy):
                rows.append(row)
                mark = "noticed" if row["is_noticed"] else "SURVIVED"
                what = f"{row['file']}:{row['line']}: {row['old']!r} -> {row['new']!r}"
                print(f"{mark}: {what}"[:200], file=sys.stderr, flush=True)
                if options.output is not None:
                    text = json.dumps(summarize(rows, options.seed), indent=1)
                    options.output.write_text(text + "\n", "utf-8")
    print(json.dumps(summarize(rows, options.seed)))


if __name__ == "__main__":
    main()
