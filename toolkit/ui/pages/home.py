"""Home: items that need attention since the last visit; at first start, one button."""

from toolkit.store.queries.app_pages import any_call, demo_call
from toolkit.toolkit import Toolkit, current
from toolkit.ui.components.error_card import errors_shown
from toolkit.ui.home.home_page import draw_first_start, draw_home


def draw_page(toolkit: Toolkit) -> None:
    """What needs attention, or how to begin where no call was made yet."""
    with toolkit.store.reading() as reader:
        is_used = bool(any_call().rows(reader))
        has_demo = not is_used and bool(demo_call().rows(reader))
    if is_used:
        draw_home(toolkit)
    else:
        draw_first_start(toolkit, has_demo=has_demo)


with errors_shown("Home"):
    draw_page(current())
