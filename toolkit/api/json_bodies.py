"""JSON bodies read with bounds: depth and number of values are counted before anything is built.

Every pass is linear in the size of the body. A body of more than `LARGE_BYTES` is counted and
parsed in a thread, so that the event loop goes on answering others meanwhile; what a thread
does in C at one go (one string, one parse) is short because the number of values is bounded.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

LARGE_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 64
MAX_VALUES: Final = 300_000
"""More than any conversation has; a body of 10 MB could hold five million."""

# Possessive and of bounded length: each byte is looked at once, also in a string that never ends
# (a pattern that backtracks took 50 s for 40 KB of `\"`), and no single match keeps the
# interpreter from switching threads for more than some milliseconds.
_MARK: Final = re.compile(rb'[\[\]{},"]')
_WINDOW: Final = 64 * 1024
_QUOTE: Final = ord('"')
_IN_STRING: Final = re.compile(rb'(?:[^"\\]{1,4096}+|\\.){0,64}+', re.DOTALL)


class BodyRefused(ValueError):
    """A body is not JSON, or holds more than it may."""


async def read_json(body: bytes) -> Any:
    """The value of a JSON body.

    Raises:
        BodyRefused: it is not JSON, nested too deeply, or holds too many values.
    """
    if len(body) <= LARGE_BYTES:
        return parse_bounded(body)
    return await asyncio.to_thread(parse_bounded, body)


def parse_bounded(body: bytes) -> Any:
    """The value of a JSON body, in the calling thread.

    Raises:
        BodyRefused: as `read_json`.
    """
    check_bounds(body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BodyRefused(f"the body is not valid JSON: {error}") from None


def check_bounds(body: bytes) -> None:
    """Refuse a body that is nested too deeply or holds too many values.

    Raises:
        BodyRefused: it does.
    """
    depth = values = 0
    for mark in _marks(body):
        if mark in "[{":
            depth += 1
            values += 1
            if depth > MAX_DEPTH:
                raise BodyRefused(f"the JSON is nested deeper than {MAX_DEPTH}")
        elif mark in "]}":
            depth -= 1
        else:  # a comma: one more value
            values += 1
        if values > MAX_VALUES:
            raise BodyRefused(f"the JSON holds more than {MAX_VALUES:,} values")


def json_depth(body: bytes) -> int:
    """Deepest nesting of brackets outside strings."""
    depth = deepest = 0
    for mark in _marks(body):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark, 0)
        deepest = max(deepest, depth)
    return deepest


def _marks(body: bytes) -> Iterator[str]:
    """The brackets and commas outside strings."""
    at, size = 0, len(body)
    while at < size:
        match = _MARK.search(body, at, at + _WINDOW)
        if match is None:
            at += _WINDOW
            continue
        at = match.end()
        if match[0] != b'"':
            yield match[0].decode()
            continue
        while at < size and body[at] != _QUOTE:
            match = _IN_STRING.match(body, at)
            end = match.end() if match else at
            at = end if end > at else size  # a lone backslash ends the body
        at += 1
