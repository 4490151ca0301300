"""The files of a run: JUnit XML, and one HTML file that loads and runs nothing."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from toolkit.evals.exchange.xml_text import clean_xml
from toolkit.evals.results.one_file import report_environment
from toolkit.replay.regression.suite_run import SuiteRun
from toolkit.replay.regression.verdict import VERDICTS, CaseVerdict
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


def render_junit(run: SuiteRun) -> str:
    """The XML text: one test case per verdict; regressed and failing new cases are failures."""
    failures = sum(v.is_failing and v.verdict != "error" for v in run.verdicts)
    errors = sum(v.verdict == "error" for v in run.verdicts)
    suite = ET.Element(
        "testsuite",
        name=clean_xml(f"{run.suite} ({run.mode})"),
        tests=str(len(run.verdicts)),
        failures=str(failures),
        errors=str(errors),
        timestamp=run.started_at.isoformat(timespec="seconds"),
    )
    for verdict in run.verdicts:
        suite.append(_case(run, verdict))
    ET.SubElement(suite, "system-out").text = clean_xml(run.sentence)
    ET.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suite, encoding="unicode")


def _case(run: SuiteRun, verdict: CaseVerdict) -> ET.Element:
    found = verdict.run
    case = ET.Element("testcase", classname=clean_xml(run.suite), name=clean_xml(verdict.name))
    durations = [
        t.measured.duration_ms for t in found.trials if t.measured and t.measured.duration_ms
    ]
    if durations:
        case.set("time", f"{sum(durations) / 1000:.3f}")
    if verdict.is_failing:
        tag = "error" if verdict.verdict == "error" else "failure"
        element = ET.SubElement(case, tag, type=verdict.verdict, message=clean_xml(verdict.reason))
        element.text = clean_xml(
            "\n".join((*verdict.drift, (found.judged or found.trials)[0].shown))
        )
    elif verdict.verdict != "pass":
        ET.SubElement(case, "system-out").text = clean_xml(f"{verdict.verdict}: {verdict.reason}")
    return case
