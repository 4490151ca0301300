"""Compare: one question, two to eight models, side by side while they answer."""

from toolkit.toolkit import current
from toolkit.ui.compare.compare_page import draw_compare
from toolkit.ui.components.error_card import errors_shown

with errors_shown("Compare"):
    draw_compare(current())
