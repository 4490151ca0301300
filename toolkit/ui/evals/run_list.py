"""The list of runs on the Evals page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st

from toolkit.ui.components.format import ago, count, money
from toolkit.ui.evals.eval_labels import best_of, state_of
from toolkit.ui.evals.run_data import run_name

_START: Final = """import toolkit as tk

questions = tk.Dataset.bundled("first-questions").take(5)
run = tk.evaluate(questions, "local/smollm2-135m", scorers=["contains"])
print(run)"""


def draw_nothing() -> None:
    """What this page is for, and what fills it."""
    st.caption(
        "An evaluation runs the same samples through models and prompts, scores every answer, "
        "and shows whether the difference is significant. Runs started in the app, from Python "
        "or the command line, and imported runs are listed here."
    )
    st.markdown("In Python; this example needs no key, because the model runs on this machine:")
    st.code(_START, language="python")
    st.caption("Import a log of Inspect AI, results of promptfoo, or an exported run:")
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
        # The choice is a line's number; with one more run, the number would be that of another run.
        key=f"runs-{len(runs)}-{runs[0]['run_id']}",
        on_select="rerun",
        selection_mode="single-row",
        column_config={"run": st.column_config.TextColumn(pinned=True)},
        alt="Evaluations, newest first",
    )
    picked = event["selection"]["rows"]
    wanted = str(runs[picked[0]]["run_id"]) if picked else st.query_params.get("run", "")
    known = {str(run["run_id"]) for run in runs}
    return wanted if wanted in known else str(runs[0]["run_id"])
