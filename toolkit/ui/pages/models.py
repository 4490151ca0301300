"""Models: everything that can be called, what it can do and costs, and what changed."""

from toolkit.toolkit import current
from toolkit.ui.components.error_card import errors_shown
from toolkit.ui.models.models_page import draw_page

with errors_shown("Models"):
    draw_page(current())
