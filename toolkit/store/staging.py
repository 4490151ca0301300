"""Journal entries as typed rows: DuckDB reads the JSON text with the types of its own tables."""

# ruff: noqa: S608 - names in SQL are the house's own (`tables.py`), values are bound.

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from toolkit.store.binding import execute, require_literal
from toolkit.store.journal import Entry
from toolkit.store.tables import TABLES, Table

if TYPE_CHECKING:
    import duckdb

# A statement carries the rows as text; so many keep it at some megabytes.
_AT_ONCE: Final = 2_000
_LIST: Final = re.compile(r"^(.*)\[\]$")

Structures = dict[str, str]


def read_structures(connection: duckdb.DuckDBPyConnection, catalog: str) -> Structures:
    """For each table of `catalog` what `from_json` needs to read its rows."""
    found = execute(
        connection,
        "SELECT table_name, column_name, data_type FROM duckdb_columns() "
        "WHERE database_name = ? AND schema_name = 'main' ORDER BY table_name, column_index",
        [catalog],
    ).fetchall()
    shapes: dict[str, dict[str, Any]] = {}
    for table, column, kind in found:
        listed = _LIST.match(kind)
        shapes.setdefault(table, {})[column] = [listed.group(1)] if listed else kind
    return {table: json.dumps(shape) for table, shape in shapes.items()}


def load(
    connection: duckdb.DuckDBPyConnection,
    entries: Sequence[Entry],
    structures: Structures,
    prefix: str,
) -> list[Table]:
    """Make a temporary table `{prefix}{table}` of the entries of each table; returns the tables.

    Its columns are those of the table, and `entry`.

    Of several entries with one key the last stays where a newer row replaces the older one,
    else the first.
    """
    targets = {entry.target for entry in entries}
    tables = [table for name, table in TABLES.items() if name in targets]
    for table in tables:
        own = [entry for entry in entries if entry.target == table.name]
        _load_table(connection, table, own, structures[table.name], prefix)
    return tables


def _load_table(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    entries: Sequence[Entry],
    structure: str,
    prefix: str,
) -> None:
    name = f"{prefix}{table.name}"
    keys = ", ".join(table.key)
    wins = "max" if table.is_replacing else "min"
    # Names and structure are the house's own; the rows are bound.
    typed = f"SELECT entry, unnest(from_json(row, {require_literal(structure)}))"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS "
        f"{typed} FROM (SELECT NULL::BIGINT AS entry, NULL::VARCHAR AS row) LIMIT 0"
    )
    for start in range(0, len(entries), _AT_ONCE):
        part = entries[start : start + _AT_ONCE]
        execute(
            connection,
            f"INSERT INTO {name} {typed} FROM (SELECT unnest(?) AS entry, unnest(?) AS row)",
            [[entry.number for entry in part], [entry.row for entry in part]],
        )
    distinct = connection.execute(
        f"SELECT count(*) = count(DISTINCT ({keys})) FROM {name}"
    ).fetchone()
    if distinct != (True,):
        connection.execute(
            f"DELETE FROM {name} WHERE entry NOT IN "
            f"(SELECT {wins}(entry) FROM {name} GROUP BY {keys})"
        )
