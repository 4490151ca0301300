"""`toolkit eval import`, `export` and `report`: runs as files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.output import JsonFlag, notice, opened_toolkit, print_json
from toolkit.errors import InvalidInput
from toolkit.evals.exchange.files import Format, read_file, write_run

RunArgument = Annotated[str, typer.Argument(help="Its id, the begin of it, or its name.")]


def add_file_commands(app: typer.Typer) -> None:
    """Add the three commands to `toolkit eval`."""
    app.command("import")(import_run)
    app.command("export")(export_run)
    app.command("report")(report_run)


def import_run(
    file: Annotated[Path, typer.Argument(help="Inspect AI log, promptfoo results, or an export.")],
    name: Annotated[str | None, typer.Option("--name", help="What to call the run here.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Read a run from a file of Inspect AI, of promptfoo, or of `export`."""
    found = read_file(file)
    run = {**found.run, "name": name or found.run["name"]}
    with opened_toolkit() as toolkit:
        known = toolkit.store.rows("SELECT name FROM eval_runs WHERE run_id = ?", [run["run_id"]])
        if known:
            raise InvalidInput(
                f"the run of {file.name} is here already, as {known[0]['name']!r}",
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
    format: Annotated[Format, typer.Option("--format", "-f", help="Kind of file.")] = "jsonl",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; else standard output.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a run's answers and scores, one row per answer and scorer; or as JUnit XML."""
    if output is None and (as_json or format == "parquet"):
        raise InvalidInput("this needs a file", hint="Name it with --output.")
    content, run_id = _render(run, format)
    if output is None:
        sys.stdout.write(content.decode())
        return
    _write(output, content, run_id, as_json=as_json)


def report_run(
    run: RunArgument,
    html: Annotated[Path, typer.Option("--html", help="File to write.")],
    as_json: JsonFlag = False,
) -> None:
    """Write a run as one HTML file that loads nothing and can be sent to anybody."""
    content, run_id = _render(run, "html")
    _write(html, content, run_id, as_json=as_json)


def _render(run: str, format: Format) -> tuple[bytes, str]:
    with opened_toolkit() as toolkit:
        found = toolkit.evaluation.get(run)
        return write_run(found.facts, found.rows(), format), found.run_id


def _write(file: Path, content: bytes, run_id: str, *, as_json: bool) -> None:
    """Write a file whole or not at all, readable by its owner only."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        beside.replace(file)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)
    if as_json:
        print_json({"run_id": run_id, "file": str(file), "bytes": len(content)})
    else:
        notice(f"Wrote {file}.")
