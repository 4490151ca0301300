"""The guard of a replay: while a cassette is played, no socket of this process connects.

The patches of the HTTP libraries answer what they know. Whatever is not known to them (a raw
socket, another HTTP library, a name look-up) ends here and is refused, so that a replay fails
closed. Sockets of the same machine that speak no IP (Unix sockets) stay usable.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from toolkit.replay.patches.patch import Patch, Session

_GUARDED_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
_NO_LOOKUP: Final = ("", "localhost")


def build_guard_patches(cassette: Session) -> Iterator[Patch]:
    """The patches for a cassette that is about to be played."""
    guard = _Guard(cassette)
    for name in ("connect", "connect_ex"):
        yield socket.socket, name, guard.connecting(getattr(socket.socket, name))
    yield socket.socket, "sendto", guard.sending(socket.socket.sendto)
    yield socket, "getaddrinfo", guard.resolving(socket.getaddrinfo)
    yield socket, "gethostbyname", guard.resolving(socket.gethostbyname)
    yield socket, "socketpair", guard.pairing(socket.socketpair)
    if sys.platform == "win32":
        from asyncio import windows_events

        proactor = windows_events.IocpProactor
        yield proactor, "connect", guard.connecting_overlapped(proactor.connect)


class _Guard:
    def __init__(self, cassette: Session) -> None:
        self._cassette = cassette
        self._thread = threading.local()

    def connecting(self, real: Any) -> Callable[..., Any]:
        def connect(sock: socket.socket, address: Any) -> Any:
            self._check(sock, address)
            return real(sock, address)

        return connect

    def connecting_overlapped(self, real: Any) -> Callable[..., Any]:
        def connect(proactor: Any, sock: socket.socket, address: Any) -> Any:
            self._check(sock, address)
            return real(proactor, sock, address)

        return connect

    def sending(self, real: Any) -> Callable[..., Any]:
        def sendto(sock: socket.socket, data: Any, *rest: Any) -> Any:
            self._check(sock, rest[-1])
            return real(sock, data, *rest)

        return sendto

    def resolving(self, real: Any) -> Callable[..., Any]:
        def resolve(host: Any, *rest: Any, **named: Any) -> Any:
            name = host.decode("latin-1") if isinstance(host, bytes) else host or ""
            if name not in _NO_LOOKUP and not _is_address(name) and not self._is_allowed(name):
                self._cassette.refuse_connection(name, None)
            return real(host, *rest, **named)

        return resolve

    def pairing(self, real: Any) -> Callable[..., Any]:
        """Windows makes a pair of sockets by connecting them over loopback."""

        def socketpair(*args: Any, **named: Any) -> Any:
            self._thread.is_pairing = True
            try:
                return real(*args, **named)
            finally:
                self._thread.is_pairing = False

        return socketpair

    def _check(self, sock: socket.socket, address: Any) -> None:
        if sock.family not in _GUARDED_FAMILIES or getattr(self._thread, "is_pairing", False):
            return
        host, port = str(address[0]), int(address[1])
        if not self._is_allowed(host, port):
            self._cassette.refuse_connection(host, port)

    def _is_allowed(self, host: str, port: int | None = None) -> bool:
        allowed = self._cassette.allowed_hosts
        return host in allowed or (port is not None and f"{host}:{port}" in allowed)


def _is_address(name: str) -> bool:
    for family in _GUARDED_FAMILIES:
        try:
            socket.inet_pton(family, name.partition("%")[0])
        except OSError:
            continue
        return True
    return False
