"""Values of rows as people read them: JSON columns, conversations as text, ids in their order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def say_value(value: Any) -> str:
    """An input or a target as text: a conversation by its turns, anything else as it is."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        return "\n".join(f"{m.get('role', '')}: {say_value(m.get('content'))}" for m in value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " | ".join(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def as_value(stored: Any) -> Any:
    """The value of a JSON column, which the store gives as text."""
    if not isinstance(stored, str):
        return stored
    try:
        return json.loads(stored)
    except ValueError:
        return stored


def in_order(text: str) -> tuple[Any, ...]:
    """A key to sort ids by: `q10` after `q9`."""
    number = text.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_ #")
    return (
        (text[: len(text) - len(number)], int(number), "") if _is_plain(number) else (text, 0, text)
    )


def _is_plain(number: str) -> bool:
    return number.isascii() and number.isdigit()
