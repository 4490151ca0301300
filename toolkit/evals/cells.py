"""Cells as inputs, targets and metadata: one reading for every source of data.

CSV gives texts, JSON gives values, pandas gives numpy's scalars and NaN, Parquet gives lists and
dates. The same cell must mean the same in all of them, so they meet here.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

from toolkit.records import Message

Row = Mapping[str, Any]
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_MAX_DEPTH: Final = 40


class BadCell(ValueError):
    """A cell that cannot be used; the message says why, the caller adds row and column."""


def plain_value(value: Any, *, depth: int = 0) -> Any:
    """The value in JSON's own types; None for everything that means a missing value.

    Raises:
        BadCell: it is binary, infinite, nested too deeply, or holds text that cannot be sent.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return _check_text(value)
    if depth > _MAX_DEPTH:
        raise BadCell(f"is nested more than {_MAX_DEPTH} levels deep")
    if isinstance(value, bytes | bytearray | memoryview):
        raise BadCell("holds binary data")
    if isinstance(value, Mapping):
        return {str(k): plain_value(v, depth=depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = [plain_value(item, depth=depth + 1) for item in value]
        return sorted(items, key=str) if isinstance(value, set | frozenset) else items
    return _plain_number(value) if isinstance(value, float | Decimal) else _plain(value, depth)


def _plain_number(value: float | Decimal) -> int | float | str | None:
    if math.isinf(value):
        raise BadCell("is infinite")
    if math.isnan(value):
        return None
    if not isinstance(value, Decimal):
        return float(value)
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    # A decimal with more digits than a float can hold is kept as its text.
    return number if Decimal(repr(number)) == value else str(value)


def _plain(value: Any, depth: int) -> Any:
    """Times, and the scalars and arrays of numpy and pandas."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    native = getattr(value, "tolist", None)  # numpy's scalars and arrays
    if str(getattr(value, "dtype", "")) in ("float16", "float32"):
        # Their own digits: 0.1, and not 0.10000000149011612.
        is_number = getattr(value, "ndim", 0) == 0
        items = str(value) if is_number else [plain_value(v, depth=depth + 1) for v in value]
        return _plain_number(float(items)) if isinstance(items, str) else items
    if callable(native):
        return plain_value(native(), depth=depth + 1)
    if isinstance(value, datetime):
        is_day = value.tzinfo is None and value.time() == time()
        return value.date().isoformat() if is_day else value.isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    text = str(value)
    if text.startswith("<") and hex(id(value))[2:] in text:
        raise BadCell(f"holds a Python object without a text of its own ({type(value).__name__})")
    return _check_text(text)


def _check_text(text: str) -> str:
    if "\x00" in text:
        raise BadCell("holds a NUL character, as binary data does")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadCell("holds half of a character (an unpaired surrogate)") from None
    return text


def read_target(value: Any) -> str | tuple[str, ...] | None:
    """The accepted text or texts of a plain value; None where nothing is given to compare with.

    Numbers, booleans and objects become JSON text. A list means several accepted targets; so does
    a text that is a list of texts, as a CSV file has to hold it.
    """
    if isinstance(value, str):
        several = _list_of_texts(value)
        if several is None:
            return value if value.strip() else None
        value = several
    if isinstance(value, list):
        found = (
            read_target(item) if not isinstance(item, list) else as_text(item) for item in value
        )
        texts = tuple(item for item in found if isinstance(item, str))
        return texts or None
    return None if value is None else as_text(value)


def read_input(value: Any) -> str | Sequence[Message] | Mapping[str, Any]:
    """A text, a conversation or the variables of a template, from a plain value.

    A conversation may be JSON text, as CSV and SQL give it.

    Raises:
        BadCell: it is a list that is not a conversation.
    """
    if isinstance(value, str):
        return _conversation_text(value) or value
    if isinstance(value, list):
        _check_conversation(value)
        # Columns of structs hold every field of every message, absent ones as null.
        return [{k: v for k, v in message.items() if v is not None} for message in value]
    return value if isinstance(value, Mapping) else as_text(value)


def is_blank(value: Any) -> bool:
    """Whether a plain value gives nothing to ask."""
    return value is None or value in ([], {}) or (isinstance(value, str) and not value.strip())


def as_text(value: Any) -> str:
    """A plain value as text: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def restore_integers(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows of a typed table in which integers beside gaps are integers again.

    pandas, and Parquet files written from its frames, turn a column of integers with a missing
    value into floats: the target 4 would become the text "4.0", which no answer equals.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    restored = {name for name in names if _is_widened([row.get(name) for row in rows])}
    return [
        {k: int(v) if k in restored and v is not None else v for k, v in row.items()}
        for row in rows
    ]


def _is_widened(column: Iterable[Any]) -> bool:
    values = list(column)
    known = [value for value in values if value is not None]
    return (
        0 < len(known) < len(values)
        and all(type(value) is float and value.is_integer() for value in known)
        and max(map(abs, known)) < 2**53
    )


def _list_of_texts(text: str) -> list[str] | None:
    """The items of `["a", "b"]` or, as pandas writes a list into a CSV file, `['a', 'b']`."""
    stripped = text.strip()
    if not (stripped.startswith(('["', "['")) and stripped.endswith("]")):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(stripped)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list) and all(isinstance(item, str) for item in found):
            return found
    return None


def _conversation_text(text: str) -> list[Any] | None:
    stripped = text.lstrip()
    if not stripped.startswith("[") or '"role"' not in stripped:
        return None
    try:
        found = json.loads(stripped)
        _check_conversation(found)
    except (ValueError, RecursionError):
        return None  # a prompt that begins with a bracket is a prompt
    return list(found)


def _check_conversation(messages: Any) -> None:
    if not isinstance(messages, list) or not all(isinstance(m, Mapping) for m in messages):
        raise BadCell('is a list, but not of messages such as {"role": "user", "content": "..."}')
    for number, message in enumerate(messages, start=1):
        role = message.get("role")
        if role not in _ROLES:
            raise BadCell(f"has a message {number} with the role {role!r}")
        if message.get("content") is None and not message.get("tool_calls"):
            raise BadCell(f"has a message {number} without content")
