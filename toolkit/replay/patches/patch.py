"""Apply and remove the patches of an open cassette.

A patch replaces one attribute of a class or module for the whole process, so that it applies to all
threads and event loops until the cassette is closed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Set
from contextvars import ContextVar
from typing import Any, Final, Literal, NoReturn, Protocol

from toolkit.replay.cassettes.exchange import Exchange
from toolkit.replay.cassettes.recording import ExchangeRecorder

Mode = Literal["auto", "replay", "record"]
Patch = tuple[Any, str, Any]
"""A class or module, the name of its attribute, and what replaces it."""


_is_recorded: Final[ContextVar[bool]] = ContextVar("is_recorded", default=False)


class Session(Protocol):
    """The interface of an open cassette for the patches."""

    @property
    def mode(self) -> Mode:
        """`record` or `replay`."""

    @property
    def is_open(self) -> bool:
        """Whether it is still open."""

    @property
    def allowed_hosts(self) -> Set[str]:
        """Hosts (`name` or `name:port`) that may be connected to in replay."""

    def scrub_request(
        self, method: str, uri: str, headers: Mapping[str, str], body: bytes
    ) -> Exchange:
        """The request without secrets, as it is written and looked up."""

    def find_answer(self, asked: Exchange) -> Exchange | None:
        """The recorded answer; None while recording. A miss raises `CassetteMissing`."""

    def start_recording(self, asked: Exchange) -> ExchangeRecorder:
        """Start to record the answer to a request."""

    def refuse_connection(self, host: str, port: int | None) -> NoReturn:
        """Refuse a connection that did not come through a patched library."""

    def refuse_client(self, client: str) -> NoReturn:
        """Refuse a client with a network stack of its own."""


@contextlib.contextmanager
def installed(patches: Iterable[Patch]) -> Iterator[None]:
    """Apply the patches during the block, and remove them in reverse order."""
    with contextlib.ExitStack() as stack:
        for owner, name, replacement in list(patches):
            is_own = name in vars(owner)
            original = vars(owner).get(name)
            setattr(owner, name, replacement)
            if is_own:
                stack.callback(setattr, owner, name, original)
            else:  # it was inherited
                stack.callback(delattr, owner, name)
        yield


@contextlib.contextmanager
def recorded_connections() -> Iterator[None]:
    """Mark connections made in the block, also in tasks started there, as those of a patch."""
    token = _is_recorded.set(True)
    try:
        yield
    finally:
        _is_recorded.reset(token)


def is_recorded_connection() -> bool:
    """Whether a patched library makes the connection that is being made."""
    return _is_recorded.get()
