"""Bounds of JSON bodies: depth and number of values are counted before anything is built.

Counting is linear in the size of the body. A body of more than `LARGE_BYTES` is counted and parsed
in a thread, so that the event loop goes on answering others meanwhile; what a thread does in C at
one go (one window, one parse) is short because the number of values is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

LARGE_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 64
MAX_VALUES: Final = 300_000
"""More than any conversation has; a body of 10 MB could hold five million."""

# So much is looked at in one go: each step is one function of C over a window, so that a body of
# 10 MB takes some hundredths of a second and no step keeps other threads waiting. (A loop over
# single marks took a second of such a body, during which every other request waited in turns.)
_WINDOW: Final = 64 * 1024
# A parser would find it too, but in one step that keeps every other thread waiting.
_NOT_CLOSED: Final = "a string, an object or an array is not closed"
_NO_BRACKETS: Final = bytes(sorted(set(range(256)) - set(b"[]{}")))


class BodyRefused(ValueError):
    """A body is not JSON, or holds more than it may."""


def check_bounds(body: bytes) -> None:
    """Refuse a body that is nested too deeply, holds too many values, or is large and cut off.

    Raises:
        BodyRefused: it does.
    """
    depth = values = 0
    for text in _without_strings(body):
        values += text.count(b",") + text.count(b"[") + text.count(b"{")
        if values > MAX_VALUES:
            raise BodyRefused(f"the JSON holds more than {MAX_VALUES:,} values")
        depth, deepest = _measure_depth(text, depth)
        if deepest > MAX_DEPTH:
            raise BodyRefused(f"the JSON is nested deeper than {MAX_DEPTH}")
    if depth and len(body) > LARGE_BYTES:
        raise BodyRefused(f"the body is not valid JSON: {_NOT_CLOSED}")


def _measure_depth(text: bytes, depth: int) -> tuple[int, int]:
    """The depth after a text without strings, and the deepest on the way.

    Where brackets open and close in turns, the deepest is not counted one by one: it cannot be
    more than the depth before and all that open.
    """
    opening = text.count(b"[") + text.count(b"{")
    after = depth + opening - text.count(b"]") - text.count(b"}")
    if depth + opening <= MAX_DEPTH:
        return after, depth + opening
    deepest = depth
    for mark in text.translate(None, _NO_BRACKETS):
        depth += 1 if mark in b"[{" else -1
        deepest = max(deepest, depth)
    return after, deepest


def _without_strings(body: bytes) -> Iterator[bytes]:
    """What is outside strings, window by window; escapes are taken in pairs."""
    at, size, is_inside = 0, len(body), False
    while at < size:
        window = body[at : at + _WINDOW]
        at += len(window)
        if b"\\" in window:
            if (len(window) - len(window.rstrip(b"\\"))) % 2 and at < size:
                window += body[at : at + 1]  # a pair is not cut in two
                at += 1
            window = window.replace(rb"\\", b"").replace(rb"\"", b"")
        parts = window.split(b'"')
        yield b" ".join(parts[is_inside::2])
        is_inside ^= len(parts) % 2 == 0
    if is_inside and size > LARGE_BYTES:
        raise BodyRefused(f"the body is not valid JSON: {_NOT_CLOSED}")
