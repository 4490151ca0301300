"""Leaderboard: which answers were preferred, with intervals, beside speed and cost."""

from toolkit.toolkit import current
from toolkit.ui.compare.leaderboard_page import draw_leaderboard
from toolkit.ui.components.error_card import errors_shown

with errors_shown("Leaderboard"):
    draw_leaderboard(current())
