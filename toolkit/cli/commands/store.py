"""`toolkit store`: look into the store, publish the journal, verify, back up, ask in SQL."""

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

if TYPE_CHECKING:
    import pandas as pd

app = new_app("Look into the store and take care of it.")


@app.command()
def info(as_json: JsonFlag = False) -> None:
    """Tell where the store is, its size, version and rows; exit code 1 when it cannot be read."""
    with opened_toolkit() as toolkit:
        found = toolkit.store.info()
    show_facts(asdict(found), as_json=as_json)
    if found.error is not None:
        raise typer.Exit(1)


@app.command()
def ingest(
    wait_s: Annotated[
        float | None, typer.Option("--wait", help="Longest wait for the store, seconds.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Move what the journal holds into the store now."""
    with opened_toolkit() as toolkit:
        report = asdict(toolkit.store.ingest(wait_s=wait_s))
    show_facts(report, as_json=as_json)


@app.command()
def verify(as_json: JsonFlag = False) -> None:
    """Check the store and its journal; exit code 1 when something is wrong."""
    with opened_toolkit() as toolkit:
        checks = toolkit.store.verify()
    columns = (
        Column("is_ok", "", lambda is_ok: "ok" if is_ok else "WRONG"),
        Column("name", "Check"),
        Column("detail", "What was found"),
    )
    show_rows([asdict(check) for check in checks], columns, as_json=as_json)
    if not all(check.is_ok for check in checks):
        raise typer.Exit(1)


@app.command()
def backup(
    path: Annotated[Path | None, typer.Argument(help="Where to; else the home's backups/.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Copy the store, journal included, and the registry beside it, for `restore`."""
    from toolkit.home_backup import back_up

    with opened_toolkit() as toolkit:
        if path is None:
            folder = toolkit.settings.make_home() / toolkit.settings.backups_path
            folder.mkdir(mode=0o700, exist_ok=True)
            path = folder / f"toolkit-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.duckdb"
        written = back_up(toolkit, path)
    _tell({"backup": written}, f"The backup is {written}.", as_json=as_json)


@app.command()
def restore(
    path: Annotated[Path, typer.Argument(help="A backup.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Put a backup in the place of store and registry; the present files stay as .bak."""
    from toolkit.home_backup import restore as put_back

    with opened_toolkit() as toolkit:
        if not yes and not typer.confirm(f"Replace {toolkit.settings.store_path}?", err=True):
            raise typer.Exit(1)
        put_back(toolkit, path)
    _tell({"restored": path}, f"The store is now that of {path}.", as_json=as_json)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help='One SELECT; "-" reads it from stdin.')],
    as_json: JsonFlag = False,
) -> None:
    """Run one read-only SQL query, without file or network access."""
    text = sys.stdin.read() if query == "-" else query
    with opened_toolkit() as toolkit:
        frame = toolkit.store.user_frame(text)
    numbers = frame.select_dtypes("number").columns
    columns = [Column(str(name), str(name), is_number=name in numbers) for name in frame.columns]
    show_rows(_records(frame), columns, as_json=as_json, empty="No rows.")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows with None where something is missing; whole numbers stay whole beside a None."""
    whole = frame.convert_dtypes(convert_string=False, convert_floating=False).astype(object)
    rows = whole.where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _tell(facts: Mapping[str, Any], words: str, *, as_json: bool) -> None:
    if as_json:
        show_facts(facts, as_json=True)
    else:
        notice(words)
