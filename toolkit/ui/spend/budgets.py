"""Budgets on the Spend page: what each allows, what is used, and how one is set."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import streamlit as st

from toolkit.charts.states import BUDGET, State
from toolkit.toolkit import Toolkit
from toolkit.ui.components.format import money
from toolkit.ui.components.page_head import section
from toolkit.ui.components.table import Column, draw_table

NEAR: Final = Decimal("0.8")


def draw_budgets(toolkit: Toolkit) -> None:
    """The caps of the settings with what counts against each now."""
    section("Budgets")
    found = toolkit.budgets.status()
    if not found:
        st.caption(
            "No budget is set. `daily_budget_usd` caps the cost of a day, `budgets` that of a "
            "provider, model or tag."
        )
        st.page_link("settings.py", label="Set a budget", icon=":material/add:",
                     query_params={"setting": "daily_budget_usd"})  # fmt: skip
        return
    spent = [one.state.spent_usd for one in found]
    limits = [one.cap.limit_usd for one in found]
    draw_table(
        {
            "State": Column(
                [budget_state(used, limit) for used, limit in zip(spent, limits, strict=True)],
                80, "state", on_phone=True,
            ),
            "Applies to": Column([one.cap.subject for one in found], 170, on_phone=True),
            "Used": Column(
                [_percent(used, limit) for used, limit in zip(spent, limits, strict=True)],
                110, "progress",
            ),
            "Today": Column(
                [f"{money(used)} of {money(cap)}" for used, cap in zip(spent, limits, strict=True)],
                130, on_phone=True,
            ),
        },
        key="budgets",
        alt="Budgets and how much of them is used",
    )  # fmt: skip


def _percent(spent: Decimal, limit: Decimal) -> float:
    return float(min(100 * spent / limit, Decimal(100))) if limit else 100.0


def budget_state(spent: Decimal, limit: Decimal) -> State:
    """Whether a budget is fine, near its end, or used up."""
    if spent >= limit:
        return BUDGET["used up"]
    return BUDGET["near"] if spent >= NEAR * limit else BUDGET["fine"]
