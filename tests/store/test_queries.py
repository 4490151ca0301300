"""Named queries: filters are checked and bound, statistics count live user calls only."""

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
from toolkit.store.queries import GOOD, USER_CALLS, CallFilter, Query, min_calls, percentiles_sql
from toolkit.store.queries.calls import latency_from_rollups
from toolkit.store.queries.percentiles import percentile_name
from toolkit.store.store import Store
from toolkit.store.tables import TABLES

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def store(settings):
    """A store that moves rows only when told."""
    opened = Store(settings)
    opened._publisher.notice = lambda count=1: None
    yield opened
    opened.close()


def exact_latency(store):
    return store.frame(
        f"SELECT provider, model, {percentiles_sql('ttft_ms')} FROM calls "
        f"WHERE {USER_CALLS} AND {GOOD} GROUP BY ALL"
    )


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


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_table_can_be_read_by_name(store, table):
    assert list(queries.table_df(store, table).columns) == list(TABLES[table].columns)


def test_percentiles_are_exact_and_left_out_where_too_few(store):
    values = [float(n) for n in range(1, 51)]
    put(store, *(call_row(ttft_ms=value) for value in values), call_row(model="m2", ttft_ms=7.0))
    found = exact_latency(store).set_index("model")
    assert found.loc["m1", "ttft_n"] == 50
    assert found.loc["m1", "ttft_p50_ms"] == np.quantile(values, 0.5)
    assert found.loc["m1", "ttft_p95_ms"] == np.quantile(values, 0.95)
    assert np.isnan(found.loc["m1", "ttft_p99_ms"]), "50 calls say nothing about 1 in 100"
    assert found.loc["m1", "ttft_max_ms"] == 50.0
    assert found.loc["m2", ["ttft_n", "ttft_p50_ms", "ttft_max_ms"]].tolist() == [1, 7.0, 7.0]
    assert np.isnan(found.loc["m2", "ttft_p90_ms"])


@pytest.mark.parametrize(("quantile", "fewest"), [(0.5, 1), (0.9, 10), (0.95, 20), (0.99, 100)])
def test_a_percentile_needs_one_value_beyond_it(store, quantile, fewest):
    assert min_calls(quantile) == fewest
    name = percentile_name("ttft_ms", quantile)
    if fewest > 1:
        put(store, *(call_row(ttft_ms=1.0) for _ in range(fewest - 1)))
        assert np.isnan(exact_latency(store)[name][0])
    put(store, call_row(ttft_ms=1.0))
    assert exact_latency(store)[name][0] == 1.0


def test_only_live_user_calls_enter_statistics(store):
    for source in ("record", "replay", "cache"):
        put(store, call_row(source=source, ttft_ms=1.0))
    put(store, call_row(origin="health", ttft_ms=1.0))
    assert queries.calls_df(store).shape[0] == 4
    assert exact_latency(store).empty
    assert latency_from_rollups().frame(store).empty
    where, values = CallFilter(is_user_only=True).where()
    assert store.rows(f"SELECT * FROM calls WHERE {where}", values) == []
    where, values = CallFilter(is_user_only=True, origin="health").where()
    assert len(store.rows(f"SELECT * FROM calls WHERE {where}", values)) == 1


def test_a_failed_call_has_no_latency(store):
    put(
        store,
        call_row(ttft_ms=5.0),
        call_row(ttft_ms=900.0, status="error", error_code="TIMEOUT", blame="provider"),
        call_row(ttft_ms=800.0, status="cancelled"),
    )
    assert list(exact_latency(store)["ttft_n"]) == [1]
    assert [row["n"] for row in latency_from_rollups().rows(store)] == [1]


def test_only_durations_are_rolled_up():
    with pytest.raises(InvalidInput):
        latency_from_rollups("model) FROM calls --")


def test_every_field_of_the_filter_selects(store):
    rows = {
        "plain": call_row(started_at=NOON),
        "provider": call_row(started_at=NOON, provider="other", model="other/m1"),
        "model": call_row(started_at=NOON, model="acme/m2"),
        "status": call_row(started_at=NOON, status="cancelled"),
        "origin": call_row(started_at=NOON, origin="compare", origin_id="b1"),
        "error": call_row(started_at=NOON, status="error", error_code="TIMEOUT"),
        "late": call_row(started_at=NOON + timedelta(hours=2)),
        "text": call_row(started_at=NOON, output_text="The Answer is 42%_"),
    }
    put(store, *rows.values())
    names = {row["call_id"]: name for name, row in rows.items()}

    def chosen(**fields):
        where, values = CallFilter(**fields).where(now=NOON + timedelta(hours=3))
        found = store.rows(f"SELECT call_id FROM calls WHERE {where}", values)
        return {names[row["call_id"]] for row in found}

    assert chosen() == set(rows)
    assert chosen(provider="other") == {"provider"}
    assert chosen(model="acme/m2") == {"model"}
    assert chosen(status="cancelled") == {"status"}
    assert chosen(origin="compare") == chosen(origin_id="b1") == {"origin"}
    assert chosen(error_code="TIMEOUT") == {"error"}
    assert chosen(since=timedelta(hours=1)) == chosen(since=NOON + timedelta(hours=1)) == {"late"}
    assert chosen(until=NOON) == set()
    assert chosen(until=NOON + timedelta(hours=2)) == set(rows) - {"late"}
    assert chosen(text="answer is") == {"text"}
    assert chosen(text="42%_") == {"text"}
    assert chosen(text=rows["late"]["call_id"]) == {"late"}
    assert chosen(text="' OR 1=1 --") == set()


def test_a_bare_model_id_selects_every_provider(store):
    put(
        store,
        call_row(call_id="1", model="acme/m1"),
        call_row(call_id="2", provider="b", model="b/m1"),
        call_row(call_id="3", provider="b", model="b/m2"),
    )
    where, values = CallFilter(model="m1").where()
    found = store.rows(f"SELECT call_id FROM calls WHERE {where} ORDER BY ALL", values)
    assert [row["call_id"] for row in found] == ["1", "2"]


def test_a_query_that_is_shown_is_the_query_that_runs(store):
    put(store, call_row(model="it's", tags={"a": "b"}, started_at=NOON))
    query = Query(
        "SELECT count(*) AS n FROM calls WHERE model = ? AND started_at = ? AND list_contains(?, "
        "attempt) AND tags = ? AND ? AND seq < ? AND ? IS NULL",
        ("it's", NOON, [1, 2], {"a": "b"}, True, 1.5, None),
    )
    assert query.frame(store)["n"][0] == 1
    assert store.user_frame(query.text)["n"][0] == 1
    assert query.python.startswith("tk.sql(")


def test_sums_beyond_64_bits_end_there_and_stop_nothing(store):
    put(store, call_row(input_tokens=2**63 - 1), call_row(input_tokens=2**63 - 1))
    put(store, call_row(input_tokens=1))
    (row,) = store.rows("SELECT input_tokens FROM rollup_hourly")
    assert row["input_tokens"] == 2**63 - 1
    assert store._journal.count() == 0


@hypothesis_settings(max_examples=6)
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
    rolled = latency_from_rollups().frame(store).to_dict("records")[0]
    exact = exact_latency(store).to_dict("records")[0]
    store.close()
    ordered = sorted(values)
    assert rolled["n"] == exact["ttft_n"] == len(values)
    assert rolled["max_ms"] == exact["ttft_max_ms"] == ordered[-1]
    for name, share in (("p50_ms", 0.5), ("p90_ms", 0.9), ("p95_ms", 0.95), ("p99_ms", 0.99)):
        assert np.isnan(rolled[name]) == np.isnan(exact[f"ttft_{name}"])
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
