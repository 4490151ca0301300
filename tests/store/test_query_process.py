"""A user's SQL whose values may grow without bound is ended in time, and harms nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from tests.store.rows import call_row
from toolkit.errors import StoreError
from toolkit.settings import Settings
from toolkit.store.backends.quack_backend import QuackBackend
from toolkit.store.store import Store
from toolkit.store.user_sql import query_process
from toolkit.store.user_sql.query_growth import growing_functions
from toolkit.store.user_sql.query_process import run_in_child


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = Store(Settings(home=tmp_path_factory.mktemp("apart")))
    opened._publisher.notice = lambda count=1: None  # type: ignore[method-assign]
    opened.append("calls", call_row(call_id="a", output_text="moved", cost_usd=Decimal("0.125")))
    opened.ingest()
    opened.append("calls", call_row(call_id="b", output_text="waiting"))
    yield opened
    opened.close()


GROWING = [
    "SELECT length(replace(s, 'x', s)) FROM (SELECT repeat('x', 9000) AS s)",
    "SELECT list_transform(range(3), x -> range(9000))",
    "SELECT [y FOR y IN range(9)]",
    "SELECT string_agg(call_id, ',') FROM calls",
    "SELECT list(call_id) FROM calls",
    "SELECT regexp_replace(call_id, '.', repeat('x', 9000), 'g') FROM calls",
    "WITH RECURSIVE t(s, n) AS (SELECT 'x', 0 UNION ALL SELECT s || s, n + 1 FROM t WHERE n < 40) "
    "SELECT max(length(s)) FROM t",
    "SELECT a || a || a || a || a || a || a || a FROM (SELECT call_id AS a FROM calls)",
    "SELECT printf('%1000000000d', 1)",
    "SELECT list_resize([1], 1000000000)",
    "SELECT array_to_string(range(9000), repeat('x', 9000))",
    "SELECT json_group_array(call_id) FROM calls",
]
BOUNDED = [
    "SELECT provider, count(*), quantile_cont(ttft_ms, 0.5) FROM calls GROUP BY 1 ORDER BY 2 DESC",
    "SELECT date_trunc('day', started_at) AS day, sum(cost_usd) FROM calls GROUP BY ALL",
    "SELECT params->>'temperature', unnest(flags), upper(model) FROM calls WHERE model LIKE 'a%'",
    "SELECT row_number() OVER (PARTITION BY model ORDER BY call_id), lag(model) OVER () FROM calls",
    "SELECT call_id || '-' || model FROM calls WHERE status IN ('ok', 'error') AND NOT stream",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 9) SELECT * FROM t",
    *("DESCRIBE calls", "SUMMARIZE calls", "SHOW TABLES", "FROM calls LIMIT 1", "VALUES (1)"),
]


def names_in(sql: str, bounded: frozenset[str] = frozenset({"repeat", "range"})) -> list[str]:
    found = duckdb.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    assert found is not None
    return growing_functions(json.loads(found[0]), bounded)


@pytest.mark.parametrize("sql", GROWING)
def test_what_may_grow_is_known(sql: str) -> None:
    assert names_in(sql)


@pytest.mark.parametrize("sql", BOUNDED)
def test_ordinary_queries_run_in_this_process(sql: str) -> None:
    assert names_in(sql) == []


@pytest.mark.parametrize("sql", GROWING)
def test_a_shared_server_runs_no_query_that_may_grow(tmp_path: Path, sql: str) -> None:
    """Its memory is everybody's; nothing is sent."""

    class Unused:
        def run(self, sql: str, params: object = ()) -> object:
            raise AssertionError(sql)

    settings = Settings(home=tmp_path, store="quack:127.0.0.1:1")
    backend = QuackBackend(settings, Store(settings)._journal)
    backend.__dict__["_client"] = Unused()
    with (
        pytest.raises(StoreError, match="memory of the server") as refused,
        backend.reading_locked_down() as reader,
    ):
        reader.frame(sql)
    assert refused.value.cause == "not_allowed"


def test_the_child_sees_the_same_rows_and_gives_the_same_types(store: Store) -> None:
    sql = "SELECT call_id, cost_usd, started_at, list_reverse([1, 2]) AS l FROM calls ORDER BY 1"
    apart = store.user_frame(sql)
    with store._backend.reading_locked_down() as reader:
        reader.may_grow = True
        here = reader.frame(sql)
    pd.testing.assert_frame_equal(apart, here)
    assert list(apart["call_id"]) == ["a", "b"], "what waits in the journal, too"


def test_the_child_gives_an_arrow_table_and_binds_values(store: Store) -> None:
    table = store.user_arrow(
        "SELECT replace(?, 'a', 'b') AS t, list_transform([1, 2], x -> x + ?) AS l", ["aha", 5]
    )
    assert table.to_pylist() == [{"t": "bhb", "l": [6, 7]}]
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    named = store.user_arrow("SELECT list_transform([$at], x -> x) AS l", {"at": moment})
    assert named.to_pylist() == [{"l": [moment]}]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT replace(nowhere, 'a', 'b') FROM calls", "nowhere"),
        ("SELECT replace(content, 'a', 'b') FROM read_text('/etc/hostname')", "cannot be reached"),
        ("SELECT list_transform([1], x -> repeat('x', 100000))", "more than 10,000 parts"),
    ],
)
def test_errors_in_the_child_are_those_of_this_process(store: Store, sql: str, reason: str) -> None:
    with pytest.raises(StoreError, match=reason):
        store.user_frame(sql)


HUNGRY = [
    "SELECT length(replace(s, 'x', s)) FROM (SELECT replace(s, 'x', s) AS s FROM "
    "(SELECT repeat('x', 9000) AS s))",
    "SELECT len(list_transform(range(9999), x -> repeat('y', 9999))) FROM range(2000)",
    "WITH RECURSIVE t(s, n) AS (SELECT 'x', 0 UNION ALL SELECT s || s, n + 1 FROM t WHERE n < 40) "
    "SELECT max(length(s)) FROM t",
    "SELECT length(string_agg(repeat('z', 9999), '')) FROM range(9000000)",
    "SELECT length(regexp_replace(s, 'x', s, 'g')) FROM (SELECT regexp_replace(s, 'x', s, 'g') "
    "AS s FROM (SELECT repeat('x', 9000) AS s))",
]


@pytest.mark.parametrize("sql", HUNGRY)
def test_a_hungry_query_is_ended_and_the_store_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    code = query_process._CODE.replace(
        "import answer; ",
        "import answer; import toolkit.store.user_sql.query_child as q; "
        f"q.PROCESS_BYTES = {700 * 1024**2}; ",
    )
    monkeypatch.setattr(query_process, "_CODE", code)
    with pytest.raises(StoreError) as ended:
        run_in_child(store.settings, "frame", sql, (), 30.0)
    assert ended.value.cause in {"memory", "sql", "timeout"}, ended.value
    assert len(store.user_frame("SELECT * FROM calls")) == 2


def test_a_child_that_does_not_end_is_stopped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_process, "_CODE", "import time; time.sleep(600)")
    monkeypatch.setattr(query_process, "_START_S", 0.5)
    with pytest.raises(StoreError, match="took too long"):
        run_in_child(store.settings, "frame", "SELECT 1", (), 0.1)


def test_a_child_that_breaks_down_is_a_clear_error(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_process, "_CODE", "raise SystemExit('out of paper')")
    with pytest.raises(StoreError, match="out of paper"):
        run_in_child(store.settings, "frame", "SELECT 1", (), 5.0)
