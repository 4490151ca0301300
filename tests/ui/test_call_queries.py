"""Filters become conditions whose values are bound when run and quoted when shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.ui.calls import page_queries as ask

NOW = datetime(2026, 11, 21, 14, tzinfo=UTC)


def test_no_filter_means_everything():
    assert ask.CallFilter().where() == ("true", ())
    assert ask.CallFilter().words == "all models, all time"


def test_each_filter_is_a_bound_value():
    chosen = ask.CallFilter(provider="p", model="m", status="error", origin="compare", board="b")
    where, values = chosen.where()
    assert where.count("?") == len(values) == 5
    assert "'" not in where
    assert chosen.words == "m, compare, error, one board, all time"


def test_a_time_span_counts_back_from_now():
    _, values = ask.CallFilter(span="last hour").where(NOW)
    assert values == (NOW - timedelta(hours=1),)


@given(st.text(), st.text(min_size=1))
def test_no_text_of_a_person_ever_becomes_sql(provider, text):
    query = ask.requests(ask.CallFilter(provider=provider, text=text))
    bare = ask.requests(ask.CallFilter(provider="p", text="t"))
    assert query.sql == bare.sql


@given(st.text())
def test_the_shown_sql_quotes_every_value(text):
    query = ask.Query("SELECT ? AS a", (text,))
    inner = query.text.removeprefix("SELECT '").removesuffix("' AS a")
    assert inner.replace("''", "'") == text


def test_only_known_columns_enter_sql():
    with pytest.raises(ValueError, match="no such column"):
        ask.latencies(ask.CallFilter(), "ttft_ms; DROP TABLE calls")


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=4_000)))
def test_buckets_are_neither_too_many_nor_wider_than_needed(span):
    width_s = ask.bucket_of(NOW - span, NOW)
    assert span.total_seconds() / width_s <= 700
    assert ask.bucket_of(None, None) == 3_600
