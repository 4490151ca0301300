"""Spend by day, stacked by provider, model or tag: the largest few and one band for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from toolkit.charts.numbers import count, money
from toolkit.charts.palette import GREY, colours_of
from toolkit.charts.style import new_figure, plain, say

if TYPE_CHECKING:
    import pandas as pd

MOST_BANDS: Final = 4
OTHERS: Final = "others"


def spend_bars(rows: pd.DataFrame, *, of: str = "", height_px: int = 300) -> Any:
    """Stacked bars, one per day.

    Args:
        rows: `day`, `name` and `cost_usd`; days without spend need no row.
        of: what the spend is of, for the title.
        height_px: height of the figure.
    """
    import pandas as pd
    import plotly.graph_objects as go

    title = "Spend by day" + (f", {plain(of)}" if of else "")
    figure = new_figure(title, x="", y="US $ a day", height_px=height_px)
    figure.update_layout(barmode="stack", bargap=0.25)
    if not len(rows):
        return say(figure, "No call with a known price.")
    data = rows.assign(cost_usd=rows["cost_usd"].astype(float), day=pd.to_datetime(rows["day"]))
    totals = data.groupby("name")["cost_usd"].sum().sort_values(ascending=False)
    largest = list(totals.index[:MOST_BANDS])
    data["name"] = data["name"].where(data["name"].isin(largest), OTHERS)
    by_day = data.groupby(["name", "day"])["cost_usd"].sum()
    colours = colours_of(largest)
    for name in [*largest, *([OTHERS] if len(totals) > MOST_BANDS else [])]:
        band = by_day[name]
        figure.add_trace(
            go.Bar(
                x=list(band.index),
                y=list(band),
                name=plain(name),
                marker={"color": colours.get(name, GREY)},
                customdata=[money(usd) for usd in band],
                hovertemplate="%{x|%d %b}: %{customdata}<extra>" + plain(name) + "</extra>",
            )
        )
    figure.update_yaxes(tickprefix="$", rangemode="tozero")
    days = count(data["day"].nunique())
    figure.update_layout(title={"text": f"{title} ({days} with spend)"})
    return figure
