"""Journal entries as typed rows: DuckDB reads the JSON text with the types of its own tables.

The text reaches DuckDB through a file in memory (a private temporary file where the system has
none). As literals of a statement it took four times as long: 25 MB of text passed the SQL parser
in 3 s on a busy machine. As bound values it would import pandas and pyarrow, see `binding`.
"""

# ruff: noqa: S608 - names in SQL are the toolkit's own (`tables.py`), values are bound.

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from toolkit.files import write_atomic
from toolkit.store.binding import execute, require_literal
from toolkit.store.journal import Entry
from toolkit.store.tables import TABLES, Table

if TYPE_CHECKING:
    import duckdb

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
    tables = tables_of(entry.target for entry in entries)
    for table in tables:
        own = [entry.row for entry in entries if entry.target == table.name]
        with text_file(own) as path:
            # Entries are in the order of the journal, so the position tells which is newer.
            source = (
                f"SELECT unnest(range({len(own)})) AS entry, "
                "unnest(string_split(content, chr(10))) AS row "
                f"FROM read_text({require_literal(path)})"
            )
            load_table(connection, table, source, structures, prefix)
    return tables


def tables_of(targets: Iterable[str]) -> list[Table]:
    """The tables that entries name, in the order of `TABLES`."""
    named = set(targets)
    return [table for name, table in TABLES.items() if name in named]


def load_table(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    source: str,
    structures: Structures,
    prefix: str,
) -> None:
    """Make the temporary table of one table.

    Args:
        connection: where it is made.
        table: the table.
        source: SQL with the columns `entry`, ascending, and `row`, the JSON text.
        structures: from `read_structures`.
        prefix: begins the name of the temporary table.
    """
    name = f"{prefix}{table.name}"
    keys = ", ".join(table.key)
    wins = "max" if table.is_replacing else "min"
    structure = require_literal(structures[table.name])
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS "
        f"SELECT entry, unnest(from_json(row, {structure})) FROM ({source})"
    )
    distinct = connection.execute(
        f"SELECT count(*) = count(DISTINCT ({keys})) FROM {name}"
    ).fetchone()
    if distinct != (True,):
        connection.execute(
            f"DELETE FROM {name} WHERE entry NOT IN "
            f"(SELECT {wins}(entry) FROM {name} GROUP BY {keys})"
        )


@contextmanager
def text_file(rows: Sequence[str]) -> Iterator[str]:
    """The rows as lines of a file that only this process can read and that leaves no trace."""
    # JSON has no line break but between its tokens, where a space says the same.
    content = "\n".join(row.replace("\n", " ") for row in rows).encode()
    if sys.platform == "linux":
        descriptor = os.memfd_create("toolkit-staging", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
        return
    with tempfile.TemporaryDirectory(prefix="toolkit-") as folder:  # pragma: no cover
        path = Path(folder) / "rows"
        write_atomic(path, content, durable=False)
        yield str(path)
