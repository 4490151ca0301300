"""Pictures and files that a message names by a web address.

Where a provider's API does not take an address, litellm would fetch it by itself: past our
guards, from wherever the message says, and unmeasured. Such a request is refused instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from toolkit.calls.parsers.parsed_response import Style as ApiStyle
from toolkit.records import Message

_GOOGLE_FILES: Final = "https://generativelanguage.googleapis.com/v1beta/files/"
_PARTS: Final = {"image_url": ("url",), "file": ("file_id", "file_data")}


def find_fetched(style: ApiStyle, messages: Sequence[Message]) -> str | None:
    """The first address that would be fetched here instead of by the provider, or None."""
    for address, has_format in _addresses(messages):
        plain = address.startswith("http://")
        if style == "anthropic" and plain:
            return address
        if style == "gemini" and (plain or address.startswith("https://")):
            passed_on = address.startswith(_GOOGLE_FILES) or (has_format and not plain)
            if not passed_on:
                return address
    return None


def _addresses(messages: Sequence[Message]) -> Iterator[tuple[str, bool]]:
    """Every address in the messages, and whether the type of its content is given with it."""
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            for name, fields in _PARTS.items():
                value = part.get(name) if isinstance(part, Mapping) else None
                yield from _named(value, fields)


def _named(value: Any, fields: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    if isinstance(value, str):
        yield value, False
    elif isinstance(value, Mapping):
        for field in fields:
            if isinstance(value.get(field), str):
                yield value[field], bool(value.get("format"))
