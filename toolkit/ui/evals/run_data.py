"""What the Evals page shows of runs: their scorers and their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.evals.results.summary import PEOPLE, Row, newest_rows


def scored_by(rows: Sequence[Row]) -> list[str]:
    """The scorers of some rows in the order of the alphabet, the ratings of people last."""
    names = {row["scorer"] for row in newest_rows(rows) if row["scorer"] is not None}
    return sorted(names, key=lambda name: (name == PEOPLE, name))


def run_name(run: Mapping[str, Any]) -> str:
    """What to call a run."""
    return str(run["name"] or run["dataset"] or run["run_id"])
