"""`tk.sql` in each form that people work with: the same rows, with the database's own types."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import toolkit as tk
from tests.store.rows import call_row
from toolkit.toolkit import current

SQL = "SELECT started_at, cost_usd, input_tokens, flags, model FROM calls ORDER BY input_tokens"
AT = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def rows(home):
    for tokens, cost in ((7, Decimal("0.000123")), (None, None)):
        row = call_row(input_tokens=tokens, cost_usd=cost, flags=("a", "b"))
        current().store.append("calls", row)


def test_arrow_has_the_types_of_the_database():
    table = tk.sql(SQL, as_="arrow")
    assert isinstance(table, pa.Table)
    assert table.column("cost_usd").to_pylist() == [Decimal("0.000123000000"), None]
    assert table.column("input_tokens").to_pylist() == [7, None]
    assert table.schema.field("started_at").type.tz == "UTC"
    assert table.column("started_at")[0].as_py() == AT


def test_pandas_with_arrow_types_keeps_whole_numbers_and_money():
    frame = tk.sql(SQL, as_="pandas-arrow")
    assert isinstance(frame, pd.DataFrame)
    assert all(isinstance(kind, pd.ArrowDtype) for kind in frame.dtypes)
    assert frame["input_tokens"][0] == 7 and frame["input_tokens"].isna().tolist() == [False, True]
    assert frame["cost_usd"][0] == Decimal("0.000123")


def test_polars():
    frame = tk.sql(SQL, as_="polars")
    assert isinstance(frame, pl.DataFrame)
    assert frame.schema["started_at"].time_zone == "UTC"
    assert frame["flags"].to_list() == [["a", "b"], ["a", "b"]]
    assert frame["input_tokens"].to_list() == [7, None]


def test_parameters_and_an_empty_result():
    query = "SELECT model, input_tokens FROM calls WHERE model = $name"
    assert tk.sql(query, {"name": "m1"}, as_="polars").height == 2
    assert tk.sql(query, {"name": "none"}, as_="polars").columns == ["model", "input_tokens"]


def test_the_same_is_refused_in_every_form():
    with pytest.raises(tk.errors.StoreError, match="only one SELECT"):
        tk.sql("DROP TABLE calls", as_="arrow")
    with pytest.raises(tk.errors.StoreError):
        tk.sql("SELECT * FROM read_csv('/etc/passwd')", as_="polars")
    with pytest.raises(tk.errors.InvalidInput, match="no form"):
        tk.sql("SELECT 1", as_="excel")


def test_a_result_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr("toolkit.store.reader.USER_SQL_ROWS", 1000)
    with pytest.raises(tk.errors.StoreError, match="more than 1,000 rows"):
        tk.sql("SELECT * FROM range(5000)", as_="arrow")
