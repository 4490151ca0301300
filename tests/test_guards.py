"""The table of guards is true: each guard is where the table says, and its tests exist."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.guards import read_guards

ROOT = Path(__file__).parents[1]


def test_each_guard_of_the_table_exists_once_with_its_tests():
    guards = read_guards()
    assert len(guards) >= 40
    assert len({guard.name for guard in guards}) == len(guards)
    for guard in guards:
        assert (ROOT / guard.file).read_text("utf-8").count(guard.old) == 1, guard.name
        for test in guard.tests:
            path, _, name = test.partition("[")[0].partition("::")
            source = (ROOT / path).read_text("utf-8")
            assert not name or re.search(rf"def {name}\b", source), (guard.name, test)
