"""A run as JUnit XML."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from toolkit.evals.exchange.xml_text import clean_xml
from toolkit.replay.regression.suite_run import SuiteRun
from toolkit.replay.regression.verdict import CaseVerdict


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
