"""The Load tests page: list, figures and charts of a run, and its HTML file."""

from __future__ import annotations

from tests.servers import Answer
from tests.ui.test_pages import words
from toolkit.charts import load_by_step
from toolkit.charts.load_charts import STEP_FIGURES


def measured(toolkit, mock, **options):
    """A short load test of the scripted server."""
    mock.default = Answer(text="one two three four five")
    return toolkit.load_tests.run(
        "mock/mock-model", concurrency=(1, 2), requests=6, warmup=1, **options
    )


def test_an_empty_page_says_what_a_load_test_is_and_how_to_start_one(open_page):
    app = open_page("load")
    assert "toolkit bench" in words(app) and not app.dataframe


def test_the_newest_run_is_open_with_its_steps_and_charts(toolkit, mock, open_page):
    older = measured(toolkit, mock, name="older")
    newer = measured(toolkit, mock, name="newer", objectives={"e2e": 60_000})
    app = open_page("load")
    assert not app.exception and not app.error
    assert "newer, done" in words(app) and "12 of 12 measured requests answered" in words(app)
    runs, steps = app.dataframe[0].value, app.dataframe[1].value
    assert list(runs["Model"]) == ["mock/mock-model"] * 2
    assert len(steps) == 2 and "Goodput/s" in steps.columns
    assert len(app.get("plotly_chart")) == 2
    app = open_page("load", run=older.run_id)
    assert "older, done" in words(app)
    app = open_page("load", run="unknown")
    assert "newer, done" in words(app)
    assert newer.html().startswith("<!doctype html>") or "<html" in newer.html()


def test_every_figure_can_be_chosen(toolkit, mock, open_page):
    run = measured(toolkit, mock)
    frame = run.steps()
    for name, (_, lines) in STEP_FIGURES.items():
        chart = load_by_step(frame, name, of=run.model)
        known = [column for column, _, _ in lines if frame[column].notna().any()]
        assert len(chart.data) == len(known)
    app = open_page("load")
    app.segmented_control(key="load-figure").set_value("Throughput").run()
    assert not app.exception and "Throughput by step" in words(app)


def test_a_run_whose_process_was_killed_shows_what_was_measured(toolkit, mock, open_page):
    run = measured(toolkit, mock)
    toolkit.store.append("load_tests", {**run.facts, "status": "running", "summary": {}})
    app = open_page("load")
    assert not app.exception
    assert "interrupted" in words(app) and "12 of 12" in words(app)
