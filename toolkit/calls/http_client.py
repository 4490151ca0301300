"""A guarded HTTP client for what is not a call: listings, probes, webhooks."""

from __future__ import annotations

import time
from typing import Any, Final

import httpx

from toolkit.calls.parsers.error_classes import wire_error
from toolkit.calls.transport.connections import Sessions
from toolkit.calls.transport.exchange_record import Deadlines, WireFailure, WireRecord
from toolkit.calls.transport.guarded import Guard
from toolkit.providers.provider import origin_of
from toolkit.settings import Settings

_BODY_HEADERS: Final = ("content-encoding", "content-length", "transfer-encoding")


class _ListingTransport(httpx.AsyncBaseTransport):
    """The same guard for a plain request: error statuses are answers like any other."""

    def __init__(self, sessions: Sessions, *, local: bool) -> None:
        self._guard = Guard(sessions, local=local)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
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
