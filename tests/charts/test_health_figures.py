"""Charts of health: one time axis, bands and ticks where they belong, no day mistaken for a gap."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from toolkit import charts
from toolkit.charts.health_charts import uptime_colour
from toolkit.charts.palette import GREEN, ORANGE, VERMILION

END = datetime(2026, 11, 21, 12, tzinfo=UTC)
BEGIN = END - timedelta(hours=24)
ENDS = (BEGIN, END)


def buckets(*counts: int, provider: str = "acme") -> pd.DataFrame:
    rows = [
        {
            "provider": provider,
            "bucket_at": pd.Timestamp(BEGIN + timedelta(hours=index)),
            "bucket_s": 3600,
            "n": n,
            "p50_ms": 10.0,
            "p95_ms": 20.0,
            "max_ms": 30.0,
        }
        for index, n in enumerate(counts)
        if n
    ]
    return pd.DataFrame(rows, columns=["provider", "bucket_at", "bucket_s", "n", "p50_ms",
                                       "p95_ms", "max_ms"])  # fmt: skip


def incident(opened_h: float, closed_h: float | None, state: str = "down") -> dict[str, Any]:
    closed = None if closed_h is None else END - timedelta(hours=closed_h)
    told = {"provider": "acme", "model": None, "state": state, "reason": "<b>3 failures</b>"}
    return told | {"opened_at": END - timedelta(hours=opened_h), "closed_at": closed}


CHANGE = {"changed_at": END - timedelta(hours=3), "n": 5, "kinds": "price", "models": ["acme/<i>"]}


def latency(rows: pd.DataFrame, incidents: Any = (), changes: Any = ()) -> Any:
    return charts.health_latency(rows, incidents, changes, of="acme, last day", ends=ENDS)


def test_every_chart_of_a_stretch_of_time_has_its_axis_whatever_it_has_to_show() -> None:
    none = pd.DataFrame(columns=["bucket_at", "bucket_s", "error_code", "n"])
    errors = charts.health_errors(none, [], [], of="acme", ends=ENDS)
    pair = charts.latency_against(buckets(30), of="acme", ends=ENDS)
    for figure in (latency(buckets(30, 0, 30)), latency(buckets()), errors, pair):
        assert figure.layout.xaxis.type == "date"
        assert tuple(figure.layout.xaxis.range) == ENDS
        assert figure.layout.uirevision == "kept"


def test_points_stand_in_the_middle_of_their_bucket_and_gaps_stay_gaps() -> None:
    figure = latency(buckets(30, 0, 30))
    p50 = next(trace for trace in figure.data if trace.name == "p50")
    middle = (BEGIN + timedelta(minutes=30)).replace(tzinfo=None)  # plotly keeps UTC, without zone
    assert pd.Timestamp(p50.x[0]) == pd.Timestamp(middle)
    assert [bool(pd.isna(value)) for value in p50.y] == [False, True, False]
    assert p50.connectgaps is False


def test_incidents_are_bands_cut_to_the_axis_and_tell_of_themselves_as_text() -> None:
    told = [incident(30, 20), incident(2, None, "degraded"), incident(5, 4, "odd")]
    figure = latency(buckets(30), told)
    ends = [(shape.x0, shape.x1) for shape in figure.layout.shapes]
    assert ends[0] == (BEGIN, END - timedelta(hours=20)) and ends[1][1] == END
    names = [trace.name for trace in figure.data]
    assert "down (n = 2)" in names and "degraded (n = 1)" in names
    down = next(trace for trace in figure.data if trace.name.startswith("down"))
    assert "&lt;b&gt;3 failures&lt;/b&gt;" in down.customdata[0]
    still = next(trace for trace in figure.data if trace.name.startswith("degraded"))
    assert "still open" in still.customdata[0]


def test_events_may_come_as_a_frame_in_which_open_is_not_a_time() -> None:
    frame = pd.DataFrame([incident(5, 4), incident(2, None)])
    figure = latency(buckets(30), frame, pd.DataFrame([CHANGE]))
    assert figure.layout.shapes[1].x1 == END
    ticks = next(trace for trace in figure.data if trace.name == "catalog change")
    assert ticks.customdata[0] == "price: acme/&lt;i&gt; and 4 more"


def test_two_providers_differ_in_colour_and_in_shape() -> None:
    rows = pd.concat([buckets(30), buckets(30, provider="other")])
    figure = charts.latency_against(rows, of="both", ends=ENDS)
    looks = {(trace.line.color, trace.marker.symbol) for trace in figure.data}
    assert len(figure.data) == 4 and len(looks) == 2
    assert len({symbol for _, symbol in looks}) == 2
    assert [trace.showlegend for trace in figure.data] == [True, False, True, False]


def test_a_day_without_any_good_is_marked_and_never_looks_like_a_gap() -> None:
    days = [(date(2026, 11, day), good, n) for day, good, n in
            ((1, None, 0), (2, 0.0, 9), (3, 0.5, 2), (4, 1.0, 9))]  # fmt: skip
    bars, marks = charts.uptime_bars(days, of="acme").data
    assert list(bars.x) == [date(2026, 11, day) for day in (2, 3, 4)]
    assert list(marks.x) == [date(2026, 11, 2)]
    assert list(bars.customdata) == ["0 of 9 good", "1 of 2 good", "9 of 9 good"]
    assert list(bars.marker.opacity) == [1.0, 0.5, 1.0]
    assert charts.uptime_bars([], of="nobody").layout.annotations


@pytest.mark.parametrize(
    ("good", "colour"), [(1.0, GREEN), (0.99, GREEN), (0.98, ORANGE), (0.94, VERMILION)]
)
def test_red_is_for_what_is_broken(good: float, colour: str) -> None:
    assert uptime_colour(good) == colour
