"""Parameters of a statement: what comes back is what went in, with the type DuckDB gives it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.store.binding import execute, find_literal, require_literal

_MOMENTS = st.datetimes(
    min_value=datetime(1, 1, 2),
    max_value=datetime(9999, 12, 30),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))]),
)
_PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    st.sampled_from(["", "'", "''", "\\'", "a\0b", "$$", "--", "?", "$1", "é'; DROP TABLE t; --"]),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-999, max_value=999),
    _MOMENTS,
)
_LISTS = st.one_of(st.lists(st.text(max_size=5)), st.lists(st.integers(-(2**63), 2**63 - 1)))


@given(st.lists(st.one_of(_PLAIN, _LISTS), min_size=1, max_size=4))
def test_values_come_back_as_they_went_in_and_with_the_types_of_a_bound_value(
    values: list[Any],
) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        names = [f"${number}" for number in range(1, len(values) + 1)]
        sql = f"SELECT {', '.join([*names, *(f'typeof({name})' for name in names)])}"
        try:
            bound = connection.execute(sql, values).fetchall()
        except (duckdb.Error, UnicodeEncodeError) as error:
            with pytest.raises(type(error)):
                execute(connection, sql, values)
            return
        assert execute(connection, sql, values).fetchall() == bound


def test_a_number_that_is_none_stays_none() -> None:
    with duckdb.connect() as connection:
        (found,) = execute(connection, "SELECT ?", [math.nan]).fetchone() or ()
        assert math.isnan(found)


def test_a_value_is_never_part_of_the_statement() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE kept (a VARCHAR)")
        bad = "x'); DROP TABLE kept; --"
        execute(connection, "INSERT INTO kept VALUES (?)", [bad])
        assert execute(connection, "FROM kept WHERE a = ?", [bad]).fetchall() == [(bad,)]


@pytest.mark.parametrize("value", ["a\0b", "\ud800", 2**63, Decimal("1.5"), [], [1, "a"], b"x"])
def test_what_has_no_plain_literal_goes_the_other_way(value: Any) -> None:
    assert find_literal(value) is None


def test_a_text_that_cannot_stand_in_a_statement_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        require_literal("a\0b")


def test_neither_keeping_nor_moving_nor_reading_rows_loads_pandas(tmp_path: Path) -> None:
    script = """
import sys
from toolkit.settings import Settings
from toolkit.store.store import Store
store = Store(Settings())
row = {"run_id": "r", "name": "n", "status": "done"}
store.append("eval_runs", row)
store.ingest()
store.append("eval_runs", {**row, "run_id": "s"})
found = store.rows("SELECT run_id FROM eval_runs WHERE name = ? ORDER BY 1", ["n"])
store.close()
print([row["run_id"] for row in found], sorted({"pandas", "pyarrow"} & set(sys.modules)))
"""
    environment = {**os.environ, "TOOLKIT_HOME": str(tmp_path)}
    out = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "['r', 's'] []"
