"""What the Evals page shows of runs: their scorers and their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.evals.results.summary import Row


def scored_by(rows: Sequence[Row]) -> list[str]:
    """The scorers of some rows, in the order of the alphabet."""
    return sorted({row["scorer"] for row in rows if row["scorer"] is not None})


def run_name(run: Mapping[str, Any]) -> str:
    """What to call a run."""
    return str(run["name"] or run["dataset"] or run["run_id"])
