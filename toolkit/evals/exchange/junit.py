"""A run as JUnit XML, which every CI server reads: one test case per answer and scorer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from xml.etree import ElementTree as ET

from toolkit.evals.exchange.xml_text import clean_xml
from toolkit.evals.results.matrix import AnswerCell, Judgement, read_matrix

_MOST_CHARS: Final = 2_000


def write_junit(run: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """The XML: an answer that did not pass is a failure; a failed call or scorer is an error; what
    a cap left out is skipped.

    A score without a pass mark (a similarity, a latency) is told and never fails.
    """
    suite = ET.Element("testsuite", name=clean_xml(str(run.get("name") or run["run_id"])))
    for told in read_matrix(rows).answers:
        suite.extend(_case(told, judged) for judged in told.judgements or (None,))
    suite.set("tests", str(len(suite)))
    for counted, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(counted, str(len(suite.findall(f"testcase/{tag}"))))
    if run.get("started_at"):
        suite.set("timestamp", run["started_at"].isoformat(timespec="seconds"))
    ET.indent(suite)
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))


def _case(told: AnswerCell, judged: Judgement | None) -> ET.Element:
    name = f"{told.sample_id} repeat {told.epoch}" + (f" {judged.scorer}" if judged else "")
    where = f"{told.model} {told.variant}".strip()
    case = ET.Element("testcase", classname=clean_xml(where), name=clean_xml(name))
    if told.duration_ms is not None:
        case.set("time", f"{told.duration_ms / 1000:.3f}")
    if told.status == "skipped":
        ET.SubElement(case, "skipped", message=clean_xml(told.error_message or "left out by a cap"))
    elif told.status == "error":
        _tell(case, "error", told.error_code or "failed", told.error_message or "")
    elif judged is not None and (judged.error_code or judged.score is None):
        _tell(case, "error", judged.error_code or "not scored", judged.explanation or "")
    elif judged is not None and judged.is_pass is False:
        message = f"{judged.score:.3g} {judged.explanation or ''}".strip()
        _tell(case, "failure", judged.scorer, message, told.output)
    elif judged is not None:
        ET.SubElement(case, "system-out").text = f"score {judged.score:.6g}"
    return case


def _tell(case: ET.Element, tag: str, kind: str, message: str, text: str | None = None) -> None:
    told = ET.SubElement(case, tag, type=clean_xml(kind), message=clean_xml(message[:_MOST_CHARS]))
    told.text = clean_xml((text or "")[:_MOST_CHARS])
