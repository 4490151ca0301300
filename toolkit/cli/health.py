"""`toolkit health`: check providers by their free listing, and see their states."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.health_table import STATUS, status_cells
from toolkit.cli.output import Column, JsonFlag, new_app, opened_bench, show_rows

app = new_app("Check providers, and see their states.")

_CHECKED = (
    Column("provider", "Provider"),
    Column("state", "State"),
    Column("status", "Check"),
    Column("latency_ms", "Latency ms"),
    Column("error_code", "Error"),
    Column("error_message", "What happened"),
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
    from toolkit.workbench.health import is_bad

    with opened_bench() as bench:
        rows = bench.health.check(None if check_all else name)
    empty = "No provider is in use. `toolkit providers add` adds one."
    show_rows(rows, _CHECKED, as_json=as_json, empty=empty)
    if is_bad(rows):
        raise typer.Exit(1)


@app.command("status")
def status(as_json: JsonFlag = False) -> None:
    """States of all providers in use, worst first, with what your calls of the last day say."""
    from toolkit.workbench.health_view import read_overview

    with opened_bench() as bench:
        rows = read_overview(bench)
    shown = rows if as_json else [status_cells(row) for row in rows]
    empty = "No provider is in use. `toolkit providers add` adds one."
    show_rows(shown, STATUS, as_json=as_json, empty=empty)
