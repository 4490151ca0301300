"""The Regressions page: runs and cases on the left, the difference of the opened case first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import streamlit as st

from toolkit.charts.numbers import count, duration
from toolkit.charts.states import State, verdict_state
from toolkit.replay.cassettes.cassette_path import FOLDER
from toolkit.replay.regression.suite import FILE_NAME
from toolkit.replay.regression.suite_run import list_cases, list_flaky, list_runs, run_regression
from toolkit.toolkit import Toolkit
from toolkit.ui.components.difference import difference_markdown
from toolkit.ui.components.format import ago
from toolkit.ui.components.page_head import empty, page_head, section
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.components.text import plain, show_text

Row = Mapping[str, Any]
_SIDES: Final = (32, 68)
_FAILED: Final = ("regressed", "error")
_FILTERS: Final[Mapping[str, tuple[str, ...]]] = {
    "failed": _FAILED,
    "changed": ("flaky", "fixed", "new"),
    "passed": ("pass",),
    "all": (),
}


def draw_regressions(toolkit: Toolkit) -> None:
    """The whole page."""
    suites = find_suites(toolkit)
    runs = list_runs(toolkit.store)
    wanted = st.query_params.get("run")
    run = next((run for run in runs if str(run["run_id"]) == wanted), runs[0] if runs else None)
    with page_head("Regressions", "" if run is None else _sentence(run)):
        if suites:
            _draw_replay(toolkit, suites)
    if run is None:
        empty(
            "A suite replays recorded answers offline and shows what changed in your code or "
            "prompts. A live run shows whether the model changed."
        )
        if suites:
            st.caption("Choose a suite above and replay it.")
        else:
            st.page_link("calls.py", label="Create a test from a call", icon=":material/science:")
        return
    cases = list_cases(toolkit.store, str(run["run_id"]))
    left, right = st.columns(_SIDES, gap="medium")
    with left:
        _draw_runs(runs, run)
        case = _draw_cases(cases)
    with right:
        if case is not None:
            _draw_case(case, run)
    _draw_flaky(list_flaky(toolkit.store))


def find_suites(toolkit: Toolkit) -> list[Path]:
    """Folders with a suite: below the working folder, and below the home, wherever it started."""
    roots = (FOLDER, toolkit.settings.home / FOLDER)
    found = {
        path.parent.resolve(): path.parent
        for root in roots
        if root.is_dir()
        for path in sorted(root.rglob(FILE_NAME))
    }
    return list(found.values())


def _sentence(run: Row) -> str:
    failed = int(run["regressed"]) + int(run["error"])
    name, cases = plain(run["suite"]), int(run["cases"])
    if failed:
        verb = "case fails" if failed == 1 else "cases fail"
        return f":red[**{failed} of {cases} {verb}**] in {name}, {count(run['pass'])} passed."
    passed = (
        f"The case of {name} passed" if cases == 1 else f"All {count(cases)} cases of {name} passed"
    )
    return f":green[**{passed}**], {ago(run['judged_at'])}."


def _draw_replay(toolkit: Toolkit, suites: Sequence[Path]) -> None:
    chosen = st.selectbox("Suite", suites, format_func=lambda path: path.name, key="suite",
                          label_visibility="collapsed", width=180)  # fmt: skip
    if st.button("Replay", type="primary", icon=":material/play_arrow:", key="replay",
                 help="Uses recorded answers: no provider is called, no cost."):  # fmt: skip
        with st.spinner("Replaying recorded answers"):
            run = run_regression(toolkit, chosen)
        st.query_params["run"] = run.run_id
        st.rerun()


def _draw_runs(runs: Sequence[Row], opened: Row) -> None:
    section("Runs")
    chosen = draw_table(
        {
            "Verdict": Column([_run_state(run) for run in runs], 76, "state", on_phone=True),
            "Suite": Column([str(run["suite"]) for run in runs], 130, on_phone=True),
            "When": Column([ago(run["judged_at"]) for run in runs], 84, on_phone=True),
            "How": Column([str(run["mode"]) for run in runs], 56),
        },
        key="runs",
        opens=("Verdict", "Suite", "When", "How"),
        alt="Runs of suites, newest first",
        most_px=180,
    )
    if chosen is not None and str(runs[chosen]["run_id"]) != str(opened["run_id"]):
        st.query_params["run"] = str(runs[chosen]["run_id"])
        st.query_params.pop("case", None)
        st.rerun()


def _run_state(run: Row) -> State:
    failed = int(run["regressed"]) + int(run["error"])
    if failed:
        return State("✕", str(failed), "red")
    return State("✓", str(run["cases"]), "green")


def _draw_cases(cases: Sequence[Row]) -> Row | None:
    counts = {
        name: sum(not kinds or case["verdict"] in kinds for case in cases)
        for name, kinds in _FILTERS.items()
    }
    shown = st.segmented_control(
        "Cases", list(_FILTERS), default="all", required=True, key="cases-shown", width="stretch",
        format_func=lambda name: f"{name} {counts[name]}", label_visibility="collapsed",
    )  # fmt: skip
    kinds = _FILTERS[str(shown)]
    kept = [case for case in cases if not kinds or case["verdict"] in kinds]
    if not kept:
        st.caption("No matching cases in this run.")
        return None
    chosen = draw_table(
        {
            "Verdict": Column(
                [verdict_state(str(case["verdict"])) for case in kept], 96, "state", on_phone=True
            ),
            "Case": Column([str(case["case_name"]) for case in kept], 130, on_phone=True),
            "Model": Column([str(case["model"]) for case in kept], 150),
        },
        key=f"cases-{shown}",
        opens=("Verdict", "Case", "Model"),
        alt="Cases of the run, failed ones first",
        most_px=480,
    )
    if chosen is not None:
        st.query_params["case"] = str(kept[chosen]["case_name"])
        return kept[chosen]
    named = st.query_params.get("case")
    return next((case for case in kept if case["case_name"] == named), kept[0])


def _draw_case(case: Row, run: Row) -> None:
    state = verdict_state(str(case["verdict"]))
    with st.container(border=True, key="case-panel"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.header(str(case["case_name"]), anchor=False, width="content")
            st.badge(state.label, color=state.colour)
            st.caption(plain(case["model"]))
        st.markdown(_verdict_sentence(case, run))
        _draw_difference(case)
        _draw_checks(case)
        for fact in case["drift"]:
            st.text(f"Changed since the accepted run: {fact}")
        if case["call_id"]:
            st.page_link(
                "calls.py",
                label="Open the call",
                icon=":material/arrow_forward:",
                query_params={"text": str(case["call_id"])},
            )


def _verdict_sentence(case: Row, run: Row) -> str:
    checks = case["checks"]
    failed = sum(not check["passed"] for check in checks)
    parts = []
    if checks:
        parts.append(_checks_sentence(failed, len(checks)))
    elif case["difference"]:
        parts.append(
            plain(case["difference"]) + ("" if str(case["difference"])[-1:] == "." else ".")
        )
    repeats = int(case["repeats"] or 0)
    if run["mode"] == "live" and repeats:
        passed = f"It passed {int(case['passes'])} of {repeats} live answers"
        took = f", {duration(case['duration_ms'])} each" if case["duration_ms"] else ""
        few = " One answer cannot distinguish chance from change." if repeats == 1 else ""
        parts.append(f"{passed}{took}.{few}")
    return " ".join(parts) or "No further details."


def _checks_sentence(failed: int, checks: int) -> str:
    if checks == 1:
        return "Its check fails." if failed else "Its check holds."
    if not failed:
        return f"All {checks} checks hold."
    return f"{failed} of its {checks} checks {'fails' if failed == 1 else 'fail'}."


def _draw_difference(case: Row) -> None:
    before, now = case["expected"], case["actual"] or ""
    if before is None:
        st.caption("No answer is accepted yet; this is the current one.")
        show_text(now)
        return
    if before == now:
        st.caption("The answer is identical to the accepted one.")
        with st.expander("The answer", type="compact"):
            show_text(now)
        return
    how = st.segmented_control(
        "Shown", ["In one text", "Side by side"], default="In one text", required=True,
        key="diff-how", label_visibility="collapsed",
    )  # fmt: skip
    if how == "In one text":
        # Not a caption: Streamlit fades those, and the marks would be too pale to read.
        st.markdown(":small[:red-background[~~struck out~~] only in the accepted answer · "
                    ":green-background[**bold**] new]")  # fmt: skip
        with st.container(border=True):
            st.markdown(difference_markdown(before, now))
        return
    left, right = st.columns(2)
    with left:
        st.caption("accepted")
        show_text(before)
    with right:
        st.caption("now")
        show_text(now)


def _draw_checks(case: Row) -> None:
    checks = case["checks"]
    if not checks:
        return
    holds, fails = State("✓", "holds", "green"), State("✕", "fails", "red")
    draw_table(
        {
            "Result": Column(
                [holds if check["passed"] else fails for check in checks],
                80,
                "state",
                on_phone=True,
            ),
            "Check": Column([str(check["check"]) for check in checks], 280, on_phone=True),
            "Reason": Column([str(check["reason"]) for check in checks], 340),
        },
        key="checks",
        alt="Checks of this case",
    )


def _draw_flaky(rows: Sequence[Row]) -> None:
    if not rows:
        return
    section("Flaky cases")
    st.caption("They pass only sometimes: use more repeats, or loosen their checks.")
    draw_table(
        {
            "Case": Column([str(row["case_name"]) for row in rows], 200, on_phone=True),
            "Suite": Column([str(row["suite"]) for row in rows], 160),
            "Model": Column([str(row["model"]) for row in rows], 240),
            "Flaky runs": Column([row["flaky_runs"] for row in rows], 90, "number"),
            "Live runs": Column([row["runs"] for row in rows], 90, "number"),
            "Passed": Column([row["passes"] for row in rows], 80, "number", on_phone=True),
            "Answers": Column([row["answers"] for row in rows], 80, "number", on_phone=True),
        },
        key="flaky",
        alt="Cases that were flaky in a live run",
    )
