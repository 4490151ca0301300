"""A run as one HTML file: no script, nothing loaded from anywhere, model output as plain text."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from toolkit.evals.results.one_file import report_environment
from toolkit.replay.regression.suite_run import SuiteRun
from toolkit.replay.regression.verdict import VERDICTS
from toolkit.replay.regression.word_diff import diff_words

if TYPE_CHECKING:
    from jinja2 import Template

MARKS: Final = {
    "regressed": "▼",
    "error": "✕",
    "fixed": "▲",
    "flaky": "≈",
    "new": "＋",
    "pass": "✓",
}
"""A symbol for each verdict, so that colour is not the only distinction."""


@cache
def _template() -> Template:
    return report_environment(Path(__file__).parent).get_template("report.html.j2")


def render_report(run: SuiteRun) -> str:
    """The HTML text; cases that need attention come first."""
    order = {name: place for place, name in enumerate(VERDICTS)}
    verdicts = sorted(run.verdicts, key=lambda v: (order[v.verdict], v.name))
    return _template().render(
        run=run, verdicts=verdicts, order=VERDICTS, marks=MARKS, diff=diff_words
    )
