"""The guarded transport: every call, listing and probe goes through it.

It stamps what happens with a monotonic clock, sends to one origin only, follows no redirect,
bounds headers, bodies and waits, and keeps what really came in the attempt's `WireRecord`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from toolkit.calls.transport.address_check import refuse_address
from toolkit.calls.transport.body import StreamBody, find_handler, read_whole
from toolkit.calls.transport.connections import Sessions
from toolkit.calls.transport.decompression import ACCEPTED
from toolkit.calls.transport.exchange_record import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    Deadlines,
    WireFailure,
    WireRecord,
)
from toolkit.errors import CassetteError
from toolkit.providers.provider import origin_of
from toolkit.settings import Settings

if TYPE_CHECKING:
    import aiohttp

_HOP_HEADERS = ("connection", "transfer-encoding", "host", "content-length")
_BODY_HEADERS = ("content-encoding", "content-length", "transfer-encoding")


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

        session = await self._sessions.require_session(local=self._local)
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
                        proxy=self._sessions.proxy,
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
        arrived_ns = handler.take_arrival(record.asked_ns or 0) if handler else None
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


class _ListingTransport(httpx.AsyncBaseTransport):
    """The same guard for a plain request: error statuses are answers like any other."""

    def __init__(self, sessions: Sessions, *, local: bool) -> None:
        self._guard = Guard(sessions, local=local)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        from toolkit.calls.parsers.error_classes import wire_error

        timeout = request.extensions.get("timeout", {})
        total_s, connect_s = timeout.get("read") or 30.0, timeout.get("connect") or 5.0
        record = WireRecord(
            origin=origin_of(str(request.url)),
            stream=False,
            deadlines=Deadlines(connect_s, total_s, total_s, time.monotonic() + total_s),
        )
        try:
            await self._guard.exchange(
                record, str(request.url), request.headers, await request.aread(), request.method
            )
        except WireFailure as failure:
            raise wire_error(failure) from None
        head = {k: v for k, v in record.headers.items() if k not in _BODY_HEADERS}
        return httpx.Response(
            record.status or 0, headers=head, content=record.body, request=request
        )


class GuardedClient(httpx.AsyncClient):
    """An `httpx.AsyncClient` under guard; it closes its connections with itself."""

    def __init__(self, settings: Settings, *, local: bool) -> None:
        self._sessions = Sessions(settings.proxy)
        super().__init__(
            transport=_ListingTransport(self._sessions, local=local),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(30.0, connect=settings.connect_timeout_s),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._sessions.aclose()
        await super().aclose()

    async def __aexit__(self, *error: Any) -> None:
        await self._sessions.aclose()
        await super().__aexit__(*error)


def open_http(settings: Settings, *, local: bool = False) -> httpx.AsyncClient:
    """An HTTP client with all guards, for listings and probes; use it in `async with`.

    The timeout `read` of a request (30 s) is the deadline of the whole exchange. Error
    statuses are ordinary responses; a wire that fails raises.

    Args:
        settings: proxy and connect deadline.
        local: whether private and loopback addresses are allowed.

    Raises (on each request):
        toolkit.errors.ConnectionFailed, RequestTimeout, MalformedResponse: as in a call.
    """
    return GuardedClient(settings, local=local)


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
        raise record.fail(cause, _words(error)) from None


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


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"
