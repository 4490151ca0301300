"""Runs on the Evals page: their list, how far one is, and the buttons that stop and resume it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import streamlit as st

from toolkit.charts.states import run_state
from toolkit.errors import ToolkitError
from toolkit.evals.results.cell_values import as_value
from toolkit.evals.running.plan import Progress
from toolkit.store.queries.eval_pages import one_run
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.format import UNKNOWN, ago, as_utc, count, money
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.components.text import own, plain
from toolkit.ui.evals.eval_labels import best_of, left_words, say_left, sentence_of
from toolkit.ui.evals.run_data import run_name

_START: Final = """import toolkit as tk

questions = tk.Dataset.bundled("first-questions").take(5)
run = tk.evaluate(questions, "local/smollm2-135m", scorers=["contains"])
print(run)"""


EVALS_ARE_FOR: Final = (
    "An evaluation runs the same samples through models and prompts, scores every answer, and "
    "shows whether the difference is significant."
)


def draw_other_ways() -> None:
    """The ways to a run that are not on this page."""
    st.markdown("**From Python**")
    st.caption("This example needs no key, because the model runs on this machine.")
    st.code(_START, language="python", wrap_lines=True)
    st.markdown("**From another tool**")
    st.caption("A log of Inspect AI, results of promptfoo, or an exported run:")
    st.code("toolkit eval import results.json", language="bash", wrap_lines=True)


def runs_sentence(runs: Sequence[Mapping[str, Any]]) -> str:
    """How many runs there are, and what the newest came to."""
    if not runs:
        return ""
    newest, going = runs[0], sum(run["status"] == "running" for run in runs)
    noun = "run" if len(runs) == 1 else "runs"
    running = f", {count(going)} of them running" if going else ""
    best = best_of(newest)
    score = "" if best == UNKNOWN else f"; best score of the newest: {plain(best)}"
    return f"**{count(len(runs))} {noun}**{running}{score}."


def draw_runs(runs: Sequence[Mapping[str, Any]]) -> str:
    """The runs, newest first; returns the id of the one that was chosen, else of the newest."""
    ids = [str(run["run_id"]) for run in runs]
    wanted = st.query_params.get("run", "")
    picked = draw_table(
        {
            "Run": Column([run_name(run) for run in runs], 190, "name", on_phone=True),
            "State": Column([run_state(str(run["status"])) for run in runs], 100, "state",
                            on_phone=True),
            "When": Column([ago(run["started_at"]) for run in runs], 90),
            "Best score": Column([best_of(run) for run in runs], 240, on_phone=True),
            "Answers": Column([_answers(run) for run in runs], 100, "right"),
            "Failed": Column([run["errors"] or 0 for run in runs], 60, "number"),
            "Cost": Column([run["cost_usd"] for run in runs], 80, "money"),
            "Models": Column([", ".join(run["models"] or ()) for run in runs]),
            "Data": Column([str(run["dataset"] or "") for run in runs]),
        },
        # The choice is a line's number; with one more run, the number would be that of another run.
        key=f"runs-{len(runs)}-{ids[0]}",
        opens=("Run", "State", "When", "Best score", "Models", "Data"),
        most_px=240,
        opened=ids.index(wanted) if wanted in ids else None,
        alt="Evaluations, newest first",
    )  # fmt: skip
    if picked is not None:
        return ids[picked]
    return wanted if wanted in ids else ids[0]


def _answers(run: Mapping[str, Any]) -> str:
    return f"{count(run['done'] or 0)} of {count(run['samples'])}"


LOOK_EVERY_S: Final = 1.0
_SILENT: Final = timedelta(minutes=5)


def draw_state(toolkit: Toolkit, run: Mapping[str, Any]) -> None:
    """What a run came to; while it goes on, how far it is, looked up again and again."""
    run_id = str(run["run_id"])
    running = toolkit.evaluation.find_background_run(run_id)
    if running is not None and not running.is_over:
        _draw_progress(toolkit, run_id)
        return
    if running is not None and running.failure is not None:
        error_card(running.failure)
    if run["status"] == "running":
        _draw_elsewhere(toolkit, run_id)
    else:
        st.markdown(own(sentence_of(run)))
    if is_resumable(run):
        _draw_resume(toolkit, run)


def is_resumable(run: Mapping[str, Any]) -> bool:
    """Whether something of it is missing and can be asked: not of a run that was imported."""
    if not run["dataset_sha256"]:
        return False
    if run["status"] == "running":
        return is_silent(run)
    return run["status"] in ("stopped", "failed") or bool(run["errors"])


def is_silent(run: Mapping[str, Any]) -> bool:
    """Whether nothing has come of a run for so long that its process may be gone."""
    newest = run["newest_at"] or run["started_at"]
    return newest is not None and datetime.now(UTC) - as_utc(newest) > _SILENT


def say_progress(progress: Progress) -> str:
    """`10 of 40 answers, $0.01 so far, 3.2 answers/s, about 2 min left`."""
    shown = f"{count(progress.done)} of {count(progress.total)} answers"
    if progress.failed:
        shown += f" ({count(progress.failed)} failed)"
    shown += f", {money(progress.cost_usd)} so far"
    if progress.per_s is None or progress.left_s is None:
        return shown
    return f"{shown}{say_left(progress.per_s, progress.left_s)}"


@st.fragment(run_every=LOOK_EVERY_S)  # type: ignore[untyped-decorator]
def _draw_progress(toolkit: Toolkit, run_id: str) -> None:
    """Draw a run of this process, with its progress and a button to stop it."""
    running = toolkit.evaluation.find_background_run(run_id)
    if running is None or running.is_over:
        st.rerun()
        return
    progress = running.progress
    if progress is None:
        st.progress(0.0, text="The run is starting.")
    else:
        share = min(progress.done / progress.total, 1.0) if progress.total else 0.0
        st.progress(share, text=own(say_progress(progress)))
    with st.container(horizontal=True):
        st.button(
            "Stop the run",
            icon=":material/stop:",
            key="eval-stop",
            on_click=running.stop,
            help="Cancels calls in flight and keeps finished answers; the rest can be resumed.",
        )
        if st.button("Show the answers so far", key="eval-so-far", type="tertiary"):
            st.rerun()


@st.fragment(run_every=2 * LOOK_EVERY_S)  # type: ignore[untyped-decorator]
def _draw_elsewhere(toolkit: Toolkit, run_id: str) -> None:
    """A run of another process: its row says how far it is."""
    with toolkit.store.reading() as reader:
        rows = one_run(run_id).rows(reader)
    if not rows or rows[0]["status"] != "running":
        st.rerun()
        return
    run = rows[0]
    done, planned = int(run["done"] or 0), int(run["samples"] or 0)
    shown = f"{count(done)} of {count(planned)} answers, {money(run['cost_usd'])} so far"
    st.progress(min(done / planned, 1.0) if planned else 0.0, text=own(shown + left_words(run)))
    if is_silent(run):
        newest = run["newest_at"] or run["started_at"]
        st.warning(
            own(
                f"No answer has arrived for a while (the last one {ago(newest)}). If its process "
                f"has ended, resume it here or with `toolkit eval resume {run_id}`, which runs "
                f"only what is missing."
            )
        )


def _draw_resume(toolkit: Toolkit, run: Mapping[str, Any]) -> None:
    config = as_value(run["config"]) or {}
    known = config.get("cap_usd") if isinstance(config, Mapping) else None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        cap = st.number_input(
            "Cap of the whole run, USD", 0.0, None,
            None if known is None else float(known), format="%g", key="eval-resume-cap",
            placeholder="none", width=220,
        )  # fmt: skip
        retry = st.toggle(
            "Retry failed calls",
            value=bool(run["errors"]) and run["status"] != "stopped",
            key="eval-resume-retry",
            disabled=not run["errors"],
            help="Also run the calls that failed.",
        )
        # No callback: it would get the values from before the change that came with the click.
        is_pressed = st.button(
            "Resume",
            icon=":material/resume:",
            key="eval-resume",
            help="Runs only what is missing, including samples skipped by the cap.",
        )
    if not is_pressed:
        return
    try:
        toolkit.evaluation.start_resume(str(run["run_id"]), retry_errors=retry, cap_usd=cap)
    except ToolkitError as error:
        error_card(error)
        return
    st.rerun()
