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
        row = call_row(
            input_tokens=tokens, cost_usd=cost, flags=("a", "b"), duration_ms=120.0, source="live"
        )
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


def test_values_of_numpy_and_columns_of_frames_are_parameters():
    wanted = tk.sql(SQL)["input_tokens"]
    query = "SELECT count(*) AS n FROM calls WHERE input_tokens = ?"
    assert tk.sql(query, [wanted.to_numpy()[0]])["n"][0] == 1
    models = tk.sql(SQL, as_="polars")["model"]
    query = "SELECT count(*) AS n FROM calls WHERE list_contains($models, model)"
    for column in (models, models.to_pandas()):
        assert tk.sql(query, {"models": column})["n"][0] == 2


@pytest.mark.parametrize(
    ("query", "params"),
    [
        (None, ()),
        ("SELECT '\ud83d'", ()),
        ("SELECT ?", ["\ud83d"]),
        ("SELECT $x", {"x": ["a", "\ud83d"]}),
        ("SELECT ?", "text"),
        ("SELECT ?", 5),
    ],
)
def test_what_cannot_be_asked_is_an_error_of_ours(query, params):
    with pytest.raises(tk.errors.InvalidInput, match=r"half of a character|the query|the param"):
        tk.sql(query, params)


def test_filters_refuse_half_characters():
    for read in (tk.calls, tk.models):
        with pytest.raises(tk.errors.InvalidInput, match="half of a character"):
            read(provider="\ud83d")


_FORMS = {
    "polars": lambda: tk.sql("SELECT * FROM calls", as_="polars"),
    "lazy": lambda: tk.sql("SELECT * FROM calls", as_="polars").lazy(),
    "arrow": lambda: tk.sql("SELECT * FROM calls", as_="arrow"),
    "pandas-arrow": lambda: tk.sql("SELECT * FROM calls", as_="pandas-arrow"),
}


@pytest.mark.parametrize("form", _FORMS)
def test_a_backtest_and_a_chart_take_every_form_of_frame(form):
    policy = tk.Policy(model=tk.calls()["model"][0])
    expected = tk.backtest(policy, tk.calls()).frame()
    pd.testing.assert_frame_equal(tk.backtest(policy, _FORMS[form]()).frame(), expected)
    drawn = tk.charts.ecdf(_FORMS[form](), "duration_ms")
    assert len(drawn.data) == len(tk.charts.ecdf(tk.calls(), "duration_ms").data) > 0


def test_a_backtest_of_no_policy_says_what_to_give():
    with pytest.raises(tk.errors.InvalidInput, match="a policy is a str"):
        tk.backtest(["m1"], tk.calls())


def test_a_dataset_takes_a_lazy_frame_and_refuses_what_is_no_frame():
    frame = pl.DataFrame({"input": ["a"], "target": ["b"]})
    assert len(tk.Dataset.from_frame(frame.lazy())) == 1
    with pytest.raises(tk.errors.InvalidInput, match="not a DataFrame"):
        tk.Dataset.from_frame("questions.csv")


@pytest.mark.parametrize("model", [None, 5, ["a/b"]])
def test_a_model_that_is_not_a_text_is_an_error_of_ours(model):
    for call in (tk.complete, tk.embed):
        with pytest.raises(tk.errors.InvalidInput, match="the model is a"):
            call(model, "Hello")
    with pytest.raises(tk.errors.InvalidProvider):
        tk.complete("openai/half\ud83d", "Hello")
