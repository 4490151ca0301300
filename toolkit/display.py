"""How results and errors are shown in a notebook: cards as HTML, Markdown and text.

What models, providers and datasets say is data, never markup: in HTML it is escaped, in Markdown it
is fenced, and no card holds a script, a link or an image.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, Protocol

Cell = str | int | float | bool | Decimal | None
Row = Mapping[str, Cell]

TEXT_CHARS: Final = 4_000
"""Longer texts are cut on a card; the object has the whole text."""
LINE_CHARS: Final = 500
"""The same for a heading, a value, a cell of a table, or a note."""
TABLE_ROWS: Final = 60
NO_FORMULAS: Final = "tex2jax_ignore mathjax_ignore"
"""Classes that keep MathJax from reading the text between two dollar signs as a formula."""
_LEAST_USD: Final = Decimal("0.000001")

_CONTROL: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_DIRECTION: Final = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_redactors: list[Callable[[str], str]] = []
_PACKAGE: Final = str(Path(__file__).parent) + os.sep
_SHELL_PACKAGES: Final = tuple(f"{os.sep}{name}{os.sep}" for name in ("IPython", "ipykernel"))
_BAR_COLORS: Final = ("#8a8f98", "#b58900", "#268bd2", "#2aa198", "#859900")


def show_direction(text: str) -> str:
    """The text with the characters that change the direction of others written as `\\u202e`."""
    if text.isascii():
        return text
    return _DIRECTION.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def redact_cards(redact: Callable[[str], str]) -> None:
    """Pass every text of every card through a function, which removes the secrets in use."""
    _redactors[:] = [redact]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is shown of one object.

    Attributes:
        title: the heading.
        text: a longer text, an answer for example.
        facts: names and values, shown where the value is known.
        phases: names and durations in milliseconds, drawn as one bar.
        rows: a table; its columns are the keys of the first row.
        notes: remarks, one line each.
    """

    title: str
    text: str = ""
    facts: Row = field(default_factory=dict)
    phases: Mapping[str, float] = field(default_factory=dict)
    rows: Sequence[Row] = ()
    notes: Sequence[str] = ()

    def html(self) -> str:
        """The card as inert HTML: every text is escaped."""
        parts = [f"<div><b>{_html(_one_line(self.title))}</b></div>"]
        if self.text:
            parts.append(
                f"<div style='white-space:pre-wrap;margin:.4rem 0'>{inert_html(self.text)}</div>"
            )
        if shown := _known(self.facts):
            facts = " · ".join(f"{_html(name)} {_html(value)}" for name, value in shown.items())
            parts.append(f"<div style='font-variant-numeric:tabular-nums'>{facts}</div>")
        if self.phases:
            parts.append(_bar_html(self.phases))
        if self.rows:
            parts.append(_table_html(self.rows))
        parts += [f"<div style='opacity:.75'>{_html(_one_line(note))}</div>" for note in self.notes]
        return f"<div class='{NO_FORMULAS}'>{''.join(parts)}</div>"

    def markdown(self) -> str:
        """The card as Markdown; texts and tables are fenced, so that nothing in them is markup."""
        return _fenced(self.plain())

    def plain(self) -> str:
        """The card as plain text."""
        lines = [_one_line(self.title)]
        if self.text:
            lines += [shown_text(self.text)]
        if shown := _known(self.facts):
            lines.append(" · ".join(f"{name} {value}" for name, value in shown.items()))
        if self.phases:
            lines.append(" → ".join(f"{name} {ms:,.0f} ms" for name, ms in self.phases.items()))
        if self.rows:
            lines += _table_lines(self.rows)
        lines += [_one_line(note) for note in self.notes]
        return "\n".join(lines)


class Shown:
    """Gives a class its notebook views; the class says what is on its card."""

    __slots__ = ()

    def _card(self) -> Card:
        """What is shown of this object in a notebook."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return self._card().html()

    def _repr_markdown_(self) -> str:
        return self._card().markdown()

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        # IPython prefers the `__repr__` of a data class to a `_repr_pretty_` that it inherits.
        return {
            "text/plain": self._card().plain(),
            "text/markdown": self._repr_markdown_(),
            "text/html": self._repr_html_(),
        }


class ErrorView:
    """The traceback of an expected error in a notebook: the user's own lines and the message.

    The frames inside the package say nothing to its users, and there may be more than a hundred.
    `%tb` shows all of them afterwards.

    Attributes:
        full_tracebacks: set it to True on `ToolkitError` to see all frames at once.
    """

    full_tracebacks: ClassVar[bool] = False
    _was_shown: bool = False

    def _render_traceback_(self) -> list[str]:
        assert isinstance(self, BaseException)
        if self._was_shown or self.full_tracebacks:
            return "".join(traceback.format_exception(self)).splitlines()
        self._was_shown = True
        places = traceback.format_tb(_own_frames(self.__traceback__))
        return [*"".join(places).splitlines(), str(self), "(The whole traceback: %tb)"]


def _own_frames(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback between the notebook's machinery and the package."""
    kept: list[TracebackType] = []
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name.startswith(_PACKAGE):
            break
        if not any(part in name for part in _SHELL_PACKAGES):
            kept.append(trace)
        trace = trace.tb_next
    own: TracebackType | None = None
    for item in reversed(kept):
        own = TracebackType(own, item.tb_frame, item.tb_lasti, item.tb_lineno)
    return own


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    return "ipykernel" in sys.modules and "IPython" in sys.modules


def money(usd: Decimal | float | None) -> str | None:
    """An amount in USD with its unit, or None; a tiny one is not shown as nothing."""
    if usd is None:
        return None
    if 0 < usd < _LEAST_USD:
        return f"<${_LEAST_USD}"
    return f"${usd:.6f}".rstrip("0").rstrip(".")


def milliseconds(value: float | None) -> str | None:
    """A duration with its unit, or None."""
    return None if value is None else f"{value:,.0f} ms"


def _known(facts: Row) -> dict[str, str]:
    return {name: _show(value) for name, value in facts.items() if value is not None}


def _show(value: Cell) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else _one_line(str(value))


def _clean(text: str) -> str:
    """Text without secrets, the characters that recolor, erase or reorder it, and half ones."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", _redacted(text))


def _redacted(text: str) -> str:
    for redact in _redactors:
        text = redact(text)
    return text


def _one_line(text: str) -> str:
    return _clean(_cut(" ".join(text.split()), LINE_CHARS))


def shown_text(text: str, chars: int = TEXT_CHARS) -> str:
    """A longer text as cards show it: cut, without secrets and control characters."""
    return _clean(_cut(text, chars))


def inert_html(text: str) -> str:
    """The same as HTML in which nothing is markup."""
    return escape(shown_text(text))


def _cut(text: str, chars: int) -> str:
    text = _redacted(text)  # while a secret is whole
    return text if len(text) <= chars else text[:chars] + " …"


def _html(text: str) -> str:
    return escape(_clean(text))


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _bar_html(phases: Mapping[str, float]) -> str:
    total = sum(phases.values()) or 1.0
    blocks, names = [], []
    for i, (name, ms) in enumerate(phases.items()):
        color = _BAR_COLORS[i % len(_BAR_COLORS)]
        blocks.append(f"<div style='width:{100 * ms / total:.2f}%;background:{color}'></div>")
        names.append(f"<span style='color:{color}'>■</span> {_html(name)} {ms:,.0f} ms")
    return (
        f"<div style='display:flex;height:.5rem;margin:.3rem 0'>{''.join(blocks)}</div>"
        f"<div style='opacity:.75'>{' · '.join(names)}</div>"
    )


def _table_html(rows: Sequence[Row]) -> str:
    names = list(rows[0])
    head = "".join(f"<th style='text-align:left'>{_html(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{_html(_show(row.get(name)))}</td>" for name in names) + "</tr>"
        for row in rows[:TABLE_ROWS]
    )
    rest = f"<div>{len(rows) - TABLE_ROWS:,} more rows</div>" if len(rows) > TABLE_ROWS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"


def _table_lines(rows: Sequence[Row]) -> list[str]:
    names = list(rows[0])
    cells = [names, *([_show(row.get(name)) for name in names] for row in rows[:TABLE_ROWS])]
    widths = [min(48, max(len(line[i]) for line in cells)) for i in range(len(names))]
    lines = [
        "  ".join(value[:width].ljust(width) for value, width in zip(line, widths, strict=True))
        for line in cells
    ]
    rest = [f"{len(rows) - TABLE_ROWS:,} more rows"] if len(rows) > TABLE_ROWS else []
    return [line.rstrip() for line in lines] + rest


class HasProgress(Protocol):
    """How far something is; `toolkit.evaluate` reports it."""

    @property
    def total(self) -> int:
        """How many answers it takes."""

    @property
    def done(self) -> int:
        """How many are there."""

    @property
    def failed(self) -> int:
        """How many of those failed."""

    @property
    def cost_usd(self) -> float | None:
        """What it has spent, USD."""


class ProgressBar:
    """A progress bar in a notebook; call it with how far the work is, and close it at the end.

    It needs tqdm (the extra `notebook`); without it nothing is shown.
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._bar: Any = None

    def __call__(self, progress: HasProgress) -> None:
        """Show how far the work is."""
        if self._bar is None:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # without ipywidgets it is a bar of text
                    tqdm = importlib.import_module("tqdm.auto").tqdm
                    self._bar = tqdm(total=progress.total, unit=f" {self._unit}")
            except ImportError:
                return
        postfix = {"failed": progress.failed} if progress.failed else {}
        cost = {} if progress.cost_usd is None else {"cost": money(progress.cost_usd)}
        self._bar.set_postfix({**postfix, **cost}, refresh=False)
        self._bar.update(progress.done - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()


_OPTIONS: Final = {
    "CallOptions": "toolkit.calls.options",
    "CompareOptions": "toolkit.calls.options",
    "EmbedOptions": "toolkit.calls.options",
    "EvalOptions": "toolkit.evals.config",
    "LoadTestOptions": "toolkit.load_test.load_config",
}


def spell_out_options(functions: Mapping[str, Sequence[Callable[..., object]]]) -> None:
    """Give functions a signature that names every option, which notebooks complete from.

    Args:
        functions: the functions that take each group of options as `**options`.
    """
    for kind, targets in functions.items():
        options = getattr(importlib.import_module(_OPTIONS[kind]), kind)
        for target in targets:
            signature = inspect.signature(target)
            fixed = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
            names = [name for name in options.__annotations__ if name not in signature.parameters]
            named = [
                inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None) for n in names
            ]
            vars(target)["__signature__"] = signature.replace(parameters=[*fixed, *named])
