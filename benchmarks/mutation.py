"""Whether tests notice small mistakes: a random sample of mutants of each package.

    python -m benchmarks.mutation [--mutants 60] [--only PACKAGE] [--seed 1] [--output FILE]

A mutant is the checkout with one small change: a comparison turned round or moved by one, `and`
for `or`, a `not` left out, a constant changed, a value that is not returned. Each runs the quick
tests of its package, one process at a time; a mutant that no test notices is printed with its
line. Which mutants are taken depends on the seed and the code alone.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
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


def check(package: str, mutants: Sequence[Mutant], copy: Path) -> Iterator[dict[str, Any]]:
    """Make each change in the copy of the checkout and run the quick tests of the package."""
    for mutant in mutants:
        path = copy / mutant.file
        source = path.read_text("utf-8")
        path.write_text(source[: mutant.begin] + mutant.new + source[mutant.end :], "utf-8")
        try:
            is_noticed = not _passes(copy, QUICK_TESTS[package])
        finally:
            path.write_text(source, "utf-8")
        yield {"package": package, "is_noticed": is_noticed, **asdict(mutant)}


def _passes(copy: Path, tests: Sequence[str]) -> bool:
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    quick = ["-m", "not slow and not browser", "-x", "-q", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *quick, *tests]
    try:
        done = subprocess.run(
            command,
            cwd=copy,
            env=environment,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False  # a mutant that never ends is noticed
    return done.returncode == 0


def summarize(rows: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    """The result as it is kept: the score of each package, and every survivor."""
    packages = {}
    for name in dict.fromkeys(row["package"] for row in rows):
        own = [row["is_noticed"] for row in rows if row["package"] == name]
        packages[name] = {"mutants": len(own), "killed": sum(own)}
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
            if not _passes(copy, QUICK_TESTS[package]):
                sys.exit(f"the quick tests of {package} fail without any change")
            for row in check(package, choose(package, options.mutants, options.seed), copy):
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
