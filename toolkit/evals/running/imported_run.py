"""What an imported run asked, as far as its own rows tell it: enough to score its answers again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.evals.config import EvalConfig, read_config
from toolkit.evals.dataset import Dataset, Sample
from toolkit.evals.results.cell_values import as_value
from toolkit.evals.solvers import Solver


def config_of_rows(name: str, rows: Sequence[Mapping[str, Any]], scorers: Any) -> EvalConfig:
    """An order whose plan holds every answer of the rows; its solvers are names only.

    Raises:
        InvalidInput: there is no row, or a scorer cannot be read.
    """
    firsts = {str(row["sample_id"]): row for row in rows}
    dataset = Dataset((_sample(row) for row in firsts.values()), name=name)
    variants = sorted({row["variant"] or "" for row in rows})
    options = {
        "name": name,
        "solvers": [Solver(name=variant) for variant in variants],
        "epochs": max((int(row["epoch"]) for row in rows), default=1),
        "scorers": scorers,
    }
    return read_config(dataset, sorted({row["model"] for row in rows}), options)


def _sample(row: Mapping[str, Any]) -> Sample:
    asked, wanted = as_value(row["input"]), as_value(row["target"])
    if wanted is not None:
        several = isinstance(wanted, list)
        wanted = tuple(map(str, wanted)) if several else str(wanted)
    return Sample(
        sample_id=str(row["sample_id"]),
        input=asked if isinstance(asked, list | dict) else str(asked or ""),
        target=wanted,
        metadata=as_value(row["metadata"]) or {},
    )
