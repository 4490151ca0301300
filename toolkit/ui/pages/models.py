"""Models: everything that can be called, what it can do and costs, and what changed."""

from itertools import groupby
from typing import Any

import streamlit as st
from pandas import DataFrame

from toolkit.catalog.changes import fold_first_listings
from toolkit.charts import price_against
from toolkit.errors import ToolkitError
from toolkit.toolkit import current
from toolkit.ui.compare.panes import error_card
from toolkit.ui.components.chart_block import draw_chart
from toolkit.ui.components.format import at, count
from toolkit.ui.models.catalog_sync import draw_ages, draw_refresh
from toolkit.ui.models.model_panel import draw_model
from toolkit.ui.models.model_rows import (
    ModelFilter,
    chosen_filter,
    filter_models,
    find_changes,
    read_models,
)
from toolkit.ui.models.model_table import draw_models

toolkit = current()

CHANGES_SHOWN = 500
_SQL = """SELECT model, provider, context_window, output_usd_per_mtok
FROM models WHERE gone_at IS NULL"""


def forget_model() -> None:
    """The side panel was closed."""
    st.query_params.pop("model", None)


@st.dialog("Model", width=720, position="right", on_dismiss=forget_model)  # type: ignore[untyped-decorator]
def model_panel(model: str) -> None:
    """One model, in a panel at the side."""
    try:
        draw_model(toolkit, model)
    except ToolkitError as error:
        error_card(error)


def draw_list(models: DataFrame, found: DataFrame) -> None:
    """The table, and the panel of the chosen model."""
    st.caption(f"{count(len(found))} of {count(len(models))} models")
    chosen = draw_models(toolkit, found) or st.query_params.get("model")
    if chosen:
        st.query_params["model"] = chosen
        model_panel(chosen)


def draw_prices(found: DataFrame) -> None:
    """What one gets for the money: context windows, and speed as measured."""
    for column in ("context_window", "output_tps"):
        python = (
            f"import toolkit as tk\n\ntk.charts.price_against(tk.catalog.overview(), {column!r})"
        )
        figure = price_against(found, column)
        draw_chart(figure, key=f"price-{column}", sql=_SQL, python=python)


def draw_changes(wanted: ModelFilter) -> None:
    """What changed, by date, in words."""
    found = find_changes(toolkit.catalog.changes(), wanted)
    rows: list[dict[str, Any]] = found.to_dict("records")  # type: ignore[assignment]
    changes = fold_first_listings(rows)
    if not changes:
        st.caption("Each refresh is kept with its date; what is different is told here.")
        return
    for day, of_day in groupby(changes[:CHANGES_SHOWN], key=lambda row: row["changed_at"].date()):
        told = list(of_day)
        st.markdown(f"**{day}** · {count(len(told))} changes")
        table = {
            "when": [at(row["changed_at"].to_pydatetime()) for row in told],
            "model": [row["model"] for row in told],
            "what": [row["words"] for row in told],
            "source": [row["source"] for row in told],
        }
        st.dataframe(table, hide_index=True, key=f"changes-{day}", alt=f"Changes of {day}")
    if len(changes) > CHANGES_SHOWN:
        st.caption(f"The newest {count(CHANGES_SHOWN)} of {count(len(changes))} are listed.")


def draw_ending() -> None:
    """Models that end soon, with their successors."""
    ending = toolkit.catalog.retirements()
    if not len(ending):
        st.caption("No listed model ends within 90 days.")
        return
    st.dataframe(
        {
            "model": list(ending["model"]),
            "ends on": [f"{day:%Y-%m-%d}" for day in ending["retires_on"]],
            "days left": list(ending["days_left"]),
            "successor": list(ending["successor"]),
            "your calls, 30 days": list(ending["calls_30d"]),
        },
        hide_index=True,
        key="ending",
        alt="Models that end soon",
    )


def draw_page() -> None:
    """The refresh button and ages; then filters on the left, and the tab that is open."""
    with st.container(horizontal=True, vertical_alignment="center"):
        draw_refresh(toolkit)
    models = read_models(toolkit, str(toolkit.settings.home))
    draw_ages(toolkit)
    if not len(models):
        st.caption("Models of your providers, with prices and abilities. Refresh asks for them.")
        return
    draw_body()


@st.fragment  # type: ignore[untyped-decorator]
def draw_body() -> None:
    """Filters on the left, the open tab on the right; a filter draws only these again."""
    models = read_models(toolkit, str(toolkit.settings.home))
    left, right = st.columns([1, 4], gap="medium")
    with left:
        wanted = chosen_filter(models)
    with right:
        draw_tabs(models, wanted)


def draw_tabs(models: DataFrame, wanted: ModelFilter) -> None:
    """Only the open tab is computed: a filter answers at once."""
    names = ["Models", "Prices", "What changed", "Ending soon"]
    listed, priced, changed, ending = st.tabs(names, key="tab", bind="query-params")
    found = filter_models(models, wanted)
    if listed.open:
        with listed:
            draw_list(models, found)
    if priced.open:
        with priced:
            draw_prices(found)
    if changed.open:
        with changed:
            draw_changes(wanted)
    if ending.open:
        with ending:
            draw_ending()


st.title("Models")
try:
    draw_page()
except ToolkitError as error:
    error_card(error)
