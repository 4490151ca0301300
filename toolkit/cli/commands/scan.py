"""`toolkit scan`: check that no known key is in any file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from toolkit.charts.numbers import UNKNOWN
from toolkit.cli.output import (
    Column,
    JsonFlag,
    new_app,
    notice,
    opened_toolkit,
    print_json,
    print_table,
)

app: typer.Typer = new_app("Check that no known key is in any file.")

_USUAL = ("notebooks", "cassettes")


@app.command()
def scan(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH...]", help="Files and folders to scan in addition to the home folder."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Search the home folder, the database, ./notebooks, ./cassettes and PATHs for keys.

    Known keys are found raw, URL-encoded, JSON-escaped, in base64 and in UTF-16; other strings in
    the form of a key are found as well. Exits 1 if anything is found.
    """
    from toolkit.secret_scan import scan as search

    usual = [Path(name) for name in _USUAL if Path(name).is_dir()]
    with opened_toolkit() as toolkit:
        report = search(toolkit, [*usual, *(paths or [])])
    if as_json:
        print_json({**asdict(report), "is_clean": report.is_clean})
    else:
        if report.findings:
            columns = (
                Column("what", "Found"),
                Column("path", "File"),
                Column("offset", "At byte", lambda at: UNKNOWN if at is None else str(at), True),
                Column("place", "Row", lambda place: str(place or "")),
            )
            print_table([asdict(finding) for finding in report.findings], columns)
        for unread in report.unread:
            notice(f"Not read: {unread}")
        notice(
            f"{report.known_keys} known keys searched in {report.files:,} files "
            f"({report.size_bytes / 1e6:,.1f} MB) and {report.rows:,} rows: "
            f"{len(report.findings) or 'nothing'} found."
        )
    if not report.is_clean:
        raise typer.Exit(1)
