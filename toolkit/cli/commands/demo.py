"""`toolkit demo`: three questions to at least two panes at once, measured and recorded.

It calls the built-in model and local servers that it finds; a cloud model only if it is named.
`--seed-history` records a small history instead, marked `source = 'demo'`: it is in no figure of
live calls, and `--remove-history` removes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from toolkit.cli.output import JsonFlag, new_app, notice, opened_toolkit, print_json
from toolkit.cli.spinner import status_line
from toolkit.cli.views.side_by_side import Slot, show_figures, watch
from toolkit.errors import CallError, InvalidInput

if TYPE_CHECKING:
    from toolkit.compare.new_board import Board
    from toolkit.toolkit import Toolkit

app: typer.Typer = new_app("Send three prompts to the built-in model, two panes at once.")

PROMPTS: Final = (
    "Name three rivers in Europe and say one thing about each.",
    "Explain to a ten-year-old what a hash table is.",
    "Write two lines about the sea at night.",
)
HISTORY_PROMPTS: Final = (
    "Name one river in Europe.",
    "What is the boiling point of water at sea level?",
    "Write a haiku about rain.",
    "Translate 'good morning' into French.",
    "List three uses of vinegar.",
    "Who wrote Faust?",
    "Explain recursion in one sentence.",
    "Give a synonym of 'quick'.",
    "What is 17 plus 25?",
    "Describe the taste of salt.",
    "Name a planet with rings.",
    "Write one sentence about autumn.",
)
HISTORY_TOPICS: Final = ("facts", "writing", "language")
HISTORY_TOKENS: Final = (8, 16, 32, 48)
MAX_TOKENS: Final = 96
MAX_PANES: Final = 8
BUILTIN: Final = "local/smollm2-135m"

# One model in two variants shows the effect of temperature and system prompt.
_SOBER: Final = {"temperature": 0.0, "seed": 1, "system": "Answer in one plain sentence."}
_LIVELY: Final = {"temperature": 1.0, "seed": 1, "system": "You are a cheerful storyteller."}


@app.command()
def demo(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Also call this provider/model_id; may cost money."),
    ] = None,
    builtin: Annotated[
        bool, typer.Option("--builtin/--no-builtin", help="The built-in model.")
    ] = True,
    discover: Annotated[
        bool, typer.Option("--discover/--no-discover", help="Find local servers.")
    ] = True,
    seed_history: Annotated[
        bool,
        typer.Option("--seed-history", help="Record a small history in an empty home instead."),
    ] = False,
    remove_history: Annotated[
        bool, typer.Option("--remove-history", help="Remove that history again.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Send three prompts, stream the answers side by side, and show the measurements."""
    if seed_history or remove_history:
        _change_history(model or [], builtin=builtin, is_removal=remove_history, as_json=as_json)
        return
    with opened_toolkit() as toolkit:
        try:
            seats = _take_seats(toolkit, model or [], builtin=builtin, discover=discover)
            boards = [_ask(toolkit, prompt, seats, is_quiet=as_json) for prompt in PROMPTS]
            failed = _report(toolkit, boards, seats, as_json=as_json)
        finally:
            if toolkit.local.was_started_here and not toolkit.local.is_busy():
                toolkit.local.stop()
    if failed:
        raise typer.Exit(1)


def _change_history(
    named: Sequence[str], *, builtin: bool, is_removal: bool, as_json: bool
) -> None:
    """Record the history of the demo, or remove it."""
    from toolkit.store.queries.calls import count_calls

    with opened_toolkit() as toolkit:
        if is_removal:
            removed = toolkit.store.remove_demo()
            _tell_history({"removed": removed}, f"{removed} calls removed.", as_json=as_json)
            return
        kept = count_calls(toolkit.store)
        if kept:
            raise InvalidInput(
                f"the home folder is not empty: it holds {kept:,} calls",
                hint="Remove an earlier demo with `toolkit demo --remove-history`, or set "
                "TOOLKIT_HOME to another folder.",
            )
        try:
            counts = _record_history(toolkit, [*([BUILTIN] if builtin else []), *named])
        finally:
            if toolkit.local.was_started_here and not toolkit.local.is_busy():
                toolkit.local.stop()
    message = f"{counts['calls']} calls recorded, {counts['failed']} of them failed."
    message += " Look at them with `toolkit calls list`, or tk.calls(\"source = 'demo'\")."
    _tell_history(counts, message, as_json=as_json)


def _record_history(toolkit: Toolkit, models: Sequence[str]) -> dict[str, int]:
    """Call each model with every prompt of the history; nothing is made up."""
    from toolkit.calls.attempt_spec import marked_source
    from toolkit.local.autostart import ensure_local

    if not models:
        raise InvalidInput("no model is called", hint="Name one with -m provider/model.")
    work = [(model, i, prompt) for model in models for i, prompt in enumerate(HISTORY_PROMPTS)]
    failed = 0
    with marked_source("demo"), status_line() as progress:
        if BUILTIN in models:
            ensure_local(toolkit, progress)
        for number, (model, index, prompt) in enumerate(work, start=1):
            progress(f"Call {number} of {len(work)}")
            failed += not _call_once(toolkit, model, prompt, index)
    return {"calls": len(work), "failed": failed}


def _call_once(toolkit: Toolkit, model: str, prompt: str, index: int) -> bool:
    """Make one call of the history; every second one streams. Whether it was answered."""
    topic = {"topic": HISTORY_TOPICS[index % len(HISTORY_TOPICS)]}
    length = HISTORY_TOKENS[index % len(HISTORY_TOKENS)]
    try:
        if index % 2:
            toolkit.complete(
                model, prompt, max_tokens=length, temperature=0.7, seed=index,
                origin="demo", tags=topic,
            )  # fmt: skip
        else:
            with toolkit.stream(
                model, prompt, max_tokens=length, temperature=0.7, seed=index,
                origin="demo", tags=topic,
            ) as stream:  # fmt: skip
                for _ in stream:
                    pass
    except CallError:
        return False
    return True


def _tell_history(facts: Mapping[str, int], message: str, *, as_json: bool) -> None:
    if as_json:
        print_json(facts)
    else:
        print(message, flush=True)


def _take_seats(
    toolkit: Toolkit, named: Sequence[str], *, builtin: bool, discover: bool
) -> list[Slot]:
    """The models to call: the built-in one, local servers, and those that were named."""
    from toolkit.local.autostart import ensure_local

    with status_line() as progress:
        if builtin:
            ensure_local(toolkit, progress)
        found = _find_servers(toolkit, progress) if discover else []
    others = [
        *(Slot(model=m, label=m, options={}) for m in named),
        *(Slot(model=m, label=m, options={}, is_asked_for=False) for m in found),
    ]
    sober = Slot(model=BUILTIN, label="built-in, temperature 0", options=_SOBER)
    lively = Slot(model=BUILTIN, label="built-in, temperature 1", options=_LIVELY)
    seats = [*([sober] if builtin else []), *others]
    if builtin and len(seats) < 2:
        seats.append(lively)
    if len(seats) < 2:
        raise InvalidInput(
            "a comparison needs at least two panes",
            hint="Add models with -m provider/model, or leave out --no-builtin.",
        )
    return seats[:MAX_PANES]


def _ask(toolkit: Toolkit, prompt: str, seats: Sequence[Slot], *, is_quiet: bool) -> Board:
    from toolkit.compare.new_board import start_board

    panes = [{"max_tokens": MAX_TOKENS, **seat.options} for seat in seats]
    if not is_quiet:
        print(f"\n> {prompt}", flush=True)
    running = start_board(toolkit, prompt, [seat.model for seat in seats], {"panes": panes})
    return running.wait() if is_quiet else watch(running, seats)


def _report(
    toolkit: Toolkit, boards: Sequence[Board], seats: Sequence[Slot], *, as_json: bool
) -> bool:
    """Show the recorded results; return whether a requested answer is missing."""
    from toolkit.store.queries.boards import count_rows, pane_figures

    ids = [board.board_id for board in boards]
    toolkit.store.ingest()
    figures = pane_figures(toolkit.store, ids)
    rows = count_rows(toolkit.store, ids)
    path = toolkit.settings.store_path
    if as_json:
        print_json({"panes": figures, "boards": ids, "store": str(path), "rows": rows})
    else:
        print()
        show_figures(figures, seats, title=f"{len(boards)} questions, as recorded")
        recorded = ", ".join(f"{n} {name}" for name, n in rows.items())
        print(f"Recorded in {path}: {recorded}.", flush=True)
        notice("Inspect them with `toolkit calls list`, or `toolkit app`.")
    answered = {row["position"]: row["answers"] for row in figures}
    return any(
        seat.is_asked_for and answered.get(position, 0) < len(boards)
        for position, seat in enumerate(seats)
    )


def _find_servers(toolkit: Toolkit, progress: Callable[[str], None]) -> list[str]:
    """One model of each local server that answers on its default port; the server is registered."""
    from toolkit.providers.discovery import find_local_servers

    progress("Looking for local servers")
    servers = toolkit.portal.run(find_local_servers())
    if not servers:
        return []
    toolkit.providers.discover()
    usable = {provider.name for provider in toolkit.providers.list() if provider.is_active}
    models = ((s.name, [m for m in s.models if "embed" not in m.lower()]) for s in servers)
    return [f"{name}/{chat[0]}" for name, chat in models if chat and name in usable]
