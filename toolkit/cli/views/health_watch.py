"""`toolkit health watch`: the monitor with a live table, or with lines without a terminal."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from toolkit.cli.output import console, json_ready, plain
from toolkit.cli.views.health_table import MARKS

if TYPE_CHECKING:
    from types import FrameType

    from rich.console import RenderableType

    from toolkit.toolkit import Toolkit

LOOK_EVERY_S: Final = 2.0
TROUBLE: Final = frozenset({"down", "auth_error"})

Row = Mapping[str, Any]


def watch_until(toolkit: Toolkit, ends_at_s: float | None, *, as_json: bool) -> list[Row]:
    """Show states until interrupted or until the deadline on the monotonic clock.

    Returns:
        The last states.
    """
    show = _live if sys.stdout.isatty() and not as_json else _lines
    last: list[Row] = []
    with _sigterm_as_interrupt(), _log_lines():
        try:
            for rows in show(_looks(toolkit, ends_at_s), as_json=as_json):
                last = rows
        except KeyboardInterrupt:
            return last
    return last


def _looks(
    toolkit: Toolkit, ends_at_s: float | None
) -> Iterator[tuple[list[Row], Mapping[str, Any]]]:
    while True:
        yield list(toolkit.health.status()), toolkit.health.monitor_status()
        left_s = LOOK_EVERY_S if ends_at_s is None else ends_at_s - time.monotonic()
        if left_s <= 0:
            return
        time.sleep(min(left_s, LOOK_EVERY_S))


def _lines(
    looks: Iterator[tuple[list[Row], Mapping[str, Any]]], *, as_json: bool
) -> Iterator[list[Row]]:
    """Print a line for each change of a state or of the monitor."""
    import json

    before: dict[str, str] = {}
    running = ""
    for rows, monitor in looks:
        if monitor["running"] != running and not as_json:
            running = monitor["running"]
            _say(_who_probes(monitor))
        for row in rows:
            name, state = row["provider"], row["state"]
            if before.get(name) == state:
                continue
            if as_json:
                print(json.dumps(json_ready(dict(row))), flush=True)
            else:
                was = f"{before[name]} -> " if name in before else ""
                _say(f"{name}: {was}{state} ({row['reason']})")
            before[name] = state
        yield rows


def _live(
    looks: Iterator[tuple[list[Row], Mapping[str, Any]]], *, as_json: bool
) -> Iterator[list[Row]]:
    from rich.live import Live

    with Live(console=console(), auto_refresh=False) as live:
        for rows, monitor in looks:
            live.update(_table(rows, monitor), refresh=True)
            yield rows


def _table(rows: Sequence[Row], monitor: Mapping[str, Any]) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=_who_probes(monitor))
    table.caption_justify = "left"
    for title in ("Provider", "State", "Reason", "Next probe"):
        table.add_column(title, overflow="fold")
    for row in rows:
        state = row["state"]
        words = f"{MARKS.get(state, '?')} {state.replace('_', ' ')}"
        due = _in_words(monitor["next_at"].get(row["provider"]))
        table.add_row(*(Text(plain(cell)) for cell in (row["provider"], words, row["reason"], due)))
    return table


def _in_words(due: datetime | None) -> str:
    if due is None:
        return ""
    seconds = (due - datetime.now(UTC)).total_seconds()
    return "now" if seconds < 1 else f"in {seconds:.0f} s"


def _who_probes(monitor: Mapping[str, Any]) -> str:
    if monitor["running"] == "nowhere":
        return "no probes are running yet"
    offline = "; this machine is offline" if monitor["is_offline"] else ""
    if monitor["running"] == "here":
        return f"probing every {monitor['interval_s']:g} s; Ctrl-C stops{offline}"
    who = f"{monitor['what']} (process {monitor['pid']} on {monitor['host']})"
    return f"{who} is probing; this process takes over when it stops{offline}"


def _say(line: str) -> None:
    print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {plain(line)}", flush=True)


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Handle SIGTERM like Ctrl-C."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _log_lines() -> Iterator[None]:
    """Print log messages of the monitor (incidents and errors) to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ"))
    handler.formatter.converter = time.gmtime  # type: ignore[union-attr]
    log = logging.getLogger("toolkit.health")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
