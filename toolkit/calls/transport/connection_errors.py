"""Causes of ours for the errors of aiohttp and of the sockets below it."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

from toolkit.calls.transport.exchange_record import WireFailure, WireRecord


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
