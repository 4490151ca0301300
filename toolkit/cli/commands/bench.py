"""`toolkit bench`: load-test one model, and read load tests again."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from toolkit.cli.command_runner import INTERRUPTED
from toolkit.cli.output import (
    Column,
    JsonFlag,
    new_app,
    notice,
    opened_toolkit,
    print_json,
    print_table,
    show_rows,
)
from toolkit.cli.spinner import status_line
from toolkit.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from toolkit.load_test.load_result import LoadTestRun
    from toolkit.load_test.load_runner import LoadProgress
    from toolkit.load_test.service import LoadEstimate

RUN_COMMAND = "run"


class ModelGroup(TyperGroup):
    """Takes a model in the place of a command: `toolkit bench openai/gpt-5-mini`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; a model or an option that is not a command begins a run."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [RUN_COMMAND, *args]
        return super().parse_args(ctx, args)


app: typer.Typer = new_app(
    "Load-test one model: `toolkit bench PROVIDER/MODEL` is short for "
    "`toolkit bench run PROVIDER/MODEL`."
)
app.info.cls = ModelGroup

RunArgument = Annotated[str, typer.Argument(help="Run id, a prefix of it, or name.")]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Also write one HTML file.")
]
_RUNS = (
    Column("run_id", "Run"),
    Column("model", "Model"),
    Column("status", "Status"),
    Column("requests", "Planned", is_number=True),
    Column("done", "Sent", is_number=True),
    Column("cost_usd", "USD", is_number=True),
    Column("started_at", "Begun", lambda when: f"{when:%Y-%m-%d %H:%M}"),
    Column("name", "Name", is_optional=True),
)


@app.command(RUN_COMMAND)
def run_load_test(  # noqa: PLR0913, PLR0917 - one option each
    model: Annotated[str, typer.Argument(metavar="PROVIDER/MODEL", help="Model to call.")],
    concurrency: Annotated[
        str | None,
        typer.Option(
            "--concurrency", "-c", metavar="N[,N]", help="Closed loop: in flight; several: steps."
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option("--rate", metavar="R[,R]", help="Open loop: requests per second; or steps."),
    ] = None,
    arrival: Annotated[
        str | None, typer.Option("--arrival", help="Open loop: poisson (default) or constant.")
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", help="Open loop: moments of a trace (.jsonl or .csv)."),
    ] = None,
    trace_speed: Annotated[
        float | None, typer.Option("--trace-speed", help="2 replays the trace twice as fast.")
    ] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="1, 2, 4, ... 64 in flight, until saturated.")
    ] = False,
    until_saturated: Annotated[
        bool, typer.Option("--until-saturated", help="Leave out steps behind saturation.")
    ] = False,
    requests: Annotated[
        int | None, typer.Option("--requests", "-n", help="Measured requests of each step.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Send for so long in each step instead.")
    ] = None,
    warmup: Annotated[
        int | None, typer.Option("--warmup", help="Requests of each step that are not measured.")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option("--repeats", help="Repeats of all steps, for intervals.")
    ] = None,
    max_concurrency: Annotated[
        int | None, typer.Option("--max-concurrency", help="Open loop: most in flight.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Prompts from a file or a bundled dataset.")
    ] = None,
    input_tokens: Annotated[
        int | None, typer.Option("--input-tokens", help="Length of synthetic prompts [128].")
    ] = None,
    prefix_tokens: Annotated[
        int | None, typer.Option("--prefix-tokens", help="Tokens that synthetic prompts share.")
    ] = None,
    output_tokens: Annotated[
        int | None, typer.Option("--output-tokens", help="Longest answer (max_tokens) [64].")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="K=V", help="Another parameter, such as ignore_eos=true."),
    ] = None,
    no_stream: Annotated[bool, typer.Option("--no-stream", help="Do not stream answers.")] = False,
    slo: Annotated[
        list[str] | None,
        typer.Option("--slo", metavar="NAME:MS", help="Objective: ttft, tpot or e2e; repeatable."),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of schedule and prompts.")] = None,
    retries: Annotated[int | None, typer.Option("--retries", help="Retries [0].")] = None,
    timeout_s: Annotated[
        float | None, typer.Option("--timeout", help="Deadline of a request, seconds.")
    ] = None,
    max_requests: Annotated[
        int | None, typer.Option("--max-requests", help="Most requests of the run [1000].")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option("--max-seconds", help="Longest run, seconds [600].")
    ] = None,
    max_rate: Annotated[
        float | None,
        typer.Option("--max-rate", help="Most requests per second [100; cloud 10]."),
    ] = None,
    max_usd: Annotated[
        str | None, typer.Option("--max-usd", help="Most that it may cost; cloud needs it.")
    ] = None,
    allow_unpriced: Annotated[
        bool, typer.Option("--allow-unpriced", help="Call a cloud model without a known price.")
    ] = False,
    name: Annotated[str | None, typer.Option("--name", help="Name of the run.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the estimate and send nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation.")] = False,
    html: HtmlOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the estimate, send the requests, and print the figures of every step.

    A cloud provider needs --max-usd and a confirmation. Exits 1 if the run was stopped by a bound
    or nothing was answered. Ctrl-C ends the run and keeps what was measured.
    """
    given = {name: value for name, value in locals().items() if name not in _NOT_OPTIONS}
    options = _read_options(given, param or [], slo or [], no_stream=no_stream)
    with opened_toolkit() as toolkit:
        config = toolkit.load_tests.configure(model, **options)
        estimate = toolkit.load_tests.estimate_config(config)
        if dry_run:
            _show_estimate(estimate, config.as_stored(), as_json=as_json)
            return
        is_local = toolkit.resolver.resolve(model)[0].is_local
        if not _may_send(estimate, is_local=is_local, yes=yes, is_quiet=as_json):
            raise typer.Exit(1)
        with _progress() as on_progress:
            run = toolkit.load_tests.run(model, on_progress=on_progress, **options)
        _show(run, html, as_json=as_json)
    _leave(run)


@app.command("list")
def list_load_tests(
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of runs.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """List load tests, newest first."""
    with opened_toolkit() as toolkit:
        rows = toolkit.load_tests.list(limit)
    kept = [{k: v for k, v in row.items() if k not in ("config", "summary")} for row in rows]
    show_rows(kept, _RUNS, as_json=as_json, empty="No load tests yet.")


@app.command("show")
def show_load_test(run: RunArgument, html: HtmlOption = None, as_json: JsonFlag = False) -> None:
    """Show the figures of a load test again."""
    with opened_toolkit() as toolkit:
        _show(toolkit.load_tests.get(run), html, as_json=as_json)


_DETAILS = ("TPOT p50", "ITL p95", "latency p99", "TTFT p95")
_NOT_OPTIONS = frozenset(
    {"model", "param", "slo", "no_stream", "dry_run", "yes", "html", "as_json"}
)


def _read_options(
    given: Mapping[str, Any], params: Sequence[str], slos: Sequence[str], *, no_stream: bool
) -> dict[str, Any]:
    """The options of `LoadTestOptions` from those of the command line."""
    from toolkit.cli.commands.chat import read_params
    from toolkit.load_test.load_config import read_objective

    options = {name: value for name, value in given.items() if value not in (None, False)}
    for key, kind in (("concurrency", int), ("rate", float)):
        if key in options:
            options[key] = _read_list(key, options[key], kind)
    if slos:
        options["objectives"] = dict(read_objective(text) for text in slos)
    if params:
        options["params"] = read_params(list(params))
    if no_stream:
        options["stream"] = False
    return options


def _read_list(name: str, text: str, kind: Callable[[str], Any]) -> list[Any]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise InvalidInput(
            f"--{name} is {text!r}", hint=f"Give a number or several, such as --{name} 1,2,4."
        ) from None


def _may_send(estimate: LoadEstimate, *, is_local: bool, yes: bool, is_quiet: bool) -> bool:
    """Show the estimate, and ask for confirmation where a cloud provider would be called."""
    if not is_quiet:
        notice(f"Estimate: {estimate.sentence()}")
    if is_local or yes:
        return True
    if not sys.stdin.isatty():
        raise InvalidInput(
            f"this load test calls a cloud provider: {estimate.sentence()}",
            hint="Confirm with --yes.",
        )
    return typer.confirm("Send them?", err=True)


def _show_estimate(estimate: LoadEstimate, config: Mapping[str, Any], *, as_json: bool) -> None:
    if not as_json:
        print(f"{estimate.sentence()} Nothing was sent.")
        return
    from dataclasses import asdict

    print_json({"estimate": asdict(estimate), "config": config})


@contextmanager
def _progress() -> Iterator[Callable[[LoadProgress], None]]:
    """One line on stderr: step, requests, failures and cost so far."""
    with status_line() as show:

        def on_progress(progress: LoadProgress) -> None:
            cost = "" if progress.cost_usd is None else f", ${progress.cost_usd:.4f}"
            failed = f", {progress.failed:,} failed" if progress.failed else ""
            show(f"{progress.step}, {progress.done:,} of {progress.total:,}{failed}{cost}")

        yield on_progress


def _show(run: LoadTestRun, html: Path | None, *, as_json: bool) -> None:
    if html is not None:
        from toolkit.files import write_atomic

        write_atomic(html, run.html().encode("utf-8"))
        notice(f"Wrote {html}.")
    if as_json:
        facts = {k: v for k, v in run.facts.items() if k not in ("config", "summary")}
        facts |= {"status": run.status, "passed": run.passed}
        print_json({**facts, "config": run.config, "summary": run.summary})
        return
    from toolkit.load_test.load_report import table_row

    rows = [table_row(step) for step in run.summary["steps"]]
    if rows:
        first, *others = rows[0]
        columns = [
            Column(first, "Step"),
            *(Column(n, n, is_number=True, is_optional=n in _DETAILS) for n in others),
        ]
        print_table(rows, columns)
    for step in run.summary["steps"]:
        for code, n in step["error_codes"].items():
            notice(f"{step['label']}: {code} {n:,}")
    for note in run.summary["notes"]:
        notice(note)
    print(f"{run.name} ({run.run_id}) {run.status}: {run}")


def _leave(run: LoadTestRun) -> None:
    stopped = run.summary["stopped_by"]
    if stopped and stopped["cause"] == "interrupted":
        raise typer.Exit(INTERRUPTED)
    if not run.passed:
        raise typer.Exit(1)
