"""Where answers come from at this moment: from providers, or through an open cassette.

A cassette patches the HTTP libraries of the whole process, so this is a fact of the process and
not of a task: a background probe is played from the cassette as well, and its row says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from toolkit.errors import KeyRequired
from toolkit.records import Source

if TYPE_CHECKING:
    from toolkit.providers.provider import Provider

K = TypeVar("K")
KeyFor = Callable[["Provider", str | None], K | None]

STAND_IN_KEY: Final = "stand-in-key-of-an-offline-replay"
"""Used in replay where there is no key: nobody is called, so a test needs none."""

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


def keyless_in_replay(key_for: KeyFor[K]) -> KeyFor[K]:
    """`key_for`, which in replay gives a stand-in where a key is needed and there is none."""

    def find_key(provider: Provider, explicit: str | None) -> K | None:
        is_replay = current_source() == "replay"
        try:
            found = key_for(provider, explicit)
        except KeyRequired:
            if not is_replay:
                raise
            found = None
        if found is None and is_replay and provider.needs_key:
            return key_for(provider, STAND_IN_KEY)
        return found

    return find_key
