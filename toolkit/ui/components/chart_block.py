"""A chart with what it was made from: SQL and Python to copy, under each one."""

from __future__ import annotations

from html import unescape
from typing import Any

import streamlit as st

from toolkit.ui.components.text import plain

_CONFIG = {"displaylogo": False, "displayModeBar": False, "responsive": True}


def draw_figure(figure: Any, *, key: str) -> None:
    """Draw a figure under its title; as text of the page a title wraps on a phone."""
    title = unescape(figure.layout.title.text)
    figure.update_layout(title=None, margin={"t": 12})
    st.markdown(f"**{plain(title)}**")
    st.plotly_chart(figure, key=key, config=_CONFIG, alt=title)


def draw_chart(figure: Any, *, key: str, sql: str, python: str) -> None:
    """Draw a figure, and under it the SQL that read its rows and Python that draws it again."""
    draw_figure(figure, key=key)
    with st.container(horizontal=True):
        with st.popover("SQL", key=f"{key}-sql", type="tertiary", icon=":material/database:"):
            st.code(sql, language="sql", wrap_lines=True)
        with st.popover("Python", key=f"{key}-py", type="tertiary", icon=":material/code:"):
            st.code(python, language="python", wrap_lines=True)
