"""Health: which provider is up, how fast and how reliable each is, and what happened when."""

from toolkit.toolkit import current
from toolkit.ui.components.error_card import errors_shown
from toolkit.ui.health.health_page import draw_health

with errors_shown("Health"):
    draw_health(current())
