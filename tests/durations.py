"""How long each test function takes, as measured, and what `make check` runs of it.

`durations.json` holds the cases and the seconds (set-up and teardown included) of every test
function, written by `make durations`. From it a test is marked slow, case by case: of each function
as many cases are quick as fit into `QUICK_S`, spread evenly over its parameters. So the quick run
asks a little of everything, and nobody has to mark tests by hand. A function that was never
measured is quick.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import pytest

FILE: Final = Path(__file__).with_name("durations.json")
QUICK_S: Final = 0.15
"""Seconds that one test function may take in `make check`."""


class Case(Protocol):
    """What is asked of a collected test."""

    @property
    def nodeid(self) -> str: ...
    def add_marker(self, marker: str) -> None: ...


def mark_slow(items: Sequence[Case], measured: dict[str, tuple[int, float]]) -> None:
    """Mark the cases slow that do not fit into the quick run.

    Args:
        items: what was collected.
        measured: cases and seconds by test function, as `read` returns them.
    """
    cases: defaultdict[str, list[Case]] = defaultdict(list)
    for item in items:
        cases[function_of(item.nodeid)].append(item)
    for name, group in cases.items():
        number, seconds = measured.get(name, (1, 0.0))
        quick = int(QUICK_S * number / seconds) if seconds else len(group)
        for index, item in enumerate(group):
            # The k-th quick case is the first whose share of the way reaches k.
            is_quick = (index + 1) * quick // len(group) > index * quick // len(group)
            if not (is_quick or quick >= len(group)):
                item.add_marker("slow")


def function_of(node_id: str) -> str:
    """The test function of a case: its node id without parameters."""
    return node_id.partition("[")[0]


def read(file: Path = FILE) -> dict[str, tuple[int, float]]:
    """Cases and seconds by test function; empty where nothing was measured yet."""
    if not file.exists():
        return {}
    return {
        name: (number, seconds) for name, (number, seconds) in json.loads(file.read_text()).items()
    }


class Recorder:
    """Adds up what each test function takes, and writes the file when the run ends."""

    def __init__(self, file: Path = FILE) -> None:
        self._file = file
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._cases: defaultdict[str, int] = defaultdict(int)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = function_of(report.nodeid)
        self._seconds[name] += report.duration
        self._cases[name] += report.when == "call"

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        root = session.config.rootpath
        # What was not run this time keeps its figures, unless its file is gone.
        kept = {name: row for name, row in read(self._file).items()
                if (root / name.partition("::")[0]).exists()}  # fmt: skip
        new = {name: (number, round(self._seconds[name], 2))
               for name, number in self._cases.items() if number}  # fmt: skip
        lines = (
            f"{json.dumps(name)}: {json.dumps(row)}" for name, row in sorted((kept | new).items())
        )
        self._file.write_text("{\n" + ",\n".join(lines) + "\n}\n")
