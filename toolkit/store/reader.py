"""Read the database together with what the journal still holds, as one consistent view."""

# ruff: noqa: S608 - names in SQL are the toolkit's own (`tables.py`), values are bound.

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from toolkit.errors import InvalidInput, StoreError
from toolkit.store import rollup, staging
from toolkit.store.binding import execute, require_text
from toolkit.store.database import Database, explain
from toolkit.store.ingest import read_mark
from toolkit.store.journal import Entry, Journal
from toolkit.store.tables import Table
from toolkit.store.user_sql.query_growth import GrowingQueryError, growing_functions

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa

USER_SQL_TIMEOUT_S: Final = 60.0
USER_SQL_MEMORY: Final = "1GB"
# DuckDB's limit ends where pandas begins: `repeat(1, 1e11)` took 123 s and 5.3 GB here.
USER_SQL_ROWS: Final = 5_000_000
USER_SQL_BYTES: Final = 1024 * 1024 * 1024
USER_SQL_LENGTH: Final = 1_000_000
"""Longest text of a query, characters: 50 MB of it took DuckDB's parser 13 s."""

# A piece of a result is built before its size is known, so pieces stay small. DuckDB's vectors have
# 2048 rows.
_MOST_VECTORS: Final = 8
_ARROW_ROWS: Final = 16_384

_PREFIX: Final = "pending_"
# Table functions that change the engine's state or run unchecked text.
_REFUSED_FUNCTIONS: Final = frozenset(
    {"enable_logging", "disable_logging", "truncate_duckdb_logs", "write_log"}
    | {"enable_profiling", "disable_profiling", "checkpoint", "force_checkpoint"}
    | {"query", "query_table", "json_execute_serialized_sql", "read_duckdb"}
    | {"arrow_scan", "arrow_scan_dumb", "pandas_scan", "python_map_function"}
)
# One call of these makes a value of any size, which DuckDB neither counts as memory nor interrupts:
# `length(repeat('x', 4000000000))` took 44 s and 4 GB.
_MOST_MADE: Final = 10_000
_BOUNDED_FUNCTIONS: Final = {
    "repeat": "(s, n) AS CASE WHEN n > {most} // greatest(length(s::VARCHAR), 1) THEN {refusal} "
    "ELSE system.main.repeat(s, n) END",
    "lpad": "(s, n, c) AS CASE WHEN n > {most} THEN {refusal} ELSE system.main.lpad(s, n, c) END",
    "rpad": "(s, n, c) AS CASE WHEN n > {most} THEN {refusal} ELSE system.main.rpad(s, n, c) END",
    "bitstring": "(s, n) AS CASE WHEN n > {most} THEN {refusal} "
    "ELSE system.main.bitstring(s, n) END",
    # Of two times the difference is no number: it becomes NULL, and so does the comparison.
    **{
        name: f"(a) AS CASE WHEN a > {{most}} THEN {{refusal}} ELSE system.main.{name}(a) END, "
        f"(a, b) AS CASE WHEN b::HUGEINT - a::HUGEINT > {{most}} THEN {{refusal}} "
        f"ELSE system.main.{name}(a, b) END, "
        f"(a, b, c) AS CASE WHEN TRY_CAST((b - a)::VARCHAR AS HUGEINT) "
        f"// TRY_CAST(c::VARCHAR AS HUGEINT) > {{most}} THEN {{refusal}} "
        f"ELSE system.main.{name}(a, b, c) END"
        for name in ("range", "generate_series")
    },
}
_BOUNDED_NAMES: Final = frozenset(_BOUNDED_FUNCTIONS)

Run = Callable[[str, Sequence[Any]], "duckdb.DuckDBPyConnection"]
RunLimited = Callable[[str, Sequence[Any] | Mapping[str, Any], float], "duckdb.DuckDBPyConnection"]

# Functions of the extensions of a shared database: they reach other servers and change it.
_REFUSED_PREFIXES: Final = ("postgres_", "ducklake_", "quack_")


class Readable(Protocol):
    """A database that can be attached as `ledger`."""

    def reading(
        self, wait_s: float | None, before_copy: Callable[[], object]
    ) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A connection with it; `before_copy` is called before its state is taken."""


class Reader:
    """One open view of the store; several queries on it see the same rows.

    Args:
        connection: where statements run.
        run: runs a statement elsewhere, on the server of a shared database.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, run: Run | None = None) -> None:
        self._connection = connection
        self._run = run

    def frame(self, sql: str, params: Sequence[Any] = ()) -> pd.DataFrame:
        """The toolkit's own SQL as a DataFrame, values bound.

        Raises:
            StoreError: the SQL failed.
        """
        with _sql_errors():
            run = self._run or self._connection.execute
            require_text(params)
            return _frame(run(sql, list(params)))

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """The same as plain values: times as `datetime` in UTC, money as `Decimal`."""
        with _sql_errors():
            run = self._run or partial(execute, self._connection)
            result = run(sql, params)
            names = [column[0] for column in result.description or ()]
            return [
                dict(zip(names, map(_plain, values), strict=True)) for values in result.fetchall()
            ]


class LockedDownReader:
    """A view of the store for a user's own SQL.

    Args:
        connection: where statements are parsed, and run.
        run: runs a statement elsewhere, within so many seconds.

    Attributes:
        may_grow: whether queries are run whose values may become large; this process is then one
            that may be ended.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, run: RunLimited | None = None
    ) -> None:
        self._connection = connection
        self._run = run
        self.may_grow: bool = False

    def frame(
        self,
        sql: str,
        params: Sequence[Any] | Mapping[str, Any] = (),
        timeout_s: float = USER_SQL_TIMEOUT_S,
    ) -> pd.DataFrame:
        """Run a user's SQL: one reading statement, without files, network or settings.

        Raises:
            StoreError: it is not one reading statement, not allowed, failed, took too long, or
                has a result of too many rows or bytes.
            GrowingQueryError: its values may become large.
        """
        with _sql_errors():
            self._require_query(sql, params)
            with _time_limit(self._connection, timeout_s):
                return _bounded_frame(self._result(sql, params, timeout_s), timeout_s)

    def arrow(
        self,
        sql: str,
        params: Sequence[Any] | Mapping[str, Any] = (),
        timeout_s: float = USER_SQL_TIMEOUT_S,
    ) -> pa.Table:
        """The same as an Arrow table, with the types of the database. Errors as `frame`."""
        with _sql_errors():
            self._require_query(sql, params)
            with _time_limit(self._connection, timeout_s):
                return _bounded_arrow(self._result(sql, params, timeout_s), timeout_s)

    def _require_query(self, sql: str, params: Sequence[Any] | Mapping[str, Any]) -> None:
        _require_values(sql, params)
        require_one_query(self._connection, sql)
        if self.may_grow:
            return
        bounded = _BOUNDED_NAMES if self._run is None else frozenset()
        if names := growing_functions(_parse(self._connection, sql), bounded):
            raise GrowingQueryError(names)

    def _result(
        self, sql: str, params: Sequence[Any] | Mapping[str, Any], timeout_s: float
    ) -> duckdb.DuckDBPyConnection:
        values: dict[str, Any] | list[Any]
        if isinstance(params, Mapping):
            values = {name: _bindable(value) for name, value in params.items()}
        else:
            values = [_bindable(value) for value in params]
        if self._run is not None:
            return self._run(sql, values, timeout_s)
        return self._connection.execute(sql, values)


def _bindable(value: Any) -> Any:
    """Scalars of numpy and columns of pandas and polars as plain values, which DuckDB binds."""
    for name in ("tolist", "to_list"):
        if callable(convert := getattr(value, name, None)):
            return convert()
    return value


def _require_values(sql: str, params: Sequence[Any] | Mapping[str, Any]) -> None:
    if not isinstance(sql, str):
        raise InvalidInput(f"the query is a {type(sql).__name__}", hint="Give a SELECT as text.")
    if isinstance(params, str) or not isinstance(params, Iterable):
        raise InvalidInput(
            f"the parameters are a {type(params).__name__}",
            hint="Give a list for `?`, or a mapping for `$name`.",
        )
    require_text([sql, params])


@contextmanager
def reading(journal: Journal, database: Readable, wait_s: float | None = None) -> Iterator[Reader]:
    """Open the database and lay what is still in the journal over it.

    Raises:
        StoreLocked: a writer held the database for `wait_s` seconds (default: the setting).
        StoreError: it cannot be read.
    """
    pending = PendingEntries(journal)
    with database.reading(wait_s, pending.remember) as connection:
        _lay_over(connection, journal, pending)
        yield Reader(connection)


@contextmanager
def reading_locked_down(
    journal: Journal, database: Database, wait_s: float | None = None
) -> Iterator[LockedDownReader]:
    """The same for a user's SQL: no file, no network, no setting can be reached any more."""
    pending = PendingEntries(journal)
    with database.open_separately(wait_s, pending.remember) as connection:
        _lay_over(connection, journal, pending)
        bound_functions(connection)
        # By default so many rows are made ahead that values of 10 KB take a gigabyte.
        connection.execute("SET streaming_buffer_size = '64KB'")
        connection.execute(f"SET memory_limit = '{USER_SQL_MEMORY}'")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield LockedDownReader(connection)


def bound_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Put macros of the same names before the functions that make values of any size."""
    for name, body in _BOUNDED_FUNCTIONS.items():
        refusal = f"error('{name} may make no value of more than {_MOST_MADE:,} parts here')"
        bounded = body.format(most=_MOST_MADE, refusal=refusal)
        connection.execute(f"CREATE TEMP MACRO {name}{bounded}")


class PendingEntries:
    """What the journal holds and the database does not.

    While the file is open it cannot change, and entries leave the journal only at or below the
    mark: what is read then is exactly what is missing there. A copy of the file may be out of date
    at once, so for a copy the journal is read before it is taken.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._remembered: list[Entry] | None = None

    def remember(self) -> None:
        """Read the journal now, before the file is copied."""
        self._remembered = self._journal.read()

    def above(self, mark: int) -> list[Entry]:
        """Return the entries numbered above the mark of the file or copy that was opened."""
        if self._remembered is None:
            return self._journal.read(after=mark)
        return [entry for entry in self._remembered if entry.number > mark]


def _lay_over(
    connection: duckdb.DuckDBPyConnection, journal: Journal, pending: PendingEntries
) -> None:
    """Create views with the names of the tables that add the entries above the mark."""
    journal_id = journal.identity()
    if journal_id is None:
        return
    entries = pending.above(read_mark(connection, journal_id, "ledger.main"))
    if not entries:
        return
    structures = staging.read_structures(connection, "ledger")
    for table in staging.load(connection, entries, structures, _PREFIX):
        connection.execute(f"CREATE TEMP VIEW {table.name} AS {_union(table)}")
        if table.name == "calls":
            _lay_over_rollups(connection)


def _union(table: Table) -> str:
    stored, pending = f"ledger.main.{table.name}", f"temp.main.{_PREFIX}{table.name}"
    same = " AND ".join(f"old.{name} = new.{name}" for name in table.key)
    if table.is_replacing:
        left = f"{stored} AS old WHERE NOT EXISTS (FROM {pending} AS new WHERE {same})"
        right = pending
    else:
        left = stored
        right = f"{pending} AS new WHERE NOT EXISTS (FROM {stored} AS old WHERE {same})"
    return f"SELECT * FROM {left} UNION ALL BY NAME SELECT * EXCLUDE (entry) FROM {right}"


def _lay_over_rollups(connection: duckdb.DuckDBPyConnection) -> None:
    pending = f"{_PREFIX}calls"
    for name, sql in (
        ("rollup_hourly", rollup.counts_sql(pending)),
        ("rollup_daily_histogram", rollup.histogram_sql(pending)),
    ):
        connection.execute(
            f"CREATE TEMP VIEW {name} AS SELECT * FROM ledger.main.{name} UNION ALL BY NAME ({sql})"
        )


def require_one_query(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse everything but one reading statement.

    Raises:
        StoreError: what was given is something else, and why it is refused.
    """
    import duckdb

    _require_short_text(sql)
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise StoreError(
            "only one SELECT (or FROM, WITH, DESCRIBE, SUMMARIZE, SHOW) can be run here",
            hint="The store is read-only; records come from calls, probes and evals.",
            cause="not_allowed",
        )
    refused = [
        name
        for name, is_qualified in _functions_of(connection, sql)
        if name in _REFUSED_FUNCTIONS
        or name.startswith(_REFUSED_PREFIXES)
        or (is_qualified and name in _BOUNDED_FUNCTIONS)
    ]
    if refused:
        raise StoreError(f"{', '.join(sorted(refused))} is not allowed here", cause="not_allowed")


def _require_short_text(sql: str) -> None:
    """Refuse a text that takes the parser too long.

    Raises:
        StoreError: the text is too long.
    """
    if len(sql) > USER_SQL_LENGTH:
        raise StoreError(
            f"the query has more than {USER_SQL_LENGTH:,} characters",
            hint="Select with a condition or a join instead of a list of values.",
            cause="too_large",
        )


def _functions_of(connection: duckdb.DuckDBPyConnection, sql: str) -> set[tuple[str, bool]]:
    """All functions in a statement, from DuckDB's own parse of it.

    Returns:
        Names, and whether each was written with its schema.

    Raises:
        StoreError: the statement is nested too deeply.
    """
    tree = _parse(connection, sql)
    names: set[tuple[str, bool]] = set()
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            name = node.get("function_name")
            if isinstance(name, str):
                names.add((name.lower(), bool(node.get("schema"))))
            todo.extend(node.values())
        elif isinstance(node, list):
            todo.extend(node)
    return names


def _parse(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """DuckDB's own parse of a statement.

    Raises:
        StoreError: the statement is nested too deeply.
    """
    import json

    found = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    try:
        return json.loads(found[0]) if found else {}
    except RecursionError:
        raise StoreError("the query is nested too deeply", cause="too_large") from None


def _frame(result: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """The result as a DataFrame, without a warning that is meant for DuckDB, not for the user."""
    # Added each time (Python keeps one copy): others, pytest above all, reset the list of filters.
    warnings.filterwarnings(
        "ignore",
        message="The inplace keyword in DataFrame.drop",
        category=DeprecationWarning,
        module=r"toolkit\.store\.reader",
    )
    # DuckDB reports whatever happens while it imports pandas as "not installed".
    import pandas  # noqa: F401

    return result.df()


def _bounded_frame(result: duckdb.DuckDBPyConnection, timeout_s: float) -> pd.DataFrame:
    """The result as a DataFrame, fetched in pieces and given up when it is too large or too slow.

    Raises:
        StoreError: which bound was exceeded.
    """
    import pandas as pd

    deadline = time.monotonic() + timeout_s
    chunks: list[pd.DataFrame] = []
    rows = size = 0
    while chunk := _next_chunk(result, len(chunks)):
        chunks.append(chunk[0])
        rows += len(chunk[0])
        size += int(chunk[0].memory_usage(index=False, deep=True).sum())
        _require_bounds(rows, size, deadline)
    return chunks[0] if len(chunks) == 1 else pd.concat(chunks, ignore_index=True)


def _bounded_arrow(result: duckdb.DuckDBPyConnection, timeout_s: float) -> pa.Table:
    """The result as an Arrow table, within the same bounds."""
    import pyarrow as pa

    deadline = time.monotonic() + timeout_s
    reader = result.to_arrow_reader(_ARROW_ROWS)
    batches, rows, size = [], 0, 0
    for batch in reader:
        batches.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        _require_bounds(rows, size, deadline)
    return pa.Table.from_batches(batches, reader.schema)


def convert_arrow(table: pa.Table, form: str) -> pd.DataFrame | pa.Table | pl.DataFrame:
    """Convert a table to `pandas-arrow`, `polars`, or leave it as `arrow`.

    Raises:
        InvalidInput: there is no such form, or polars is not installed.
    """
    if form == "arrow":
        return table
    if form == "pandas-arrow":
        import pandas as pd

        return table.to_pandas(types_mapper=pd.ArrowDtype)
    if form == "polars":
        try:
            import polars
        except ImportError:
            raise InvalidInput(
                "polars is not installed", hint="Install it with: pip install polars"
            ) from None
        return polars.DataFrame(table)
    raise InvalidInput(
        f"there is no form {form!a} of a result",
        hint="Use pandas, pandas-arrow, arrow or polars.",
    )


def _require_bounds(rows: int, size: int, deadline: float) -> None:
    """Refuse a result that is too large, or too slow.

    Raises:
        StoreError: which bound was exceeded.
    """
    if rows > USER_SQL_ROWS or size > USER_SQL_BYTES:
        raise StoreError(
            f"the result has more than {USER_SQL_ROWS:,} rows or {USER_SQL_BYTES >> 20:,} MB",
            hint="Add a LIMIT, aggregate, or select fewer columns.",
            cause="too_large",
        )
    if time.monotonic() > deadline:
        raise too_slow()


def _next_chunk(result: duckdb.DuckDBPyConnection, fetched: int) -> list[pd.DataFrame]:
    """The next rows; an empty list at the end, but a result without rows has its columns."""
    chunk = result.fetch_df_chunk(min(fetched + 1, _MOST_VECTORS))
    return [chunk] if not fetched or len(chunk) else []


def too_slow() -> StoreError:
    """The error of a query that exceeds its time."""
    return StoreError(
        "the query took too long and was stopped",
        hint="Select fewer rows, or restrict `started_at`.",
        cause="timeout",
    )


@contextmanager
def _time_limit(connection: duckdb.DuckDBPyConnection, timeout_s: float) -> Iterator[None]:
    timer = threading.Timer(timeout_s, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _sql_errors() -> Iterator[None]:
    """Raise an SQL error as a `StoreError`, without a traceback through DuckDB."""
    import duckdb

    try:
        yield
    except duckdb.InterruptException:
        raise too_slow() from None
    except duckdb.PermissionException:
        raise StoreError(
            "files, network and extensions cannot be reached from here",
            hint="Read only the tables of the store; `SHOW TABLES` lists them.",
            cause="not_allowed",
        ) from None
    except duckdb.OutOfMemoryException:
        raise StoreError(
            f"the query needs more than {USER_SQL_MEMORY} of memory",
            hint="Ask for fewer rows or columns.",
            cause="memory",
        ) from None
    except duckdb.Error as error:
        raise _sql_error(error) from None


def _sql_error(error: Exception) -> StoreError:
    found = explain(error, path=_nowhere())
    return found if found.cause != "duckdb" else StoreError(str(error), hint="", cause="sql")


def _nowhere() -> Any:
    return "the store"


def _plain(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo else value
