"""The guarded transport: every call, listing and probe goes through it.

It stamps what happens with a monotonic clock, sends to one origin only, follows no redirect,
bounds headers, bodies and waits, and keeps what really came in the attempt's `WireRecord`.
Bodies are decompressed in bounded steps, so that a small body cannot become a large one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from toolkit.calls.transport.address_check import refuse_address
from toolkit.calls.transport.connections import Sessions
from toolkit.calls.transport.exchange_record import (
    DRAIN_S,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    WireFailure,
    WireRecord,
    describe_limit,
)
from toolkit.errors import CassetteError
from toolkit.providers.provider import origin_of

if TYPE_CHECKING:
    import aiohttp

    from toolkit.calls.transport.receive_timestamps import TimestampedProtocol

# Causes of ours for the errors of aiohttp and of the sockets below it.


@contextlib.contextmanager
def map_wire_errors(record: WireRecord, *, in_body: bool = False) -> Iterator[None]:
    """Translate aiohttp's errors into causes of ours, most specific first."""
    import aiohttp

    try:
        yield
    except WireFailure:
        raise
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
            raise
        if failure := _find_failure(error):
            raise failure from None
        cause = _cause_of(error, record, in_body=in_body)
        raise record.fail(cause, _describe(error)) from None


def _find_failure(error: BaseException) -> WireFailure | None:
    """A failure of ours that aiohttp has wrapped (a refused address in the resolver)."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, WireFailure):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _cause_of(error: BaseException, record: WireRecord, *, in_body: bool) -> str:
    import aiohttp

    chain = list(_chain(error))
    if any(isinstance(e, ssl.SSLError | ssl.CertificateError) for e in chain):
        return "tls"
    table: tuple[tuple[Any, str], ...] = (
        (aiohttp.ClientConnectorDNSError, "dns"),
        (aiohttp.ConnectionTimeoutError, "timeout_connect"),
        (aiohttp.ServerTimeoutError, "timeout_read"),
        (aiohttp.ClientConnectorSSLError, "tls"),
        (aiohttp.ClientConnectorError, "connect"),
        (aiohttp.ClientPayloadError, "stream_cut" if record.stream else "protocol"),
        (aiohttp.ClientResponseError, "protocol"),
        (aiohttp.http_exceptions.HttpProcessingError, "protocol"),
        (aiohttp.ServerDisconnectedError, "reset"),
        (aiohttp.ClientOSError, "reset"),
        (aiohttp.InvalidURL, "protocol"),
        (OSError, "reset"),
    )
    cause = next((name for kind, name in table if isinstance(error, kind)), "protocol")
    if isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str):
        return "protocol"  # it holds the half head that had come
    if cause == "connect" and any(getattr(e, "errno", None) == 110 for e in chain):
        return "timeout_connect"
    if cause == "reset" and in_body:
        return "stream_cut" if record.stream else "protocol"
    return cause


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        os_error = getattr(error, "os_error", None)
        if isinstance(os_error, BaseException) and os_error is not error:
            yield os_error
        error = error.__cause__ or error.__context__


def _describe(error: BaseException) -> str:
    import aiohttp

    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered {error.status}"
    is_proxy = isinstance(error, aiohttp.ClientProxyConnectionError)
    about = "the proxy cannot be reached: " if is_proxy else ""
    return f"{about}{type(error).__name__}: {str(error)[:300]}"


# Bodies of answers, read under bounds and deadlines and stamped as they arrive.


class StreamBody:
    """The body of a stream: `read` returns what has arrived, `drain` and `close` end it."""

    def __init__(self, response: aiohttp.ClientResponse, record: WireRecord) -> None:
        self._response = response
        self._record = record
        self._decoder: Decoder = choose_decoder(record)
        self._pending: Iterator[bytes] = iter(())
        self._at_end = False
        self._handler = find_handler(response)

    async def read(self, wait_s: float) -> bytes:
        """The next bytes of the body; `b""` at its end.

        Raises:
            TimeoutError: nothing came for `wait_s` seconds.
            WireFailure: the connection broke (`stream_cut`), or a bound was passed.
        """
        if self._at_end:
            return b""
        while (body := next(self._pending, None)) is None:
            data = await self._receive(wait_s)
            if not data:
                self._at_end = True
                self._decoder.finish()
                return b""
            self._pending = self._decoder.feed(data)
        return body

    async def _receive(self, wait_s: float) -> bytes:
        record = self._record
        async with asyncio.timeout(wait_s):
            with map_wire_errors(record, in_body=True):
                data = await self._response.content.readany()
        if data:
            self._note_arrival(len(data))
        return data

    def _note_arrival(self, size: int) -> None:
        """Note when what was just read came."""
        record, handler = self._record, self._handler
        # Without a stamp (it came with the head, or from a cassette) it came now.
        arrived_ns = handler.pop_arrival(record.headers_ns or 0) if handler is not None else None
        arrived_ns = arrived_ns or time.monotonic_ns()
        record.bytes_in += size
        record.last_byte_ns = arrived_ns
        if record.first_byte_ns is None:
            record.first_byte_ns = arrived_ns

    def listen(self, on_arrival: Callable[[], None] | None) -> bool:
        """Call `on_arrival` whenever something has come, until None is given.

        Returns:
            Whether this body can; one from a cassette has no connection.
        """
        if self._handler is None:
            return False
        self._handler.on_arrival = on_arrival
        return True

    def read_arrived(self) -> bytes | None:
        """What has come and was not read; None where that is nothing, or the end of the body.

        Raises:
            WireFailure: a bound was passed, or the compression is broken.
        """
        while not self._at_end:
            if (body := next(self._pending, None)) is not None:
                return body
            content = self._response.content
            if content.total_bytes == self._record.bytes_in or content.exception() is not None:
                break
            data = content.read_nowait()
            self._note_arrival(len(data))
            self._pending = self._decoder.feed(data)
        return None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come, or the connection is broken; `read` says which."""
        content = self._response.content
        return self._at_end or content.at_eof() or content.exception() is not None

    def close(self) -> None:
        """Close at once; a body that has ended has already given its connection back."""
        if self._record.closed_ns is None:
            self._record.closed_ns = time.monotonic_ns()
        self._response.close()

    async def drain(self) -> None:
        """Read on to the end of the HTTP body for at most `DRAIN_S`, then close.

        Real servers end the chunked body some milliseconds after the last event; only a
        body read to its end gives the connection back to the pool.
        """
        deadline = time.monotonic() + DRAIN_S
        with contextlib.suppress(TimeoutError, WireFailure):
            while not self._at_end and (left_s := deadline - time.monotonic()) > 0:
                await self.read(left_s)
        self.close()


def find_handler(response: aiohttp.ClientResponse) -> TimestampedProtocol | None:
    """Who stamps a response; None where it has come whole already, or from a cassette."""
    protocol = getattr(getattr(response, "connection", None), "protocol", None)
    return protocol if hasattr(protocol, "pop_arrival") else None


async def read_whole(response: aiohttp.ClientResponse, record: WireRecord) -> bytes:
    """Read a body that is not a stream.

    Raises:
        WireFailure: `deadline`, `timeout_read`, `too_large`, `bad_body`, `protocol`, ...
    """
    body = StreamBody(response, record)
    parts: list[bytes] = []
    deadlines = record.deadlines
    try:
        while True:
            left_s = deadlines.total_at - time.monotonic()
            try:
                data = await body.read(max(0.0, min(deadlines.chunk_s, left_s)))
            except TimeoutError:
                cause = "deadline" if deadlines.left_s() <= 0 else "timeout_read"
                raise record.fail(cause, "the body did not arrive in time") from None
            if not data:
                break
            parts.append(data)
    except BaseException:  # a cancelled call must not leave its connection open
        body.close()
        raise
    record.closed_ns = time.monotonic_ns()
    return b"".join(parts)


_HOP_HEADERS = ("connection", "transfer-encoding", "host", "content-length")


class Guard:
    """One guarded exchange over aiohttp, the fast transport at concurrency.

    Args:
        sessions: connections, by event loop.
        local: whether private and loopback addresses are allowed.
    """

    def __init__(self, sessions: Sessions, *, local: bool) -> None:
        self._sessions = sessions
        self._local = local

    async def exchange(
        self,
        record: WireRecord,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        method: str = "POST",
    ) -> None:
        """Send one request; the answer, whatever it is, is in the record afterwards.

        A body that is not a stream is read whole; a stream's body is left to be read.

        Args:
            record: the attempt's record.
            url, headers, body, method: the request; header names in lower case.

        Raises:
            WireFailure: the connection failed; the record holds this as well.
        """
        try:
            record.asked_ns = time.monotonic_ns()
            self._require_allowed(url, record)
            response = await self._send(record, url, headers, body, method)
            self._keep_head(response, record)
            if record.stream and response.status < 400:
                record.stream_body = StreamBody(response, record)
            else:
                record.body = await read_whole(response, record)
        except WireFailure as failure:
            record.failure = record.failure or failure
            raise
        except CassetteError as missing:
            record.not_recorded = missing
            raise

    def _require_allowed(self, url: str, record: WireRecord) -> None:
        """One request per attempt, to the provider's own origin, at an allowed address."""
        record.requests += 1
        if record.requests > 1:
            raise record.fail("second_request", "one attempt is one request")
        if (origin := origin_of(url)) != record.origin:
            raise record.fail("foreign_origin", f"{origin} is not {record.origin}")
        _refuse_literal_address(origin, local=self._local)

    async def _send(
        self,
        record: WireRecord,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        method: str,
    ) -> aiohttp.ClientResponse:
        import aiohttp
        from yarl import URL

        proxy = self._sessions.find_proxy(url, local=self._local)
        session = await self._sessions.require_session(local=self._local, proxied=proxy is not None)
        deadlines = record.deadlines
        wait_s = deadlines.left_s()
        if record.stream:
            wait_s = min(wait_s, deadlines.first_token_s + deadlines.connect_s)
        try:
            async with asyncio.timeout(wait_s):
                with map_wire_errors(record):
                    return await session.request(
                        method,
                        URL(url, encoded=True),
                        headers=_headers(headers, record),
                        data=body or None,
                        allow_redirects=False,
                        proxy=proxy,
                        timeout=aiohttp.ClientTimeout(
                            total=None, connect=min(deadlines.connect_s, wait_s)
                        ),
                        trace_request_ctx=record,
                    )
        except TimeoutError:
            raise record.fail("timeout_read", "no answer came in time") from None

    @staticmethod
    def _keep_head(response: aiohttp.ClientResponse, record: WireRecord) -> None:
        handler = find_handler(response)
        arrived_ns = handler.pop_arrival(record.asked_ns or 0) if handler else None
        record.headers_ns = arrived_ns or time.monotonic_ns()
        if record.sent_ns is None:  # a cassette answers without a wire
            record.sent_ns = record.asked_ns
        record.status = response.status
        record.headers = {name.lower(): value for name, value in response.headers.items()}
        size = sum(len(name) + len(value) + 4 for name, value in response.raw_headers)
        if size > MAX_HEADER_BYTES or len(response.raw_headers) > MAX_HEADERS:
            response.close()
            raise record.fail("protocol", f"{size:,} bytes of headers")
        if 300 <= response.status < 400:
            response.close()
            raise record.fail("redirect_refused", f"status {response.status}")


@lru_cache(1024)
def _refuse_literal_address(origin: str, *, local: bool) -> None:
    """Check a host that is written as an address; a name is checked when it is resolved."""
    host = (urlsplit(origin).hostname or "").strip("[]")
    with contextlib.suppress(ValueError):
        refuse_address(str(ipaddress.ip_address(host)), host, local=local)


def _headers(given: Mapping[str, str], record: WireRecord) -> dict[str, str]:
    headers = {name: value for name, value in given.items() if name not in _HOP_HEADERS}
    # A compressed stream arrives in the rhythm of the server's buffers, not of the model.
    headers["accept-encoding"] = "identity" if record.stream else ACCEPTED
    return headers


# zlib itself distinguishes gzip and zlib headers; raw deflate has none.
_ANY_HEADER = zlib.MAX_WBITS | 32
_PIECE_BYTES = 128 * 1024
ACCEPTED = "gzip, deflate"


class Decoder(Protocol):
    """Turns bytes of the wire into bytes of the body."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decompressed bytes of `data`, in pieces of bounded size."""

    def finish(self) -> None:
        """The wire has ended; raise when the body has not."""


class Plain:
    """No compression; only the size is bounded."""

    def __init__(self, record: WireRecord) -> None:
        self._record = record
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Count and pass on."""
        self._size += len(data)
        _require_size(self._record, self._size, "is larger than")
        return iter((data,))

    def finish(self) -> None:
        """Nothing is held back."""


class Zlib:
    """gzip or deflate, at most `max_body_mib` of output."""

    def __init__(self, record: WireRecord) -> None:
        self._record = record
        self._stream = zlib.decompressobj(_ANY_HEADER)
        self._size = 0
        self._began = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decompress what came, piece by piece, never more than the bound allows."""
        while data:
            body = self._decompress(data)
            self._began = True
            self._size += len(body)
            _require_size(self._record, self._size, "decompresses to over")
            data = self._stream.unconsumed_tail
            if body:
                yield body

    def _decompress(self, data: bytes) -> bytes:
        try:
            return self._stream.decompress(data, _PIECE_BYTES)
        except zlib.error as error:
            if self._began:
                raise self._record.fail("bad_body", f"broken compression ({error})") from None
            why = str(error)
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            return self._stream.decompress(data, _PIECE_BYTES)
        except zlib.error:
            raise self._record.fail("bad_body", f"not the declared compression ({why})") from None

    def finish(self) -> None:
        """A compressed body must reach its own end."""
        if self._began and not self._stream.eof:
            raise self._record.fail("bad_body", "the compressed body ends too early")


def _require_size(record: WireRecord, size: int, verb: str) -> None:
    limits = record.limits
    if size > limits.body_bytes:
        detail = f"the body {verb} {limits.max_body_mib} MiB; {describe_limit('max_body_mib')}"
        raise record.fail("too_large", detail)


def choose_decoder(record: WireRecord) -> Decoder:
    """The decoder for the answer's `content-encoding`.

    Raises:
        WireFailure: `unexpected_encoding`, an encoding that was never asked for.
    """
    encoding = record.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return Plain(record)
    if encoding in ("gzip", "x-gzip", "deflate"):
        return Zlib(record)
    raise record.fail("unexpected_encoding", f"content-encoding {encoding[:40]!r}")
