"""`toolkit cassette`: record traffic, check it, create it from a row, and serve it to clients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.charts.numbers import duration
from toolkit.cli.output import (
    Column,
    JsonFlag,
    new_app,
    notice,
    opened_toolkit,
    print_json,
    show_facts,
    show_rows,
)
from toolkit.cli.spinner import status_line

if TYPE_CHECKING:
    from toolkit.replay.cassettes.cassette_lint import Finding
    from toolkit.replay.regression.case_runner import CaseRun
    from toolkit.toolkit import Toolkit

app: typer.Typer = new_app("Record HTTP traffic once and replay it.")

CaseOption = Annotated[list[str] | None, typer.Option("--case", help="Only this case; repeatable.")]


@app.command()
def record(
    suite: Annotated[str, typer.Argument(help="A suite's folder, or its name in cassettes/.")],
    case: CaseOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Call the providers and record the traffic of each case (may cost money)."""
    from toolkit.replay.regression.suite_run import record_regression

    with opened_toolkit() as toolkit, status_line() as progress:
        runs = record_regression(toolkit, suite, only=case or (), progress=progress)
    show_rows([_run_row(run) for run in runs], _RUN_COLUMNS, as_json=as_json)


_RUN_COLUMNS = (
    Column("case", "Case"),
    Column("model", "Model"),
    Column("checks", "Checks"),
    Column("ttft_ms", "TTFT", duration, is_number=True),
    Column("answer", "Answer"),
)


def _run_row(run: CaseRun) -> dict[str, Any]:
    trial = run.trials[0]
    words = {True: "pass", False: "fail", None: "not judged"}[trial.passed]
    return {
        "case": run.case.name,
        "model": run.model,
        "checks": words,
        "ttft_ms": trial.measured.ttft_ms if trial.measured else None,
        "answer": trial.shown[:200],
    }


@app.command()
def lint(
    folder: Annotated[Path, typer.Argument(help="A folder of cassettes, or a single one.")] = Path(
        "cassettes"
    ),
    max_age_days: Annotated[
        float, typer.Option(help="Report recordings older than this many days.")
    ] = 180.0,
    as_json: JsonFlag = False,
) -> None:
    """Check format, secrets, age and use of every cassette; exits 1 if a check fails."""
    from toolkit.replay.cassettes.cassette_lint import find_cassettes, lint_cassettes
    from toolkit.replay.cassettes.scrub import Scrubber

    with opened_toolkit() as toolkit:
        scrubber = Scrubber(toolkit.keys.known_secrets())
        findings = lint_cassettes(folder, scrubber, max_age_days=max_age_days)
        findings += _find_unused(toolkit, folder)
    rows = [_finding_row(finding) for finding in findings]
    checked = len(find_cassettes(folder))
    show_rows(rows, _FINDING_COLUMNS, as_json=as_json, empty=f"{checked} cassettes are valid.")
    if any(finding.is_error for finding in findings):
        raise typer.Exit(1)


_FINDING_COLUMNS = (
    Column("level", ""),
    Column("rule", "Rule"),
    Column("path", "Cassette"),
    Column("message", "What"),
)


def _finding_row(finding: Finding) -> dict[str, Any]:
    return {
        "level": "error" if finding.is_error else "note",
        "rule": finding.rule,
        "path": str(finding.path),
        "message": finding.message,
    }


def _find_unused(toolkit: Toolkit, folder: Path) -> list[Finding]:
    """Replay every suite below the folder and report unused recordings."""
    from toolkit.replay.regression.case_runner import find_unused

    return find_unused(toolkit, folder)


@app.command("from-call")
def from_call(
    call_id: Annotated[str, typer.Argument(help="The id of a row in calls.")],
    suite: Annotated[str, typer.Option(help="The suite to add it to.")] = "calls",
    case: Annotated[str | None, typer.Option(help="The name of the case.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Turn a recorded call into a cassette and a case, without calling a provider."""
    from toolkit.replay.from_call import make_case

    with opened_toolkit() as toolkit:
        cassette, cases = make_case(toolkit, call_id, suite=suite, name=case)
    show_facts({"cassette": str(cassette), "cases": str(cases)}, as_json=as_json)


@app.command()
def serve(
    folder: Annotated[Path, typer.Argument(help="A folder of cassettes, or a single one.")],
    speed: Annotated[
        float, typer.Option(help="1 as recorded, 2 twice as fast, 0 without delays.")
    ] = 1.0,
    port: Annotated[int, typer.Option(help="0 takes any free port.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Serve cassettes to any client on 127.0.0.1 with the recorded timing."""
    from toolkit.replay.server.replay_server import ReplayServer

    with ReplayServer(folder, speed=speed, port=port) as server:
        if as_json:
            print_json({"url": server.url, "routes": dict(server.routes)})
        else:
            notice(f"Serving {folder} at {server.url} until interrupted.")
            rows = [{"route": route, "answers": n} for route, n in server.routes.items()]
            columns = (Column("route", "Route"), Column("answers", "Answers", is_number=True))
            show_rows(rows, columns, as_json=False)
        server.wait()
