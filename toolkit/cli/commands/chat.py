"""`toolkit chat`: ask one model and read its answer as it comes, or several side by side."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from toolkit.cli.output import JsonFlag, new_app, notice, opened_toolkit, plain, print_json
from toolkit.cli.spinner import status_line
from toolkit.errors import CallError, InvalidInput

if TYPE_CHECKING:
    from toolkit.records import Reply
    from toolkit.toolkit import Toolkit

app = new_app("Ask one model, or several side by side.")

# Names of our own that are no parameters of a model; a key in a shell history is no good idea.
_NOT_PARAMS: Final = frozenset(
    {"api_key", "blind", "fallbacks", "origin", "origin_id", "panes", "system", "tags", "timeout_s"}
)


@app.command()
def chat(
    prompt: Annotated[str, typer.Argument(help='What to ask; "-" reads it from stdin.')],
    model: Annotated[
        list[str], typer.Option("--model", "-m", help="provider/model_id; once for each pane.")
    ],
    system: Annotated[str | None, typer.Option(help="The system prompt.")] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="K=V", help="A parameter, for example temperature=0.2."),
    ] = None,
    stream: Annotated[bool, typer.Option("--stream/--no-stream", help="As it comes.")] = True,
    as_json: JsonFlag = False,
) -> None:
    """Ask one model and read its answer as it comes, or several side by side."""
    text = sys.stdin.read() if prompt == "-" else prompt
    options = read_params(param or [])
    if system:
        options["system"] = system
    with opened_toolkit() as toolkit:
        _start_local(toolkit, model)
        if len(model) > 1:
            _chat_side_by_side(toolkit, text, model, options, as_json=as_json)
        else:
            _chat_alone(toolkit, text, model[0], options, stream=stream, as_json=as_json)


def _start_local(toolkit: Toolkit, models: list[str]) -> None:
    """Start the built-in model's server if it is asked and does not run yet."""
    from toolkit.local.autostart import IDLE_TIMEOUT_S, LOCAL, ensure_local

    asked = next((m for m in models if m.startswith(f"{LOCAL}/")), None)
    if asked is None:
        return
    with status_line() as progress:
        ensure_local(toolkit, progress, model=asked.partition("/")[2])
    if toolkit.local.was_started_here:
        notice(f"The local server ends by itself after {IDLE_TIMEOUT_S / 60:g} idle minutes.")


def read_params(pairs: list[str]) -> dict[str, Any]:
    """`["temperature=0.2", "stop=END"]` as a mapping; values are JSON where they are, else text.

    Raises:
        InvalidInput: a pair has no `=`, or names what is no parameter of a model.
    """
    params: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidInput(f"{pair!r} is no K=V", hint="Write --param temperature=0.2.")
        if name in _NOT_PARAMS:
            raise InvalidInput(f"{name!r} is no parameter of a model")
        try:
            params[name] = json.loads(value)
        except ValueError:
            params[name] = value
    return params


def _chat_alone(
    toolkit: Toolkit,
    text: str,
    model: str,
    options: dict[str, Any],
    *,
    stream: bool,
    as_json: bool,
) -> None:
    if stream:
        reply = _read_stream(toolkit, text, model, options, is_quiet=as_json)
    else:
        reply = toolkit.complete(model, text, origin="chat", **options)
        if not as_json:
            print(_shown(reply.text))
    if as_json:
        print_json(reply_facts(reply))
    else:
        notice(_footer(reply))


def _read_stream(
    toolkit: Toolkit, text: str, model: str, options: dict[str, Any], *, is_quiet: bool
) -> Reply:
    with toolkit.stream(model, text, origin="chat", **options) as pieces:
        try:
            for delta in pieces.deltas():
                if is_quiet:
                    continue
                if delta.kind == "text":
                    print(_shown(delta.text), end="", flush=True)
                elif delta.kind == "reasoning" and sys.stderr.isatty():
                    print(f"\x1b[2m{plain(delta.text)}\x1b[0m", end="", file=sys.stderr, flush=True)
        except CallError:
            _end_line(is_quiet=is_quiet)
            raise
        _end_line(is_quiet=is_quiet)
        return pieces.reply


def _end_line(*, is_quiet: bool) -> None:
    if not is_quiet:
        print(flush=True)


def _shown(text: str) -> str:
    """A terminal would obey control characters; a pipe gets what the model wrote."""
    return plain(text) if sys.stdout.isatty() else text


def _footer(reply: Reply) -> str:
    from toolkit.charts.numbers import duration, money, rate, tokens

    is_estimate = reply.usage.source == "estimated"
    parts = [
        reply.model,
        f"TTFT {duration(reply.timing.ttft_ms)}" if reply.timing.ttft_ms is not None else "",
        rate(reply.timing.output_tps) if reply.timing.output_tps is not None else "",
        tokens(reply.usage.output_tokens, is_estimate=is_estimate),
        money(reply.cost_usd),
        reply.finish_reason or "no finish reason",
        f"call {reply.call_id}",
        *reply.flags,
        *reply.notes,
    ]
    return " · ".join(part for part in parts if part)


def reply_facts(reply: Reply) -> dict[str, Any]:
    """A reply as JSON-ready values; measurements under the names of the table `calls`."""
    whole = asdict(reply)
    attempts = [attempt.as_row() for attempt in reply.attempts]
    return {**whole, "cost_usd": reply.cost_usd, "attempts": attempts}


def _chat_side_by_side(
    toolkit: Toolkit, text: str, models: list[str], options: dict[str, Any], *, as_json: bool
) -> None:
    from toolkit.cli.views.call_queries import pane_figures
    from toolkit.cli.views.side_by_side import Slot, show_figures, watch
    from toolkit.compare.board import start_board

    running = start_board(toolkit, text, models, options)
    seats = [Slot(model=m, label=f"{i}. {m}", options={}) for i, m in enumerate(models, 1)]
    if as_json:
        board = running.wait()
        panes = [
            {**row, "text": pane.text, "error": pane.error.as_dict() if pane.error else None}
            for row, pane in zip(
                pane_figures(toolkit.store, [board.board_id]), board.panes, strict=True
            )
        ]
        print_json({"board_id": board.board_id, "panes": panes})
    else:
        board = watch(running, seats)
        show_figures(pane_figures(toolkit.store, [board.board_id]), seats)
    if any(pane.state == "failed" for pane in board.panes):
        raise typer.Exit(1)
