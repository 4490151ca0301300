"""The report is one file that loads nothing, tells everything, and reads no answer as markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from tests.evals.answers import failed, row, run, skipped, two_models
from toolkit.evals.eval_run import EvalRun
from toolkit.evals.exchange.eval_report import (
    order_samples,
    plot_tradeoff,
    render_report,
    score_axis,
    strip_scores,
)
from toolkit.evals.exchange.junit import write_junit
from toolkit.evals.results.matrix import read_matrix
from toolkit.evals.results.run_results import keep_samples, summarize_sides
from toolkit.evals.results.summary import summarize
from toolkit.evals.scoring.score import UNREADABLE
from toolkit.ui.evals.eval_labels import say_cell

HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """Every tag with its attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def hostile() -> str:
    rows = two_models()
    rows[0] |= {"output": HOSTILE, "input": HOSTILE, "explanation": HOSTILE, "sample_id": HOSTILE}
    rows = [r | {"variant": HOSTILE} for r in rows]
    return render_report(run(name=HOSTILE), rows)


def test_no_text_from_outside_is_read_as_markup(hostile):
    page = Tags(hostile)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "img", "iframe", "link", "object", "form", "base"}
    assert not [a for _, attrs in page.tags for a in attrs if a.startswith("on")]
    assert page.text.count("alert(1)") >= 5


def test_nothing_is_loaded_from_anywhere(hostile):
    page = Tags(hostile)
    assert not [attrs for _, attrs in page.tags if attrs.keys() & {"src", "href", "data"}]
    assert "default-src 'none'" in hostile and "@import" not in hostile
    assert not re.search(r"url\(", hostile)
    assert "prefers-color-scheme: dark" in hostile


def test_it_tells_scores_with_interval_failures_cost_and_the_verdict():
    text = " ".join(Tags(render_report(run(), two_models())).text.split())
    assert "39 of 40 answers, 1 failed (TIMEOUT 1)." in text
    assert "mock/a is better by" in text and "0.8 [0.584, 0.919], n = 20" in text
    assert "TIMEOUT: no answer in time" in text and "$0.0200" in text
    assert "Score against latency p50, 2 of 2 known" in text


def test_samples_with_errors_come_first_and_what_is_left_out_is_said():
    assert [s.sample_id for s in order_samples(read_matrix(two_models()))][:3] == [
        "q20",
        "q1",
        "q2",
    ]
    text = Tags(render_report(run(), two_models(), most_samples=5)).text
    assert "15 more samples are left out" in text and "q20" in text and "q19" not in text


def test_what_a_cap_left_out_is_told_apart_from_failures():
    text = Tags(render_report(run(summary=None), [row(1), failed(2), skipped(3)])).text
    assert "⏸ BUDGET_EXCEEDED: raise the cap" in text and "✕ BUDGET" not in text
    assert "1 of 3 answers to 3 samples." in text


def test_a_run_without_scorers_or_prices_is_told_as_such():
    bare = [row(1, score=None, scorer=None, cost_usd=None), failed(2)]
    text = Tags(render_report(run(summary=None, cost_usd=None), bare)).text
    assert "Not scored" in text and "unpriced" in text and "$0" not in text
    assert "1 of 2 answers to 2 samples." in text


def test_marks_stand_where_their_numbers_are():
    entries = summarize_sides(two_models())
    best, worst = strip_scores(entries)
    assert best.name == "mock/a" and best.at == pytest.approx(0.8 * 600)
    assert worst.low < worst.at < worst.high < best.high <= 600
    plot = plot_tradeoff(entries, "p50_ms")
    assert max(mark.x for mark in plot.marks) == 600 and plot.x_ends[0] == "0 ms"
    assert plot_tradeoff(entries[:1], "p50_ms") is None
    assert score_axis([{"low": 20.0, "high": 300.0}]) == (0.0, 300.0)


def test_an_unreadable_answer_is_told_apart_from_a_wrong_one_in_every_file():
    nothing = {"score": 0.0, "error_code": UNREADABLE, "explanation": "the answer has no number"}
    rows = [row(1), row(2, score=0.0), row(3, **nothing)]
    matrix = read_matrix(rows)
    assert [cell.judgements[0].mark for cell in matrix.answers] == ["✓", "✕", "?"]
    assert [s.sample_id for s in keep_samples(matrix, "unreadable", "exact")] == ["q3"]
    page = Tags(render_report(run(), rows)).text
    assert "? exact: 0 unreadable: the answer has no number" in " ".join(page.split())
    assert [entry["unreadable"] for entry in summarize_sides(rows)] == [1]
    failures = ET.fromstring(write_junit(run(), rows)).iterfind("testcase/failure")
    assert [failure.get("type") for failure in failures] == ["exact", UNREADABLE]
    assert say_cell(next(iter(matrix.samples[2].cells.values())), "exact").startswith(
        "? unreadable"
    )
    repeats = read_matrix([row(1), row(1, epoch=2, **nothing)]).samples[0].cells.values()
    assert say_cell(next(iter(repeats)), "exact").startswith("✓ 1 of 2, 1 unreadable")


def test_the_card_of_a_run_counts_what_has_no_score():
    scores = summarize([row(1), row(2, score=0.0, error_code=UNREADABLE)])
    facts = {"run_id": "r", "name": "n", "status": "done", "facts": {}, "store": None}
    shown = EvalRun(summary={"sentence": "2 answers.", "scores": scores}, **facts)._card().plain()
    head, line = shown.splitlines()[-2:]
    assert dict(zip(head.split(), line.split(), strict=True))["unreadable"] == "1"
