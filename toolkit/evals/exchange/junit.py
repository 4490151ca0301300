"""A run as JUnit XML, which every CI server reads: one test case per answer and scorer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from xml.etree import ElementTree as ET

from toolkit.evals.exchange.xml_text import clean_xml
from toolkit.evals.results.matrix import AnswerCell, Judgement, read_matrix
from toolkit.evals.scoring.score import UNREADABLE

_MOST_CHARS: Final = 2_000


def write_junit(run: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """The XML: an answer that did not pass is a failure, of the type `UNREADABLE`
    where it gave the scorer nothing to compare; a failed call or scorer is an error; what a cap
    left out is skipped.

    A score without a pass mark (a similarity, a latency) is reported and never fails.
    """
    suite = ET.Element("testsuite", name=clean_xml(str(run.get("name") or run["run_id"])))
    for cell in read_matrix(rows).answers:
        suite.extend(_case(cell, judged) for judged in cell.judgements or (None,))
    suite.set("tests", str(len(suite)))
    for counted, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(counted, str(len(suite.findall(f"testcase/{tag}"))))
    if run.get("started_at"):
        suite.set("timestamp", run["started_at"].isoformat(timespec="seconds"))
    ET.indent(suite)
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))


def _case(cell: AnswerCell, judged: Judgement | None) -> ET.Element:
    name = f"{cell.sample_id} repeat {cell.epoch}" + (f" {judged.scorer}" if judged else "")
    where = f"{cell.model} {cell.variant}".strip()
    case = ET.Element("testcase", classname=clean_xml(where), name=clean_xml(name))
    if cell.duration_ms is not None:
        case.set("time", f"{cell.duration_ms / 1000:.3f}")
    if cell.status == "skipped":
        ET.SubElement(case, "skipped", message=clean_xml(cell.error_message or "left out by a cap"))
    elif cell.status == "error":
        _add_problem(case, "error", cell.error_code or "failed", cell.error_message or "")
    elif judged is not None and (judged.error_code or judged.score is None):
        _add_problem(case, "error", judged.error_code or "not scored", judged.explanation or "")
    elif judged is not None and judged.is_pass is False:
        message = f"{judged.score:.3g} {judged.explanation or ''}".strip()
        kind = UNREADABLE if judged.is_unreadable else judged.scorer
        _add_problem(case, "failure", kind, message, cell.output)
    elif judged is not None:
        ET.SubElement(case, "system-out").text = f"score {judged.score:.6g}"
    return case


def _add_problem(
    case: ET.Element, tag: str, kind: str, message: str, text: str | None = None
) -> None:
    problem = ET.SubElement(
        case, tag, type=clean_xml(kind), message=clean_xml(message[:_MOST_CHARS])
    )
    problem.text = clean_xml((text or "")[:_MOST_CHARS])
