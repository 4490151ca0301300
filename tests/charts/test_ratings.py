"""The chart of ratings against cost and TTFT: known models only, the front filled."""

from __future__ import annotations

import pandas as pd

from toolkit.charts import rating_tradeoff


def ratings() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": ["p/fast", "p/<b>good", "p/worse", "p/unpriced"],
            "rating": [900.0, 1100.0, 890.0, 1200.0],
            "low": [850.0, 1000.0, 800.0, 1100.0],
            "high": [950.0, 1200.0, 950.0, 1300.0],
            "votes": [10, 12, 9, 8],
            "usd_per_thousand": [0.3, 3.0, 0.31, None],
            "p50_ms": [82.0, 400.0, 500.0, 300.0],
            "is_front": [True, True, False, False],
        }
    )


def test_a_point_for_each_known_model_and_the_front_apart() -> None:
    figure = rating_tradeoff(ratings())
    assert figure.layout.title.text == "Rating against cost and TTFT, 3 of 4 models known"
    front, other = figure.data
    assert list(front.text) == ["fast · 82 ms", "&lt;b&gt;good · 400 ms"]
    assert list(other.text) == ["worse · 500 ms"]
    assert (front.marker.symbol, other.marker.symbol) == ("circle", "circle-open")
    assert "900 [850, 950], n = 10 votes, $0.300 for 1,000 calls" in front.customdata[0]
    # A label at the side of its point does not cross the interval, which is upright.
    assert not [place for place in (*front.textposition, *other.textposition) if "center" in place]
    low, high = figure.layout.xaxis.range
    assert 10**low < 0.3 and 10**high > 3.0
    assert {0.5, 1.0, 2.0} <= set(figure.layout.xaxis.tickvals)


def test_labels_of_near_points_are_put_at_different_sides() -> None:
    near = pd.concat([ratings()] * 2, ignore_index=True).head(3)
    near = near.assign(model=["p/one", "p/two", "p/three"], rating=[900.0, 901.0, 1300.0],
                       usd_per_thousand=[0.30, 0.31, 3.0], is_front=True)  # fmt: skip
    places = rating_tradeoff(near).data[0].textposition
    assert places[0] != places[1]


def test_a_label_replaces_name_and_ttft() -> None:
    front, other = rating_tradeoff(ratings().assign(label=["fast", "good", "3", "4"])).data
    assert (list(front.text), list(other.text)) == (["fast", "good"], ["3"])


def test_without_a_known_model_the_chart_says_so() -> None:
    none = rating_tradeoff(ratings().assign(p50_ms=None))
    assert "no rated model" in none.layout.annotations[0].text
    assert len(rating_tradeoff(ratings().head(0)).data) == 0
    assert len(rating_tradeoff(ratings().head(1)).data) == 2
