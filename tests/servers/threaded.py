"""Servers of the standard library on a real socket, run in a thread of their own."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, TCPServer
from types import TracebackType
from typing import Any, Self

_POLL_S = 0.02  # how soon a server notices that it is to stop; the library's own is 0.5 s


class ThreadedServer:
    """Serves on 127.0.0.1 from `start`, or from the beginning of a `with` block, to its end.

    Args:
        handler: handles each connection.
        port: where to listen; 0: any free port.
        kind: the class of the server.
    """

    def __init__(
        self,
        handler: type[BaseRequestHandler],
        port: int = 0,
        kind: type[TCPServer] = ThreadingHTTPServer,
    ) -> None:
        self.server = kind(("127.0.0.1", port), handler)
        self._thread = threading.Thread(
            target=self.server.serve_forever, args=(_POLL_S,), daemon=True
        )

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class QuietHandler(BaseHTTPRequestHandler):
    """A handler that logs nothing and answers with a whole body."""

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def answer(
        self, body: bytes = b"", status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing to stderr."""


class ScriptedServer(ThreadedServer):
    """Answers each POST with the same body, and keeps the JSON that was sent.

    Attributes:
        status, media_type, body: the answer.
        requests: the decoded body of every request.
    """

    def __init__(self) -> None:
        self.status = 200
        self.media_type = "application/json"
        self.body = b""
        self.requests: list[dict[str, Any]] = []
        scripted = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                scripted.requests.append(json.loads(self.read_body()))
                self.answer(scripted.body, scripted.status, {"content-type": scripted.media_type})

        super().__init__(Handler)
