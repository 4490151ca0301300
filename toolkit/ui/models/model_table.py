"""The table of models: every column at once, the most used first, one click to switch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from toolkit.toolkit import Toolkit
from toolkit.ui.components.format import UNKNOWN, ago
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.models.model_rows import read_models

if TYPE_CHECKING:
    import pandas as pd

_HEIGHT_PX: Final = 640
_CAN: Final = {"json_mode": "json", "json_schema": "schema", "image_input": "vision"}
_CAN_ORDER: Final = ("tools", "json", "schema", "vision", "reasoning")


def draw_models(toolkit: Toolkit, models: pd.DataFrame, *, is_beside: bool) -> str | None:
    """One row per model; returns the model that was clicked."""
    if not len(models):
        st.markdown("No model matches these filters.")
        return None
    names = [str(name) for name in models["model"]]
    enabled = [bool(on) for on in models["is_enabled"]]

    def switch(index: int) -> None:
        catalog = toolkit.catalog
        (catalog.disable if enabled[index] else catalog.enable)(names[index])
        read_models.clear()

    columns = {
        "Model": Column([str(name) for name in models["model_id"]], 222, on_phone=True),
        "Provider": Column(list(models["provider"]), 92),
        "On": Column(["✓ on" if on else "turn on" for on in enabled], 68, "button",
                     on_phone=True, press=switch),
        "calls, 7 d": Column(list(models["calls"]), 70, "number"),
        "Last answer": Column([ago(known(when)) for when in models["answered_at"]], 88),
        "TTFT ms": Column(_numbers(models["ttft_ms"]), 66, "number",
                          "p50 of your own calls", on_phone=True),
        "tok/s": Column(_numbers(models["output_tps"]), 52, "number", style="%.0f"),
        "Context": Column(_numbers(models["context_window"]), 78, "number"),
        "$/M in": Column(_numbers(models["input_usd_per_mtok"]), 62, "number", style="%.2f"),
        "$/M out": Column(_numbers(models["output_usd_per_mtok"]), 66, "number",
                          style="%.2f", on_phone=True),
        "Can": Column([capabilities(can) for can in models["capabilities"]], 150, "tags"),
        "Added": Column([_date(when) for when in models["first_seen_at"]], 78),
        "Note": Column([_note(row) for row in models.to_dict("records")], 96),
    }  # fmt: skip
    if is_beside:
        wanted = ("Model", "Provider", "On", "calls, 7 d", "TTFT ms", "$/M out", "Note")
        columns = {name: columns[name] for name in wanted}
    chosen = draw_table(
        columns,
        key=f"models-{'beside' if is_beside else 'alone'}",
        opens=("Model", "Provider", "Last answer", "Added", "Note"),
        alt="Models, the most used first",
        height=min(28 * len(models) + 38, _HEIGHT_PX),
    )
    return None if chosen is None else names[chosen]


def capabilities(names: Any) -> list[str]:
    """What a model can do in words, always in the same order."""
    words = {_CAN.get(str(name), str(name).replace("_", " ")) for name in names}
    first = [name for name in _CAN_ORDER if name in words]
    return first + sorted(words - set(first))


def known(value: Any) -> Any:
    """A value of a frame as Python has it; None where it is missing."""
    import pandas as pd

    if value is None or pd.isna(value):
        return None
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


def _numbers(values: Any) -> list[float | None]:
    return [None if known(value) is None else float(value) for value in values]


def _date(when: Any) -> str:
    value = known(when)
    return UNKNOWN if value is None else f"{value:%d %b %y}"


def _note(row: dict[Any, Any]) -> str:
    """What is special about a model, in words; nothing where nothing is."""
    if known(row["gone_at"]) is not None:
        return "no longer listed"
    if known(row["deprecation_date"]) is not None:
        return f"ends {row['deprecation_date']:%d %b %y}"
    status = str(row["status"] or "active")
    if status != "active":
        return status
    flags = list(row["flags"] if row["flags"] is not None else ())
    return "unusual listing" if flags else ""
