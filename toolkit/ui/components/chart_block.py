"""A chart with what it was made from: SQL and Python to copy, and a notebook that draws it."""

from __future__ import annotations

import json
from html import unescape
from typing import Any, Final

import streamlit as st

from toolkit.ui.components.text import plain
from toolkit.ui.components.theme import bar_colour

_CONFIG: Final = {"displaylogo": False, "displayModeBar": False, "responsive": True}
_STANDOFF_PX: Final = 6  # between the labels of an axis and its title


def draw_chart(figure: Any, *, key: str, sql: str, python: str) -> None:
    """Draw a figure, and under it what it was made from."""
    draw_figure(figure, key=key)
    draw_sources(key=key, sql=sql, python=python)


def draw_figure(figure: Any, *, key: str) -> None:
    """Draw a figure under its title; as text of the page a title wraps on a phone."""
    st.markdown(f"**{plain(unescape(figure.layout.title.text))}**")
    draw_bare(figure, key=key)


def draw_bare(figure: Any, *, key: str) -> None:
    """Draw a figure without its title, for charts with a title elsewhere."""
    title = unescape(figure.layout.title.text or "")
    # Streamlit's own grey of axes was measured at 3.2:1 on a white page.
    axis, grid = bar_colour("axis"), bar_colour("grid")
    font = {"color": axis, "size": 12}
    legend = {"font": font, "traceorder": "normal"}
    figure.update_layout(title=None, margin={"t": 12, "b": 8}, legend=legend, font=font)
    figure.update_xaxes(tickfont=font, title_font=font, title_standoff=_STANDOFF_PX, gridcolor=grid)
    figure.update_yaxes(tickfont=font, title_font=font, gridcolor=grid)
    _show_in_zone(figure, st.context.timezone)
    st.plotly_chart(figure, key=key, config=_CONFIG, alt=title)


def draw_sources(*, key: str, sql: str, python: str) -> None:
    """What a chart was made from: its SQL, its Python, and a notebook with both."""
    with st.container(horizontal=True, gap="small", width="content"):
        with st.popover("SQL", key=f"{key}-sql", type="tertiary", icon=":material/database:"):
            st.code(sql, language="sql", wrap_lines=True)
        with st.popover("Python", key=f"{key}-py", type="tertiary", icon=":material/code:"):
            st.code(python, language="python", wrap_lines=True)
        st.download_button(
            "Notebook",
            data=lambda: notebook_of(python),
            file_name=f"{key}.ipynb",
            mime="application/x-ipynb+json",
            key=f"{key}-notebook",
            type="tertiary",
            icon=":material/menu_book:",
            on_click="ignore",
        )


def notebook_of(*cells: str) -> str:
    """A notebook with these code cells, as text."""
    made: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": cell.splitlines(keepends=True),
        }
        for number, cell in enumerate(cells, start=1)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return json.dumps(
        {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1
    )


def _show_in_zone(figure: Any, zone: str | None) -> None:
    """Move a time axis in UTC to the reader's clock; charts themselves are always in UTC."""
    titles = [axis.title.text for axis in figure.select_xaxes()]
    shown_as_time = [title for title in titles if title and "UTC" in title]
    if not zone or zone == "UTC" or not (shown_as_time or _has_times(figure)):
        return
    for trace in figure.data:
        if trace.x is not None:
            trace.x = _moved(trace.x, zone)
    for shape in figure.layout.shapes:
        shape.x0, shape.x1 = (_moved([value], zone)[0] for value in (shape.x0, shape.x1))
    for note in figure.layout.annotations:
        if note.xref != "paper":
            note.x = _moved([note.x], zone)[0]
    for axis in figure.select_xaxes():
        if axis.range:
            axis.range = _moved(axis.range, zone)
        if axis.title.text and "UTC" in axis.title.text:
            axis.title.text = axis.title.text.replace("UTC", zone)


def _has_times(figure: Any) -> bool:
    import numpy as np

    return any(
        trace.x is not None and len(trace.x) and np.asarray(trace.x).dtype.kind == "M"
        for trace in figure.data
    )


def _moved(values: Any, zone: str) -> list[Any]:
    import pandas as pd

    try:
        moments = pd.to_datetime(list(values), utc=True)
    except (TypeError, ValueError):
        return list(values)
    return list(moments.tz_convert(zone).tz_localize(None))
