"""Runs the API alone: a uvicorn server on a socket that was free, with header time-outs."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from toolkit.api.formats.unsupported_parameters import UnsupportedPolicy
from toolkit.api.http_app import build_app
from toolkit.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Collection

    from toolkit.toolkit import Toolkit

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
HEADER_TIMEOUT_S = 10.0
BACKLOG = 512
_SWITCH_S = 0.0005


class HeaderTimeoutProtocol(HttpToolsProtocol):
    """Closes a connection whose request headers do not arrive in time (uvicorn waits forever)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        self._impatience = self.loop.call_later(HEADER_TIMEOUT_S, self._close_if_silent)

    def on_message_begin(self) -> None:
        """Start the clock again: a later request on the connection may be slow, too."""
        super().on_message_begin()
        self._impatience.cancel()
        self._impatience = self.loop.call_later(HEADER_TIMEOUT_S, self._close_if_silent)

    def on_headers_complete(self) -> None:
        """Stop the clock: a whole head has come."""
        self._impatience.cancel()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock with the connection."""
        self._impatience.cancel()
        super().connection_lost(exc)

    def _close_if_silent(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()


def open_socket(host: str, port: int, hosts: Collection[str] = ()) -> socket.socket:
    """A bound socket, so that the port is known before it is printed.

    Args:
        host: address to bind; another than loopback needs `hosts`.
        port: TCP port; 0 takes a free one.
        hosts: Host names that are answered beside the loopback ones.

    Raises:
        InvalidInput: the address is open to others and no Host name was allowed, or the port
            is taken.
    """
    if host not in _LOOPBACK and not hosts:
        raise InvalidInput(
            f"serving on {host} gives other machines access",
            hint="Set the host name they use with --allow-host, or use 127.0.0.1.",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)  # clients may connect at once, and wait
    except OSError as error:
        listening.close()
        raise InvalidInput(
            f"cannot serve on {host}:{port}: {error.strerror}", hint="Choose another --port."
        ) from None
    return listening


def run_api(
    toolkit: Toolkit,
    listening: socket.socket,
    *,
    hosts: Collection[str] = (),
    origins: Collection[str] = (),
    on_unsupported: UnsupportedPolicy = "neutral",
) -> None:
    """Serve on a bound socket until interrupted; the options are those of `build_app`."""
    app = build_app(toolkit, hosts=hosts, origins=origins, on_unsupported=on_unsupported)
    # A thread that counts or parses a body of 10 MB keeps the interpreter for 5 ms at a time by
    # default. A request waits for it about ten times, so that others took 60 ms instead of 7.
    sys.setswitchinterval(_SWITCH_S)
    uvicorn.Server(server_config(app)).run(sockets=[listening])


def server_config(app: Any) -> uvicorn.Config:
    """The uvicorn settings of the API: quiet, bounded, without a `server` header."""
    return uvicorn.Config(
        app,
        http=HeaderTimeoutProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=5,
    )
