"""Tables: dense rows, numbers as numbers, states in colour, a click in a row opens it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import streamlit as st

from toolkit.charts.numbers import UNKNOWN, money
from toolkit.charts.states import Colour, State
from toolkit.ui.components.theme import is_phone, state_colour

ROW_PX: Final = 28
_STYLED_ROWS: Final = 300
_HEAD_PX: Final = 34
_MOST_PX: Final = 900
_PHONE_PX: Final = 354
_USUAL_PX: Final = 110
_KINDS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "number": ("NumberColumn", {"format": "%,d"}),
    "money": ("NumberColumn", {}),
    "image": ("ImageColumn", {}),
    "line": ("LineChartColumn", {"y_min": 0, "color": "gray"}),
    "bars": ("BarChartColumn", {"y_min": 0, "color": "gray"}),
    "progress": (
        "ProgressColumn",
        {"format": "%.0f %%", "min_value": 0, "max_value": 100, "color": "blue"},
    ),
    "tags": ("ListColumn", {}),
    "check": ("CheckboxColumn", {"disabled": True}),
    "right": ("TextColumn", {"alignment": "right"}),
}


@dataclass(slots=True)
class Column:
    """One column of a table.

    Attributes:
        values: one value per row: text, number, `State`, SVG address or list.
        width: pixels; None: what is left.
        kind: how it is drawn.
        help: what the header says on hover.
        on_phone: whether a narrow screen shows it too.
        style: a format of numbers in printf's form (`%,d`), or None for the usual one.
        press: called with the index of the row whose button was pressed.
    """

    values: Sequence[Any]
    width: int | None = None
    kind: str = "text"
    help: str | None = None
    on_phone: bool = False
    style: str | None = None
    press: Callable[[int], None] | None = field(default=None, compare=False)


def draw_table(
    columns: Mapping[str, Column],
    *,
    key: str,
    alt: str,
    opens: Sequence[str] = (),
    most_px: int = _MOST_PX,
    row_px: int = ROW_PX,
    opened: int | None = None,
) -> int | None:
    """Draw it and return the row that was clicked, or None.

    Args:
        columns: by header, in order.
        key: the widget's key.
        alt: what the table shows, for readers who cannot see it.
        opens: columns whose cells open the row. Number columns are left out: a click on any
            header sorts, and the grid reports that as a choice of the column's first cell.
        most_px: the greatest height; a table with fewer rows ends at its last one.
        row_px: height of a row.
        opened: the row that is open now; it is framed.
    """
    import pandas as pd

    shown = {name: c for name, c in columns.items() if c.on_phone or not is_phone()} or columns
    if is_phone():
        shown = _fitted(shown)
    names = list(shown)
    frame = pd.DataFrame({name: pd.Series(_values(c)) for name, c in shown.items()})
    data: Any = frame if len(frame) > _STYLED_ROWS else _styled(frame, shown)
    rows = len(frame)
    options: dict[str, Any] = {}
    if opens:
        options = {"on_select": "rerun", "selection_mode": "single-cell"}
        first = next((name for name in opens if name in shown), None)
        if opened is not None and first is not None and key not in st.session_state:
            options["selection_default"] = {"selection": {"cells": [(opened, first)]}}
    event = st.dataframe(
        data,
        hide_index=True,
        height="content" if row_px * rows + _HEAD_PX <= most_px else most_px,
        key=key,
        row_height=row_px,
        placeholder=UNKNOWN,
        column_config={name: _config(name, shown[name], key) for name in names},
        alt=alt,
        **options,
    )
    if not opens:
        return None
    cells = event["selection"]["cells"]
    if not cells or cells[0][1] not in opens or not 0 <= cells[0][0] < rows:
        return None
    return int(cells[0][0])


def _fitted(columns: Mapping[str, Column]) -> dict[str, Column]:
    """The columns with the widest text narrowed, so that the last one is seen on a phone too."""
    excess = sum(column.width or _USUAL_PX for column in columns.values()) - _PHONE_PX
    texts = [name for name, column in columns.items() if column.kind in ("text", "name")]
    if excess <= 0 or not texts:
        return dict(columns)
    widest = max(texts, key=lambda name: columns[name].width or _USUAL_PX)
    width = max((columns[widest].width or _USUAL_PX) - excess, _USUAL_PX)
    return {**columns, widest: replace(columns[widest], width=width)}


def _values(column: Column) -> list[Any]:
    if column.kind == "state":
        return [state.label if isinstance(state, State) else state for state in column.values]
    if column.kind in ("money", "number", "progress"):
        return [None if value is None else float(value) for value in column.values]
    return list(column.values)


def _styled(frame: Any, columns: Mapping[str, Column]) -> Any:
    styled = frame.style
    for name, column in columns.items():
        if column.kind == "state":
            colours = {
                state.label: state_colour(state.colour)
                for state in column.values
                if isinstance(state, State)
            }
            styled = styled.map(lambda text, of=colours: _ink(of.get(text)), subset=[name])
        elif column.kind == "money":
            styled = styled.format(money_text, subset=[name])
    return styled


def money_text(value: float | None) -> str | None:
    """Money in a cell; nothing where it is not known."""
    if value is None or value != value:  # noqa: PLR0124 - pandas' missing number
        return None
    return money(value)


def _ink(colour: str | None) -> str:
    return f"color: {colour}; font-weight: 600" if colour else ""


def _config(name: str, column: Column, key: str) -> Any:
    kinds = st.column_config
    common: dict[str, Any] = {"width": column.width, "help": column.help}
    if column.kind == "button":
        own = f"{key}-{name}"
        return kinds.ButtonColumn(type="tertiary", key=own, **_pressed(own, column), **common)
    if column.kind in _KINDS:
        maker, options = _KINDS[column.kind]
        style = {"format": column.style} if column.style else {}
        return getattr(kinds, maker)(**{**options, **style}, **common)
    # A pinned column is drawn in a faded colour, so only a name is pinned, and only on a phone.
    return kinds.TextColumn(pinned=True if is_phone() and column.kind == "name" else None, **common)


def _pressed(key: str, column: Column) -> dict[str, Any]:
    press = column.press
    if press is None:
        return {}

    def pressed() -> None:
        press(int(st.session_state[key]["row"]))

    return {"on_click": pressed}


def ink_of(colour: Colour, text: str) -> str:
    """Text in the colour of a state, for Markdown."""
    return f":{colour}[{text}]"
