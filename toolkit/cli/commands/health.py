"""`toolkit health`: check, watch and pause providers, and see their states and incidents."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.charts.numbers import UNKNOWN
from toolkit.cli.duration import require_span
from toolkit.cli.output import (
    Column,
    JsonFlag,
    new_app,
    notice,
    opened_toolkit,
    print_json,
    show_rows,
)
from toolkit.cli.views.health_table import MODELS, STATUS, model_cells, status_cells
from toolkit.cli.views.model_views import format_when

if TYPE_CHECKING:
    from toolkit.toolkit import Toolkit

app: typer.Typer = new_app("Check providers, watch or pause them, and see states and incidents.")

_CHECKED = (
    Column("provider", "Provider"),
    Column("state", "State"),
    Column("status", "Check"),
    Column("latency_ms", "Latency ms"),
    Column("error_code", "Error"),
    Column("error_message", "Details"),
)
_INCIDENTS = (
    Column("provider", "Provider"),
    Column("state", "State"),
    Column("scope", "Where"),
    Column("opened_at", "Opened", format_when),
    Column("closed_at", "Ended", lambda when: "ongoing" if when is None else format_when(when)),
    Column("failures", "Failures", is_number=True),
    Column("model", "Model", lambda model: model or UNKNOWN, is_optional=True),
    Column("reason", "Reason"),
)


@app.command("check")
def check(
    name: Annotated[str | None, typer.Argument(help="Provider to check.")] = None,
    check_all: Annotated[
        bool, typer.Option("--all", help="Check all that are in use (the default).")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Request the free model listing now; exits 1 if a provider does not work."""
    from toolkit.health.service import is_bad

    with opened_toolkit() as toolkit:
        rows = toolkit.health.check(None if check_all else name)
    empty = "No provider is in use. `toolkit providers add` adds one."
    show_rows(rows, _CHECKED, as_json=as_json, empty=empty)
    if is_bad(rows):
        raise typer.Exit(1)


@app.command("status")
def status(
    by_model: Annotated[
        bool, typer.Option("--models", help="Show the state of each model called within a day.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show the states of all providers in use, worst first, with figures of your calls."""
    from toolkit.health.view import rank, read_overview

    with opened_toolkit() as toolkit:
        rows = toolkit.health.model_states() if by_model else read_overview(toolkit)
    if by_model:
        rows.sort(key=lambda row: (rank(row["state"]), row["model"]))
        cells, columns = model_cells, MODELS
        empty = "No model was called within a day."
    else:
        cells, columns = status_cells, STATUS
        empty = "No provider is in use. `toolkit providers add` adds one."
    shown = rows if as_json else [cells(row) for row in rows]
    show_rows(shown, columns, as_json=as_json, empty=empty)


@app.command("pause")
def pause(
    name: Annotated[str, typer.Argument(metavar="PROVIDER", help="Provider to pause.")],
    for_: Annotated[
        str | None, typer.Option("--for", help="Resume automatically after 30min, 2h, 7d, ...")
    ] = None,
    why: Annotated[str, typer.Option(help="Reason, shown with its state.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Stop probing a provider until it is resumed; it can still be called."""
    with opened_toolkit() as toolkit:
        for_s = None if for_ is None else require_span(for_).total_seconds()
        toolkit.health.pause(name, for_s=for_s, why=why)
        _tell_state(toolkit, name, as_json)


@app.command("resume")
def resume(
    name: Annotated[str, typer.Argument(metavar="PROVIDER", help="Provider to resume.")],
    as_json: JsonFlag = False,
) -> None:
    """Resume the probes of a paused provider."""
    with opened_toolkit() as toolkit:
        toolkit.health.resume(name)
        _tell_state(toolkit, name, as_json)


def _tell_state(toolkit: Toolkit, name: str, as_json: bool) -> None:
    """The state that a provider has now; one that is not in use has none."""
    row = next((row for row in toolkit.health.status() if row["provider"] == name), None)
    if as_json:
        print_json(row or {"provider": name, "state": None})
    elif row is None:
        notice(f"{name} is not in use, so it is not probed.")
    else:
        notice(f"{name} is {row['state'].replace('_', ' ')}: {row['reason']}.")


@app.command("incidents")
def incidents(
    days: Annotated[float, typer.Option(help="Number of days to show.")] = 30,
    as_json: JsonFlag = False,
) -> None:
    """List incidents, newest first, with duration, reason and scope."""
    with opened_toolkit() as toolkit:
        rows = toolkit.health.incidents(days)
    show_rows(rows, _INCIDENTS, as_json=as_json, empty=f"No incidents within {days:g} days.")


@app.command("watch")
def watch(
    for_s: Annotated[
        float | None, typer.Option("--for", help="Stop after this many seconds.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each change of a state.")
    ] = False,
) -> None:
    """Probe all providers in use until Ctrl-C; exits 1 if one is down at the end of --for."""
    from toolkit.cli.views.health_watch import TROUBLE, watch_until

    ends_at_s = None if for_s is None else time.monotonic() + for_s
    with opened_toolkit() as toolkit:
        toolkit.health.monitor.start("watch")
        rows = watch_until(toolkit, ends_at_s, as_json=as_json)
    if for_s is not None and any(row["state"] in TROUBLE for row in rows):
        raise typer.Exit(1)
