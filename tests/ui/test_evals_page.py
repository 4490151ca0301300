"""The Evals page: true to its rows, quiet without any, foreign text never read as markup."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.evals.answers import failed, row, run, skipped, two_models
from tests.servers import Answer
from tests.ui.conftest import Stage
from toolkit.evals.results.matrix import read_matrix
from toolkit.toolkit import Toolkit, current
from toolkit.ui.evals.eval_labels import best_of, left_words, say_cell

HOSTILE = "<b>![x](http://127.0.0.1:1/leak)</b>"


@pytest.fixture
def evaluated(home: Any) -> Toolkit:
    """Two runs over the same samples; the newer one has a hostile answer and a failed call."""
    toolkit = current()
    rows = two_models()
    rows[0]["output"] = HOSTILE
    earlier = {"run_id": "run-0", "scored_at": datetime(2026, 10, 1, tzinfo=UTC)}
    old = [row(n, m, float(n > 12), **earlier) for n in range(1, 21) for m in ("mock/a", "mock/b")]
    toolkit.store.append_many("eval_samples", [*old, *rows])
    started = datetime(2026, 10, 1, tzinfo=UTC)
    toolkit.store.append("eval_runs", run("run-0", name="before", started_at=started))
    toolkit.store.append("eval_runs", run())
    toolkit.store.append("calls", a_call("request-mock/a-1"))
    return toolkit


def a_call(request_id: str) -> dict[str, Any]:
    return {
        "call_id": "call-mock/a-1",
        "request_id": request_id,
        "attempt": 1,
        "attempt_kind": "first",
        "origin": "eval",
        "origin_id": "run-1",
        "model": "mock/a",
        "provider": "mock",
        "status": "ok",
        "source": "live",
        "started_at": datetime.now(UTC),
        "seq": 1,
    }


def words(app: Any) -> str:
    kinds = ("title", "subheader", "markdown", "caption", "text", "code", "error", "warning")
    return "\n".join(str(e.value) for kind in kinds for e in app.get(kind)).replace("\\", "")


def table(app: Any, column: str) -> Any:
    (found,) = [f.value for f in app.dataframe if column in f.value.columns]
    return found


def test_a_page_without_runs_says_what_to_do(home: Any, open_page: Any) -> None:
    app = open_page("evals")
    assert not app.exception and not app.error
    assert "tk.evaluate" in words(app) and "toolkit eval import" in words(app)
    assert not app.button(key="eval-estimate").disabled, "the built-in model needs no choice"
    assert not [f for f in app.dataframe if "State" in f.value.columns]


def test_the_newest_run_is_shown_with_its_matrix(evaluated: Toolkit, open_page: Any) -> None:
    app = open_page("evals")
    assert not app.exception and not app.error
    assert list(table(app, "State")["Run"]) == ["first", "before"]
    assert "39 of 40 answers, 1 failed (TIMEOUT 1)." in words(app)
    matrix = table(app, "Sample")
    assert len(matrix) == 20
    assert list(matrix.columns) == ["Sample", "mock/a", "mock/b", "Input", "Target"]
    assert matrix["mock/a"][4] == "✓ 1 · yes · 105 ms · $0.00100"
    assert matrix["mock/b"][19] == "✕ failed · timeout"


@pytest.mark.parametrize(
    ("chosen", "kept"), [("all", 20), ("failed", 11), ("different", 9), ("errors", 1)]
)
def test_filters_live_in_the_address(
    chosen: str, kept: int, evaluated: Toolkit, open_page: Any
) -> None:
    app = open_page("evals", filter=chosen)
    assert not app.exception and len(table(app, "Sample")) == kept
    assert f"{kept} of 20 samples" in words(app)


def test_scores_stand_with_interval_cost_latency_and_the_verdict_in_words(
    evaluated: Toolkit, open_page: Any
) -> None:
    app = open_page("evals", tab="Scores")
    assert not app.exception and not app.error
    scores = table(app, "Score [95 %]")
    assert scores["Score [95 %]"][0] == "0.8 [0.584, 0.919] n = 20"
    assert list(scores["Failed"]) == ["0", "1"] and list(scores["Cost"]) == ["$0.0200", "$0.0190"]
    shown = words(app)
    assert "mock/a is better by" in shown and "19 samples" in shown
    titles = [m.value for m in app.markdown if m.value.startswith("**Score")]
    assert len(titles) == 3


def test_two_runs_stand_side_by_side(evaluated: Toolkit, open_page: Any) -> None:
    app = open_page("evals", tab="Compare with another run", against="before run-0")
    assert not app.exception and not app.error
    assert "first: mock/a is better by" in words(app)
    both = table(app, "Sample")
    assert [c for c in both.columns if ":" in c] == [
        "mock/a (before: plain)", "mock/a (first: plain)",
        "mock/b (before: plain)", "mock/b (first: plain)",
    ]  # fmt: skip


def test_one_sample_tells_its_whole_story_and_links_its_call(
    evaluated: Toolkit, open_page: Any
) -> None:
    app = open_page("evals", sample="q1")
    assert not app.exception and not app.error
    shown = [str(t.value) for t in app.text]
    assert HOSTILE in shown and "Question 1?" in shown
    assert not any("![x](http" in str(m.value) for m in (*app.markdown, *app.caption))
    assert "✕ exact: 0" in shown and "✓ exact: 1" in shown
    links = [link.proto.query_string for link in app.get("page_link")]
    assert any("call=request-mock" in query for query in links)
    assert "No call of this sample is recorded here." in words(app)


def test_a_failed_call_and_an_unknown_sample_are_told(evaluated: Toolkit, open_page: Any) -> None:
    assert "✕ TIMEOUT: no answer in time" in words(open_page("evals", sample="q20"))
    assert "This run does not contain this sample." in words(open_page("evals", sample="nobody"))


def test_a_run_under_way_shows_how_far_it_is(home: Any, open_page: Any) -> None:
    toolkit = current()
    now = datetime.now(UTC)
    toolkit.store.append(
        "eval_runs",
        run(status="running", done=10, started_at=now - timedelta(seconds=10), ended_at=None,
            summary={}),
    )  # fmt: skip
    toolkit.store.append_many("eval_samples", [row(n, scored_at=now) for n in range(1, 11)])
    app = open_page("evals")
    assert not app.exception
    (bar,) = app.get("progress")
    assert "10 of 40 answers" in bar.proto.text.replace("\\", "") and bar.proto.value == 25
    assert not app.warning


def test_a_run_whose_process_is_gone_says_how_it_is_resumed(home: Any, open_page: Any) -> None:
    old = datetime.now(UTC) - timedelta(hours=2)
    current().store.append("eval_runs", run(status="running", done=1, started_at=old, summary={}))
    app = open_page("evals")
    assert not app.exception and "toolkit eval resume run-1" in words(app)


def test_time_left_is_told_only_from_what_was_seen() -> None:
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    seen = {"started_at": begun, "newest_at": begun + timedelta(seconds=60), "samples": 100}
    assert left_words({**seen, "done": 20}) == ", 0.3 answers/s, about 4 min left"
    assert left_words({**seen, "done": 1}) == ""
    assert left_words({**seen, "done": 20, "newest_at": None}) == ""


def test_a_cell_of_repeats_tells_how_many_passed_and_failed() -> None:
    rows = [row(1, epoch=1), row(1, epoch=2, score=0.0), failed(1, epoch=3)]
    (cell,) = read_matrix(rows).samples[0].cells.values()
    assert say_cell(cell, "exact") == "✓ 1 of 3, 1 failed · yes · 101 ms · $0.00100"
    assert say_cell((), "exact") == "not run"


def test_what_a_cap_left_out_is_told_in_cell_story_and_filter(home: Any, open_page: Any) -> None:
    (cell,) = read_matrix([row(1), skipped(1, epoch=2)]).samples[0].cells.values()
    assert say_cell(cell, "exact") == "✓ 1 of 2, 1 skipped · yes · 101 ms · $0.00100"
    toolkit = current()
    toolkit.store.append("eval_runs", run(status="stopped"))
    toolkit.store.append_many("eval_samples", [row(1), failed(2), skipped(3)])
    app = open_page("evals", filter="skipped", sample="q3")
    assert not app.exception and list(table(app, "Sample")["Sample"]) == ["q3"]
    assert table(app, "Sample")["mock/a"][0] == "⏸ skipped · over the budget"
    assert "⏸ BUDGET_EXCEEDED: raise the cap" in words(app)


def test_the_best_score_of_a_run_without_any_is_a_dash() -> None:
    assert best_of(run()) == "–"
    scored = {"scores": [{"scorer": "exact", "mean": 0.5, "low": 0.4, "high": 0.6, "n": 100}]}
    assert best_of(run(summary=scored)) == "0.5 [0.4, 0.6] n = 100 exact"


@pytest.mark.browser
@pytest.mark.timeout(400)
def test_a_run_is_started_left_found_again_and_stopped_in_a_real_browser(
    stage: Stage, chromium: Any, tmp_path: Any
) -> None:
    """It goes on while its page is left, and asks nobody any more once it is stopped."""
    stage.mock.default = Answer(text="Paris", first_delay_s=5.0)  # the run takes minutes
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    page.set_default_timeout(120_000)
    page.goto(f"{stage.app.url}/evals?new=true")
    page.get_by_role("button", name="Estimate the cost").wait_for()
    models = page.get_by_role("combobox", name="Models")
    models.press("Backspace")  # the built-in model, where nothing else is known
    models.fill("mock/mock-small")
    models.press("Enter")
    page.keyboard.press("Escape")
    page.get_by_text("Repeats, limits and parameters").click()
    once = page.get_by_role("spinbutton", name="Concurrent calls")
    once.fill("1")
    once.press("Tab")
    assert stage.mock.requests == []
    page.get_by_role("button", name="Estimate the cost").click()
    page.get_by_role("button", name="Start", exact=True).wait_for()
    page.screenshot(path=tmp_path / "evals-estimate-390.png", full_page=True)
    assert stage.mock.requests == [] and scroll_width(page) <= 390
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("button", name="Stop the run").wait_for()
    assert "run=" in page.url
    page.goto(f"{stage.app.url}/calls")
    page.get_by_role("heading", name="Calls").wait_for()
    wanted = max(len(stage.mock.requests) + 1, 4)
    for _ in range(600):
        if len(stage.mock.requests) >= wanted:
            break
        page.wait_for_timeout(100)
    assert len(stage.mock.requests) >= wanted, "it stood still while its page was left"
    page.goto(f"{stage.app.url}/evals")
    page.get_by_text("answers/s").wait_for()
    page.screenshot(path=tmp_path / "evals-running-390.png", full_page=True)
    page.get_by_role("button", name="Stop the run").click()
    page.get_by_role("button", name="Resume").wait_for()
    asked = len(stage.mock.requests)
    page.wait_for_timeout(600)
    assert len(stage.mock.requests) == asked < 40 and scroll_width(page) <= 390
    stage.mock.default = Answer(text="Paris")
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("40 of 40 answers").first.wait_for()
    assert page.locator("[data-testid=stException]").count() == 0
    page.close()


def scroll_width(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth"))


@pytest.mark.browser
@pytest.mark.timeout(400)
def test_the_page_in_a_real_browser(stage: Stage, chromium: Any, tmp_path: Any) -> None:
    """At both widths: a run, a filter, its scores, a sample's panel; no error, no scrolling."""
    rows = two_models()
    rows[0]["output"] = HOSTILE
    stage.store.append_many("eval_samples", rows)
    stage.store.append("eval_runs", run())
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(120_000)
    errors: list[str] = []
    outside: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda r: outside.append(r.url) if "127.0.0.1:1/" in r.url else None)
    page.goto(f"{stage.app.url}/evals?run=run-1")
    page.get_by_text("20 of 20 samples").wait_for()
    # A table has a column of that name, too.
    page.get_by_test_id("stButtonGroup").get_by_text("failed", exact=True).click()
    page.get_by_text("11 of 20 samples").wait_for()
    assert "filter=failed" in page.url
    page.screenshot(path=tmp_path / "evals-1280.png", full_page=True)
    page.get_by_role("tab", name="Scores").click()
    page.get_by_text("Score with 95 % interval").wait_for()
    page.locator(".js-plotly-plot").nth(2).wait_for()
    page.screenshot(path=tmp_path / "evals-scores-1280.png", full_page=True)
    page.goto(f"{stage.app.url}/evals?run=run-1&sample=q1")
    page.get_by_test_id("stDialog").get_by_text(HOSTILE).wait_for()
    page.screenshot(path=tmp_path / "evals-sample-1280.png")
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{stage.app.url}/evals?run=run-1&tab=Scores")
    page.locator(".js-plotly-plot").nth(2).wait_for()
    page.wait_for_function("window.innerWidth === 390")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.screenshot(path=tmp_path / "evals-390.png", full_page=True)
    assert page.locator("[data-testid=stException]").count() == 0
    assert errors == [] and outside == []
    page.close()


def test_an_answer_is_rated_and_commented_on_the_page(evaluated: Toolkit, open_page: Any) -> None:
    app = open_page("evals", run="run-1", sample="q6")
    app.segmented_control(key="rating-run-1-q6-mock/b-plain-1").set_value("✓ good").run()
    app.text_input(key="comment-run-1-q6-mock/b-plain-1").set_value(HOSTILE).run()
    assert not app.exception and not app.error
    app = open_page("evals", run="run-1", sample="q6")
    assert app.segmented_control(key="rating-run-1-q6-mock/b-plain-1").value == "✓ good"
    assert app.text_input(key="comment-run-1-q6-mock/b-plain-1").value == HOSTILE
    cells = table(app, "Sample").set_index("Sample").loc["q6"]
    assert "rated ✓" in cells["mock/b"] and "rated" not in cells["mock/a"]
    scores = open_page("evals", run="run-1", tab="Scores")
    assert not scores.exception
    assert "exact agrees with your ratings on 0% of 1 answers" in words(scores)
    app.segmented_control(key="rating-run-1-q6-mock/b-plain-1").set_value(None).run()
    app.text_input(key="comment-run-1-q6-mock/b-plain-1").set_value("").run()
    app = open_page("evals", run="run-1")
    assert "rated" not in table(app, "Sample").to_string()
