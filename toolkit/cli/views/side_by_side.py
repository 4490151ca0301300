"""Panes that stream side by side in a terminal, or as prefixed lines where there is none.

Afterwards the figures come from the store, not from what was seen here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from toolkit.charts.numbers import UNPRICED, count, duration, duration_unit, money, rate
from toolkit.cli.output import Column, console, plain, print_table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from toolkit.compare.new_board import Board, RunningBoard
    from toolkit.compare.pane import Pane

# Drawing takes the interpreter from the loop that stamps the streams: eight times a second will do.
_LOOK_EVERY_S: Final = 0.12
_PANE_MIN_WIDTH: Final = 36
_STATE_STYLE: Final = {"done": "green", "failed": "red", "stopped": "yellow", "streaming": "cyan"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One pane of every board of a demo.

    Attributes:
        model: `provider/model_id`.
        label: what distinguishes it from the others.
        options: this pane's own options (`temperature`, `system`, ...).
        is_asked_for: the user named this model; one that was only discovered may fail.
    """

    model: str
    label: str
    options: Mapping[str, Any]
    is_asked_for: bool = True


def watch(running: RunningBoard, seats: Sequence[Slot]) -> Board:
    """Show a board while it streams, until every pane is over.

    Ctrl-C stops the panes; their calls are recorded as cancelled.
    """
    out = console()
    try:
        if out.is_terminal:
            _watch_live(running, seats, out)
        else:
            _watch_lines(running, seats)
    except KeyboardInterrupt:
        running.stop()
        running.wait()
        raise
    return running.wait()


def _watch_live(running: RunningBoard, seats: Sequence[Slot], out: Console) -> None:
    from rich.live import Live

    # Live cuts what does not fit the screen, so while it streams a pane shows its last lines.
    height = max(4, out.height - 4)
    with Live(console=out, transient=True, auto_refresh=False) as live:
        while not running.is_over:
            live.update(_columns(running.panes, seats, out, height), refresh=True)
            time.sleep(_LOOK_EVERY_S)
    out.print(_columns(running.panes, seats, out, None))


def _columns(
    panes: Sequence[Pane], seats: Sequence[Slot], out: Console, height: int | None
) -> RenderableType:
    from rich.table import Table

    across = max(1, min(len(panes), out.width // _PANE_MIN_WIDTH))
    rows = -(-len(panes) // across)
    each = None if height is None else max(3, height // rows - 4)
    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in range(across):
        grid.add_column(ratio=1)
    cells = [
        _panel(pane, seat.label, out, out.width // across - 6, each)
        for pane, seat in zip(panes, seats, strict=True)
    ]
    for begin in range(0, len(cells), across):
        grid.add_row(*cells[begin : begin + across])
    return grid


def _panel(pane: Pane, label: str, out: Console, width: int, height: int | None) -> RenderableType:
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    from toolkit.compare.board_view import pane_footer, state_mark

    text = Text(_body(pane))
    if height is not None:
        text = Text("\n").join(text.wrap(out, width)[-height:])
    style = _STATE_STYLE.get(pane.state, "dim")
    title = Text.assemble(plain(label), "  ", (state_mark(pane), style))
    footer = Text(pane_footer(pane), style="dim")
    return Panel(Group(text, footer), title=title, title_align="left")


def _body(pane: Pane) -> str:
    """Reasoning, answer and failure, in the order they came: what was shown is only added to."""
    words = [pane.reasoning, pane.text]
    if pane.error is not None:
        words += [f"{pane.error.code}: {pane.error.message}"]
        words += [pane.error.provider_message or "", pane.error.hint]
    return plain("\n".join(word for word in words if word))


def _watch_lines(running: RunningBoard, seats: Sequence[Slot]) -> None:
    """Each pane's lines as they are finished, with the pane's number before them."""
    from toolkit.compare.board_view import pane_footer, state_mark

    printed = [0] * len(seats)
    closed: set[int] = set()
    while len(closed) < len(seats):
        for index, pane in enumerate(running.panes):
            text = _body(pane)
            for line in _whole_lines(text, printed[index], is_over=pane.is_over):
                printed[index] += len(line)
                if line.strip():
                    print(f"[{index + 1}] {line.rstrip()}", flush=True)
            if pane.is_over and index not in closed:
                closed.add(index)
                end = f"{state_mark(pane)} · {pane_footer(pane)}"
                print(f"[{index + 1}] {plain(seats[index].label)} · {end}", flush=True)
        time.sleep(_LOOK_EVERY_S)


def _whole_lines(text: str, begin: int, *, is_over: bool, width: int = 96) -> list[str]:
    """The lines from `begin` that are finished: by a line break, by their length, by the end."""
    lines = []
    while begin < len(text):
        stop = text.find("\n", begin, begin + width) + 1
        if not stop and begin + width < len(text):
            stop = text.rfind(" ", begin, begin + width) + 1 or begin + width
        if not stop:
            if not is_over:
                break
            stop = len(text)
        lines.append(text[begin:stop])
        begin = stop
    return lines


def show_figures(
    rows: Sequence[Mapping[str, Any]], seats: Sequence[Slot], *, title: str | None = None
) -> None:
    """The table at the end: one row per pane, from `boards.pane_figures`."""
    shown = [{**row, "label": seats[row["position"]].label, "cost": _cost(row)} for row in rows]
    columns = [
        Column("label", "Pane"),
        Column("answers", "Answers", count, is_number=True),
        _durations("ttft_p50_ms", "TTFT p50", rows),
        _durations("tpot_p50_ms", "TPOT p50", rows),
        Column("output_tps_p50", "Speed p50", rate, is_number=True),
        Column("input_tokens", "Tok in", count, is_number=True, is_optional=True),
        Column("output_tokens", "Tok out", count, is_number=True),
        Column("cost", "Cost", is_number=True),
        Column("errors", "Errors", count, is_number=True),
    ]
    if any(row["stopped"] for row in rows):
        columns.append(Column("stopped", "Stopped", count, is_number=True))
    print_table(shown, columns, title=title)


def _durations(key: str, title: str, rows: Sequence[Mapping[str, Any]]) -> Column:
    unit = duration_unit([row[key] for row in rows])
    return Column(key, title, lambda ms: duration(ms, unit), is_number=True)


def _cost(row: Mapping[str, Any]) -> str:
    if row["cost_usd"] is None:
        return UNPRICED
    unpriced = f" + {row['unpriced']} {UNPRICED}" if row["unpriced"] else ""
    return money(row["cost_usd"]) + unpriced
