"""Settings: everything that can be set, with its value, source and meaning."""

from toolkit.toolkit import current
from toolkit.ui.components.error_card import errors_shown
from toolkit.ui.settings.settings_page import draw_settings

with errors_shown("Settings"):
    draw_settings(current())
