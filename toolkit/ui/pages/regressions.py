"""Regressions: every run of a suite, what changed in it word by word, and which cases waver."""

from collections.abc import Mapping, Sequence
from difflib import unified_diff
from pathlib import Path
from typing import Any

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.replay.cassettes.cassette_path import FOLDER
from toolkit.replay.regression.history import list_cases, list_flaky, list_runs
from toolkit.replay.regression.html_report import MARKS
from toolkit.replay.regression.suite import FILE_NAME
from toolkit.replay.regression.suite_run import run_regression
from toolkit.replay.regression.verdict import VERDICTS
from toolkit.toolkit import current
from toolkit.ui.compare.panes import error_card
from toolkit.ui.components.format import ago, duration_column, share
from toolkit.ui.components.text import plain, show_text

toolkit = current()
PINNED = st.column_config.TextColumn(pinned=True)


def draw_replay(suites: Sequence[Path]) -> None:
    """Choose a suite and replay it: offline, in seconds, without a key."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox("Suite", suites, format_func=lambda path: path.name, key="suite")
        if st.button("Replay", type="primary", key="replay"):
            with st.spinner("Replaying from the cassettes; nobody is asked."):
                run = run_regression(toolkit, chosen)
            st.query_params["run"] = run.run_id


def draw_runs(runs: Sequence[Mapping[str, Any]]) -> str:
    """The runs, newest first; returns the one that was chosen, else the newest."""
    shown = {
        "when": [ago(run["judged_at"]) for run in runs],
        "suite": [str(run["suite"]) for run in runs],
        "mode": [str(run["mode"]) for run in runs],
        "verdicts": [_sentence(run) for run in runs],
    }
    event = st.dataframe(
        shown,
        hide_index=True,
        height=min(36 * (len(runs) + 1) + 4, 320),
        key="runs",
        on_select="rerun",
        selection_mode="single-row",
        column_config={"when": PINNED},
        alt="Runs of regression suites, newest first",
    )
    picked = event["selection"]["rows"]
    wanted = str(runs[picked[0]]["run_id"]) if picked else st.query_params.get("run", "")
    known = {str(run["run_id"]) for run in runs}
    return wanted if wanted in known else str(runs[0]["run_id"])


def _sentence(run: Mapping[str, Any]) -> str:
    return ", ".join(f"{MARKS[name]} {run[name]} {name}" for name in VERDICTS if run[name])


def draw_cases(run: Mapping[str, Any], cases: Sequence[Mapping[str, Any]]) -> None:
    """The cases of a run; those that need a look are open."""
    st.subheader(plain(f"{run['suite']}, {run['mode']}, {ago(run['judged_at'])}"))
    st.caption(_sentence(run))
    durations = duration_column(case["duration_ms"] for case in cases)
    for case, took in zip(cases, durations, strict=True):
        verdict = str(case["verdict"])
        passed = share(int(case["passes"]), int(case["repeats"]))
        label = f"{MARKS[verdict]} {verdict}: {case['case_name']} ({case['model']})"
        with st.expander(plain(label), expanded=verdict in ("regressed", "error")):
            st.caption(plain(f"{passed} pass, {took} when it was asked live"))
            draw_case(case)


def draw_case(case: Mapping[str, Any]) -> None:
    """Why, what changed around it, and the answer against the accepted one."""
    if case["difference"]:
        st.text(case["difference"])
    for fact in case["drift"]:
        st.text(f"Changed since the baseline: {fact}")
    before, now = case["expected"], case["actual"] or ""
    if before is None or before == now:
        show_text(now)
        return
    lines = unified_diff(before.split("\n"), now.split("\n"), "accepted", "now", lineterm="", n=3)
    st.code("\n".join(lines), language="diff", wrap_lines=True)


def draw_flaky(rows: Sequence[Mapping[str, Any]]) -> None:
    """Cases that pass sometimes: they say nothing until they are asked more often or mended."""
    st.subheader("Flaky cases")
    st.dataframe(
        {
            "case": [str(row["case_name"]) for row in rows],
            "suite": [str(row["suite"]) for row in rows],
            "model": [str(row["model"]) for row in rows],
            "flaky in": [f"{row['flaky_runs']} of {row['runs']} live runs" for row in rows],
            "pass": [share(int(row["passes"]), int(row["answers"])) for row in rows],
        },
        hide_index=True,
        column_config={"case": PINNED},
        alt="Cases that were flaky in a live run",
    )


def draw_regressions() -> None:
    """The whole page."""
    suites = sorted(path.parent for path in FOLDER.rglob(FILE_NAME)) if FOLDER.is_dir() else []
    if suites:
        draw_replay(suites)
    runs = list_runs(toolkit.store)
    if not runs:
        st.caption(
            "A suite replays recorded answers offline and tells what changed on our side; asked "
            "live, it tells whether the model changed. Runs from here and from the shell are "
            "listed here."
        )
        if not suites:
            st.code("toolkit cassette from-call CALL_ID --suite NAME\ntoolkit regress NAME")
        return
    chosen = draw_runs(runs)
    run = next(run for run in runs if str(run["run_id"]) == chosen)
    draw_cases(run, list_cases(toolkit.store, chosen))
    if flaky := list_flaky(toolkit.store):
        draw_flaky(flaky)


st.title("Regressions")
try:
    draw_regressions()
except ToolkitError as error:
    error_card(error)
