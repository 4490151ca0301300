"""`toolkit eval`: run evaluations from a file, look at them, compare and resume them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from toolkit.cli.views.eval_files import add_file_commands

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolkit.evals.running.plan import Progress
    from toolkit.evals.service import EvalRun

app = new_app("Evaluate models on your own data.")
add_file_commands(app)

_RUNS = (
    Column("run_id", "Run"),
    Column("name", "Name"),
    Column("status", "Status"),
    Column("dataset", "Dataset", is_optional=True),
    Column("done", "Done", is_number=True),
    Column("samples", "Planned", is_number=True),
    Column("errors", "Failed", is_number=True),
    Column("cost_usd", "USD", is_number=True),
)


def _share(value: Any) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


_SCORES = (
    Column("model", "Model"),
    Column("variant", "Variant"),
    Column("scorer", "Scorer"),
    Column("mean", "Mean", _share, is_number=True),
    Column("low", "95 % low", _share, is_number=True),
    Column("high", "high", _share, is_number=True),
    Column("n", "Samples", is_number=True),
    Column("answers", "Answers", is_number=True, is_optional=True),
    Column("failed", "Failed", is_number=True),
    Column("skipped", "Left out", is_number=True),
)
_ESTIMATES = (
    Column("model", "Model"),
    Column("calls", "Calls", is_number=True),
    Column("low_usd", "Low USD", is_number=True),
    Column("expected_usd", "Expected", is_number=True),
    Column("high_usd", "High", is_number=True),
    Column("basis", "From"),
)


@app.command("run")
def run_file(
    file: Annotated[Path, typer.Argument(help="The evaluation, a TOML file; see docs/evals.md.")],
    cap: Annotated[
        float | None, typer.Option(min=0, help="The most that the run may cost, USD.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it costs.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Estimate the cost, run, and say what it came to.

    Exit code 1 when a threshold is missed, a cap ended the run, or every call failed.
    """
    from toolkit.evals.config import read_file

    with opened_toolkit() as toolkit:
        dataset, models, options = read_file(file, toolkit)
        if cap is not None:
            options["cap_usd"] = cap
        estimates = [
            _facts_of(entry) for entry in toolkit.evaluation.estimate(dataset, models, **options)
        ]
        if not _may_go(estimates, yes=yes, is_quiet=as_json):
            raise typer.Exit(1)
        with _progress() as on_progress:
            run = toolkit.evaluation.run(dataset, models, on_progress=on_progress, **options)
        _show(run, as_json=as_json)
    _leave(run)


@app.command("resume")
def resume(
    run: Annotated[str, typer.Argument(help="A run's id, the begin of it, or its name.")],
    cap: Annotated[float | None, typer.Option(min=0, help="Another cap, USD.")] = None,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Ask again where a call failed, too.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Ask only what is missing of a run that was stopped or killed."""
    with opened_toolkit() as toolkit:
        with _progress() as on_progress:
            ended = toolkit.evaluation.resume(
                run, retry_errors=retry_errors, on_progress=on_progress, cap_usd=cap
            )
        _show(ended, as_json=as_json)
    _leave(ended)


@app.command("rescore")
def rescore(
    run: Annotated[str, typer.Argument(help="A run's id, the begin of it, or its name.")],
    scorer: Annotated[
        list[str],
        typer.Option(help='A scorer\'s name, or JSON: \'{"type": "regex", "pattern": "^P"}\'.'),
    ],
    as_json: JsonFlag = False,
) -> None:
    """Score the stored answers of a run again; the models are not asked, a judge is."""
    scorers = [_read_scorer(text) for text in scorer]
    with opened_toolkit() as toolkit:
        _show(toolkit.evaluation.rescore(run, scorers), as_json=as_json)


def _read_scorer(text: str) -> Any:
    import json

    if not text.lstrip().startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        from toolkit.errors import InvalidInput

        raise InvalidInput(f"the scorer {text!r} is no JSON: {error}") from None


@app.command("list")
def list_runs(
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """List runs, newest first."""
    with opened_toolkit() as toolkit:
        rows = toolkit.store.rows(
            "SELECT * FROM eval_runs ORDER BY started_at DESC, run_id DESC LIMIT ?", [limit]
        )
        show_rows(rows, _RUNS, as_json=as_json, empty="No runs yet.")


@app.command("show")
def show_run(
    run: Annotated[str, typer.Argument(help="A run's id, the begin of it, or its name.")],
    as_json: JsonFlag = False,
) -> None:
    """Show what a run came to."""
    with opened_toolkit() as toolkit:
        _show(toolkit.evaluation.get(run), as_json=as_json)


@app.command("compare")
def compare_runs(
    a: Annotated[str, typer.Argument(help="The run to compare with.")],
    b: Annotated[str, typer.Argument(help="The other run.")],
    scorer: Annotated[str | None, typer.Option(help="Only by this scorer.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare run B with run A, sample by sample, in words."""
    with opened_toolkit() as toolkit:
        found = toolkit.evaluation.compare(a, b, scorer)
    if as_json:
        print_json([dict(entry) for entry in found])
        return
    for entry in found:
        print(f"{entry['scorer']}: {entry['sentence']}{_corrected(entry, len(found))}")


def _corrected(entry: Mapping[str, Any], count: int) -> str:
    return f" (corrected for {count}: p = {entry['p_adjusted']:.2g})" if count > 1 else ""


def _facts_of(entry: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(entry)


def _may_go(estimates: Sequence[Mapping[str, Any]], *, yes: bool, is_quiet: bool) -> bool:
    """Tell the estimate; where the run costs money and somebody is there, ask."""
    import sys

    if not any(entry["high_usd"] for entry in estimates):
        return True
    if not is_quiet:
        show_rows(estimates, _ESTIMATES, as_json=False)
    if yes:
        return True
    if not sys.stdin.isatty():
        from toolkit.errors import InvalidInput

        raise InvalidInput("this run costs money", hint="Say --yes, and set a --cap.")
    return typer.confirm("Run it?", err=True)


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """Progress on stderr: a Rich bar on a terminal, one line elsewhere."""
    import sys

    if not sys.stderr.isatty():
        with status_line() as show:
            yield lambda progress: show(f"asking, {progress.done} of {progress.total}")
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    from toolkit.cli.output import console

    columns = (
        TextColumn("asking"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
    )
    with Bar(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("asking", total=None, told="")
        yield lambda p: bar.update(task, total=p.total, completed=p.done, told=say_progress(p))


def say_progress(progress: Progress) -> str:
    """Rate, cost so far and time left, as far as they are known."""
    told = []
    if progress.per_s:
        told.append(f"{progress.per_s:.1f}/s")
    if progress.cost_usd is not None:
        told.append(f"${progress.cost_usd:.4f}")
    if progress.failed:
        told.append(f"{progress.failed} failed")
    if progress.left_s is not None:
        told.append(f"{progress.left_s:,.0f} s left")
    return ", ".join(told)


def _show(run: EvalRun, *, as_json: bool) -> None:
    if as_json:
        facts = {k: v for k, v in run.facts.items() if k not in ("config", "summary", "params")}
        print_json({**facts, "passed": run.passed, "summary": run.summary})
        return
    if not run.summary:
        notice("The run has no summary yet: it is under way, or was killed; see `eval resume`.")
        return
    show_rows(run.summary["scores"], _SCORES, as_json=False, empty="Nothing was scored.")
    for name, pairs in run.summary["comparisons"].items():
        if len(pairs) > 1:
            for pair in pairs:
                print(f"{name}: {pair['sentence']}{_corrected(pair, len(pairs))}")
    for entry in run.summary["thresholds"]:
        if not entry["passed"]:
            notice(f"Missed: {entry}")
    print(f"{run.name} ({run.run_id}) {run.status}: {run}")


def _leave(run: EvalRun) -> None:
    if not run.passed:
        raise typer.Exit(1)
