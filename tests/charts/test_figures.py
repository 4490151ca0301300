"""Charts say what and of how many, draw gaps as gaps, and read no markup from a name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from toolkit import charts
from toolkit.charts.phases import phases_of_attempts
from toolkit.charts.wire import timeline

START = datetime(2026, 11, 21, 12, tzinfo=UTC)


def call(**fields):
    return {
        "started_at": START,
        "provider": "p",
        "model": "p/m",
        "status": "ok",
        "ttft_ms": 100.0,
        "last_token_ms": 300.0,
        "duration_ms": 310.0,
        "chunk_offsets_us": [100_000, 200_000, 300_000],
    } | fields


def buckets(*counts, width_s=3600):
    rows = [
        {
            "bucket_at": START + timedelta(seconds=index * width_s),
            "bucket_s": width_s,
            "n": n,
            "p50_ms": 10.0 * n,
            "p95_ms": 20.0 * n,
            "max_ms": 30.0 * n,
        }
        for index, n in enumerate(counts)
        if n
    ]
    return pd.DataFrame(rows, columns=["bucket_at", "bucket_s", "n", "p50_ms", "p95_ms", "max_ms"])


def test_every_chart_of_the_face_can_be_had():
    assert all(callable(getattr(charts, name)) for name in charts.__all__)
    with pytest.raises(AttributeError):
        charts.nothing_of_this_name  # noqa: B018


def test_a_waterfall_has_a_line_per_part_and_a_tick_per_chunk():
    figure = charts.waterfall([call()])
    names = [trace.name for trace in figure.data]
    assert names == ["waiting", "answering", "closing", "content chunks"]
    assert list(figure.data[-1].x) == [100.0, 200.0, 300.0]
    assert "n = 3 content chunks" in figure.layout.title.text


def test_a_waterfall_reads_a_frame_as_well_as_rows():
    assert len(charts.waterfall(pd.DataFrame([call()])).data) == 4


def test_a_failed_attempt_is_a_mark_and_the_retry_stands_after_it():
    failed = call(status="error", error_code="SERVER_ERROR", ttft_ms=None, chunk_offsets_us=[])
    figure = charts.waterfall([failed, call(started_at=START + timedelta(seconds=2))])
    mark = next(trace for trace in figure.data if trace.name == "failed")
    assert list(mark.x) == [0.31]  # an axis longer than two seconds counts in seconds
    assert figure.data[-1].x[0] == 2.1


def test_panes_share_one_axis_in_their_own_order():
    phases = [phase for lane in ("b", "a") for phase in phases_of_attempts([call()], lane)]
    figure = timeline(phases, "Timeline of 2 panes, n = 2 calls")
    assert list(figure.layout.yaxis.categoryarray) == ["a", "b"]  # drawn from below


def test_an_ecdf_ends_at_all_calls_and_counts_unknown_values_nowhere():
    calls = pd.DataFrame({"model": ["p/m"] * 4, "ttft_ms": [30.0, 10.0, 20.0, None]})
    figure = charts.ecdf(calls)
    assert list(figure.data[0].x) == [10.0, 20.0, 30.0]
    assert figure.data[0].y[-1] == 100.0
    assert "n = 3" in figure.layout.title.text
    assert "log" in figure.layout.xaxis.title.text


def test_an_ecdf_draws_six_series_and_the_rest_as_others():
    calls = pd.DataFrame(
        {"model": [f"p/{i}" for i in range(9) for _ in range(9 - i)], "ttft_ms": 5.0}
    )
    names = {trace.name.split(" (")[0] for trace in charts.ecdf(calls).data}
    assert len(names) == 7 and "others" in names


def test_an_hour_without_calls_is_a_gap_in_the_line():
    figure = charts.percentiles_over_time(buckets(30, 0, 30), of="p/m")
    p50 = figure.data[0]
    assert len(p50.y) == 3 and pd.isna(p50.y[1])
    assert p50.connectgaps is False
    assert "n = 60" in figure.layout.title.text


def test_a_bucket_with_few_calls_shows_its_maximum_and_no_percentile():
    figure = charts.percentiles_over_time(buckets(10, 2), of="p/m")
    assert figure.data[0].y[0] == 100.0 and pd.isna(figure.data[0].y[1])
    assert pd.isna(figure.data[1].y).all()  # ten calls have a median, no 95th percentile
    few = figure.data[2]
    assert list(few.y) == [60.0] and "n < 5" in few.name


def test_a_long_history_keeps_its_gaps_without_a_row_for_every_minute():
    far = buckets(10)
    later = far.assign(bucket_at=START + timedelta(days=400))
    figure = charts.percentiles_over_time(pd.concat([far, later]).assign(bucket_s=60), of="p/m")
    assert 2 < len(figure.data[0].x) < 10
    assert pd.isna(figure.data[0].y).any()


def test_errors_are_stacked_by_class_and_only_vermilion_means_nothing_more_than_its_turn():
    rows = pd.DataFrame(
        {
            "bucket_at": [START] * 8,
            "bucket_s": [60] * 8,
            "error_code": ["RATE_LIMIT_EXCEEDED", *(f"E{i}" for i in range(1, 8))],
            "n": range(8, 0, -1),
        }
    )
    figure = charts.errors_over_time(rows, of="all models")
    assert [trace.name for trace in figure.data] == [
        "rate limited", "e1", "e2", "e3", "e4", "e5", "others",
    ]  # fmt: skip
    assert sum(sum(trace.y) for trace in figure.data) == 36
    assert figure.layout.barmode == "stack"


@pytest.mark.parametrize(
    "figure",
    [
        lambda: charts.waterfall([]),
        lambda: charts.ecdf(pd.DataFrame({"model": [], "ttft_ms": []})),
        lambda: charts.percentiles_over_time(buckets(), of="x"),
        lambda: charts.errors_over_time(
            pd.DataFrame(columns=["bucket_at", "bucket_s", "error_code", "n"]), of="x"
        ),
    ],
)
def test_a_chart_without_data_says_so(figure):
    assert figure().layout.annotations


def test_bars_leave_out_what_is_unknown():
    panes = pd.DataFrame({"pane": [0, 1], "model": ["a/x", "b/y"], "ttft_ms": [12.0, None]})
    figure = charts.pane_bars(panes)
    assert list(figure.data[0].y) == ["1. a/x"]
    assert "n = 1 of 2 panes" in figure.layout.title.text


def test_a_model_name_is_no_markup():
    rows = [call(provider="<a href='http://evil.example'>x</a>", model="<b>")]
    phases = phases_of_attempts(rows, "<a href='http://evil.example'>x</a>")
    assert "<a" not in timeline(phases, "t").to_json()
