"""Spend: what calls have cost, by day, provider, model, tag and key."""

from toolkit.toolkit import current
from toolkit.ui.components.error_card import errors_shown
from toolkit.ui.spend.spend_page import draw_spend

with errors_shown("Spend"):
    draw_spend(current())
