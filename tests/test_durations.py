"""`make check` asks a little of everything: what of a test function is quick."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import durations


@dataclass
class Case:
    nodeid: str
    marks: list[str] = field(default_factory=list)

    def add_marker(self, marker: str) -> None:
        self.marks.append(marker)


def quick(names: list[str], measured: dict[str, tuple[int, float]]) -> list[str]:
    cases = [Case(name) for name in names]
    durations.mark_slow(cases, measured)
    return [case.nodeid for case in cases if not case.marks]


def test_a_long_test_is_slow_and_one_never_measured_is_quick() -> None:
    assert quick(["long", "short", "new"], {"long": (1, 9.0), "short": (1, 0.1)}) == [
        "short",
        "new",
    ]


def test_of_a_large_family_as_many_cases_as_fit_are_quick_spread_evenly() -> None:
    family = [f"family[{number}]" for number in range(10)]
    names = quick(family, {"family": (10, 10 * durations.QUICK_S / 3)})
    assert names == ["family[3]", "family[6]", "family[9]"]


def test_what_was_not_run_keeps_its_figures_unless_its_file_is_gone(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    file = tmp_path / "durations.json"
    kept, gone, run = "tests/test_docs.py::a", "tests/test_gone.py::b", "tests/test_new.py::c"
    file.write_text(json.dumps({kept: [2, 4.0], gone: [1, 1.0]}))
    recorder = durations.Recorder(file)
    for number in (0, 1):
        for when, seconds in (("setup", 1.0), ("call", 2.0), ("teardown", 0.5)):
            recorder.pytest_runtest_logreport(
                pytest.TestReport(
                    f"{run}[{number}]",
                    ("", 0, ""),
                    {},
                    "passed",
                    None,
                    when,
                    duration=seconds,  # type: ignore[arg-type]
                )
            )
    recorder.pytest_sessionfinish(SimpleNamespace(config=pytestconfig))  # type: ignore[arg-type]
    assert durations.read(file) == {kept: (2, 4.0), run: (2, 7.0)}
