"""`toolkit store prune` and `export`: what is kept, and files for other programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from toolkit.catalog.parsing import require_span
from toolkit.cli.output import Column, JsonFlag, notice, opened_toolkit, print_json, show_rows
from toolkit.errors import InvalidInput

if TYPE_CHECKING:
    from toolkit.store.retention import Affected, Pruned, Retention

_AFFECTED = (
    Column("what", "Remove", lambda what: {"bodies": "prompts and answers"}.get(what, what)),
    Column("origin", "Origin"),
    Column("calls", "Calls", is_number=True),
    Column("first_at", "First", lambda when: f"{when:%Y-%m-%d %H:%M}"),
    Column("last_at", "Last", lambda when: f"{when:%Y-%m-%d %H:%M}"),
)
_FILES = (
    Column("table", "Table"),
    Column("month", "Month", is_optional=True),
    Column("rows", "Rows", is_number=True),
    Column("bytes", "Bytes", is_number=True),
    Column("path", "File"),
)


def add_file_commands(app: typer.Typer) -> None:
    """Add the two commands to `toolkit store`."""
    app.command("prune")(prune)
    app.command("export")(export)


def prune(
    bodies_older_than: Annotated[
        str | None,
        typer.Option(
            "--bodies-older-than", metavar="AGE", help="Remove prompts and answers: 30d, 12w."
        ),
    ] = None,
    calls_older_than: Annotated[
        str | None,
        typer.Option("--calls-older-than", metavar="AGE", help="Remove whole calls; at least 32d."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove old prompts and answers, or old calls, for good, and shrink the database.

    Counts, tokens and costs of removed calls stay in the roll-ups. Backups are not changed.
    """
    from toolkit.store.retention import Retention, find_affected

    retention = Retention.of_ages(
        None if bodies_older_than is None else require_span(bodies_older_than),
        None if calls_older_than is None else require_span(calls_older_than),
    )
    with opened_toolkit() as toolkit:
        with toolkit.store.reading() as reader:
            affected = find_affected(reader, retention)
        if not as_json:
            show_rows(
                [asdict(row) for row in affected],
                _AFFECTED,
                as_json=False,
                empty="No call is so old.",
            )
        if dry_run or not affected:
            if as_json:
                print_json(_as_facts(retention, affected, None))
            return
        _confirm(sum(row.calls for row in affected), yes=yes)
        pruned = toolkit.store.prune(retention)
    if as_json:
        print_json(_as_facts(retention, affected, pruned))
        return
    notice(
        f"Removed prompts and answers of {pruned.bodies:,} calls, and {pruned.calls:,} calls. "
        f"The database went from {pruned.bytes_before:,} to {pruned.bytes_after:,} bytes."
    )


def export(
    parquet: Annotated[Path, typer.Option("--parquet", metavar="DIR", help="Folder to write to.")],
    by: Annotated[
        Literal["month"], typer.Option("--by", help="One file for each month (UTC).")
    ] = "month",
    table: Annotated[
        list[str] | None, typer.Option("--table", help="Table; repeatable. Default: all.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="YYYY-MM", help="Leave earlier months out.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Export tables as Parquet for pandas, polars, DuckDB and others; existing files are replaced.

    The files contain prompts and answers, and only you can read them.
    """
    from toolkit.store.parquet_export import export_parquet
    from toolkit.store.tables import TABLES

    del by  # so far there is one way
    with opened_toolkit() as toolkit:
        written = export_parquet(
            toolkit.store, parquet.expanduser(), table or list(TABLES), since=_month(since)
        )
    show_rows(
        [asdict(file) for file in written], _FILES, as_json=as_json, empty="There are no rows."
    )


def _month(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidInput(f"{text!r} is not a month", hint="Write it as 2026-11.") from None


def _confirm(calls: int, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(
            "this removes records for good",
            hint="Look at it with `toolkit store prune --dry-run`, then confirm with `--yes`.",
        )
    if not typer.confirm(f"Remove this from {calls:,} calls for good?", err=True):
        raise typer.Exit(1)


def _as_facts(
    retention: Retention, affected: Sequence[Affected], pruned: Pruned | None
) -> dict[str, object]:
    return {
        **asdict(retention),
        "affected": [asdict(row) for row in affected],
        "removed": None if pruned is None else asdict(pruned),
    }
