"""A row as the JSON text that the journal keeps, safe for every later reader.

What JSON or UTF-8 cannot hold is made readable here, once, and flagged: lone surrogates become
U+FFFD, numbers beyond 64 bits become NULL (or text within nested values). None is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from decimal import Decimal
from os import PathLike
from typing import Any, Final

import orjson

from toolkit.errors import StoreError
from toolkit.secret_forms import current_matcher, redact_shapes
from toolkit.store.tables import TABLES, Table

SURROGATES_REPLACED: Final = "surrogates_replaced"
NUMBER_OUT_OF_RANGE: Final = "number_out_of_range"
REDACTED_FLAG: Final = "secret_redacted"

# Texts of users and models: they may speak of keys in general, an address or an example.
_BODIES: Final = frozenset(
    {"messages", "output_text", "reasoning_text", "tool_calls", "params", "choices", "parts"}
    | {"input", "target", "output", "explanation", "description", "note", "title"}
)

_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**63 - 1
_OPTIONS: Final = orjson.OPT_NAIVE_UTC | orjson.OPT_SERIALIZE_NUMPY
_COLUMNS: Final = {name: frozenset(table.columns) for name, table in TABLES.items()}


def require_table(name: str) -> Table:
    """The table of that name.

    Raises:
        StoreError: there is none.
    """
    table = TABLES.get(name)
    if table is None:
        raise StoreError(
            f"the store has no table {name!r}", hint=f"Tables are {', '.join(sorted(TABLES))}."
        )
    return table


def encode_row(table: Table, row: Mapping[str, Any]) -> str:
    """`row` as JSON text without its unknown values, and without any secret.

    Every row of every table passes here, so redaction in this one place covers all columns: a
    provider that echoed its key had it stored in ten of them. Known secrets are removed
    everywhere, what only looks like a key everywhere but in the bodies of prompts and answers.

    Raises:
        StoreError: a column that the table lacks, a key without a value, or a value that has
            no form in JSON.
    """
    _check_columns(table, row)
    text = _encode(table, row)
    matcher = current_matcher()
    redacted = {
        name: redact_shapes(value)
        for name, value in row.items()
        if name not in _BODIES and isinstance(value, str)
    }
    if not matcher.spans(text.encode()) and all(row[n] == v for n, v in redacted.items()):
        return text
    clean = {name: matcher.redact_value(value) for name, value in {**row, **redacted}.items()}
    if "flags" in _COLUMNS[table.name] and any(row[name] != v for name, v in clean.items()):
        clean["flags"] = sorted({*(clean.get("flags") or ()), REDACTED_FLAG})
    return _encode(table, clean)


def _encode(table: Table, row: Mapping[str, Any]) -> str:
    kept: dict[str, Any] = {}
    for name, value in row.items():
        if value is None:
            continue
        if type(value) is int and not _MIN_INT <= value <= _MAX_INT:
            return _encode_carefully(table, row)
        kept[name] = value
    try:
        return orjson.dumps(kept, default=_plain, option=_OPTIONS).decode()
    except TypeError:  # a lone surrogate, a huge number, a key that is not text
        return _encode_carefully(table, row)


def _check_columns(table: Table, row: Mapping[str, Any]) -> None:
    if not row.keys() <= _COLUMNS[table.name]:
        unknown = ", ".join(sorted(map(str, row.keys() - _COLUMNS[table.name])))
        raise StoreError(f"table {table.name} has no column {unknown}")
    for name in table.key:
        if not isinstance(row.get(name), str):
            raise StoreError(f"a row of {table.name} needs a text for {name}")


def _plain(value: Any) -> Any:
    """What orjson does not know by itself, in JSON's terms."""
    if isinstance(value, Decimal | PathLike):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set):
        return sorted(value, key=str)
    raise TypeError(f"no JSON form for {type(value).__name__}")


def _encode_carefully(table: Table, row: Mapping[str, Any]) -> str:
    """The slow way: every value is looked at, and what cannot be kept is flagged."""
    cleaner = _Cleaner()
    try:
        kept = {name: cleaner.top(value) for name, value in row.items() if value is not None}
    except RecursionError:
        raise StoreError(f"a row of {table.name} cannot be written as JSON: too deep") from None
    if cleaner.flags and "flags" in _COLUMNS[table.name]:
        kept["flags"] = sorted({*(kept.get("flags") or ()), *cleaner.flags})
    try:
        return orjson.dumps(
            {name: value for name, value in kept.items() if value is not None}, option=_OPTIONS
        ).decode()
    except TypeError as error:
        raise StoreError(f"a row of {table.name} cannot be written as JSON: {error}") from None


class _Cleaner:
    """Makes values fit for JSON and remembers what it had to change."""

    def __init__(self) -> None:
        self.flags: set[str] = set()

    def top(self, value: Any) -> Any:
        """A column's value; a number that does not fit is unknown."""
        if isinstance(value, int) and not isinstance(value, bool) and not _fits(value):
            self.flags.add(NUMBER_OUT_OF_RANGE)
            return None
        return self.clean(value)

    def clean(self, value: Any) -> Any:
        """A value within a column; a number that does not fit is kept as text."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int) and not isinstance(value, bool) and not _fits(value):
            self.flags.add(NUMBER_OUT_OF_RANGE)
            return str(value)
        if isinstance(value, Mapping):
            return {self.text(str(name)): self.clean(item) for name, item in value.items()}
        if isinstance(value, Set):
            value = sorted(value, key=str)
        if isinstance(value, list | tuple):
            return [self.clean(item) for item in value]
        return self.clean(_plain(value)) if isinstance(value, Decimal | PathLike) else value

    def text(self, value: str) -> str:
        """The text with surrogate pairs joined and lone surrogates replaced."""
        try:
            value.encode()
        except UnicodeEncodeError:
            self.flags.add(SURROGATES_REPLACED)
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value


def _fits(value: int) -> bool:
    return _MIN_INT <= value <= _MAX_INT
