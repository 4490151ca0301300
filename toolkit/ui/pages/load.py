"""Load tests: latency, throughput and goodput of one model, step by step."""

from toolkit.toolkit import current
from toolkit.ui.components.error_card import errors_shown
from toolkit.ui.load_tests.load_tests_page import draw_load_tests

with errors_shown("Load tests"):
    draw_load_tests(current())
