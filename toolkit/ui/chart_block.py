"""A chart with what it was made from: SQL and Python to copy, under each one."""

from __future__ import annotations

from typing import Any

import streamlit as st

_CONFIG = {"displaylogo": False, "displayModeBar": False, "responsive": True}


def draw_chart(figure: Any, *, key: str, alt: str, sql: str, python: str) -> None:
    """Draw the figure, and under it the SQL that read its rows and Python that draws it again."""
    st.plotly_chart(figure, key=key, config=_CONFIG, alt=alt)
    with st.container(horizontal=True):
        with st.popover("SQL", key=f"{key}-sql", type="tertiary", icon=":material/database:"):
            st.code(sql, language="sql", wrap_lines=True)
        with st.popover("Python", key=f"{key}-py", type="tertiary", icon=":material/code:"):
            st.code(python, language="python", wrap_lines=True)
