"""One pool of connections per event loop, closed with its loop.

A session belongs to the loop that made it. When the loop ends in the usual way
(`asyncio.run`, a server's shutdown) its asynchronous generators are closed; one such
generator guards each pool, so that nothing is left open and no caller has to close it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
import time
import weakref
from collections.abc import AsyncGenerator
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from toolkit.calls.transport.exchange_record import MAX_HEADER_BYTES, MAX_HEADERS, WireRecord

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import ResolveResult


# Which proxy a request goes through: the setting's, else that of the environment.
#
# The variables are those that curl, requests and httpx respect: `HTTPS_PROXY`, `HTTP_PROXY`,
# `ALL_PROXY` and `NO_PROXY`, in either case. A local provider never goes through a proxy.


_NAMES: Final = {
    "https": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
    # HTTP_PROXY in capitals is what a CGI server makes of a client's `Proxy` header.
    "http": ("http_proxy", "all_proxy", "ALL_PROXY")
    if "REQUEST_METHOD" in os.environ
    else ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
}


def find_proxy(url: str, setting: str | None) -> str | None:
    """Return the proxy for a URL, or None where the request goes straight to its host.

    Args:
        url: the address of the request.
        setting: the setting `proxy`; it overrides the environment.
    """
    scheme = "https" if url.startswith("https:") else "http"
    proxy = setting or _first(_NAMES[scheme])
    if not proxy:
        return None
    exceptions = _first(("no_proxy", "NO_PROXY"))
    if exceptions and _is_exception(urlsplit(url).netloc.rpartition("@")[2], exceptions):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _first(names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := os.environ.get(name))), None)


@lru_cache(1024)
def _is_exception(netloc: str, exceptions: str) -> bool:
    """Whether `NO_PROXY` names a host: by name, domain, address, network or `host:port`."""
    parts = urlsplit(f"//{netloc}")
    host = (parts.hostname or "").rstrip(".").lower()
    address = _address(host)
    for entry in (part.strip().lower() for part in exceptions.split(",")):
        if not entry:
            continue
        if entry == "*":
            return True
        if address is not None and _holds(entry, address):
            return True
        name, port = _split_port(entry)
        name = name.removeprefix("*").removeprefix(".")
        if port is not None and port != parts.port:
            continue
        if host == name or host.endswith(f".{name}"):
            return True
    return False


def _holds(entry: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except (ValueError, TypeError):
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _split_port(entry: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(f"//{entry}")
        return parts.hostname or entry, parts.port
    except ValueError:
        return entry, None


_Route = Literal["local", "cloud", "proxy"]

_KEEP_ALIVE_S = 60.0
_DNS_CACHE_S = 60


class Sessions:
    """aiohttp sessions by event loop and by which addresses are allowed.

    Args:
        proxy: the setting `proxy`; None: that of the environment, if there is one.
    """

    def __init__(self, proxy: str | None = None) -> None:
        self._proxy = proxy
        self._loops: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[_Route, tuple[aiohttp.ClientSession, Any]]
        ] = weakref.WeakKeyDictionary()

    def find_proxy(self, url: str, *, local: bool) -> str | None:
        """The proxy for a request; a local provider is never reached through one."""
        return None if local else find_proxy(url, self._proxy)

    async def require_session(self, *, local: bool, proxied: bool = False) -> aiohttp.ClientSession:
        """The running loop's session.

        Args:
            local: private and loopback addresses are allowed.
            proxied: for requests through a proxy, which resolves the names itself.
        """
        sessions = self._loops.setdefault(asyncio.get_running_loop(), {})
        route: _Route = "proxy" if proxied else "local" if local else "cloud"
        held = sessions.get(route)
        if held is None or held[0].closed:
            session = _make_session(local=local, through_proxy=proxied)
            guard = _closed_with_loop(session)
            await anext(guard)
            held = sessions[route] = (session, guard)
        return held[0]

    async def aclose(self) -> None:
        """Close the running loop's sessions."""
        for session, guard in self._loops.pop(asyncio.get_running_loop(), {}).values():
            await guard.aclose()
            await session.close()


async def _closed_with_loop(session: aiohttp.ClientSession) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await session.close()


def _make_session(*, local: bool, through_proxy: bool) -> aiohttp.ClientSession:
    import aiohttp

    from toolkit.calls.transport.receive_timestamps import TimestampingConnector

    connector = TimestampingConnector(
        limit=0,
        keepalive_timeout=_KEEP_ALIVE_S,
        ttl_dns_cache=_DNS_CACHE_S,
        resolver=None if through_proxy else _checked_resolver(local=local),
        ssl=_trust(),
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        max_headers=MAX_HEADERS,
        trace_configs=[_stamps()],
        timeout=aiohttp.ClientTimeout(total=None),
    )


def _trust() -> ssl.SSLContext:
    """The authorities that are trusted.

    Those of the system (OpenSSL reads `SSL_CERT_FILE` and `SSL_CERT_DIR` itself), and those of
    `REQUESTS_CA_BUNDLE` or `CURL_CA_BUNDLE`; certifi's where the system has none.
    """
    environ = os.environ
    bundle = environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE")
    places = (environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR"), bundle)
    return _read_trust(*places, tuple(_changed_at(place) for place in places))


@lru_cache(maxsize=4)
def _read_trust(
    file: str | None, folder: str | None, bundle: str | None, changed: tuple[int | None, ...]
) -> ssl.SSLContext:
    """A context for these places, kept: reading the system's authorities takes about 60 ms of CPU.

    `changed` is not read; it makes a renewed bundle another key.
    """
    context = ssl.create_default_context()
    if bundle:
        is_folder = os.path.isdir(bundle)
        context.load_verify_locations(
            cafile=None if is_folder else bundle, capath=bundle if is_folder else None
        )
    if not context.cert_store_stats()["x509_ca"] and not folder:
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def _changed_at(path: str | None) -> int | None:
    try:
        return os.stat(path).st_mtime_ns if path else None
    except OSError:
        return None


def _checked_resolver(*, local: bool) -> Any:
    from aiohttp.resolver import ThreadedResolver

    from toolkit.calls.transport.address_check import refuse_address

    class CheckedResolver(ThreadedResolver):
        """The address that is checked is the one connected to: there is no second look-up."""

        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            found = await super().resolve(host, port, family)
            for result in found:
                refuse_address(result["host"], host, local=local)
            return found

    return CheckedResolver()


def _stamps() -> aiohttp.TraceConfig:
    """Trace hooks that write connection and sending times into the attempt's record."""
    import aiohttp

    trace = aiohttp.TraceConfig()

    async def connecting(_: Any, context: SimpleNamespace, __: Any) -> None:
        record: WireRecord = context.trace_request_ctx
        record.connect_began_ns = time.monotonic_ns()

    async def connected(_: Any, context: SimpleNamespace, __: Any) -> None:
        record: WireRecord = context.trace_request_ctx
        record.connected_ns = time.monotonic_ns()
        record.reused = False

    async def reused(_: Any, context: SimpleNamespace, __: Any) -> None:
        context.trace_request_ctx.reused = True

    async def sent(_: Any, context: SimpleNamespace, __: Any) -> None:
        context.trace_request_ctx.sent_ns = time.monotonic_ns()

    trace.on_connection_create_start.append(connecting)
    trace.on_connection_create_end.append(connected)
    trace.on_connection_reuseconn.append(reused)
    trace.on_request_headers_sent.append(sent)
    return trace
