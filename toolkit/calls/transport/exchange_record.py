"""What the guarded transport records about one attempt, and the measurements made from it.

`WireRecord` has timestamps, head, body and failure; `measure` computes `records.Timing` from the
timestamps, and `LoopLag` how late the event loop ran meanwhile.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from toolkit.errors import CassetteError
from toolkit.records import Timing

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

    async def read(self, wait_s: float) -> bytes:
        """The next bytes of the body; `b""` at its end."""

    def listen(self, on_arrival: Callable[[], None] | None) -> bool:
        """Call `on_arrival` whenever something has come; return whether this body can."""

    def read_arrived(self) -> bytes | None:
        """What has come and was not read; None where that is nothing, or the end of the body."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come, or the connection is broken; `read` says which."""

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


_STALL_MS = 1000.0
_STALL_FACTOR = 10
_TICK_S = 0.02
_KEPT_TICKS = 50_000


def measure(
    record: WireRecord,
    *,
    ended_ns: int,
    output_tokens: int | None,
    stamps_ns: Sequence[int] = (),
    first_answer_ns: int | None = None,
    queue_ms: float | None = None,
    loop_lag_ms: float | None = None,
) -> Timing:
    """The measurements of one attempt.

    Args:
        record: the wire's own stamps.
        ended_ns: when the attempt was over.
        output_tokens: for TPOT; None where unknown.
        stamps_ns: arrival of every content chunk of a stream.
        first_answer_ns: when the first piece came that is not reasoning.
        queue_ms, loop_lag_ms: measured elsewhere.
    """
    sent_ns = record.sent_ns
    began_ns = sent_ns or record.asked_ns or record.opened_ns

    def since_sent(stamp_ns: int | None) -> float | None:
        return None if stamp_ns is None or sent_ns is None else (stamp_ns - sent_ns) / 1e6

    ttft_ms = since_sent(stamps_ns[0]) if stamps_ns else None
    last_ms = since_sent(stamps_ns[-1]) if stamps_ns else None
    tpot_ms = _tpot(ttft_ms, last_ms, output_tokens)
    gaps_ms = [(b - a) / 1e6 for a, b in itertools.pairwise(stamps_ns)]
    connect_ms = None
    if record.connect_began_ns is not None and record.connected_ns is not None:
        connect_ms = (record.connected_ns - record.connect_began_ns) / 1e6
    return Timing(
        queue_ms=queue_ms,
        connect_ms=connect_ms,
        headers_ms=since_sent(record.headers_ns),
        first_byte_ms=since_sent(record.first_byte_ns),
        ttft_ms=ttft_ms,
        ttfo_ms=since_sent(first_answer_ns) if stamps_ns else None,
        last_token_ms=last_ms,
        duration_ms=((record.closed_ns or ended_ns) - began_ns) / 1e6,
        tpot_ms=tpot_ms,
        output_tps=1000 / tpot_ms if tpot_ms else None,
        overhead_ms=_overhead(record, ended_ns),
        loop_lag_ms=loop_lag_ms,
        connection_reused=record.reused,
        chunk_offsets_us=tuple((stamp - began_ns) // 1000 for stamp in stamps_ns),
        stall_count=_count_stalls(gaps_ms),
        bytes_in=record.bytes_in if record.headers_ns is not None else None,
    )


def _tpot(ttft_ms: float | None, last_ms: float | None, output_tokens: int | None) -> float | None:
    if ttft_ms is None or last_ms is None or output_tokens is None or output_tokens <= 1:
        return None
    return (last_ms - ttft_ms) / (output_tokens - 1)


def _overhead(record: WireRecord, ended_ns: int) -> float:
    """Before the transport was asked, and after the body was over."""
    before_ns = (record.asked_ns or ended_ns) - record.opened_ns
    after_ns = ended_ns - record.closed_ns if record.closed_ns is not None else 0
    return (before_ns + max(0, after_ns)) / 1e6


def _count_stalls(gaps_ms: Sequence[float]) -> int:
    if not gaps_ms or max(gaps_ms) <= _STALL_MS:
        return 0
    limit_ms = max(_STALL_MS, _STALL_FACTOR * statistics.median(gaps_ms))
    return sum(gap > limit_ms for gap in gaps_ms)


class LagMeter:
    """How late an event loop runs its timers; it ticks only while calls run."""

    def __init__(self) -> None:
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopLag] = (
            weakref.WeakKeyDictionary()
        )

    def enter(self) -> LoopLag:
        """Start (or go on) measuring the running loop; pair with `leave`."""
        loop = asyncio.get_running_loop()
        lag = self._loops.get(loop)
        if lag is None:
            lag = self._loops[loop] = LoopLag()
        lag.enter(loop)
        return lag


class LoopLag:
    """The ticks of one event loop."""

    def __init__(self) -> None:
        self._users = 0
        self._ticks: deque[tuple[int, float]] = deque(maxlen=_KEPT_TICKS)
        self._handle: asyncio.TimerHandle | None = None

    def enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count one more call; the first one starts the ticks."""
        self._users += 1
        if self._handle is None:
            self._arm(weakref.ref(loop), loop)

    def leave(self) -> None:
        """One call less; the last one stops the ticks."""
        self._users -= 1
        if self._users <= 0 and self._handle is not None:
            self._handle.cancel()
            self._handle = None
            self._ticks.clear()

    def worst_since_ms(self, start_ns: int) -> float | None:
        """The latest tick since `start_ns`, milliseconds; None when there was no tick."""
        worst: float | None = None
        for stamp_ns, lag_ms in reversed(self._ticks):
            if stamp_ns < start_ns:
                break
            worst = lag_ms if worst is None else max(worst, lag_ms)
        return worst

    def _arm(
        self, held: weakref.ref[asyncio.AbstractEventLoop], loop: asyncio.AbstractEventLoop
    ) -> None:
        due = loop.time() + _TICK_S
        self._handle = loop.call_at(due, self._tick, held, due)

    def _tick(self, held: weakref.ref[asyncio.AbstractEventLoop], due: float) -> None:
        loop = held()
        if loop is None:
            return
        self._ticks.append((time.monotonic_ns(), max(0.0, (loop.time() - due) * 1000)))
        self._arm(held, loop)
