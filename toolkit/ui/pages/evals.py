"""Evals: start a run, see every run with its answers and scores, and compare two runs."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from toolkit.evals.results.matrix import find_sample, read_matrix
from toolkit.store.queries.eval_pages import list_runs, rows_of
from toolkit.toolkit import Toolkit, current
from toolkit.ui.components.error_card import errors_shown
from toolkit.ui.components.format import ago
from toolkit.ui.components.page_head import page_head
from toolkit.ui.components.text import plain
from toolkit.ui.evals.matrix_table import choose_filter, choose_scorer, draw_matrix
from toolkit.ui.evals.new_run import draw_start
from toolkit.ui.evals.run_data import run_name, scored_by
from toolkit.ui.evals.run_list import draw_nothing, draw_runs, draw_state
from toolkit.ui.evals.scores import draw_other_run, draw_scores, draw_story

toolkit: Toolkit = current()


def forget_sample() -> None:
    """The side panel was closed."""
    st.query_params.pop("sample", None)


@st.dialog("Sample", width=720, position="right", on_dismiss=forget_sample)  # type: ignore[untyped-decorator]
def sample_panel(run_id: str, sample_id: str) -> None:
    """One sample, in a panel at the side."""
    with toolkit.store.reading() as reader:
        matrix = read_matrix(rows_of(run_id).rows(reader))
    sample = find_sample(matrix, sample_id)
    if sample is None:
        st.caption("This run does not contain this sample.")
        return
    st.subheader(plain(sample_id), anchor=False)
    draw_story(toolkit, run_id, matrix, sample)


def draw_run(run: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> None:
    """One run: what it came to, its matrix, its scores, and another beside it."""
    run_id = str(run["run_id"])
    st.subheader(plain(f"{run_name(run)}, {ago(run['started_at'])}"), anchor=False)
    draw_state(toolkit, run)
    with toolkit.store.reading() as reader:
        rows = rows_of(run_id).rows(reader)
    if not rows:
        if run["status"] != "running":
            st.caption("No answer is recorded for it.")
        return
    scorer = choose_scorer(scored_by(rows))
    answers, scores, against = st.tabs(
        ["Answers", "Scores", "Compare with another run"], key="tab", bind="query-params"
    )
    wanted = None
    if answers.open:
        with answers:
            chosen = draw_matrix(read_matrix(rows), scorer, choose_filter(), key="matrix")
            wanted = chosen or st.query_params.get("sample")
    if scores.open:
        with scores:
            draw_scores(run, rows, scorer)
    if against.open:
        with against:
            draw_other_run(toolkit, run, runs, scorer)
    if wanted:
        st.query_params["sample"] = wanted
        sample_panel(run_id, wanted)


def draw_evals() -> None:
    """The whole page."""
    with toolkit.store.reading() as reader:
        runs = list_runs().rows(reader)
    draw_start(toolkit, is_first=not runs)
    if not runs:
        draw_nothing()
        return
    chosen = draw_runs(runs)
    st.query_params["run"] = chosen
    draw_run(next(run for run in runs if str(run["run_id"]) == chosen), runs)


with page_head("Evals"):
    pass
with errors_shown():
    draw_evals()
