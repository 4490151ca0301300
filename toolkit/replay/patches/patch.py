"""How an open cassette gets between the HTTP libraries and the network: patches, put in and out.

A patch replaces one attribute of a class or module for the whole process, so that threads and
event loops see it at once and stay behind it until the cassette is closed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, Literal, NoReturn, Protocol

from toolkit.replay.cassettes.exchange import Exchange
from toolkit.replay.cassettes.recording import ExchangeRecorder

Mode = Literal["auto", "replay", "record"]
Patch = tuple[Any, str, Any]
"""A class or module, the name of its attribute, and what replaces it."""


class Session(Protocol):
    """What the patches need of an open cassette."""

    @property
    def mode(self) -> Mode:
        """`record` or `replay`."""

    @property
    def is_open(self) -> bool:
        """Whether traffic still belongs to it."""

    @property
    def allowed_hosts(self) -> Set[str]:
        """Hosts (`name` or `name:port`) that may be connected to in replay."""

    def scrub_request(
        self, method: str, uri: str, headers: Mapping[str, str], body: bytes
    ) -> Exchange:
        """The request as it may be written and is looked up."""

    def find_answer(self, asked: Exchange) -> Exchange | None:
        """The recorded answer; None while recording. A miss raises `CassetteMissing`."""

    def start_recording(self, asked: Exchange) -> ExchangeRecorder:
        """Begin to record the answer to a request."""

    def refuse_connection(self, host: str, port: int | None) -> NoReturn:
        """Refuse a connection that did not come through a patched library."""

    def refuse_client(self, client: str) -> NoReturn:
        """Refuse a client with a network stack of its own."""


@contextlib.contextmanager
def installed(patches: Iterable[Patch]) -> Iterator[None]:
    """Put the patches in place while the block runs, and take them out in reverse order."""
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
