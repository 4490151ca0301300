"""The tables as the code names them are the tables as the SQL files make them."""

from __future__ import annotations

import re

import duckdb
import pytest

from toolkit.records import CALL_COLUMNS
from toolkit.store import migrate
from toolkit.store.tables import TABLES

BOOKKEEPING = {
    *("schema_version", "journal_marks", "rollup_hourly", "rollup_daily_histogram", "retention"),
}


@pytest.fixture
def columns() -> dict[str, dict[str, str]]:
    with duckdb.connect(":memory:") as connection:
        migrate.apply(connection)
        found: dict[str, dict[str, str]] = {}
        for table, column, kind in connection.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE NOT internal ORDER BY table_name, column_index"
        ).fetchall():
            found.setdefault(table, {})[column] = kind
        return found


def test_every_table_has_the_columns_that_the_code_names_in_the_same_order(columns):
    assert set(columns) - BOOKKEEPING == set(TABLES)
    for name, table in TABLES.items():
        assert tuple(columns[name]) == table.columns
        assert set(table.key) <= set(table.columns)


def test_a_row_of_calls_is_exactly_a_call(columns):
    assert tuple(columns["calls"]) == CALL_COLUMNS


def test_times_have_a_zone_money_is_decimal_and_structure_is_kept(columns):
    kinds = {(table, column): kind for table in columns for column, kind in columns[table].items()}
    for (table, column), kind in kinds.items():
        if column.endswith("_at"):
            assert kind == "TIMESTAMP WITH TIME ZONE", (table, column)
        if "usd" in column:
            assert kind.startswith("DECIMAL"), (table, column)
        if column.endswith(("_ms", "_s")):
            assert kind == "DOUBLE", (table, column)
    calls = columns["calls"]
    assert calls["tags"] == "MAP(VARCHAR, VARCHAR)"
    assert calls["flags"] == "VARCHAR[]"
    assert calls["chunk_offsets_us"] == "BIGINT[]"
    assert {calls[name] for name in ("params", "messages", "tool_calls")} == {"JSON"}


def test_no_column_needs_quotes(columns):
    """People write SQL over these names; a reserved word would need quotes each time."""
    with duckdb.connect(":memory:") as connection:
        migrate.apply(connection)
        for table, names in columns.items():
            connection.execute(
                f"SELECT {', '.join(names)} FROM {table} ORDER BY {', '.join(names)}"
            )


def test_each_table_and_each_column_is_explained():
    for _, sql in migrate.migrations():
        tables = re.findall(r"(?s)(--[^\n]*\n)?CREATE TABLE (\w+) \((.*?)\n\);", sql)
        added = [line for line in sql.splitlines() if line.startswith("ALTER TABLE")]
        assert tables or added
        assert [line for line in added if "; " not in line or "-- " not in line] == []
        for comment, name, body in tables:
            assert comment, name
            bare = [line for line in body.splitlines() if line.strip() and "-- " not in line]
            assert not bare, name
