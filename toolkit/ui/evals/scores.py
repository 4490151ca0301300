"""Scores of a run on the Evals page: summary, charts, verdicts in words, two runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import streamlit as st

from toolkit.charts import eval_scores, eval_tradeoff
from toolkit.errors import ToolkitError
from toolkit.evals.results.matrix import read_matrix
from toolkit.evals.results.run_results import compare_within, join_runs, summarize_sides
from toolkit.evals.results.summary import Row
from toolkit.store.queries.eval_pages import rows_of
from toolkit.toolkit import Toolkit
from toolkit.ui.components.chart_block import draw_chart
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.format import UNKNOWN, count, duration_column, money
from toolkit.ui.components.text import own, plain
from toolkit.ui.evals.eval_labels import say_score
from toolkit.ui.evals.matrix_table import choose_filter, draw_matrix
from toolkit.ui.evals.run_data import run_name


def draw_scores(run: Mapping[str, Any], rows: Sequence[Row], scorer: str | None) -> None:
    """Means with intervals as a table and as charts, and every pair compared in words."""
    entries = [entry for entry in summarize_sides(rows) if entry["scorer"] == scorer]
    _draw_table(entries)
    if scorer is None:
        st.caption("These answers have no scores yet; score them with `toolkit eval rescore`.")
        return
    _draw_verdicts(compare_within(rows, scorer))
    _draw_charts(run, entries, scorer)


def draw_other_run(
    toolkit: Toolkit, run: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], scorer: str | None
) -> None:
    """Another run beside this one: verdicts, and the matrix of the samples that both have."""
    others = {
        f"{run_name(other)} {str(other['run_id'])[-6:]}": other
        for other in runs
        if other["run_id"] != run["run_id"]
    }
    if not others:
        st.caption("There are no other runs yet.")
        return
    chosen = st.selectbox(
        "Against",
        list(others),
        index=None,
        placeholder="an earlier run",
        key="against",
        bind="query-params",
    )
    if chosen is None:
        st.caption("Choose a run to compare with this one.")
        return
    try:
        other_id = str(others[chosen]["run_id"])
        for entry in toolkit.evaluation.compare(other_id, str(run["run_id"]), scorer):
            st.markdown(f"- {plain(entry['scorer'])}: {plain(entry['sentence'])}")
    except ToolkitError as error:
        error_card(error)
    _draw_both(toolkit, run, others[chosen], scorer)


def _draw_both(
    toolkit: Toolkit, run: Mapping[str, Any], other: Mapping[str, Any], scorer: str | None
) -> None:
    names = [run_name(other), run_name(run)]
    if names[0] == names[1]:
        names = [f"{run_name(r)} {str(r['run_id'])[-6:]}" for r in (other, run)]
    with toolkit.store.reading() as reader:
        both = [rows_of(str(r["run_id"])).rows(reader) for r in (other, run)]
    matrix = read_matrix(join_runs(dict(zip(names, both, strict=True))))
    if not matrix.samples:
        st.caption("The two runs have no samples in common.")
        return
    draw_matrix(matrix, scorer, choose_filter("both"), key="both-matrix")


def _draw_table(entries: Sequence[Mapping[str, Any]]) -> None:
    right = st.column_config.TextColumn(alignment="right")
    st.dataframe(
        {
            "model and variant": [str(entry["name"]) for entry in entries],
            "score [95 %]": [say_score(entry) for entry in entries],
            "not scored": [count(entry["unscored"]) for entry in entries],
            "failed": [count(entry["failed"]) for entry in entries],
            "left out": [count(entry["skipped"]) for entry in entries],
            "repeats disagree": [_share(entry["flicker"]) for entry in entries],
            "cost": [money(entry["cost_usd"]) for entry in entries],
            "judging": [_judging(entry["judge_cost_usd"]) for entry in entries],
            "p50": duration_column(entry["p50_ms"] for entry in entries),
            "p95": duration_column(entry["p95_ms"] for entry in entries),
            "timed": [count(entry["timed"]) for entry in entries],
        },
        hide_index=True,
        column_config={
            "model and variant": st.column_config.TextColumn(pinned=True),
            **{name: right for name in ("cost", "judging", "p50", "p95", "timed")},
        },
        alt="Scores by model and variant",
    )
    st.caption(
        "n counts samples; repeats of a sample are averaged first. Failed calls and samples "
        "skipped by the cap have no score and do not count as wrong. Latency and cost cover the "
        "answers made in this run; “timed” is the number of answers behind the percentiles."
    )


def _draw_verdicts(pairs: Sequence[Mapping[str, Any]]) -> None:
    for pair in pairs:
        shown = str(pair["sentence"])
        if len(pairs) > 1:
            shown += f" (p = {pair['p_adjusted']:.2g} after Holm, {len(pairs)} comparisons)"
        st.markdown(f"- {own(shown)}")


def _draw_charts(run: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], scorer: str) -> None:
    import pandas as pd

    summary, of = pd.DataFrame([dict(entry) for entry in entries]), f"{run_name(run)}, {scorer}"
    query = rows_of(str(run["run_id"]))
    read = (
        "import pandas as pd\nimport toolkit as tk\n"
        "from toolkit.evals.results.run_results import summarize_sides\n"
        "from toolkit.toolkit import current\n\n"
        f"run = current().evaluation.get({str(run['run_id'])!r})\n"
        "summary = pd.DataFrame(summarize_sides(run.rows()))\n"
        f"mine = summary[summary['scorer'] == {scorer!r}]\n"
    )
    figure = eval_scores(summary, of=of)
    code = f"{read}tk.charts.eval_scores(mine, of={of!r})"
    draw_chart(figure, key="eval-scores", sql=query.text, python=code)
    for against in ("cost_usd", "p50_ms"):
        figure = eval_tradeoff(summary, against, of=of)
        code = f"{read}tk.charts.eval_tradeoff(mine, {against!r}, of={of!r})"
        draw_chart(figure, key=f"eval-{against}", sql=query.text, python=code)


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:.0f} %"


def _judging(usd: Decimal | None) -> str:
    """What judging by a model cost; a dash where no model judged."""
    return UNKNOWN if usd is None else money(usd)
