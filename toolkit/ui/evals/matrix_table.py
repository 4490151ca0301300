"""The matrix of the Evals page: a line per sample, a column per model and variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import streamlit as st

from toolkit.charts.states import State
from toolkit.evals.results.cell_values import say_value
from toolkit.evals.results.matrix import Matrix, SampleRow
from toolkit.evals.results.run_results import FILTERS, Filter, keep_samples
from toolkit.ui.components.format import count
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.components.text import visible
from toolkit.ui.evals.eval_labels import say_cell

MOST_LINES: Final = 1_000
_HELP: Final = (
    "failed: an answer did not pass. unreadable: it gave the scorer nothing to compare. "
    "different: columns or repeats disagree. errors: a call failed or a scorer could not judge. "
    "skipped: not run because the cap was reached."
)


def choose_scorer(scorers: Sequence[str]) -> str | None:
    """Whose scores are shown; in the address."""
    if not scorers:
        return None
    chosen = st.selectbox("Scorer", list(scorers), key="scorer", bind="query-params",
                          label_visibility="collapsed", width=220)  # fmt: skip
    return chosen or scorers[0]


def draw_samples(
    matrix: Matrix, scorer: str | None, *, filter_key: str, key: str, opened: str | None = None
) -> str | None:
    """The filter, in the address under `filter_key`, and the samples that it keeps.

    Returns:
        The sample that was chosen, or None.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        chosen: Filter = st.segmented_control(
            "Samples", list(FILTERS), key=filter_key, default="all", bind="query-params",
            label_visibility="collapsed",
        ) or "all"  # fmt: skip
        kept = keep_samples(matrix, chosen, scorer)
        total = len(matrix.samples)
        st.caption(
            f"{count(len(kept))} of {count(total)} samples. Select one for its details.", help=_HELP
        )
    if not kept:
        return None
    shown = kept[:MOST_LINES]
    ids = [sample.sample_id for sample in shown]
    columns = _columns(matrix, shown, scorer)
    picked = draw_table(
        columns,
        key=f"{key}-{chosen}",
        opens=list(columns),
        most_px=460,
        opened=ids.index(opened) if opened in ids else None,
        alt="Samples by model and variant",
    )
    if len(kept) > MOST_LINES:
        st.caption(f"The first {count(MOST_LINES)} are listed; an export has all.")
    return None if picked is None else ids[picked]


def _columns(matrix: Matrix, kept: Sequence[SampleRow], scorer: str | None) -> Mapping[str, Column]:
    columns = {"Sample": Column([sample.sample_id for sample in kept], 110, "name", on_phone=True)}
    for side in matrix.sides:
        said = [
            say_cell(sample.cells.get(side, ()), scorer, columns=len(matrix.sides))
            for sample in kept
        ]
        cells = [_cell(text) for text in said]
        columns[matrix.names[side] or "answer"] = Column(cells, None, "state", on_phone=True)
    for name in ("input", "target"):
        values = [visible(say_value(getattr(sample, name)))[:200] for sample in kept]
        columns[name.capitalize()] = Column(values, on_phone=True)
    return columns


def _cell(text: str) -> State | str:
    """A cell; one that did not pass is in the colour of what is broken."""
    symbol, _, rest = text.partition(" ")
    return State(symbol, rest, "red") if symbol == "✕" else text
