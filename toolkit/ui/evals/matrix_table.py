"""The matrix of the Evals page: a line per sample, a column per model and variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st

from toolkit.evals.results.cell_values import say_value
from toolkit.evals.results.matrix import Matrix, SampleRow
from toolkit.evals.results.run_results import FILTERS, Filter, keep_samples
from toolkit.ui.components.format import count
from toolkit.ui.components.text import visible
from toolkit.ui.evals.eval_labels import say_cell

MOST_LINES: Final = 1_000
_HELP: Final = (
    "failed: an answer did not pass. different: columns or repeats disagree. errors: a call "
    "failed or a scorer could not judge. skipped: not run because the cap was reached."
)


def choose_scorer(scorers: Sequence[str]) -> str | None:
    """Whose scores are shown; in the address."""
    if not scorers:
        return None
    chosen = st.selectbox("Scorer", list(scorers), key="scorer", bind="query-params")
    return chosen or scorers[0]


def choose_filter(key: str = "filter") -> Filter:
    """Which samples are shown; in the address under `key`."""
    chosen = st.segmented_control(
        "Samples", list(FILTERS), key=key, default="all", bind="query-params", help=_HELP
    )
    return chosen or "all"


def draw_matrix(matrix: Matrix, scorer: str | None, chosen: Filter, key: str) -> str | None:
    """The lines that the filter keeps; returns the sample that was chosen."""
    kept = keep_samples(matrix, chosen, scorer)
    total = len(matrix.samples)
    st.caption(f"{count(len(kept))} of {count(total)} samples. Select a row for its details.")
    if not kept:
        return None
    event = st.dataframe(
        _columns(matrix, kept[:MOST_LINES], scorer),
        hide_index=True,
        height=min(36 * (len(kept) + 1) + 4, 460),
        key=key,
        on_select="rerun",
        selection_mode="single-row",
        column_config={"sample": st.column_config.TextColumn(pinned=True)},
        alt="Samples by model and variant",
    )
    if len(kept) > MOST_LINES:
        st.caption(f"The first {count(MOST_LINES)} are listed; an export has all.")
    picked = event["selection"]["rows"]
    return kept[picked[0]].sample_id if picked else None


def _columns(
    matrix: Matrix, kept: Sequence[SampleRow], scorer: str | None
) -> Mapping[str, Sequence[Any]]:
    columns: dict[str, list[str]] = {"sample": [sample.sample_id for sample in kept]}
    for side in matrix.sides:
        columns[matrix.names[side] or "answer"] = [
            say_cell(sample.cells.get(side, ()), scorer) for sample in kept
        ]
    columns["input"] = [visible(say_value(sample.input))[:200] for sample in kept]
    columns["target"] = [visible(say_value(sample.target))[:200] for sample in kept]
    return columns
