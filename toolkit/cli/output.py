"""What commands print: JSON or a table on stdout, notices and failures on stderr.

The pattern of a command module:

    app = new_app("Look at recorded calls.")

    @app.command("list")
    def list_calls(as_json: JsonFlag = False) -> None:
        '''List calls, newest first.'''
        with opened_toolkit() as toolkit:
            rows = list_calls_rows(toolkit.store)
        show_rows(rows, (Column("model", "Model"), ...), as_json=as_json, empty="No calls yet.")
"""

from __future__ import annotations

import json
import math
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from toolkit.charts.numbers import UNKNOWN
from toolkit.display import show_direction
from toolkit.errors import InvalidInput, ToolkitError

if TYPE_CHECKING:
    from rich.console import Console

    from toolkit.toolkit import Toolkit

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON only.")]
RawCells = Annotated[
    bool,
    typer.Option(
        "--raw-cells", help="In CSV, leave cells that a spreadsheet runs as formulas unescaped."
    ),
]

_PIPE_WIDTH = 160
_COLUMN_GAP = 3
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def new_app(help_text: str) -> typer.Typer:
    """Make a `typer.Typer` with our defaults; each command module has one named `app`."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


@contextmanager
def opened_toolkit() -> Iterator[Toolkit]:
    """The toolkit of the current home folder; it is closed at the end.

    Raises:
        InvalidInput: a setting in the environment or in `settings.toml` is not valid.
    """
    from toolkit.toolkit import current

    try:
        toolkit = current()
    except ValueError as error:
        raise InvalidInput(
            f"invalid settings: {_what_is_wrong(error)}",
            hint="Fix the TOOLKIT_* variable or the entry in settings.toml.",
        ) from None
    try:
        yield toolkit
    finally:
        toolkit.close()


def _what_is_wrong(error: ValueError) -> str:
    """Names and reasons; never the value, which may hold a password."""
    entries = getattr(error, "errors", None)
    if not callable(entries):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in entries())


def console(*, stderr: bool = False) -> Console:
    """Make a Rich console; without a terminal it is wide enough for all tables."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def notice(text: str) -> None:
    """Print a notice on stderr, so that stdout holds only the result."""
    print(plain(text), file=sys.stderr, flush=True)


def plain(text: str) -> str:
    """Remove control characters, which a terminal would interpret, and show those of direction."""
    return show_direction(_CONTROL.sub("", text))


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        key: key of the row.
        title: heading, with the unit where the cells have none.
        show: value to text; a missing value becomes a dash where it has no text for None.
        is_number: right-aligned.
        is_optional: left out, the last one first, where the terminal is too narrow for all.
    """

    key: str
    title: str
    show: Callable[[Any], str] = str
    is_number: bool = False
    is_optional: bool = False


def show_rows(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    *,
    as_json: bool,
    title: str | None = None,
    empty: str = "Nothing to show.",
) -> None:
    """Print rows as a JSON list of objects (all keys) or as a table of `columns`."""
    if as_json:
        print_json([dict(row) for row in rows])
    elif not rows:
        notice(empty)
    else:
        print_table(rows, columns, title=title)


def show_facts(facts: Mapping[str, Any], *, as_json: bool, title: str | None = None) -> None:
    """Print one object as JSON, or as two columns: name and value."""
    if as_json:
        print_json(dict(facts))
        return
    rows = [{"name": name.replace("_", " "), "value": _flat(v)} for name, v in facts.items()]
    print_table(rows, (Column("name", ""), Column("value", "")), title=title)


def _flat(value: Any) -> Any:
    """A mapping within facts as one cell; what is nil in it goes without saying."""
    if not isinstance(value, Mapping):
        return value
    return ", ".join(f"{name} {item}" for name, item in value.items() if item) or None


def print_table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], *, title: str | None = None
) -> None:
    """Print a Rich table: numbers right-aligned, unknown values as a dash, nothing interpreted."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    out = console()
    columns = _that_fit(rows, columns, out.width)
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.show_header = any(column.title for column in columns)
    for column in columns:
        side: Literal["left", "right"] = "right" if column.is_number else "left"
        table.add_column(column.title, justify=side, no_wrap=column.is_number, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(column, row.get(column.key))) for column in columns))
    out.print(table)


def _that_fit(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], width: int
) -> list[Column]:
    """The columns without those optional ones that would squeeze the others."""

    def wanted(column: Column) -> int:
        cells = (_cell(column, row.get(column.key)) for row in rows)
        return max(len(column.title), *map(len, cells)) + _COLUMN_GAP

    kept = list(columns)
    for column in reversed([column for column in columns if column.is_optional]):
        if sum(map(wanted, kept)) <= width:
            break
        kept.remove(column)
    return kept


def _cell(column: Column, value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return UNKNOWN if column.show is str else plain(_show_missing(column))
    return plain(column.show(value))


def _show_missing(column: Column) -> str:
    """What a column shows for a missing value: its own text for None, else a dash.

    Most formatters expect a number. One that is given None must never end a command whose
    work is done in a traceback.
    """
    try:
        return column.show(None)
    except (TypeError, ValueError, AttributeError, ArithmeticError):
        return UNKNOWN


def print_json(value: Any) -> None:
    """Print one JSON document, and nothing else, to stdout."""
    text = json.dumps(json_ready(value), indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json_ready(value), indent=2, allow_nan=False)
    print(text, flush=True)


def json_ready(value: Any) -> Any:
    """The value in JSON's own types; what is unknown or not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_ready(item) for item in value]
    native = getattr(value, "tolist", None)  # numpy's numbers and arrays
    return json_ready(native()) if callable(native) else _json_scalar(value)


def _json_scalar(value: Any) -> str | int | float | bool | None:
    if isinstance(value, Decimal):
        value = float(value) if value.is_finite() else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        utc = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return utc.isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, date) else str(value)


def show_wait(seconds: float) -> str:
    """How long to wait, as precise as a person needs it: `1.5 s`, `12 min`, `10 h 45 min`."""
    if seconds < 120:
        return f"{math.ceil(seconds) if seconds >= 10 else max(round(seconds, 1), 0.1):g} s"
    minutes = math.ceil(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def print_failure(error: ToolkitError, *, as_json: bool) -> None:
    """Print what failed, at which provider, and what to do: on stderr, or as JSON on stdout."""
    if as_json:
        print_json({"error": error.as_dict()})
        return
    where = error.model or error.provider
    lines = [f"{error.code}{f' [{where}]' if where else ''}: {error.message}"]
    if error.provider_message:
        lines.append(f"  Provider message: {error.provider_message}")
    if error.retry_after is not None:
        lines.append(f"  Try again in {show_wait(error.retry_after)}.")
    if error.hint:
        lines.append(f"  {error.hint}")
    for line in lines:
        notice(line)
