"""`toolkit eval import`, `export` and `report`: runs as files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.output import JsonFlag, RawCells, notice, opened_toolkit, print_json
from toolkit.errors import InvalidInput
from toolkit.evals.exchange.run_files import Format, read_file, write_run
from toolkit.files import write_atomic
from toolkit.store.queries.evals import find_run_name

if TYPE_CHECKING:
    from toolkit.evals.eval_run import EvalRun

RunArgument = Annotated[str, typer.Argument(help="Run id, a prefix of it, or name.")]


def add_file_commands(app: typer.Typer) -> None:
    """Add the three commands to `toolkit eval`."""
    app.command("import")(import_run)
    app.command("export")(export_run)
    app.command("report")(report_run)


def import_run(
    file: Annotated[Path, typer.Argument(help="Inspect AI log, promptfoo results, or an export.")],
    name: Annotated[str | None, typer.Option("--name", help="Name of the imported run.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Import a run from Inspect AI, promptfoo or an earlier export."""
    found = read_file(file)
    run = {**found.run, "name": name or found.run["name"]}
    with opened_toolkit() as toolkit:
        known = find_run_name(toolkit.store, run["run_id"])
        if known is not None:
            raise InvalidInput(
                f"the run of {file.name} was imported already, as {known!r}",
                hint=f"Look at it with `toolkit eval show {run['run_id']}`.",
            )
        toolkit.store.append_many("eval_samples", found.rows)
        toolkit.store.append("eval_runs", run)
    if as_json:
        print_json({"run_id": run["run_id"], "name": run["name"], "rows": len(found.rows)})
    else:
        notice(f"{run['name']}: {found.run['summary']['sentence']} Run {run['run_id']}.")


def export_run(
    run: RunArgument,
    format: Annotated[Format, typer.Option("--format", "-f", help="File format.")] = "jsonl",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Output file; default: standard output.")
    ] = None,
    raw_cells: RawCells = False,
    as_json: JsonFlag = False,
) -> None:
    """Export answers and scores, one row per answer and scorer, or JUnit XML."""
    if output is None and format == "parquet":
        raise InvalidInput("Parquet files are binary", hint="Give a file with --output.")
    if output is None and as_json and format != "jsonl":
        raise InvalidInput(
            f"--json prints JSON, and --format {format} is not JSON",
            hint="Leave out one of them, or give a file with --output.",
        )
    content, run_id = _render(run, format, escape=not raw_cells)
    if output is None:
        if as_json:
            print_json([json.loads(line) for line in content.splitlines()])
        else:
            sys.stdout.write(content.decode())
        return
    _write(output, content, run_id, as_json=as_json)


def report_run(
    run: RunArgument,
    html: Annotated[Path, typer.Option("--html", help="File to write.")],
    as_json: JsonFlag = False,
) -> None:
    """Write a run as one self-contained HTML file."""
    content, run_id = _render(run, "html")
    _write(html, content, run_id, as_json=as_json)


def warn_if_lost(run: EvalRun) -> None:
    """Say that the run's process ended before the run did, and how to continue."""
    if run.status == "interrupted":
        notice(how_to_resume(run.run_id))


def how_to_resume(run_id: str) -> str:
    """What is left of a run whose process ended, and the command that continues it."""
    return (
        f"The process of run {run_id} ended before the run did. Finished answers are kept; "
        f"continue with: toolkit eval resume {run_id}"
    )


def _render(run: str, format: Format, *, escape: bool = True) -> tuple[bytes, str]:
    with opened_toolkit() as toolkit:
        found = toolkit.evaluation.get(run)
        warn_if_lost(found)
        return write_run(found.facts, found.rows(), format, escape=escape), found.run_id


def _write(file: Path, content: bytes, run_id: str, *, as_json: bool) -> None:
    """Write a file, readable by its owner only."""
    if not file.parent.is_dir():  # a mistyped path must not make folders
        raise InvalidInput(f"{file} cannot be written: there is no folder {file.parent}")
    try:
        write_atomic(file, content)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be written: {error.strerror}") from None
    if as_json:
        print_json({"run_id": run_id, "file": str(file), "bytes": len(content)})
    else:
        notice(f"Wrote {file}.")
