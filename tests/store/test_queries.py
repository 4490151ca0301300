"""Named questions: filters are checked and bound, statistics count live calls only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.store.rows import call_row, model_row
from toolkit.errors import InvalidInput, StoreError
from toolkit.settings import Settings
from toolkit.store import queries, rollup
from toolkit.store.store import Store

pytestmark = pytest.mark.slow

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def store(settings):
    """A store that moves rows only when told."""
    opened = Store(settings)
    opened._publisher.notice = lambda count=1: None
    yield opened
    opened.close()


def put(store, *rows):
    store.append_many("calls", list(rows))
    store.ingest()


def test_calls_come_newest_first_with_all_their_columns(store):
    put(store, *(call_row(call_id=str(n), started_at=NOON + timedelta(hours=n)) for n in range(3)))
    found = queries.calls_df(store)
    assert list(found["call_id"]) == ["2", "1", "0"]
    assert list(found.columns) == list(call_row())
    assert str(found["started_at"].dt.tz) == "UTC"
    assert list(queries.calls_df(store, limit=1)["call_id"]) == ["2"]


def test_filters_are_equality_one_of_many_or_unknown(store):
    put(
        store,
        call_row(call_id="a", provider="x"),
        call_row(call_id="b", provider="y", error_code="TIMEOUT", status="error"),
        call_row(call_id="c", provider="z"),
    )

    def ids(**filters):
        return set(queries.calls_df(store, filters=filters)["call_id"])

    assert ids(provider="x") == {"a"}
    assert ids(provider=["x", "y"]) == {"a", "b"}
    assert ids(provider=()) == set()
    assert ids(error_code=None) == {"a", "c"}
    assert ids(provider="x' OR '1'='1") == set()


def test_a_filter_that_is_no_column_is_refused(store):
    with pytest.raises(InvalidInput, match="no column"):
        queries.calls_df(store, filters={"provider = 'x' OR 1": 1})


@pytest.mark.parametrize("limit", [-1, 1.5, "1; DROP TABLE calls", True])
def test_a_limit_that_is_no_count_is_refused(store, limit):
    with pytest.raises(InvalidInput, match="limit"):
        queries.calls_df(store, limit=limit)


def test_a_persons_condition_goes_with_filters_and_may_hold_a_remark(store):
    put(
        store,
        *(call_row(call_id=str(n), ttft_ms=float(n), provider="p" + str(n % 2)) for n in range(6)),
    )
    found = queries.calls_df(
        store, "ttft_ms > 2 OR ttft_ms = 0 -- mine", filters={"provider": "p0"}
    )
    assert sorted(found["call_id"]) == ["0", "4"]


@pytest.mark.parametrize(
    "where",
    [
        "1=1; DROP TABLE calls",
        "call_id IN (SELECT content FROM read_text('/etc/hostname'))",
        "nope =",
    ],
)
def test_a_persons_condition_is_locked_down(store, where):
    put(store, call_row())
    with pytest.raises(StoreError):
        queries.calls_df(store, where)
    assert len(queries.calls_df(store)) == 1


def test_models_and_probes_are_filtered_too(store):
    store.append("models", model_row(is_enabled=True, capabilities=["tools"]))
    store.append("models", model_row(model_id="m2", is_enabled=False))
    store.append(
        "probes", {"probe_id": "1", "provider": "acme", "probed_at": NOON, "state": "down"}
    )
    assert list(queries.models_df(store, filters={"is_enabled": True})["model_id"]) == ["m1"]
    assert list(queries.probes_df(store, filters={"provider": "acme"})["state"]) == ["down"]


@pytest.mark.parametrize("table", sorted(queries.TABLES))
def test_every_table_can_be_read_by_name(store, table):
    assert list(queries.table_df(store, table).columns) == list(queries.TABLES[table].columns)


def test_one_call_in_detail_has_values_for_json(store):
    put(store, call_row(call_id="a", params={"n": 1}, messages=[{"role": "user", "content": "x"}]))
    found = queries.call_detail(store, "a")
    assert found is not None
    assert found["params"] == {"n": 1}
    assert found["messages"] == [{"role": "user", "content": "x"}]
    assert found["tool_calls"] is None
    assert queries.call_detail(store, "b") is None


def test_a_request_is_folded_over_its_attempts(store):
    put(
        store,
        call_row(call_id="1", request_id="r", attempt=1, status="error", error_code="TIMEOUT",
                 duration_ms=10.0, cost_usd=None),
        call_row(call_id="2", request_id="r", attempt=2, attempt_kind="retry", duration_ms=5.0,
                 cost_usd=Decimal("0.5"), ttft_ms=3.0),
    )  # fmt: skip
    found = queries.requests_df(store).to_dict("records")
    assert len(found) == 1
    assert (found[0]["attempts"], found[0]["status"], found[0]["call_id"]) == (2, "ok", "2")
    assert (found[0]["duration_ms"], found[0]["ttft_ms"], found[0]["cost_usd"]) == (15.0, 3.0, 0.5)
    assert list(queries.attempts_df(store, "r")["call_id"]) == ["1", "2"]


def test_quantiles_are_exact_and_left_out_where_too_few(store):
    values = [float(n) for n in range(1, 51)]
    put(store, *(call_row(ttft_ms=value) for value in values), call_row(model="m2", ttft_ms=7.0))
    found = queries.latency_df(store).set_index("model")
    assert found.loc["m1", "n"] == 50
    assert found.loc["m1", "p50_ms"] == np.quantile(values, 0.5)
    assert found.loc["m1", "p95_ms"] == np.quantile(values, 0.95)
    assert np.isnan(found.loc["m1", "p99_ms"]), "50 calls say nothing about 1 in 100"
    assert found.loc["m1", "max_ms"] == 50.0
    assert found.loc["m2", ["n", "p50_ms", "max_ms"]].tolist() == [1, 7.0, 7.0]
    assert np.isnan(found.loc["m2", "p90_ms"])


def test_only_live_calls_enter_statistics(store):
    for source in ("record", "replay", "cache"):
        put(store, call_row(source=source, ttft_ms=1.0, status="error", error_code="TIMEOUT"))
    assert queries.calls_df(store).shape[0] == 3
    for question in (
        queries.latency_df,
        queries.latency_rollup_df,
        queries.errors_over_time_df,
        queries.overview_df,
        queries.traffic_df,
    ):
        assert question(store).empty


def test_failed_calls_enter_counts_but_not_latency(store):
    put(
        store,
        call_row(ttft_ms=5.0, input_tokens=7, cost_usd=Decimal("0.25")),
        call_row(ttft_ms=900.0, status="error", error_code="TIMEOUT", blame="provider"),
        call_row(ttft_ms=800.0, status="cancelled"),
    )
    assert list(queries.latency_df(store)["n"]) == [1]
    assert list(queries.latency_rollup_df(store)["n"]) == [1]
    row = queries.overview_df(store).to_dict("records")[0]
    counts = [row[k] for k in ("calls", "requests", "ok", "errors", "cancelled", "unpriced")]
    assert counts == [3, 3, 1, 1, 1, 2]
    assert (row["input_tokens"], row["cost_usd"]) == (7, 0.25)
    errors = queries.errors_over_time_df(store).to_dict("records")
    assert [(e["error_code"], e["blame"], e["n"]) for e in errors] == [("TIMEOUT", "provider", 1)]


def test_roll_ups_since_a_time_count_from_the_begin_of_its_hour(store):
    put(
        store,
        call_row(started_at=NOON - timedelta(minutes=1)),
        call_row(started_at=NOON),
        call_row(started_at=NOON + timedelta(hours=1)),
    )
    since = NOON + timedelta(minutes=30)
    assert list(queries.overview_df(store, since=since)["calls"]) == [2]
    assert list(queries.traffic_df(store, "day", since=since)["calls"]) == [2]
    assert list(queries.overview_df(store)["calls"]) == [3]


@pytest.mark.parametrize("question", [queries.latency_df, queries.latency_rollup_df])
def test_only_durations_have_quantiles(store, question):
    with pytest.raises(InvalidInput):
        question(store, "model) FROM calls --")


@pytest.mark.parametrize("question", [queries.traffic_df, queries.errors_over_time_df])
def test_only_known_widths_of_time(store, question):
    with pytest.raises(InvalidInput):
        question(store, "hour', now()) --")


def test_sums_beyond_64_bits_end_there_and_stop_nothing(store):
    put(store, call_row(input_tokens=2**63 - 1), call_row(input_tokens=2**63 - 1))
    put(store, call_row(input_tokens=1))
    assert list(queries.overview_df(store)["input_tokens"]) == [2**63 - 1]
    assert store._journal.count() == 0


@hypothesis_settings(max_examples=6, deadline=None)
@given(
    st.lists(st.floats(0.01, 1e7), min_size=1, max_size=150),
    st.integers(1, 4),
)
def test_rolled_up_quantiles_are_within_one_percent_however_calls_arrive(
    tmp_path_factory, values, batches
):
    store = Store(Settings(home=tmp_path_factory.mktemp("home")))
    store._publisher.notice = lambda count=1: None
    for start in range(batches):
        store.append_many("calls", [call_row(ttft_ms=v) for v in values[start::batches]])
        if start < batches - 1:  # the last batch is read from the journal
            store.ingest()
    rolled = queries.latency_rollup_df(store).to_dict("records")[0]
    exact = queries.latency_df(store).to_dict("records")[0]
    store.close()
    ordered = sorted(values)
    assert rolled["n"] == exact["n"] == len(values)
    assert rolled["max_ms"] == exact["max_ms"] == ordered[-1]
    for name, share in (("p50_ms", 0.5), ("p90_ms", 0.9), ("p95_ms", 0.95), ("p99_ms", 0.99)):
        assert np.isnan(rolled[name]) == np.isnan(exact[name])
        if not np.isnan(rolled[name]):
            wanted = ordered[int(np.ceil(share * len(ordered))) - 1]
            bound = (rollup.GAMMA - 1) / (rollup.GAMMA + 1)
            assert abs(rolled[name] - wanted) <= wanted * bound * 1.000001


def test_rebuilt_roll_ups_equal_those_kept_up_to_date(store):
    for batch in range(3):
        put(
            store,
            *(
                call_row(
                    model=f"m{n % 2}",
                    ttft_ms=float(n + 1),
                    cost_usd=Decimal(n) / 7,
                    status="error" if n % 5 == 0 else "ok",
                    started_at=NOON + timedelta(hours=batch, minutes=20 * n),
                )
                for n in range(12)
            ),
        )

    def contents():
        return [
            store.rows(f"SELECT * FROM {table} ORDER BY ALL")
            for table in ("rollup_hourly", "rollup_daily_histogram")
        ]

    kept = contents()
    with store._database.writing() as connection:
        rollup.rebuild(connection)
    assert contents() == kept
    assert sum(row["calls"] for row in kept[0]) == 36
