"""Values for the parameters of a statement, in a lighter way than DuckDB's own.

For the first value that it takes from Python, DuckDB imports pandas and with it pyarrow: half a
second and 90 MB in every process that reads or moves a record. So statements are prepared, and the
values of their parameters travel as literals in the arguments of `EXECUTE`. They are never part of
the statement itself. What has no plain literal goes DuckDB's way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from toolkit.errors import InvalidInput

if TYPE_CHECKING:
    import duckdb

_NAME: Final = "toolkit_statement"
_LONGEST_INT: Final = 2**63 - 1


def execute(
    connection: duckdb.DuckDBPyConnection, sql: str, params: Sequence[Any] = ()
) -> duckdb.DuckDBPyConnection:
    """One statement with its parameters, as `connection.execute`.

    Raises:
        duckdb.Error: the statement failed.
    """
    if not params:
        return connection.execute(sql)
    literals = [find_literal(value) for value in params]
    if None in literals:
        require_text(params)
        return connection.execute(sql, list(params))
    connection.execute(f"PREPARE {_NAME} AS {sql}")
    return connection.execute(f"EXECUTE {_NAME}({', '.join(map(str, literals))})")


def require_literal(text: str) -> str:
    """A text as a literal, where none can be bound.

    Raises:
        ValueError: it cannot be part of a statement.
    """
    literal = find_literal(text)
    if literal is None:
        raise ValueError("a text with NUL or lone surrogates cannot be part of a statement")
    return literal


def require_text(value: Any) -> None:
    """Refuse half characters in a value or anywhere in it: DuckDB's own error says nothing.

    Raises:
        InvalidInput: a text holds an unpaired surrogate.
    """
    if isinstance(value, Mapping):
        require_text([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple | set):
        for item in value:
            require_text(item)
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidInput(
                f"{value[:80]!a} holds half of a character (an unpaired surrogate)",
                hint="Copy the text again, or leave that character out.",
            ) from None


def find_literal(value: Any) -> str | None:
    """The value as an SQL literal of the type that DuckDB would give it; None where it has none."""
    if value is None:
        return "NULL"
    write = _WRITERS.get(type(value))
    return None if write is None else write(value)


def _write_int(value: int) -> str | None:
    return str(value) if abs(value) <= _LONGEST_INT else None


def _write_text(text: str) -> str | None:
    """Quotes are doubled, nothing else has a meaning; NUL would end the statement."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    doubled = text.replace("'", "''")
    return None if "\0" in text else f"'{doubled}'::VARCHAR"


def _write_moment(moment: datetime) -> str | None:
    if moment.tzinfo is None:
        return None
    return f"'{moment.astimezone(UTC).isoformat()}'::TIMESTAMPTZ"


def _write_list(values: list[Any]) -> str | None:
    """A list of texts or of whole numbers."""
    if len({type(value) for value in values}) != 1 or type(values[0]) not in (str, int):
        return None
    literals = [find_literal(value) for value in values]
    return None if None in literals else f"[{', '.join(map(str, literals))}]"


_WRITERS: Final[Mapping[type, Callable[[Any], str | None]]] = {
    bool: str,
    int: _write_int,
    float: lambda value: f"'{value!r}'::DOUBLE",
    str: _write_text,
    datetime: _write_moment,
    list: _write_list,
}
