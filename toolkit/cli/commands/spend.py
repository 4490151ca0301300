"""`toolkit spend`: costs of calls, a forecast for the month, and budgets."""

from __future__ import annotations

from typing import Annotated, Any, cast

import typer

from toolkit.catalog.parsing import read_moment
from toolkit.charts.numbers import UNKNOWN, count, money
from toolkit.cli.output import Column, JsonFlag, new_app, notice, opened_toolkit, show_rows
from toolkit.cli.views.model_views import text_rows
from toolkit.pricing.spend import SpendKey

app: typer.Typer = new_app("Show what calls have cost, a forecast, and budgets.")

_TITLES = {
    "provider": "Provider",
    "model": "Model",
    "tag": "Tag",
    "day": "Day (UTC)",
    "token": "Token",
    "origin": "Origin",
}


def _figure(usd: float | None) -> str:
    """One of the two figures, or the mark for none: the other one may be known."""
    return UNKNOWN if usd is None else money(usd)


@app.command("spend")
def show_spend(
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help="provider, model, tag, day, token or origin; repeatable."),
    ] = None,
    since: Annotated[str | None, typer.Option(help="A date, or 30min, 6h, 7d before now.")] = None,
    until: Annotated[str | None, typer.Option(help="Calls before this moment.")] = None,
    budgets: Annotated[
        bool, typer.Option("--budgets", help="Show the budgets and what remains of each.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show the cost of live calls as exact sums, with the number of unpriced calls."""
    if budgets:
        _show_budgets(as_json=as_json)
        return
    keys = [key for name in by or ["provider", "model"] for key in name.split(",")]
    with opened_toolkit() as toolkit:
        frame = toolkit.spend(
            cast("list[SpendKey]", keys), since=read_moment(since), until=read_moment(until)
        )
        forecast = toolkit.forecast_spend()
    rows = text_rows(frame)
    columns = (
        *(Column(key, _TITLES[key]) for key in dict.fromkeys(keys)),
        Column("calls", "Calls", count, is_number=True),
        Column("cost_usd", "Cost", money, is_number=True),
        Column("reported_usd", "Reported", _figure, is_number=True, is_optional=True),
        Column("computed_usd", "Computed", _figure, is_number=True, is_optional=True),
        Column("unpriced_calls", "Unpriced", count, is_number=True),
        Column("partial_calls", "Partly priced", count, is_number=True),
        Column("mismatched_calls", "Figures differ", count, is_number=True),
    )
    show_rows(rows, columns, as_json=as_json, empty="No live calls in this time range.")
    if as_json or frame.empty:
        return
    notice(f"Spent this month: {money(forecast.spent_usd)}.")
    if forecast.expected_usd is not None:
        notice(
            f"Forecast for the whole month: {money(forecast.expected_usd)} "
            f"({money(forecast.low_usd)} to {money(forecast.high_usd)}, from {forecast.days} "
            f"days)."
        )


def _show_budgets(*, as_json: bool) -> None:
    with opened_toolkit() as toolkit:
        status = toolkit.budgets.status()
    rows: list[dict[str, Any]] = [
        {
            "budget": one.cap.key,
            "limit_usd": one.cap.limit_usd,
            "spent_usd": one.state.spent_usd,
            "reserved_usd": one.state.reserved_usd,
            "requests_in_progress": one.state.requests,
            "left_usd": one.left_usd,
            "resets_at": one.free_at,
        }
        for one in status
    ]
    columns = (
        Column("budget", "Budget"),
        Column("limit_usd", "Limit", money, is_number=True),
        Column("spent_usd", "Spent", money, is_number=True),
        Column("reserved_usd", "Reserved", money, is_number=True),
        Column("requests_in_progress", "In progress", count, is_number=True),
        Column("left_usd", "Left", money, is_number=True),
        Column("resets_at", "Resets", lambda at: f"{at:%Y-%m-%d %H:%M} UTC" if at else UNKNOWN),
    )
    show_rows(
        rows,
        columns,
        as_json=as_json,
        empty="No budget is set. Set `daily_budget_usd` or `budgets` in settings.toml.",
    )
