"""What the guarded transport writes down about one attempt: stamps, head, body, failure.

A transport finds the record of the attempt it serves in `CURRENT`, because litellm stands
between us and it and passes nothing through.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from toolkit.errors import CassetteError

if TYPE_CHECKING:
    import httpx

    from toolkit.calls.transport.body import StreamBody

MAX_HEADER_BYTES = 64 * 1024
MAX_HEADERS = 200
MAX_LINE_BYTES = 1024 * 1024
MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_CHUNKS = 100_000
DRAIN_S = 0.05


class WireFailure(Exception):
    """The wire broke or broke a rule; `cause` is its finer name, `detail` says it in words.

    It is none of httpx's errors on purpose: litellm tries those again by itself.
    """

    def __init__(self, cause: str, detail: str = "") -> None:
        super().__init__(f"{cause}: {detail}" if detail else cause)
        self.cause = cause
        self.detail = detail


class AnswerRefused(Exception):
    """What came is no answer; it stands in the record."""


class Heard(BaseException):
    """Thrown through litellm once the wire has answered or failed: its part is over.

    From here on the record speaks. What litellm would do next, parsing the answer again,
    translating errors, retrying in secret, costs milliseconds and loses the truth; and while
    it did so on the event loop, the first token would be stamped late. Like a cancellation it
    is no `Exception`, so that no handler on the way takes it for one of its own.
    """


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


@dataclass(slots=True, kw_only=True)
class WireRecord:
    """One attempt as the transport saw it; every `*_ns` is `time.monotonic_ns`.

    Attributes:
        origin: the only `scheme://host:port` that this attempt may be sent to.
        stream: whether a stream was asked for.
        deadlines: the waits that the transport enforces.
        has_key: False removes the authorization header that a client library insists on.
        opened_ns: handed to litellm; `asked_ns`: handed to the transport.
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
        find_unsent: parameters that left no trace in a request's body.
        may_drop: such a request may be sent all the same.
        dropped: parameters that the provider does not take and that were left out.
        not_recorded: an open cassette that has no answer to this request.
        written: the request as it was handed to the transport.
        on_written: told when the request is written and handed to the transport.
    """

    origin: str
    stream: bool
    deadlines: Deadlines
    has_key: bool = True
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
    stream_body: StreamBody | None = None
    bytes_in: int = 0
    failure: WireFailure | None = None
    find_unsent: Callable[[bytes], list[str]] | None = None
    may_drop: bool = False
    dropped: list[str] = field(default_factory=list)
    not_recorded: CassetteError | None = None
    written: httpx.Request | None = None
    on_written: Callable[[], None] = lambda: None

    def fail(self, cause: str, detail: str = "") -> WireFailure:
        """Note a failure (the first one counts) and return it, to be raised."""
        failure = WireFailure(cause, detail)
        if self.failure is None:
            self.failure = failure
        return failure


CURRENT: ContextVar[WireRecord | None] = ContextVar("toolkit_wire_record", default=None)
