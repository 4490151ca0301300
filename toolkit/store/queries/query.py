"""SQL with its values: bound when it runs, quoted when it is shown to be copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import pandas as pd


class Source(Protocol):
    """A `Store`, or a `Reader` where several queries should see the same rows."""

    def frame(self, sql: str, params: Sequence[Any] = ()) -> pd.DataFrame:
        """Run the toolkit's own SQL and return a DataFrame."""

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Run the toolkit's own SQL and return plain values."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query over the store, ready to run.

    Attributes:
        sql: the statement; each value is a `?`. A `?` that is not a value must not occur in it.
        params: the values, in order.
    """

    sql: str
    params: tuple[Any, ...] = ()

    @property
    def text(self) -> str:
        """The same with the values quoted in, to be shown and copied."""
        parts = self.sql.split("?")
        quoted = [*(quote(value) for value in self.params), ""]
        return "".join(part + value for part, value in zip(parts, quoted, strict=True)).strip()

    @property
    def python(self) -> str:
        """The expression that runs it in a notebook."""
        return f'tk.sql("""\n{self.text}\n""")'

    def frame(self, source: Source) -> pd.DataFrame:
        """Run it and return a DataFrame, for a chart."""
        return source.frame(self.sql, self.params)

    def rows(self, source: Source) -> list[dict[str, Any]]:
        """Run it and return plain values; unknown ones are None."""
        return source.rows(self.sql, self.params)


def quote(value: object) -> str:
    """Write a value as an SQL literal, for text that is shown and never run by the toolkit."""
    for kinds, write in _WRITERS:
        if isinstance(value, kinds):
            return write(value)
    return "'" + str(value).replace("'", "''") + "'"


def _quote_map(value: Mapping[object, object]) -> str:
    pairs = (f"{quote(name)}: {quote(item)}" for name, item in value.items())
    return f"MAP {{{', '.join(pairs)}}}"


# In this order: a bool is an int too, and a datetime is a date.
_WRITERS: Final[tuple[tuple[type | UnionType, Callable[[Any], str]], ...]] = (
    (NoneType, lambda _: "NULL"),
    (bool, lambda value: str(value).lower()),
    (int | float | Decimal, str),
    (datetime, lambda v: f"TIMESTAMPTZ '{v.astimezone(UTC).isoformat(timespec='seconds')}'"),
    (date, lambda value: f"DATE '{value.isoformat()}'"),
    (Mapping, _quote_map),
    (list | tuple | set | frozenset, lambda value: f"[{', '.join(map(quote, value))}]"),
)
