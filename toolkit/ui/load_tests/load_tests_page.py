"""The Load tests page: runs in a list, and the figures and charts of the one that is open.

Runs are started from the shell or Python: a page that is reloaded must never send load again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st

from toolkit.charts import load_by_step, load_steps
from toolkit.charts.load_charts import STEP_FIGURES
from toolkit.charts.states import RUN, State
from toolkit.errors import InvalidInput
from toolkit.load_test.load_report import table_row
from toolkit.load_test.load_result import LoadTestRun
from toolkit.store.queries.load_tests import steps_sql
from toolkit.toolkit import Toolkit
from toolkit.ui.components.chart_block import draw_chart
from toolkit.ui.components.format import ago, count, money
from toolkit.ui.components.page_head import empty, page_head, section
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.components.text import own, plain

Row = Mapping[str, Any]

_MOST_RUNS: Final = 100
_ON_PHONE: Final = frozenset({"step", "requests/s", "TTFT p50", "latency p50"})
_WIDTHS: Final[Mapping[str, int]] = {"step": 120, "ok": 64, "errors": 64}
_EXAMPLE: Final = "toolkit bench local/smollm2-135m --concurrency 1,2,4 --requests 20"
_INTERRUPTED: Final = State("✕", "interrupted", "red")
_PYTHON: Final = """import toolkit as tk
from toolkit.toolkit import current

run = current().load_tests.get({run_id!r})
run.steps()"""


def draw_load_tests(toolkit: Toolkit) -> None:
    """Draw the whole page."""
    runs = toolkit.load_tests.list(_MOST_RUNS)
    if not runs:
        with page_head("Load tests"):
            pass
        _draw_nothing()
        return
    wanted = st.query_params.get("run")
    known = {str(run["run_id"]) for run in runs}
    opened = wanted if wanted in known else str(runs[0]["run_id"])
    run = _find(toolkit, opened)
    with page_head("Load tests", "" if run is None else f"{plain(run.name)}, {run.status}"):
        pass
    _draw_runs(runs, opened)
    if run is None:
        st.caption("The calls of this run are not in the database any more.")
    else:
        _draw_run(run)


def _find(toolkit: Toolkit, run_id: str) -> LoadTestRun | None:
    try:
        return toolkit.load_tests.get(run_id)
    except InvalidInput:
        return None


def _draw_nothing() -> None:
    empty(
        "A load test sends requests to one model by a schedule, and shows what latency a "
        "throughput costs and where the server is saturated."
    )
    st.caption(
        "Start it from a terminal; this example needs no key, because the model runs on this "
        "machine. A cloud model needs a bound on the cost: `--max-usd`."
    )
    st.code(_EXAMPLE, language="bash", wrap_lines=True)


def _draw_download(run: LoadTestRun) -> None:
    st.download_button(
        "HTML",
        data=run.html,
        file_name=f"load-test-{run.run_id}.html",
        mime="text/html",
        key="load-html",
        icon=":material/download:",
        on_click="ignore",
        help="One file with all figures and charts, without scripts.",
    )


def _draw_runs(runs: Sequence[Row], opened: str) -> None:
    ids = [str(run["run_id"]) for run in runs]
    chosen = draw_table(
        {
            "State": Column([_state_of(run) for run in runs], 92, "state", on_phone=True),
            "Model": Column([str(run["model"]) for run in runs], 150, on_phone=True),
            "When": Column([ago(run["started_at"]) for run in runs], 84, on_phone=True),
            "Requests": Column([count(run["done"] or 0) for run in runs], 90, "right"),
            "Cost": Column([money(run["cost_usd"]) for run in runs], 90, "right"),
            "Name": Column([str(run["name"]) for run in runs], None),
        },
        # The choice is the number of a line: with one more run it would be that of another run.
        key=f"load-tests-{len(runs)}-{ids[0]}",
        opens=("State", "Model", "When"),
        alt="Load tests, newest first",
        most_px=200,
        opened=ids.index(opened),
    )
    if chosen is not None and ids[chosen] != opened:
        st.query_params["run"] = ids[chosen]
        st.rerun()


def _state_of(run: Row) -> State:
    return RUN.get(str(run["status"]), _INTERRUPTED)


def _draw_run(run: LoadTestRun) -> None:
    if run.status == "running":
        st.caption("In progress: these are the figures so far. Reload the page for newer ones.")
    # Not in the head: the toolbar of the list below it would cover the button.
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(own(str(run)), width="stretch")
        _draw_download(run)
    for note in run.summary["notes"]:
        st.caption(own(note))
    steps = run.summary["steps"]
    if not steps:
        return
    section("Steps")
    rows = [table_row(step) for step in steps]
    draw_table(
        {
            name[:1].upper() + name[1:]: Column(
                [str(row.get(name, "")) for row in rows],
                _WIDTHS.get(name),
                "text" if name == "step" else "right",
                on_phone=name in _ON_PHONE,
            )
            for name in rows[0]
        },
        key=f"load-steps-{run.run_id}",
        alt="Figures of each step",
    )
    _draw_charts(run)


def _draw_charts(run: LoadTestRun) -> None:
    section("Charts")
    frame = run.steps()
    sources = {
        "sql": steps_sql(run.run_id),
        "python": _PYTHON.format(run_id=run.run_id),
    }
    draw_chart(
        load_steps(frame, of=run.model),
        key="load-steps",
        sql=sources["sql"],
        python=f"{sources['python']}\nrun.figure()",
    )
    shown = st.segmented_control(
        "Figure by step",
        list(STEP_FIGURES),
        default="TTFT",
        required=True,
        key="load-figure",
    )
    draw_chart(
        load_by_step(frame, str(shown), of=run.model),
        key="load-by-step",
        sql=sources["sql"],
        python=f"from toolkit.charts import load_by_step\n{sources['python']}\n"
        f"load_by_step(run.steps(), {str(shown)!r}, of=run.model)",
    )
