"""`toolkit regress`: run a regression suite, offline by default."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.output import (
    Column,
    JsonFlag,
    new_app,
    notice,
    opened_toolkit,
    print_json,
    show_rows,
)
from toolkit.cli.spinner import status_line

if TYPE_CHECKING:
    from toolkit.replay.regression.suite_run import SuiteRun

app: typer.Typer = new_app("Run a regression suite, offline by default.")

_COLUMNS = (
    Column("verdict", "Verdict"),
    Column("case", "Case"),
    Column("model", "Model"),
    Column("share", "Pass", is_number=True),
    Column("reason", "Why"),
)


@app.command()
def regress(  # noqa: PLR0913, PLR0917 - one argument for each option of the command
    suite: Annotated[str, typer.Argument(help="A suite's folder, or its name in cassettes/.")],
    live: Annotated[
        bool, typer.Option("--live", help="Call the providers; this may cost money.")
    ] = False,
    repeats: Annotated[int | None, typer.Option(min=1, help="Live calls per case.")] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Accept the outcomes as the new baseline.")
    ] = False,
    case: Annotated[
        list[str] | None, typer.Option("--case", help="Only this case; repeatable.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write an HTML report to this file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Replay a suite (did your code change?), or call the providers with --live (did the model?).

    Exits 1 if a case regressed, could not be judged, or is new and fails.
    """
    from toolkit.replay.regression.suite_run import run_regression

    with opened_toolkit() as toolkit, status_line() as progress:
        run = run_regression(
            toolkit,
            suite,
            live=live,
            repeats=repeats,
            accept=accept,
            only=case or (),
            progress=progress,
        )
    _write_reports(run, junit, html)
    if as_json:
        print_json(_run_facts(run))
    else:
        _show(run)
    if not run.passed:
        raise typer.Exit(1)


def _write_reports(run: SuiteRun, junit: Path | None, html: Path | None) -> None:
    from toolkit.replay.cassettes.cassette_file import write_whole

    if junit is not None:
        from toolkit.replay.regression.suite_run import render_junit

        write_whole(junit, render_junit(run))
    if html is not None:
        from toolkit.replay.regression.suite_run import render_report

        write_whole(html, render_report(run))


def _run_facts(run: SuiteRun) -> dict[str, Any]:
    from dataclasses import asdict

    from toolkit.replay.regression.suite_run import verdict_facts

    return {
        "run_id": run.run_id,
        "suite": run.suite,
        "mode": run.mode,
        "passed": run.passed,
        "sentence": run.sentence,
        "counts": dict(run.counts),
        "comparison": asdict(run.comparison) if run.comparison else None,
        "cases": [verdict_facts(verdict) for verdict in run.verdicts],
    }


def _show(run: SuiteRun) -> None:
    from toolkit.replay.regression.suite_run import MARKS, verdict_facts

    rows = [verdict_facts(verdict) for verdict in run.verdicts]
    for row in rows:
        row["verdict"] = f"{MARKS[row['verdict']]} {row['verdict']}"
        row["share"] = f"{row['passes']}/{row['repeats']}"
        row["reason"] = "; ".join((row["reason"], *row["drift"])).strip("; ")
    notable = [row for row in rows if not row["verdict"].endswith("pass") or row["reason"]]
    if notable:
        show_rows(notable, _COLUMNS, as_json=False)
    print(run)
    if run.accepted:
        notice(f"{run.accepted} outcomes accepted as the baseline.")
    elif run.counts.get("new"):
        notice("New cases have no baseline; `--accept` accepts these outcomes as the baseline.")
