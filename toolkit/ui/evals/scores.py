"""Scores of a run on the Evals page: summary, charts, verdicts in words, two runs side by side.

One sample is shown with what was asked and wanted, each answer, its scores and its calls.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import streamlit as st

from toolkit.charts import eval_scores, eval_tradeoff
from toolkit.errors import ToolkitError
from toolkit.evals.results.cell_values import say_value
from toolkit.evals.results.matrix import AnswerCell, Matrix, SampleRow, read_matrix
from toolkit.evals.results.people import MAX_COMMENT, agreement_with_people
from toolkit.evals.results.run_results import compare_within, join_runs, summarize_sides
from toolkit.evals.results.summary import PEOPLE, Row
from toolkit.store.queries.eval_pages import calls_of, rows_of
from toolkit.toolkit import Toolkit
from toolkit.ui.components.chart_block import draw_chart
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.format import UNKNOWN, count, duration, duration_column, money
from toolkit.ui.components.text import own, plain, show_text
from toolkit.ui.evals.eval_labels import say_score
from toolkit.ui.evals.matrix_table import draw_samples
from toolkit.ui.evals.run_data import run_name


def draw_scores(run: Mapping[str, Any], rows: Sequence[Row], scorer: str | None) -> None:
    """Means with intervals as a table and as charts, and every pair compared in words."""
    entries = [entry for entry in summarize_sides(rows) if entry["scorer"] == scorer]
    _draw_table(entries)
    if scorer is None:
        st.caption("These answers have no scores yet; score them with `toolkit eval rescore`.")
        return
    _draw_verdicts(compare_within(rows, scorer))
    _draw_agreement(rows)
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
    draw_samples(matrix, scorer, filter_key="both", key="both-matrix")


def _draw_table(entries: Sequence[Mapping[str, Any]]) -> None:
    right = st.column_config.TextColumn(alignment="right")
    st.dataframe(
        {
            "Model and variant": [str(entry["name"]) for entry in entries],
            "Score [95 %]": [say_score(entry) for entry in entries],
            "Unreadable": [count(entry["unreadable"]) for entry in entries],
            "Not scored": [count(entry["unscored"]) for entry in entries],
            "Failed": [count(entry["failed"]) for entry in entries],
            "Left out": [count(entry["skipped"]) for entry in entries],
            "Repeats disagree": [_share(entry["flicker"]) for entry in entries],
            "Cost": [money(entry["cost_usd"]) for entry in entries],
            "Judging": [_judging(entry["judge_cost_usd"]) for entry in entries],
            "p50": duration_column(entry["p50_ms"] for entry in entries),
            "p95": duration_column(entry["p95_ms"] for entry in entries),
            "Timed": [count(entry["timed"]) for entry in entries],
        },
        hide_index=True,
        column_config={
            "Model and variant": st.column_config.TextColumn(pinned=True),
            **{name: right for name in ("Cost", "Judging", "p50", "p95", "Timed")},
        },
        alt="Scores by model and variant",
    )
    st.caption(
        "n counts samples; repeats of a sample are averaged first. Unreadable answers gave the "
        "scorer nothing to compare: they score 0 and are counted apart from wrong ones. Failed "
        "calls and samples skipped by the cap have no score and do not count as wrong. Latency and "
        "cost cover the answers made in this run; “timed” is the number of answers behind the "
        "percentiles."
    )


def _draw_verdicts(pairs: Sequence[Mapping[str, Any]]) -> None:
    for pair in pairs:
        shown = str(pair["sentence"])
        if len(pairs) > 1:
            shown += f" (p = {pair['p_adjusted']:.2g} after Holm, {len(pairs)} comparisons)"
        st.markdown(f"- {own(shown)}")


def _draw_agreement(rows: Sequence[Row]) -> None:
    """How far each scorer agrees with the ratings that people gave on this page."""
    found = agreement_with_people(rows)
    for scorer, agreed in found.items():
        kappa = (
            "kappa is undefined, because both always give the same verdict"
            if math.isnan(agreed.kappa)
            else f"kappa {agreed.kappa:.2f} [{agreed.low:.2f}, {agreed.high:.2f}]"
        )
        st.markdown(
            f"- {plain(scorer)} agrees with your ratings on {agreed.observed:.0%} of "
            f"{count(agreed.n)} answers; {kappa}."
        )


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


_VERDICTS: Final = ("✓ good", "✕ bad")
Attempts = Mapping[str, Sequence[Mapping[str, Any]]]


def draw_story(toolkit: Toolkit, run_id: str, matrix: Matrix, sample: SampleRow) -> None:
    """The story of one sample of a run."""
    st.markdown("**Asked**")
    show_text(say_value(sample.input))
    if sample.target is not None:
        st.markdown("**Wanted**")
        show_text(say_value(sample.target))
    if sample.metadata:
        st.caption(plain(", ".join(f"{k}: {say_value(v)}" for k, v in sample.metadata.items())))
    if isinstance(sample.input, str):
        st.page_link(
            "compare.py",
            label="Ask these models again on Compare",
            icon=":material/view_column_2:",
            query_params={
                "model": list(dict.fromkeys(model for model, _ in matrix.sides)),
                "prompt": sample.input,
            },
        )
    attempts = _find_attempts(toolkit, sample.answers)
    for side in matrix.sides:
        for answer in sample.cells.get(side, ()):
            with st.container(border=True):
                _draw_answer(answer, matrix.names[side], attempts)
                if answer.status == "ok":
                    _draw_rating(toolkit, run_id, answer)


def _find_attempts(toolkit: Toolkit, answers: Sequence[AnswerCell]) -> Attempts:
    asked = sorted({answer.request_id for answer in answers if answer.request_id})
    found: dict[str, list[Mapping[str, Any]]] = {}
    if asked:
        with toolkit.store.reading() as reader:
            for row in calls_of(asked).rows(reader):
                found.setdefault(str(row["request_id"]), []).append(row)
    return found


def _draw_answer(answer: AnswerCell, name: str, attempts: Attempts) -> None:
    st.markdown(f"**{plain(name)}**, repeat {answer.epoch}")
    if answer.status == "skipped":
        st.text(f"⏸ {answer.error_code}: {answer.error_message or 'skipped because of the cap'}")
        return
    if answer.status == "error":
        st.text(f"✕ {answer.error_code}: {answer.error_message or 'the call failed'}")
    elif answer.output:
        show_text(answer.output)
    else:
        st.caption("Empty response.")
    for judged in answer.judgements:
        if judged.scorer == PEOPLE:
            continue  # below, where it can be changed
        score = "not scored" if judged.score is None else f"{judged.score:.3g}"
        line = f"{judged.mark} {judged.scorer}: {score}"
        if judged.explanation:
            line += f" – {judged.explanation}"
        if judged.judge_model:
            line += f" (judged by {judged.judge_model}, {money(judged.judge_cost_usd)})"
        st.text(line)
    st.caption(plain(_facts(answer)))
    _draw_calls(answer, attempts)


def _draw_rating(toolkit: Toolkit, run_id: str, answer: AnswerCell) -> None:
    """Rate the answer and comment on it; both are saved at once."""
    given = answer.find_judgement(PEOPLE)
    key = f"{run_id}-{answer.sample_id}-{answer.model}-{answer.variant}-{answer.epoch}"
    verdict = None if given is None or given.score is None else _VERDICTS[not given.score]
    change = {"on_change": _rate, "args": (toolkit, run_id, answer, key)}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.segmented_control("Your rating", _VERDICTS, default=verdict, key=f"rating-{key}",
                             **change)  # fmt: skip
        st.text_input("Comment", value=(given.explanation if given else None) or "",
                      key=f"comment-{key}", max_chars=MAX_COMMENT, **change)  # fmt: skip
    if (error := st.session_state.pop(f"trouble-{key}", None)) is not None:
        error_card(error)


def _rate(toolkit: Toolkit, run_id: str, answer: AnswerCell, key: str) -> None:
    chosen = st.session_state.get(f"rating-{key}")
    try:
        toolkit.evaluation.get(run_id).rate(
            answer.sample_id,
            None if chosen is None else chosen == _VERDICTS[0],
            comment=st.session_state.get(f"comment-{key}") or "",
            model=answer.model,
            variant=answer.variant,
            epoch=answer.epoch,
        )
    except ToolkitError as error:
        st.session_state[f"trouble-{key}"] = error


def _facts(answer: AnswerCell) -> str:
    facts = [
        f"TTFT {duration(answer.ttft_ms)}",
        f"total {duration(answer.duration_ms)}",
        f"{count(answer.input_tokens)} tokens in, {count(answer.output_tokens)} out",
        money(answer.cost_usd) if not answer.is_cached else "no cost",
    ]
    if answer.is_cached:
        facts.append("reused answer, with its original timing")
    return " · ".join(facts)


def _draw_calls(answer: AnswerCell, attempts: Attempts) -> None:
    made = attempts.get(answer.request_id or "", ())
    if not made:
        st.caption("No call of this sample is recorded here.")
        return
    if len(made) > 1:
        steps = (f"{c['attempt_kind']} {c['error_code'] or c['status']}" for c in made)
        st.caption(plain(f"{len(made)} attempts: {', '.join(steps)}"))
    st.page_link(
        "calls.py",
        label="See the call",
        icon=":material/receipt_long:",
        query_params={"call": str(answer.request_id)},
    )
