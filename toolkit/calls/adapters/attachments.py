"""Pictures, recordings and files in messages: what must not be fetched here, and what got lost.

Where a provider's API does not take a web address, litellm would fetch it by itself: past our
guards, from wherever the message says, and unmeasured. What an API has no place for, it leaves out
without an error. Both kinds of request are refused instead.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from toolkit.calls.parsers.parsed_response import Style as ApiStyle
from toolkit.records import Message

_GOOGLE_FILES: Final = "https://generativelanguage.googleapis.com/v1beta/files/"
_PARTS: Final = {"image_url": ("url",), "file": ("file_id", "file_data")}
# Where each kind of part holds its content, and what it is called in an error.
_CONTENTS: Final = {
    "image_url": (("url",), "a picture"),
    "input_audio": (("data",), "a recording"),
    "video_url": (("url",), "a video"),
    "file": (("file_data", "file_id"), "a file"),
}
_FETCHES_FILES: Final = ("cohere", "litellm", "ollama", "openai")
_SAMPLE: Final = 120  # characters of a content that are looked for


def find_fetched(style: ApiStyle, messages: Sequence[Message]) -> str | None:
    """The first address that would be fetched here instead of by the provider, or None."""
    for name, address, has_format in _addresses(messages):
        plain = address.startswith("http://")
        is_web = plain or address.startswith("https://")
        if style == "anthropic" and plain:
            return address
        if style == "gemini" and is_web:
            passed_on = address.startswith(_GOOGLE_FILES) or (has_format and not plain)
            if not passed_on:
                return address
        # Bedrock takes no address, and `file_id` is one to litellm's classes only.
        if is_web and (style == "converse" or (name == "file_id" and style in _FETCHES_FILES)):
            return address
    return None


def find_lost(style: ApiStyle, messages: Sequence[Message], body: bytes) -> str | None:
    """What kind of content of the messages is not in a body, as `a recording`; None: all is.

    Texts in a file are decoded on the way, and Ollama's pictures converted, so that neither is
    looked for.
    """
    wanted: Counter[tuple[str, str]] = Counter()
    for kind, name, content in _contents(messages):
        if content.startswith("data:text/") or (style == "ollama" and kind == "image_url"):
            continue
        start = content.partition(",")[2] if content.startswith("data:") else content
        wanted[start[:_SAMPLE], name] += 1
    for (sample, name), count in wanted.items():
        written = json.dumps(sample, ensure_ascii=False)[1:-1].encode(errors="replace")
        if body.count(written) < count:
            return name
    return None


def _contents(messages: Sequence[Message]) -> Iterator[tuple[str, str, str]]:
    """Every content that is not a text: the kind of its part, its name in an error, itself."""
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind not in _CONTENTS:
                continue
            fields, name = _CONTENTS[kind]
            value = part.get(kind)
            if isinstance(value, str):
                yield kind, name, value
            elif isinstance(value, Mapping):
                found = next((value[f] for f in fields if isinstance(value.get(f), str)), None)
                if found:
                    yield kind, name, found


def _addresses(messages: Sequence[Message]) -> Iterator[tuple[str, str, bool]]:
    """Every address in the messages, its field, and whether its content's type is given."""
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            for name, fields in _PARTS.items():
                value = part.get(name) if isinstance(part, Mapping) else None
                yield from _named(value, fields)


def _named(value: Any, fields: tuple[str, ...]) -> Iterator[tuple[str, str, bool]]:
    if isinstance(value, str):
        yield "url", value, False
    elif isinstance(value, Mapping):
        for field in fields:
            if isinstance(value.get(field), str):
                yield field, value[field], bool(value.get("format"))
