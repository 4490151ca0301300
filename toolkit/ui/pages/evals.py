"""Evals: start a run, see every run with its answers and scores, and compare two runs."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from toolkit.evals.results.matrix import find_sample, read_matrix
from toolkit.store.queries.eval_pages import list_runs, rows_of
from toolkit.toolkit import Toolkit, current
from toolkit.ui.components.error_card import errors_shown
from toolkit.ui.components.format import ago
from toolkit.ui.components.page_head import empty, page_head
from toolkit.ui.components.text import plain
from toolkit.ui.evals.matrix_table import choose_scorer, draw_samples
from toolkit.ui.evals.new_run import draw_start, draw_start_button
from toolkit.ui.evals.run_data import run_name, scored_by
from toolkit.ui.evals.run_list import (
    EVALS_ARE_FOR,
    draw_other_ways,
    draw_runs,
    draw_state,
    runs_sentence,
)
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
    with toolkit.store.reading() as reader:
        rows = rows_of(run_id).rows(reader)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(plain(f"{run_name(run)}, {ago(run['started_at'])}"), anchor=False)
        scorer = choose_scorer(scored_by(rows))
    draw_state(toolkit, run)
    if not rows:
        if run["status"] != "running":
            st.caption("No answer is recorded for it.")
        return
    answers, scores, against = st.tabs(
        ["Answers", "Scores", "Compare with another run"], key="tab", bind="query-params"
    )
    if answers.open:
        with answers:
            opened = st.query_params.get("sample")
            chosen = draw_samples(
                read_matrix(rows),
                scorer,
                filter_key="filter",
                key=f"matrix-{run_id}",
                opened=opened,
            )
            # A closed panel leaves its cell chosen; only another choice opens one again.
            if chosen and chosen != st.session_state.get("chosen-sample"):
                st.query_params["sample"] = chosen
            st.session_state["chosen-sample"] = chosen
    if scores.open:
        with scores:
            draw_scores(run, rows, scorer)
    if against.open:
        with against:
            draw_other_run(toolkit, run, runs, scorer)
    wanted = st.query_params.get("sample")
    if wanted and "new" not in st.query_params:  # one panel at a time
        sample_panel(run_id, wanted)


def draw_first_run() -> None:
    """The page of a home without runs: the form, and beside it the other ways to a run."""
    empty(EVALS_ARE_FOR)
    left, right = st.columns((60, 40), gap="medium")
    with left:
        draw_start(toolkit, is_first=True)
    with right:
        draw_other_ways()


def draw_evals() -> None:
    """The whole page."""
    with toolkit.store.reading() as reader:
        runs = list_runs().rows(reader)
    with page_head("Evals", runs_sentence(runs)):
        if runs:
            draw_start_button()
    if not runs:
        draw_first_run()
        return
    draw_start(toolkit, is_first=False)
    chosen = draw_runs(runs)
    st.query_params["run"] = chosen
    draw_run(next(run for run in runs if str(run["run_id"]) == chosen), runs)


with errors_shown():
    draw_evals()
