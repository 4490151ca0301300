"""What the guarded transport records about one attempt: timestamps, head, body, failure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from toolkit.errors import CassetteError

MAX_HEADER_BYTES = 64 * 1024
MAX_HEADERS = 200
MAX_LINE_BYTES = 8 * 1024 * 1024
_MIB = 1024 * 1024
DRAIN_S = 0.05


class WireFailure(Exception):
    """The connection broke, or the answer broke a rule of the transport.

    `cause` names what happened, `detail` describes it.
    """

    def __init__(self, cause: str, detail: str = "") -> None:
        super().__init__(f"{cause}: {detail}" if detail else cause)
        self.cause = cause
        self.detail = detail


class AnswerRefused(Exception):
    """What came is not an answer; the record holds it."""


class StreamedBody(Protocol):
    """The body of a stream while it arrives."""

    @property
    def at_end(self) -> bool:
        """Whether the HTTP body has ended as it should."""

    async def read(self, wait_s: float) -> bytes:
        """The next bytes of the body; `b""` at its end."""

    async def drain(self) -> None:
        """Read on to the end of the HTTP body for a moment, then close."""

    def close(self) -> None:
        """Close at once."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Longest waits of one attempt, seconds; `total_at` is a moment of `time.monotonic`."""

    connect_s: float
    first_token_s: float
    chunk_s: float
    total_at: float

    def left_s(self) -> float:
        """Seconds until the total deadline, never negative."""
        return max(0.0, self.total_at - time.monotonic())


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest answer of one attempt; each is a setting of the same name.

    Attributes:
        max_event_mib: one event of a stream, MiB.
        max_body_mib: one decompressed body, MiB.
        max_stream_events: events of one stream.
    """

    max_event_mib: int = 8
    max_body_mib: int = 32
    max_stream_events: int = 100_000

    @property
    def event_bytes(self) -> int:
        """The longest event, bytes."""
        return self.max_event_mib * _MIB

    @property
    def body_bytes(self) -> int:
        """The longest body, bytes."""
        return self.max_body_mib * _MIB


def describe_limit(name: str) -> str:
    """How a limit is raised, for the end of an error message."""
    return f"the setting `{name}` (TOOLKIT_{name.upper()}) raises this limit"


@dataclass(slots=True, kw_only=True)
class WireRecord:
    """One attempt as the transport saw it; every `*_ns` is `time.monotonic_ns`.

    Attributes:
        origin: the only `scheme://host:port` that this attempt may be sent to.
        stream: whether a stream was asked for.
        deadlines: the waits that the transport enforces.
        limits: the sizes that the transport and the parser enforce.
        opened_ns: the attempt began; `asked_ns`: its request was handed to the transport.
        connect_began_ns, connected_ns: a new connection was made; None when one was reused.
        sent_ns: the request went out; `headers_ns`, `first_byte_ns`: the answer came.
        last_byte_ns: newest bytes of the body; `closed_ns`: end of the body.
        reused: whether an open connection was used; None when none was reached.
        requests: how often the transport was asked; more than once is refused.
        status, headers: the head of the answer, names in lower case.
        body: the whole body, decompressed, where it is not a stream.
        stream_body: the body of a stream, to be read by us.
        bytes_in: bytes of the body as they came, before decompression.
        failure: why the wire failed.
        not_recorded: an open cassette that has no answer to this request.
    """

    origin: str
    stream: bool
    deadlines: Deadlines
    limits: Limits = field(default_factory=Limits)
    opened_ns: int = field(default_factory=time.monotonic_ns)
    asked_ns: int | None = None
    connect_began_ns: int | None = None
    connected_ns: int | None = None
    sent_ns: int | None = None
    headers_ns: int | None = None
    first_byte_ns: int | None = None
    last_byte_ns: int | None = None
    closed_ns: int | None = None
    reused: bool | None = None
    requests: int = 0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    stream_body: StreamedBody | None = None
    bytes_in: int = 0
    failure: WireFailure | None = None
    not_recorded: CassetteError | None = None

    def fail(self, cause: str, detail: str = "") -> WireFailure:
        """Note a failure (the first one counts) and return it, to be raised."""
        failure = WireFailure(cause, detail)
        if self.failure is None:
            self.failure = failure
        return failure
