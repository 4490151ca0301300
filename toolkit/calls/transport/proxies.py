"""Which proxy a request goes through: the setting's, else that of the environment.

The variables are those that curl, requests and httpx respect: `HTTPS_PROXY`, `HTTP_PROXY`,
`ALL_PROXY` and `NO_PROXY`, in either case. A local provider never goes through a proxy.
"""

from __future__ import annotations

import ipaddress
import os
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

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
        setting: the setting `proxy`; it stands above the environment.
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
