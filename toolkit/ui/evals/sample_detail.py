"""One sample's whole story: what was asked and wanted, each answer, its scores and its calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from toolkit.evals.results.cell_values import say_value
from toolkit.evals.results.matrix import AnswerCell, Matrix, SampleRow
from toolkit.store.queries.eval_pages import calls_of
from toolkit.toolkit import Toolkit
from toolkit.ui.components.format import count, duration, money
from toolkit.ui.components.text import plain, show_text

Attempts = Mapping[str, Sequence[Mapping[str, Any]]]


def draw_story(toolkit: Toolkit, matrix: Matrix, sample: SampleRow) -> None:
    """The story of one sample."""
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
        score = "not scored" if judged.score is None else f"{judged.score:.3g}"
        line = f"{judged.mark} {judged.scorer}: {score}"
        if judged.explanation:
            line += f" – {judged.explanation}"
        if judged.judge_model:
            line += f" (judged by {judged.judge_model}, {money(judged.judge_cost_usd)})"
        st.text(line)
    st.caption(plain(_facts(answer)))
    _draw_calls(answer, attempts)


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
