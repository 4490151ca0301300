"""The list of runs on the Evals page, and how far a run is that is still going on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import streamlit as st

from toolkit.ui.evals_read import list_runs, run_name
from toolkit.ui.evals_words import best_of, sentence_of, state_of
from toolkit.ui.format import ago, as_utc, count, money
from toolkit.ui.text import own
from toolkit.workbench.bench import Workbench

LOOK_EVERY_S: Final = 2.0
_SILENT: Final = timedelta(minutes=5)
_START: Final = """import toolkit as tk

questions = tk.Dataset.bundled("first-questions").take(5)
run = tk.evaluate(questions, "local/smollm2-135m", scorers=["contains"])
print(run)"""


def draw_nothing() -> None:
    """What this page is for, and what fills it."""
    st.caption(
        "An evaluation asks models and prompts the same samples, scores every answer, and says "
        "with which certainty one is better. Runs from Python, from the shell and from files of "
        "other tools are listed here."
    )
    st.markdown("This one needs no key and no network; the model runs on this machine:")
    st.code(_START, language="python")
    st.caption("A file of Inspect AI or promptfoo, or an export of a run:")
    st.code("toolkit eval import results.json", language="bash")


def draw_runs(runs: Sequence[Mapping[str, Any]]) -> str:
    """The runs, newest first; returns the id of the one that was chosen, else of the newest."""
    event = st.dataframe(
        {
            "run": [run_name(run) for run in runs],
            "when": [ago(run["started_at"]) for run in runs],
            "state": [state_of(run) for run in runs],
            "best score": [best_of(run) for run in runs],
            "answers": [f"{count(run['done'] or 0)} of {count(run['samples'])}" for run in runs],
            "failed": [count(run["errors"] or 0) for run in runs],
            "cost": [money(run["cost_usd"]) for run in runs],
            "models": [", ".join(run["models"] or ()) for run in runs],
            "data": [str(run["dataset"] or "") for run in runs],
        },
        hide_index=True,
        height=min(36 * (len(runs) + 1) + 4, 240),
        key="runs",
        on_select="rerun",
        selection_mode="single-row",
        column_config={"run": st.column_config.TextColumn(pinned=True)},
        alt="Evaluations, newest first",
    )
    picked = event["selection"]["rows"]
    wanted = str(runs[picked[0]]["run_id"]) if picked else st.query_params.get("run", "")
    known = {str(run["run_id"]) for run in runs}
    return wanted if wanted in known else str(runs[0]["run_id"])


def draw_state(bench: Workbench, run: Mapping[str, Any]) -> None:
    """What a run came to; while it goes on, how far it is, looked up again and again."""
    if run["status"] == "running":
        _draw_progress(bench, str(run["run_id"]))
        return
    st.markdown(own(sentence_of(run)))


@st.fragment(run_every=LOOK_EVERY_S)  # type: ignore[untyped-decorator]
def _draw_progress(bench: Workbench, run_id: str) -> None:
    with bench.store.reading() as reader:
        rows = list_runs().rows(reader)
    run = next((row for row in rows if row["run_id"] == run_id), None)
    if run is None or run["status"] != "running":
        st.rerun()
        return
    done, planned = int(run["done"] or 0), int(run["samples"] or 0)
    told = f"{count(done)} of {count(planned)} answers, {money(run['cost_usd'])} so far"
    st.progress(min(done / planned, 1.0) if planned else 0.0, text=own(told + left_words(run)))
    newest = run["newest_at"] or run["started_at"]
    if newest is not None and datetime.now(UTC) - as_utc(newest) > _SILENT:
        st.warning(
            own(
                f"No answer has come for a while (the last one {ago(newest)}). If its process is "
                f"gone, `toolkit eval resume {run_id}` asks for what is missing and nothing else."
            )
        )


def left_words(run: Mapping[str, Any]) -> str:
    """`, 3.2 answers/s, about 2 min left`, from the answers so far; empty with too few of them."""
    done, planned = int(run["done"] or 0), int(run["samples"] or 0)
    if run["newest_at"] is None or run["started_at"] is None or done < 2:
        return ""
    seconds = (as_utc(run["newest_at"]) - as_utc(run["started_at"])).total_seconds()
    if seconds <= 0:
        return ""
    left_min = (planned - done) / done * seconds / 60
    left = f"about {left_min:.0f} min left" if left_min >= 1 else "less than a minute left"
    return f", {done / seconds:.1f} answers/s, {left}"
