"""The guard of a replay: while a cassette is played, no socket of this process connects.

The patches answer requests of known HTTP libraries. Anything else (a raw socket, another HTTP
library, a name look-up) is refused here, so that a replay fails closed. Unix sockets stay usable.

There are three ways to the network, each with its guard: Python's own sockets, which report to
audit hooks; event loops that open sockets in C (uvloop, and the proactor of Windows); and clients
with a network stack of their own (libcurl, gRPC). A program started by `subprocess` is another
process with its own sockets and is not guarded.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from toolkit.replay.patches.patch import Patch, Session

_GUARDED_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
_NO_LOOKUP: Final = ("", "localhost")
_SENDING: Final = ("socket.connect", "socket.sendto", "socket.sendmsg")
_RESOLVING: Final = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
_NATIVE_CLIENTS: Final = (
    ("curl_cffi", "Curl", "perform"),
    ("curl_cffi", "AsyncCurl", "add_handle"),
    ("pycurl", "", "Curl"),
    ("pycurl", "", "CurlMulti"),
    ("grpc", "", "insecure_channel"),
    ("grpc", "", "secure_channel"),
    ("grpc.aio", "", "insecure_channel"),
    ("grpc.aio", "", "secure_channel"),
)
"""Module, class (empty: the module itself) and attribute by which a client in C is reached."""

_guards: list[_Guard] = []
_is_hooked = False


def build_guard_patches(cassette: Session) -> Iterator[Patch]:
    """The patches for a replay."""
    guard = _Guard(cassette)
    yield socket, "socketpair", guard.pairing(socket.socketpair)
    yield from _event_loop_patches(guard)
    yield from _native_client_patches(cassette)


class guarded:
    """Refuse connections through Python's sockets while the block runs.

    An audit hook sees what the methods of `socket.socket` do not: sockets made below them, in C.
    A hook cannot be taken out again, so one stays in the process and asks the guards in force.
    """

    def __init__(self, cassette: Session) -> None:
        self._guard = _Guard(cassette)

    def __enter__(self) -> None:
        global _is_hooked
        _guards.append(self._guard)
        if not _is_hooked:
            sys.addaudithook(_audit)
            _is_hooked = True

    def __exit__(self, *_: object) -> None:
        _guards.remove(self._guard)


_thread = threading.local()


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _guards or not event.startswith("socket."):
        return
    for guard in _guards:
        if event in _SENDING:
            guard.check_socket(arguments[0], arguments[1])
        elif event in _RESOLVING:
            guard.check_name(arguments[0])


class _Guard:
    def __init__(self, cassette: Session) -> None:
        self._cassette = cassette

    def check_socket(self, sock: Any, address: Any) -> None:
        """Refuse an address that a socket is to reach; None is a socket that is connected."""
        is_guarded = sock.family in _GUARDED_FAMILIES and address is not None
        if is_guarded and not getattr(_thread, "is_pairing", False):
            self.check_address(str(address[0]), int(address[1]))

    def check_address(self, host: str, port: int) -> None:
        """Refuse a host and port unless the test allows them."""
        allowed = self._cassette.allowed_hosts
        if host not in allowed and f"{host}:{port}" not in allowed:
            self._cassette.refuse_connection(host, port)

    def check_name(self, host: Any) -> None:
        """Refuse to look a name up; an address needs no look-up."""
        name = host.decode("latin-1") if isinstance(host, bytes | bytearray) else host or ""
        # A server that a test starts asks for the name of this machine.
        known = (*_NO_LOOKUP, socket.gethostname(), *self._cassette.allowed_hosts)
        if name not in known and not _is_address(name):
            self._cassette.refuse_connection(name, None)

    def connecting_overlapped(self, real: Any) -> Callable[..., Any]:
        def connect(proactor: Any, sock: socket.socket, address: Any) -> Any:
            self.check_socket(sock, address)
            return real(proactor, sock, address)

        return connect

    def connecting_in_c(self, real: Any) -> Callable[..., Any]:
        async def create_connection(
            loop: Any, factory: Any, host: Any = None, port: Any = None, **named: Any
        ) -> Any:
            if host is not None:
                self.check_name(host)
                self.check_address(str(host), int(port or 0))
            return await real(loop, factory, host, port, **named)

        return create_connection

    def sending_in_c(self, real: Any) -> Callable[..., Any]:
        async def create_datagram_endpoint(
            loop: Any, factory: Any, local_addr: Any = None, remote_addr: Any = None, **named: Any
        ) -> Any:
            # Its transport sends to any address later, where no Python code is asked.
            if named.get("sock") is None:
                host, port = (remote_addr or local_addr or ("a datagram", 0))[:2]
                self.check_address(str(host), int(port))
            return await real(loop, factory, local_addr, remote_addr, **named)

        return create_datagram_endpoint

    def resolving_in_c(self, real: Any) -> Callable[..., Any]:
        async def getaddrinfo(loop: Any, host: Any, port: Any, **named: Any) -> Any:
            self.check_name(host)
            return await real(loop, host, port, **named)

        return getaddrinfo

    def pairing(self, real: Any) -> Callable[..., Any]:
        """Windows makes a pair of sockets by connecting them over loopback."""

        def socketpair(*args: Any, **named: Any) -> Any:
            _thread.is_pairing = True
            try:
                return real(*args, **named)
            finally:
                _thread.is_pairing = False

        return socketpair


def _event_loop_patches(guard: _Guard) -> Iterator[Patch]:
    if sys.platform == "win32":
        from asyncio import windows_events

        proactor = windows_events.IocpProactor
        yield proactor, "connect", guard.connecting_overlapped(proactor.connect)
    # uvloop asks libuv, which neither uses Python's sockets nor reports to audit hooks.
    if find_spec("uvloop") is not None:
        loop = import_module("uvloop").Loop
        yield loop, "create_connection", guard.connecting_in_c(loop.create_connection)
        yield loop, "create_datagram_endpoint", guard.sending_in_c(loop.create_datagram_endpoint)
        yield loop, "getaddrinfo", guard.resolving_in_c(loop.getaddrinfo)


def _native_client_patches(cassette: Session) -> Iterator[Patch]:
    """Refuse the clients in C that the program has imported by now; importing them is costly."""
    for module_name, class_name, attribute in _NATIVE_CLIENTS:
        module = sys.modules.get(module_name)
        owner = getattr(module, class_name, None) if class_name else module
        if hasattr(owner, attribute):
            yield owner, attribute, _refusing(cassette, module_name)


def _refusing(cassette: Session, client: str) -> Callable[..., NoReturn]:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        cassette.refuse_client(client)

    return refuse


def _is_address(name: str) -> bool:
    for family in _GUARDED_FAMILIES:
        try:
            socket.inet_pton(family, name.partition("%")[0])
        except OSError:
            continue
        return True
    return False
