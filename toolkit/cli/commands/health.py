"""`toolkit health`: check, watch and pause providers, and see their states and incidents."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from toolkit.catalog.parsing import require_span
from toolkit.charts.numbers import UNKNOWN, count, duration, share
from toolkit.cli.output import (
    Column,
    JsonFlag,
    console,
    json_ready,
    new_app,
    notice,
    opened_toolkit,
    plain,
    print_json,
    show_rows,
)
from toolkit.cli.views.model_views import format_when

if TYPE_CHECKING:
    from types import FrameType

    from rich.console import RenderableType

    from toolkit.toolkit import Toolkit

app: typer.Typer = new_app("Check providers, watch or pause them, and see states and incidents.")

_CHECKED = (
    Column("provider", "Provider"),
    Column("state", "State"),
    Column("status", "Check"),
    Column("latency_ms", "Latency ms"),
    Column("error_code", "Error"),
    Column("error_message", "Details"),
)
_INCIDENTS = (
    Column("provider", "Provider"),
    Column("state", "State"),
    Column("scope", "Where"),
    Column("opened_at", "Opened", format_when),
    Column("closed_at", "Ended", lambda when: "ongoing" if when is None else format_when(when)),
    Column("failures", "Failures", is_number=True),
    Column("model", "Model", lambda model: model or UNKNOWN, is_optional=True),
    Column("reason", "Reason"),
)


@app.command("check")
def check(
    name: Annotated[str | None, typer.Argument(help="Provider to check.")] = None,
    check_all: Annotated[
        bool, typer.Option("--all", help="Check all that are in use (the default).")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Request the free model listing now; exits 1 if a provider does not work."""
    from toolkit.health.service import is_bad

    with opened_toolkit() as toolkit:
        rows = toolkit.health.check(None if check_all else name)
    empty = "No provider is in use. `toolkit providers add` adds one."
    show_rows(rows, _CHECKED, as_json=as_json, empty=empty)
    if is_bad(rows):
        raise typer.Exit(1)


@app.command("status")
def status(
    by_model: Annotated[
        bool, typer.Option("--models", help="Show the state of each model called within a day.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show the states of all providers in use, worst first, with figures of your calls."""
    from toolkit.health.view import rank, read_overview

    with opened_toolkit() as toolkit:
        rows = toolkit.health.model_states() if by_model else read_overview(toolkit)
    if by_model:
        rows.sort(key=lambda row: (rank(row["state"]), row["model"]))
        cells, columns = model_cells, MODELS
        empty = "No model was called within a day."
    else:
        cells, columns = status_cells, STATUS
        empty = "No provider is in use. `toolkit providers add` adds one."
    shown = rows if as_json else [cells(row) for row in rows]
    show_rows(shown, columns, as_json=as_json, empty=empty)


@app.command("pause")
def pause(
    name: Annotated[str, typer.Argument(metavar="PROVIDER", help="Provider to pause.")],
    for_: Annotated[
        str | None, typer.Option("--for", help="Resume automatically after 30min, 2h, 7d, ...")
    ] = None,
    why: Annotated[str, typer.Option(help="Reason, shown with its state.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Stop probing a provider until it is resumed; it can still be called."""
    with opened_toolkit() as toolkit:
        for_s = None if for_ is None else require_span(for_).total_seconds()
        toolkit.health.pause(name, for_s=for_s, why=why)
        _tell_state(toolkit, name, as_json)


@app.command("resume")
def resume(
    name: Annotated[str, typer.Argument(metavar="PROVIDER", help="Provider to resume.")],
    as_json: JsonFlag = False,
) -> None:
    """Resume the probes of a paused provider."""
    with opened_toolkit() as toolkit:
        toolkit.health.resume(name)
        _tell_state(toolkit, name, as_json)


def _tell_state(toolkit: Toolkit, name: str, as_json: bool) -> None:
    """The state that a provider has now; one that is not in use has none."""
    row = next((row for row in toolkit.health.status() if row["provider"] == name), None)
    if as_json:
        print_json(row or {"provider": name, "state": None})
    elif row is None:
        notice(f"{name} is not in use, so it is not probed.")
    else:
        notice(f"{name} is {row['state'].replace('_', ' ')}: {row['reason']}.")


@app.command("incidents")
def incidents(
    days: Annotated[float, typer.Option(help="Number of days to show.")] = 30,
    as_json: JsonFlag = False,
) -> None:
    """List incidents, newest first, with duration, reason and scope."""
    with opened_toolkit() as toolkit:
        rows = toolkit.health.incidents(days)
    show_rows(rows, _INCIDENTS, as_json=as_json, empty=f"No incidents within {days:g} days.")


@app.command("watch")
def watch(
    for_s: Annotated[
        float | None, typer.Option("--for", help="Stop after this many seconds.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each change of a state.")
    ] = False,
) -> None:
    """Probe all providers in use until Ctrl-C; exits 1 if one is down at the end of --for."""

    ends_at_s = None if for_s is None else time.monotonic() + for_s
    with opened_toolkit() as toolkit:
        toolkit.health.monitor.start("watch")
        rows = watch_until(toolkit, ends_at_s, as_json=as_json)
    if for_s is not None and any(row["state"] in TROUBLE for row in rows):
        raise typer.Exit(1)


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


MARKS: Final = {
    "healthy": "●", "degraded": "◐", "down": "○", "unknown": "◌",
    "auth_error": "⚿", "rate_limited": "⏳", "paused": "⏸",
}  # fmt: skip

_STATE: Final = (
    Column("state", "State"),
    Column("reason", "Reason"),
    Column("since", "Since", lambda when: UNKNOWN if when is None else format_when(when)),
    Column("last_success_at", "Last success", format_when),
)

STATUS: Final[tuple[Column, ...]] = (
    Column("provider", "Provider"),
    *_STATE,
    Column("errors_now", "Errors 30 min", is_optional=True),
    Column("errors_day", "Errors 1 day", is_optional=True),
    Column("ttft", "TTFT p50 / p95 (n)", is_optional=True),
    Column("uptime", "Good, 90 days", is_optional=True),
    Column("left", "Requests left", is_optional=True),
)

MODELS: Final[tuple[Column, ...]] = (
    Column("model", "Model"),
    *_STATE,
    Column("failed", "Failed", is_number=True),
)


def mark(state: str) -> str:
    """A state with its symbol, as `● healthy`."""
    return f"{MARKS.get(state, '?')} {state.replace('_', ' ')}"


def model_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """One row of `HealthService.model_states` with the cells of `MODELS`."""
    failed = f"{count(row['bad'])} of {count(row['n'])}"
    return {**row, "state": mark(row["state"]), "failed": failed}


def status_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """One row of `read_overview` with the cells of `STATUS`; unknown values are dashes."""
    left, limit, n = row["requests_remaining"], row["requests_limit"], row["ttft_n"]
    quantiles = f"{duration(row['ttft_p50_ms'])} / {duration(row['ttft_p95_ms'])} ({count(n)})"
    return {
        **row,
        "state": mark(row["state"]),
        "reason": _reason(row),
        "errors_now": share(row["errors_30m"], row["n_30m"]) if row["n_30m"] else None,
        "errors_day": share(row["errors_1d"], row["n_1d"]) if row["n_1d"] else None,
        "ttft": quantiles if n else None,
        "uptime": share(row["uptime_good"], row["uptime_n"]) if row["uptime_n"] else None,
        "left": None if left is None or not limit else f"{count(left)} of {count(limit)}",
    }


def _reason(row: Mapping[str, Any]) -> str:
    """The reason, and the number of its models with problems."""
    troubled = len(row["models_in_trouble"])
    if not troubled or row["state"] in ("down", "auth_error"):
        return str(row["reason"])
    models = "1 model" if troubled == 1 else f"{count(troubled)} models"
    return f"{row['reason']}; {models} in trouble (--models)"
