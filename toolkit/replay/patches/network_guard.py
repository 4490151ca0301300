"""The guard of a replay: while a cassette is played, no socket of this process connects.

The patches answer requests of known HTTP libraries. Anything else (a raw socket, another HTTP
library, a name look-up) is refused here, so that a replay fails closed. Unix sockets stay usable.

There are three ways to the network, each with its guard: Python's own sockets, which report to
audit hooks; event loops that open sockets in C (uvloop, and the proactor of Windows); and clients
with a network stack of their own (libcurl, gRPC), whether they are imported before the replay or
during it. A program started by `subprocess` is another process with its own sockets: HTTP clients
such as curl are refused by their name, others are not guarded.

While a cassette is recorded, the same ways are watched: what a client other than the patched ones
sends is missing from the recording, so the connection is noted and the user warned at the end.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from toolkit.replay.patches.patch import installed, is_recorded_connection

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
    ("primp", "", "Client"),
    ("primp", "", "AsyncClient"),
    ("tls_client", "", "Session"),
    ("grpc", "", "insecure_channel"),
    ("grpc", "", "secure_channel"),
    ("grpc.aio", "", "insecure_channel"),
    ("grpc.aio", "", "secure_channel"),
)
"""Module, class (empty: the module itself) and attribute by which a client in C is reached."""

_NATIVE_MODULES: Final = frozenset(module for module, _, _ in _NATIVE_CLIENTS)
_HTTP_PROGRAMS: Final = frozenset({"curl", "wget", "http", "https", "xh", "aria2c"})
_PROGRAMS: Final = _HTTP_PROGRAMS | {"nc", "ncat", "netcat", "socat", "telnet", "lynx", "w3m"}
_WRAPPERS: Final = frozenset(
    {"env", "nice", "nohup", "setsid", "stdbuf", "time", "timeout", "sudo", "xargs", "busybox"}
)
"""Programs that start the one that is named after them."""
_IN_SHELL: Final = re.compile(
    rf"(?:^|[\s;&|(`/])({'|'.join(sorted(_HTTP_PROGRAMS))})(?=\s)|(/dev/(?:tcp|udp))/"
)
_STARTING: Final = ("subprocess.Popen", "os.posix_spawn", "os.exec", "os.system")

_guards: list[_Guard] = []
_is_hooked = False


def build_guard_patches(cassette: Session) -> Iterator[Patch]:
    """The patches for a replay."""
    guard = _Guard(cassette)
    yield socket, "socketpair", guard.pairing(socket.socketpair)
    yield from _event_loop_patches(guard)
    yield from _native_client_patches(cassette)


def build_watch_patches(watch: Watch) -> Iterator[Patch]:
    """The patches for a recording."""
    yield socket, "socketpair", watch.pairing(socket.socketpair)
    yield from _event_loop_patches(watch)


class guarded:
    """Refuse connections through Python's sockets while the block runs.

    An audit hook sees what the methods of `socket.socket` do not: sockets made below them, in C.
    A hook cannot be taken out again, so one stays in the process and asks the guards in force.
    """

    def __init__(self, cassette: Session) -> None:
        self._guard = _Guard(cassette)
        self._late = _LateClients(cassette)

    def __enter__(self) -> None:
        _add_guard(self._guard)
        sys.meta_path.insert(0, self._late)

    def __exit__(self, *_: object) -> None:
        _guards.remove(self._guard)
        sys.meta_path.remove(self._late)
        self._late.restore()


_thread = threading.local()


def _add_guard(guard: _Guard) -> None:
    global _is_hooked
    _guards.append(guard)
    if not _is_hooked:
        sys.addaudithook(_audit)
        _is_hooked = True


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _guards or not event.startswith(("socket.", "subprocess.", "os.")):
        return
    for guard in _guards:
        if event in _STARTING:
            guard.check_program(arguments)
        elif event in _SENDING:
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
            self.on_connection(host, port)

    def on_connection(self, host: str, port: int) -> None:
        """Refuse a connection that the test does not allow."""
        self._cassette.refuse_connection(host, port)

    def on_client(self, client: str) -> None:
        """Refuse a program that speaks HTTP."""
        self._cassette.refuse_client(client)

    def check_name(self, host: Any) -> None:
        """Refuse to look a name up; an address needs no look-up."""
        name = host.decode("latin-1") if isinstance(host, bytes | bytearray) else host or ""
        # A server that a test starts asks for the name of this machine.
        known = (*_NO_LOOKUP, socket.gethostname(), *self._cassette.allowed_hosts)
        if name not in known and not _is_address(name):
            self._cassette.refuse_connection(name, None)

    def check_program(self, arguments: tuple[Any, ...]) -> None:
        """Refuse to start an HTTP client, by itself or in a shell."""
        first, *rest = arguments
        given = rest[0] if rest else first
        words = [_text(word) for word in given] if isinstance(given, list | tuple) else []
        program = os.path.basename(words[0] if words else _text(first))
        command = _text(given) if not words else words[-1] if "-c" in words[:-1] else ""
        found = _IN_SHELL.search(command)
        started = words if program in _WRAPPERS else [program]
        names = [os.path.basename(word).removesuffix(".exe") for word in started]
        client = next((name for name in names if name in _PROGRAMS), None)
        client = client or (found[1] or found[2] if found else None)
        line = " ".join(words) or command
        if client and not any(host in line for host in self._cassette.allowed_hosts):
            self.on_client(client)

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


class Watch(_Guard):
    """Notes what is sent past the patched libraries during a recording, and lets it through."""

    def __init__(self, cassette: Session) -> None:
        super().__init__(cassette)
        self._found: dict[str, None] = {}  # in order, each once

    def __enter__(self) -> None:
        _add_guard(self)

    def __exit__(self, *_: object) -> None:
        _guards.remove(self)

    def check_name(self, host: Any) -> None:
        """Do nothing: a name that is looked up is not yet a request."""

    def on_connection(self, host: str, port: int) -> None:
        """Note a connection unless a patch records it."""
        if not is_recorded_connection() and not _is_in_http_client():
            self._found[f"{host}:{port}"] = None

    def on_client(self, client: str) -> None:
        """Note a program that speaks HTTP."""
        self._found[client] = None

    def describe(self) -> str:
        """What is missing from the recording; empty if nothing is."""
        if not self._found:
            return ""
        return (
            f"traffic of another HTTP client was not recorded: {', '.join(self._found)}. Use one "
            "that speaks HTTP through httpx, aiohttp, requests, urllib3 or http.client, or list "
            "the host in `allow_hosts`, because a replay refuses it."
        )

    def warn(self, name: str) -> None:
        """Warn of what is missing from the recording of this name."""
        if missing := self.describe():
            warnings.warn(f"{name}: {missing}", stacklevel=3)


def _is_in_http_client() -> bool:
    """Whether a connection of `http.client`, whose traffic is recorded, is being made."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        if isinstance(frame.f_locals.get("self"), http.client.HTTPConnection):
            return True
    return False


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


def _native_client_patches(
    cassette: Session, modules: Sequence[str] = tuple(_NATIVE_MODULES)
) -> Iterator[Patch]:
    """Refuse the clients in C that the program has imported by now; importing them is costly."""
    refusals: dict[int, Callable[..., NoReturn]] = {}
    for module_name, class_name, attribute in _NATIVE_CLIENTS:
        module = sys.modules.get(module_name) if module_name in modules else None
        owner = getattr(module, class_name, None) if class_name else module
        if not hasattr(owner, attribute):
            continue
        refuse = _refusing(cassette, module_name)
        if class_name:
            yield owner, attribute, refuse
        else:
            refusals[id(getattr(owner, attribute))] = refuse
    if refusals:  # also where a module holds it by a name of its own: `from pycurl import Curl`
        for held in list(sys.modules.values()):
            for name, value in list(getattr(held, "__dict__", {}).items()):
                if id(value) in refusals:
                    yield held, name, refusals[id(value)]


class _LateClients:
    """An importer that refuses the clients in C that are imported during the replay.

    It finds no modules itself; it adds the refusal to what the other importers find.
    """

    def __init__(self, cassette: Session) -> None:
        self._cassette = cassette
        self._patched = ExitStack()
        self._finding = threading.local()

    def find_spec(
        self, name: str, _path: object = None, _target: object = None
    ) -> ModuleSpec | None:
        """What the other importers find, for a client in C; nothing for other modules."""
        if name not in _NATIVE_MODULES or getattr(self._finding, "name", None) == name:
            return None
        self._finding.name = name
        try:
            spec = find_spec(name)
        finally:
            self._finding.name = None
        if spec is None or spec.loader is None:
            return spec
        real = spec.loader.exec_module

        def execute(module: ModuleType) -> None:
            real(module)
            patches = _native_client_patches(self._cassette, (name,))
            self._patched.enter_context(installed(patches))

        # The loader is one object for this import, so no other import is concerned.
        vars(spec.loader)["exec_module"] = execute
        return spec

    def restore(self) -> None:
        """Take the refusals out again."""
        self._patched.close()


def _refusing(cassette: Session, client: str) -> Callable[..., NoReturn]:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        cassette.refuse_client(client)

    return refuse


def _text(word: object) -> str:
    return os.fsdecode(word) if isinstance(word, str | bytes | os.PathLike) else str(word)


def _is_address(name: str) -> bool:
    for family in _GUARDED_FAMILIES:
        try:
            socket.inet_pton(family, name.partition("%")[0])
        except OSError:
            continue
        return True
    return False
