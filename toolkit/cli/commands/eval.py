"""`toolkit eval`: create, run, inspect, compare and resume evaluations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.charts.numbers import UNKNOWN
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
from toolkit.cli.views.eval_files import add_file_commands, how_to_resume, warn_if_lost

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolkit.evals.eval_run import EvalRun
    from toolkit.evals.running.plan import Progress
    from toolkit.store.store import Store

app: typer.Typer = new_app("Evaluate models on your own data.")
add_file_commands(app)

RunArgument = Annotated[str, typer.Argument(help="Run id, a prefix of it, or name.")]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Processes that share the samples."),
]
BackendOption = Annotated[
    str | None,
    typer.Option(
        "--backend", help="Where workers are: local, ray, ray:HOST:PORT or ray://HOST:PORT."
    ),
]

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


def format_score(value: float | None) -> str:
    """A mean score or measure for a table; a dash where there is none."""
    if value is None:
        return UNKNOWN
    if value and abs(value) < 0.001:
        return f"{value:.2g}" if abs(value) >= 1e-9 else "0"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


_SCORES = (
    Column("model", "Model"),
    Column("variant", "Variant"),
    Column("scorer", "Scorer"),
    Column("mean", "Mean", format_score, is_number=True),
    Column("low", "95 % low", format_score, is_number=True),
    Column("high", "high", format_score, is_number=True),
    Column("n", "Samples", is_number=True),
    Column("answers", "Answers", is_number=True, is_optional=True),
    Column("unreadable", "Unreadable", is_number=True),
    Column("unscored", "Not scored", is_number=True),
    Column("failed", "Failed", is_number=True),
    Column("skipped", "Skipped", is_number=True, is_optional=True),
)
_ESTIMATES = (
    Column("model", "Model"),
    Column("role", "As"),
    Column("calls", "Calls", is_number=True),
    Column("low_usd", "Low USD", is_number=True),
    Column("expected_usd", "Expected", is_number=True),
    Column("high_usd", "High", is_number=True),
    Column("basis", "Based on"),
)


@app.command("init")
def init(
    folder: Annotated[Path, typer.Argument(help="Where to write the files.")] = Path(),
    model: Annotated[
        str, typer.Option("--model", "-m", help="Model to evaluate.")
    ] = "local/smollm2-135m",
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write a first eval, eval.toml with questions.csv, ready to run on the built-in model."""
    from toolkit.evals.starter import write_starter

    written = write_starter(folder, model=model, force=force)
    if as_json:
        print_json({"files": [str(path) for path in written]})
        return
    for path in written:
        notice(f"Wrote {path}.")
    notice(f"Run it: toolkit eval run {written[0]}")


@app.command("run")
def run_file(  # noqa: PLR0913, PLR0917 - one option per choice
    file: Annotated[
        Path, typer.Argument(help="Eval config (.toml), or a dataset together with --model.")
    ],
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="Model to evaluate; repeatable.")
    ] = None,
    scorer: Annotated[
        list[str] | None,
        typer.Option("--scorer", "-s", help="Scorer by name, or as JSON; repeatable."),
    ] = None,
    cap: Annotated[float | None, typer.Option(min=0, help="Maximum cost of the run, USD.")] = None,
    workers: WorkersOption = None,
    backend: BackendOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Skip the cost confirmation.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Estimate cost, run the eval, and print a summary.

    Exits 1 if a threshold is missed, the run was stopped by its cap, or every call failed.
    """
    with opened_toolkit() as toolkit:
        dataset, models, options = _read_job(file, model or [], toolkit.store)
        if cap is not None:
            options["cap_usd"] = cap
        if workers is not None:
            options["workers"] = workers
        if backend is not None:
            options["backend"] = backend
        if scorer:
            options["scorers"] = [_read_scorer(text) for text in scorer]
        estimates = [
            _as_row(entry) for entry in toolkit.evaluation.estimate(dataset, models, **options)
        ]
        for note in dataset.notes:
            notice(f"Note: {note}.")
        if not _may_go(estimates, yes=yes, is_quiet=as_json):
            raise typer.Exit(1)
        with _progress() as on_progress:
            run = toolkit.evaluation.run(dataset, models, on_progress=on_progress, **options)
        _show(run, as_json=as_json)
    _leave(run)


@app.command("resume")
def resume(
    run: RunArgument,
    cap: Annotated[float | None, typer.Option(min=0, help="New maximum cost, USD.")] = None,
    workers: WorkersOption = None,
    backend: BackendOption = None,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Also repeat calls that failed.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Continue a stopped or interrupted run; only missing answers are requested."""
    with opened_toolkit() as toolkit:
        with _progress() as on_progress:
            ended = toolkit.evaluation.resume(
                run,
                retry_errors=retry_errors,
                on_progress=on_progress,
                cap_usd=cap,
                workers=workers,
                backend=backend,
            )
        _show(ended, as_json=as_json)
    _leave(ended)


@app.command("rescore")
def rescore(
    run: RunArgument,
    scorer: Annotated[
        list[str],
        typer.Option(
            "--scorer",
            "-s",
            help='Scorer by name, or as JSON: \'{"type": "regex", "pattern": "^P"}\'.',
        ),
    ],
    as_json: JsonFlag = False,
) -> None:
    """Score the stored answers of a run again; only judges are called."""
    scorers = [_read_scorer(text) for text in scorer]
    with opened_toolkit() as toolkit:
        _show(toolkit.evaluation.rescore(run, scorers), as_json=as_json)


@app.command("list")
def list_runs(
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of runs.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """List runs, newest first."""
    with opened_toolkit() as toolkit:
        rows = toolkit.evaluation.recent(limit)
        show_rows(rows, _RUNS, as_json=as_json, empty="No runs yet.")
    lost = [row for row in rows if row["status"] == "interrupted"]
    if lost and not as_json:
        notice(how_to_resume(lost[0]["run_id"]))


@app.command("show")
def show_run(
    run: RunArgument,
    sample: Annotated[
        str | None, typer.Option("--sample", help="Show the transcript of this sample id.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Of this model.")] = None,
    variant: Annotated[str | None, typer.Option("--variant", help="Of this variant.")] = None,
    epoch: Annotated[int, typer.Option("--epoch", min=1, help="Of this repeat.")] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Show the summary of a run, or the transcript of one of its samples."""
    with opened_toolkit() as toolkit:
        found = toolkit.evaluation.get(run)
        if sample is None:
            _show(found, as_json=as_json)
            return
        calls = found.transcript(sample, model=model, variant=variant, epoch=epoch)
    if as_json:
        print_json(calls)
        return
    for call in calls:
        _print_call(call)
    if not calls:
        notice("No calls of this sample are recorded: bodies were not recorded, or it was cached.")


@app.command("compare")
def compare_runs(
    a: Annotated[str, typer.Argument(help="Baseline run.")],
    b: Annotated[str, typer.Argument(help="Run to compare with it.")],
    scorer: Annotated[str | None, typer.Option(help="Only this scorer.")] = None,
    fail_if_worse: Annotated[
        bool,
        typer.Option(
            "--fail-if-worse",
            help="Exit 1 if B is worse by any scorer with corrected p < 0.05; for CI.",
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Compare run B with run A on the samples that both have."""
    with opened_toolkit() as toolkit:
        runs = [toolkit.evaluation.get(name) for name in (a, b)]
        found = runs[0].compare(runs[1], scorer)
    for run in {run.run_id: run for run in runs}.values():
        warn_if_lost(run)
    if as_json:
        print_json([dict(entry) for entry in found])
    else:
        for entry in found:
            print(f"{entry['scorer']}: {entry['sentence']}{_corrected(entry, len(found))}")
    if fail_if_worse and any(map(_is_worse, found)):
        raise typer.Exit(1)


def _is_worse(entry: Mapping[str, Any]) -> bool:
    """Whether B is worse than A beyond chance: a lower score, or more time or cost."""
    difference, p = float(entry["difference"]), float(entry["p_adjusted"])
    is_measure = str(entry["scorer"]).endswith(("_ms", "_usd"))
    return difference != 0 and (difference > 0) == is_measure and p < 0.05


def _read_job(file: Path, models: Sequence[str], store: Store) -> tuple[Any, Any, dict[str, Any]]:
    """Dataset, models and options of a config file, or of a dataset file with `--model`."""
    from toolkit.errors import InvalidInput
    from toolkit.evals.config import find_dataset, read_file

    if file.suffix.lower() == ".toml":
        dataset, named, options = read_file(file, store)
        return dataset, list(models) or named, options
    if not models:
        raise InvalidInput(
            f"{file} is not a config (.toml), and no model is given to run it as a dataset",
            hint="Add --model provider/model_id, or write a config with `toolkit eval init`.",
        )
    return find_dataset(str(file), store), list(models), {}


def _read_scorer(text: str) -> Any:
    import json

    if not text.lstrip().startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        from toolkit.errors import InvalidInput

        raise InvalidInput(f"the scorer {text!r} is not valid JSON: {error}") from None


def _corrected(entry: Mapping[str, Any], count: int) -> str:
    return f" (corrected for {count}: p = {entry['p_adjusted']:.2g})" if count > 1 else ""


def _as_row(entry: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(entry)


def _may_go(estimates: Sequence[Mapping[str, Any]], *, yes: bool, is_quiet: bool) -> bool:
    """Show the estimate and ask for confirmation if the run costs money."""
    import sys

    if not any(entry["high_usd"] for entry in estimates):
        return True
    if not is_quiet:
        show_rows(estimates, _ESTIMATES, as_json=False)
    if yes:
        return True
    if not sys.stdin.isatty():
        from toolkit.errors import InvalidInput

        raise InvalidInput("this run costs money", hint="Confirm with --yes, and set a --cap.")
    return typer.confirm("Run it?", err=True)


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """Progress on stderr: a Rich bar on a terminal, one line elsewhere."""
    import sys

    if not sys.stderr.isatty():
        with status_line() as show:
            yield lambda progress: show(f"running, {progress.done} of {progress.total}")
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    from toolkit.cli.output import console

    columns = (
        TextColumn("running"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
    )
    with Bar(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("running", total=None, status="")
        yield lambda p: bar.update(
            task, total=p.total, completed=p.done, status=describe_progress(p)
        )


def describe_progress(progress: Progress) -> str:
    """Rate, cost so far and time left, as far as they are known."""
    parts = []
    if progress.per_s:
        parts.append(f"{progress.per_s:.1f}/s")
    if progress.cost_usd is not None:
        parts.append(f"${progress.cost_usd:.4f}")
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.left_s is not None:
        parts.append(f"{progress.left_s:,.0f} s left")
    return ", ".join(parts)


def _show(run: EvalRun, *, as_json: bool) -> None:
    if as_json:
        facts = {k: v for k, v in run.facts.items() if k not in ("config", "summary", "params")}
        print_json({**facts, "passed": run.passed, "summary": run.summary})
        return
    warn_if_lost(run)
    if not run.summary:
        notice("The run has no summary yet.")
        return
    show_rows(run.summary["scores"], _SCORES, as_json=False, empty="Nothing was scored.")
    for name, pairs in run.summary["comparisons"].items():
        if len(pairs) > 1:
            for pair in pairs:
                print(f"{name}: {pair['sentence']}{_corrected(pair, len(pairs))}")
    for entry in run.summary["thresholds"]:
        if not entry["passed"]:
            notice(f"Threshold missed: {describe_threshold(entry)}")
    print(f"{run.name} ({run.run_id}) {run.status}: {run}")


def describe_threshold(entry: Mapping[str, Any]) -> str:
    """Describe a threshold and the value that was reached."""
    where = ", ".join(str(entry[k]) for k in ("scorer", "model", "variant") if k in entry)
    limits = [
        f"{word} {entry[key]}"
        for key, word in (("at_least", "at least"), ("at_most", "at most"))
        if key in entry
    ]
    reached = ", ".join(format_score(value) for value in entry["reached"]) or "nothing was scored"
    return f"{where or 'all scorers'} {' and '.join(limits)}; reached: {reached}"


def _print_call(call: Mapping[str, Any]) -> None:
    from toolkit.evals.results.cell_values import say_value

    role = f"scorer {call['scorer']}" if call["scorer"] else "answer"
    print(f"--- {role}: {call['model']}, {call['status']} ({call['call_id']})")
    for message in call["messages"] or []:
        text = say_value(message.get("content"))
        if message.get("tool_calls"):
            text = f"{text} {say_value(message['tool_calls'])}".strip()
        print(f"[{message.get('role')}] {text}")
    if call["tool_calls"]:
        print(f"[assistant calls] {say_value(call['tool_calls'])}")
    print(f"[assistant] {call['output_text'] or call['error_message'] or ''}\n")


def _leave(run: EvalRun) -> None:
    if not run.passed:
        raise typer.Exit(1)
