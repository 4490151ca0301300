"""Charts of runs stand on their numbers: whole axes, known points only, names as text."""

from __future__ import annotations

import pandas as pd
import pytest

from toolkit.charts import eval_scores, eval_tradeoff


def summary(**columns):
    base = {
        "name": ["a <b>", "c"],
        "model": ["p/a", "p/c"],
        "mean": [0.5, 0.8],
        "low": [0.4, 0.7],
        "high": [0.6, 0.9],
        "n": [100, 90],
        "cost_usd": [0.01, None],
        "p50_ms": [200.0, 900.0],
    }
    return pd.DataFrame(base | columns)


def test_scores_stand_best_first_with_their_intervals_on_the_whole_axis():
    figure = eval_scores(summary(), of="first")
    (trace,) = figure.data
    assert list(trace.x) == [0.8, 0.5] and list(trace.y) == ["c", "a &lt;b&gt;"]
    assert list(trace.error_x.array) == pytest.approx([0.1, 0.1])
    assert figure.layout.title.text == "Score with 95 % interval, first, n = 90 to 100 samples"
    assert figure.layout.xaxis.range[0] <= 0 and figure.layout.xaxis.range[1] >= 1


def test_a_score_in_a_unit_of_its_own_begins_at_zero():
    figure = eval_scores(summary(mean=[200, 300], low=[150, 280], high=[250, 320]))
    assert figure.layout.xaxis.range is None and figure.layout.xaxis.rangemode == "tozero"


def test_what_has_no_price_has_no_point_and_the_title_says_so():
    figure = eval_tradeoff(summary(), "cost_usd")
    assert list(figure.data[0].x) == [0.01] and "1 of 2 known" in figure.layout.title.text
    assert len(eval_tradeoff(summary(), "p50_ms").data[0].x) == 2


def test_an_empty_chart_says_why():
    nothing = summary(mean=[None, None])
    assert eval_scores(nothing).layout.annotations[0].text == "nothing was scored"
    free = summary(cost_usd=[None, None])
    told = eval_tradeoff(free, "cost_usd").layout.annotations[0].text
    assert told == "the cost of the answers is not known"
