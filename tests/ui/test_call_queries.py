"""Filters become conditions whose values are bound when run and quoted when shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.store.queries import call_list as ask
from toolkit.store.queries.filters import CallFilter

NOW = datetime(2026, 11, 21, 14, tzinfo=UTC)


def test_a_filter_takes_one_value_or_several():
    one = CallFilter(provider="p", status=("error", "cancelled"), tag=("team=a",))
    where, values = one.where()
    assert where.count("?") == len(values) == 3 and "'" not in where.replace("'='", "")
    assert values == ("p", ["error", "cancelled"], ["team=a"])
    assert CallFilter(provider=(), model=()).where() == ("true", ())
    assert CallFilter(model=("a/b", "c")).label == "a/b, c"


def test_facets_count_within_the_time_and_not_within_the_other_filters():
    chosen = CallFilter(provider=("p",), since=timedelta(hours=1), origin_id="b")
    where, values = ask.everything_of(chosen).where(NOW)
    assert "provider" not in where and values == ("b", NOW - timedelta(hours=1))


@given(st.text(), st.text(min_size=1))
def test_no_text_of_a_person_ever_becomes_sql(provider, text):
    query = ask.requests(CallFilter(provider=provider, text=text))
    bare = ask.requests(CallFilter(provider="p", text="t"))
    assert query.sql == bare.sql


@given(st.text())
def test_the_shown_sql_quotes_every_value(text):
    query = ask.Query("SELECT ? AS a", (text,))
    inner = query.text.removeprefix("SELECT '").removesuffix("' AS a")
    assert inner.replace("''", "'") == text


def test_only_known_columns_enter_sql():
    with pytest.raises(ValueError, match="no such column"):
        ask.latencies(CallFilter(), "ttft_ms; DROP TABLE calls")


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=4_000)))
def test_buckets_are_neither_too_many_nor_wider_than_needed(span):
    width_s = ask.bucket_of(NOW - span, NOW)
    assert span.total_seconds() / width_s <= 700
    assert ask.bucket_of(None, None) == 3_600
