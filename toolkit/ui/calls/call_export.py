"""Export of the calls that a filter shows: CSV, JSON and Parquet, made when it is asked for."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import streamlit as st

from toolkit.store.queries import call_list as queries
from toolkit.store.queries.filters import CallFilter
from toolkit.toolkit import Toolkit
from toolkit.ui.components.format import count

MOST_ROWS: Final = 50_000
_FORMATS: Final = {
    "CSV": ("calls.csv", "text/csv"),
    "JSON": ("calls.json", "application/json"),
    "Parquet": ("calls.parquet", "application/vnd.apache.parquet"),
}


def draw_export(toolkit: Toolkit, chosen: CallFilter) -> None:
    """The button and, in it, one download per format."""
    with st.popover("Export", icon=":material/download:"):
        st.caption(
            f"The calls that match these filters with all columns, at most the newest "
            f"{count(MOST_ROWS)}. "
            "`toolkit calls export` writes OpenTelemetry spans and files of any size."
        )
        for name, (file, mime) in _FORMATS.items():
            st.download_button(
                name,
                data=lambda name=name: export_calls(toolkit, chosen, name),
                file_name=file,
                mime=mime,
                key=f"export-{name}",
                on_click="ignore",
            )


def export_calls(toolkit: Toolkit, chosen: CallFilter, name: str) -> bytes:
    """The file's bytes.

    Raises:
        StoreError: the database cannot be read.
    """
    with toolkit.store.reading() as reader:
        frame = queries.exported(chosen, MOST_ROWS).frame(reader)
    if name == "CSV":
        return frame.to_csv(index=False).encode()
    if name == "JSON":
        return frame.to_json(orient="records", date_format="iso").encode()
    target = BytesIO()
    frame.to_parquet(target, index=False)
    return target.getvalue()
