"""`toolkit health`: check and watch providers, and see their states and incidents."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from toolkit.charts.numbers import UNKNOWN
from toolkit.cli.health_table import STATUS, status_cells
from toolkit.cli.model_views import told_at
from toolkit.cli.output import Column, JsonFlag, new_app, opened_bench, show_rows

app = new_app("Check providers, watch them, and see states and incidents.")

_CHECKED = (
    Column("provider", "Provider"),
    Column("state", "State"),
    Column("status", "Check"),
    Column("latency_ms", "Latency ms"),
    Column("error_code", "Error"),
    Column("error_message", "What happened"),
)
_INCIDENTS = (
    Column("provider", "Provider"),
    Column("state", "State"),
    Column("scope", "Where"),
    Column("opened_at", "Opened", told_at),
    Column("closed_at", "Ended", lambda when: "goes on" if when is None else told_at(when)),
    Column("failures", "Failures", is_number=True),
    Column("model", "Model", lambda model: model or UNKNOWN, is_optional=True),
    Column("reason", "Reason"),
)


@app.command("check")
def check(
    name: Annotated[str | None, typer.Argument(help="Provider to check.")] = None,
    check_all: Annotated[
        bool, typer.Option("--all", help="Check all that are in use (also without a name).")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Ask for the free model listing now; exit code 1 when a provider does not work."""
    from toolkit.workbench.health.desk import is_bad

    with opened_bench() as bench:
        rows = bench.health.check(None if check_all else name)
    empty = "No provider is in use. `toolkit providers add` adds one."
    show_rows(rows, _CHECKED, as_json=as_json, empty=empty)
    if is_bad(rows):
        raise typer.Exit(1)


@app.command("status")
def status(as_json: JsonFlag = False) -> None:
    """States of all providers in use, worst first, with what your calls of the last day say."""
    from toolkit.workbench.health.view import read_overview

    with opened_bench() as bench:
        rows = read_overview(bench)
    shown = rows if as_json else [status_cells(row) for row in rows]
    empty = "No provider is in use. `toolkit providers add` adds one."
    show_rows(shown, STATUS, as_json=as_json, empty=empty)


@app.command("incidents")
def incidents(
    days: Annotated[float, typer.Option(help="So many days back.")] = 30,
    as_json: JsonFlag = False,
) -> None:
    """Spans of trouble, newest first: how long, why, and whether key, model or provider."""
    with opened_bench() as bench:
        rows = bench.health.incidents(days)
    show_rows(rows, _INCIDENTS, as_json=as_json, empty=f"No incident within {days:g} days.")


@app.command("watch")
def watch(
    for_s: Annotated[
        float | None, typer.Option("--for", help="End by itself after so many seconds.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each change of a state.")
    ] = False,
) -> None:
    """Probe all providers in use until Ctrl-C; exit code 1 when one is down at the end of --for."""
    from toolkit.cli.health_watch import TROUBLE, watch_until

    ends_at_s = None if for_s is None else time.monotonic() + for_s
    with opened_bench() as bench:
        bench.health.monitor.start("watch")
        rows = watch_until(bench, ends_at_s, as_json=as_json)
    if for_s is not None and any(row["state"] in TROUBLE for row in rows):
        raise typer.Exit(1)
