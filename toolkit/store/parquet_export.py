"""Export of the tables to Parquet files, one for each month, that other engines read.

Types are those that pandas, polars, DuckDB and Spark share: JSON, maps and structures become JSON
text, money stays decimal, times are UTC.
"""

# ruff: noqa: S608 - names in SQL are the toolkit's own, values are bound.

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from toolkit.errors import InvalidInput
from toolkit.files import PRIVATE, PRIVATE_FOLDER
from toolkit.store.tables import require_table

if TYPE_CHECKING:
    from toolkit.store.reader import Reader
    from toolkit.store.store import Store

MONTH_OF: Final = {
    "calls": "started_at",
    "eval_samples": "scored_at",
    "probes": "probed_at",
    "model_changes": "changed_at",
    "votes": "voted_at",
    "regressions": "judged_at",
}
"""Tables that grow with time, and what tells the month of a row; others are one file each."""

_ROW_GROUP: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFile:
    """One file that was written.

    Attributes:
        path: the file.
        table: whose rows.
        month: `2026-11`; None: all rows of the table, or those without a time.
        rows: how many.
        bytes: its size.
    """

    path: Path
    table: str
    month: str | None
    rows: int
    bytes: int


def export_parquet(
    store: Store, folder: Path, tables: Sequence[str], *, since: datetime | None = None
) -> list[ExportedFile]:
    """Write each table to `folder`, one file for each month (UTC) that has rows.

    Every file is complete or absent; one that exists is replaced. All files show the same state.

    Args:
        store: the store.
        folder: is created if it is missing.
        tables: names of tables.
        since: leave earlier months out.

    Raises:
        StoreError: the store has no such table, or cannot be read.
        InvalidInput: a file cannot be written.
    """
    names = [require_table(name).name for name in tables]
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        with store.reading() as reader:
            return [file for name in names for file in _export(reader, folder, name, since)]
    except OSError as error:
        raise InvalidInput(
            f"{folder} cannot be written: {error.strerror or error}",
            hint="Name a folder that is writable and has free space.",
        ) from None


def _export(reader: Reader, folder: Path, table: str, since: datetime | None) -> list[ExportedFile]:
    columns = _columns(reader, table)
    column = MONTH_OF.get(table)
    if column is None:
        count = reader.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"]
        return [_write(reader, folder, table, None, columns, "true", count)]
    months = reader.rows(
        f"SELECT strftime({column}, '%Y-%m') AS month, count(*) AS n, "
        f"date_trunc('month', {column}) AS begins FROM {table} "
        f"WHERE date_trunc('month', {column}) >= date_trunc('month', ?::TIMESTAMPTZ) "
        f"OR ? IS NULL GROUP BY ALL ORDER BY 1",
        [since, since],
    )
    return [
        _write(
            reader,
            folder,
            table,
            row["month"],
            columns,
            f"strftime({column}, '%Y-%m') IS NOT DISTINCT FROM {_literal(row['month'])}",
            row["n"],
        )
        for row in months
    ]


def _columns(reader: Reader, table: str) -> str:
    """The columns with types that every reader of Parquet knows."""
    found = []
    for row in reader.rows(f"DESCRIBE {table}"):
        name, kind = str(row["column_name"]), str(row["column_type"])
        if kind == "JSON":
            found.append(f"CAST({name} AS VARCHAR) AS {name}")
        elif kind.startswith(("MAP", "STRUCT")):
            found.append(f"CAST(to_json({name}) AS VARCHAR) AS {name}")
        else:
            found.append(name)
    return ", ".join(found)


def _write(
    reader: Reader,
    folder: Path,
    table: str,
    month: str | None,
    columns: str,
    where: str,
    rows: int,
) -> ExportedFile:
    path = folder / (f"{table}-{month}.parquet" if month else f"{table}.parquet")
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Readable by its owner only from the beginning: it contains prompts and answers.
        os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
        reader.rows(
            f"COPY (SELECT {columns} FROM {table} WHERE {where}) TO {_literal(str(aside))} "
            f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP})"
        )
        aside.chmod(PRIVATE)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return ExportedFile(path=path, table=table, month=month, rows=rows, bytes=path.stat().st_size)


def _literal(text: str | None) -> str:
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"
