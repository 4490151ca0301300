"""`toolkit store`: inspect the database, ingest the journal, verify, back up, query in SQL."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.output import (
    Column,
    JsonFlag,
    new_app,
    notice,
    opened_toolkit,
    show_facts,
    show_rows,
)
from toolkit.cli.views.store_files import add_file_commands

if TYPE_CHECKING:
    import pandas as pd

app: typer.Typer = new_app("Inspect and maintain the database.")
add_file_commands(app)


@app.command()
def info(as_json: JsonFlag = False) -> None:
    """Show paths, sizes, version, rows and losses; exits 1 if the database cannot be read."""
    with opened_toolkit() as toolkit:
        found = toolkit.store.info()
    show_facts(asdict(found), as_json=as_json)
    if found.error is not None:
        raise typer.Exit(1)


@app.command()
def status(as_json: JsonFlag = False) -> None:
    """Show whether the database answers and what waits for it; exits 1 if it does not."""
    with opened_toolkit() as toolkit:
        found = toolkit.store.info()
    facts = {
        "store": str(found.path),
        "answers": found.error is None,
        "waiting": found.backlog,
        "calls": found.rows.get("calls"),
        "error": found.error,
    }
    show_facts(facts, as_json=as_json)
    if found.backlog and not as_json:
        notice(f"{found.backlog} records wait in the journal {found.journal_path}.")
    if found.error is not None:
        raise typer.Exit(1)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than this machine only if you say so.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 9494,
) -> None:
    """Serve the database of this home to other homes, until Ctrl+C.

    Clients set TOOLKIT_STORE to quack:HOST:PORT and TOOLKIT_STORE_TOKEN to the token. They can read
    and add records, and nothing else. See docs/sharing.md.
    """
    with opened_toolkit() as toolkit:
        toolkit.store.serve(host, port, notice)


@app.command()
def move(
    source: Annotated[str, typer.Argument(help="Path or URL of a store.")],
    target: Annotated[str, typer.Argument(help="Path or URL of another, made if missing.")],
    as_json: JsonFlag = False,
) -> None:
    """Copy a store into one of another kind and compare every row; the source stays.

    A store is a DuckDB file, quack:HOST:PORT or ducklake:postgres:...; see docs/sharing.md.
    """
    with opened_toolkit() as toolkit:
        report = toolkit.store.move(source, target)
    rows = [
        {"table": name, "rows": count, "added": report.added[name]}
        for name, count in report.rows.items()
    ]
    columns = (
        Column("table", "Table"),
        Column("rows", "Rows, all compared", is_number=True),
        Column("added", "Added", is_number=True),
    )
    show_rows(rows, columns, as_json=as_json, empty="The source has no rows.")


@app.command()
def maintain(
    keep_days: Annotated[
        float, typer.Option("--keep-days", min=0, help="Keep earlier snapshots for so many days.")
    ] = 7.0,
    as_json: JsonFlag = False,
) -> None:
    """Compact a DuckLake: flush, merge, expire, clean. Run it once an hour, from any host."""
    with opened_toolkit() as toolkit:
        report = toolkit.store.maintain(keep_days)
    if report is None:
        notice("Another host is doing it; nothing was done.")
    else:
        show_facts(asdict(report), as_json=as_json)


@app.command()
def ingest(
    wait_s: Annotated[
        float | None, typer.Option("--wait", help="Maximum wait for the database, in seconds.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Move pending records from the journal into the database."""
    with opened_toolkit() as toolkit:
        report = asdict(toolkit.store.ingest(wait_s=wait_s))
    show_facts(report, as_json=as_json)


@app.command()
def verify(
    forget_losses: Annotated[
        bool,
        typer.Option(
            "--forget-losses",
            help="Acknowledge the known losses, so that they are not reported again.",
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Check the database and its journal for damage and losses; exits 1 if a check fails."""
    with opened_toolkit() as toolkit:
        if forget_losses:
            toolkit.store.forget_losses()
        checks = toolkit.store.verify()
    columns = (
        Column("is_ok", "", lambda is_ok: "ok" if is_ok else "FAILED"),
        Column("name", "Check"),
        Column("detail", "Result"),
    )
    show_rows([asdict(check) for check in checks], columns, as_json=as_json)
    if not all(check.is_ok for check in checks):
        raise typer.Exit(1)


@app.command()
def backup(
    path: Annotated[
        Path | None,
        typer.Argument(help="Target file. Default: a dated file in the home folder's backups/."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Copy the database, journal included, and the provider registry, for `restore`."""
    from toolkit.home_backup import back_up

    with opened_toolkit() as toolkit:
        if path is None:
            folder = toolkit.settings.make_home() / toolkit.settings.backups_path
            folder.mkdir(mode=0o700, exist_ok=True)
            path = folder / f"toolkit-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.duckdb"
        written = back_up(toolkit.store, toolkit.settings, path)
    _report({"backup": written}, f"Backup written to {written}.", as_json=as_json)


@app.command()
def restore(
    path: Annotated[Path, typer.Argument(help="A backup file.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Restore the database and registry from a backup; current files are kept as .bak."""
    from toolkit.home_backup import restore as put_back

    with opened_toolkit() as toolkit:
        if not yes and not typer.confirm(f"Replace {toolkit.settings.store_path}?", err=True):
            raise typer.Exit(1)
        put_back(toolkit.store, toolkit.settings, path)
    _report({"restored": path}, f"Restored {path}.", as_json=as_json)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help='One SELECT statement; "-" reads it from stdin.')],
    as_json: JsonFlag = False,
) -> None:
    """Run one read-only SQL query over the tables of docs/store.md.

    It has no access to files or the network, and is limited to 60 seconds, 5 million rows and 1 GB.
    """
    text = sys.stdin.read() if query == "-" else query
    with opened_toolkit() as toolkit:
        frame = toolkit.store.user_frame(text)
    numbers = frame.select_dtypes("number").columns
    columns = [Column(str(name), str(name), is_number=name in numbers) for name in frame.columns]
    show_rows(_records(frame), columns, as_json=as_json, empty="No rows.")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows with None where a value is missing; integers stay integers beside a None."""
    whole = frame.convert_dtypes(convert_string=False, convert_floating=False).astype(object)
    rows = whole.where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _report(facts: Mapping[str, Any], message: str, *, as_json: bool) -> None:
    if as_json:
        show_facts(facts, as_json=True)
    else:
        notice(message)
