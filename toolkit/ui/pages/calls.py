"""Calls: every request with its prompt, answer, times and cost; a click opens it."""

from toolkit.toolkit import current
from toolkit.ui.calls.calls_page import draw_calls
from toolkit.ui.components.error_card import errors_shown

with errors_shown("Calls"):
    draw_calls(current())
