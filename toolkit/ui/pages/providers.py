"""Providers & Keys: who can be called, with which key, and whether it works."""

from toolkit.toolkit import current
from toolkit.ui.components.error_card import errors_shown
from toolkit.ui.providers.providers_page import draw_page

with errors_shown("Providers & Keys"):
    draw_page(current())
