"""Where answers come from at this moment: from providers, or through an open cassette.

A cassette taps the HTTP libraries of the whole process, so this is a fact of the process and
not of a task: a background probe is played from the cassette as well, and its row says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from toolkit.records import Source

_stack: list[Source] = ["live"]


def current_source() -> Source:
    """What a row written now says of its source."""
    return _stack[-1]


@contextmanager
def marked_source(source: Source) -> Iterator[None]:
    """Every call of the process has this source while the block runs."""
    _stack.append(source)
    try:
        yield
    finally:
        _stack.pop()
