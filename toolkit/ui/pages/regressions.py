"""Regressions: runs of suites, and what is different in each case, word by word."""

from toolkit.toolkit import current
from toolkit.ui.components.error_card import errors_shown
from toolkit.ui.regressions.regressions_page import draw_regressions

with errors_shown("Regressions"):
    draw_regressions(current())
