"""Serves recorded answers, byte for byte, on a real socket: streams in chunks of odd sizes."""

from __future__ import annotations

import contextlib
import json
import random
import socketserver
from collections.abc import Mapping
from typing import Any

from tests.servers.threaded import ThreadedServer

_NOT_SENT = ("content-length", "transfer-encoding", "content-encoding", "connection", "keep-alive")


class ReplayServer(ThreadedServer):
    """Answers each request with the interaction that was put on, and keeps what was asked.

    Attributes:
        base_url: `http://127.0.0.1:PORT`.
        asked: (path, JSON body) of every request since the last `put_on`.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self._answer: Mapping[str, Any] = {}
        super().__init__(_Handler, kind=_Server)
        assert isinstance(self.server, _Server)
        self.server.replay = self

    @property
    def base_url(self) -> str:
        return self.origin

    def put_on(self, interaction: Mapping[str, Any]) -> None:
        self._answer = interaction
        self.asked.clear()

    def answer(self) -> tuple[bytes, list[bytes]]:
        """Head and body of the answer, the body in pieces."""
        recorded = self._answer
        body = recorded["response_body"]
        text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        data = text.encode("utf-8", "surrogatepass")
        is_stream = recorded["stream"] and recorded["status"] < 400
        framing = "transfer-encoding: chunked" if is_stream else f"content-length: {len(data)}"
        lines = [f"HTTP/1.1 {recorded['status']} Recorded", framing]
        for name, value in recorded["response_headers"].items():
            if name.lower() not in _NOT_SENT and str(value).isascii():
                lines.append(f"{name}: {' '.join(str(value).split())}")
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        return head, _cut(data, recorded["id"]) if is_stream else [data]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    replay: ReplayServer


class _Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # a client may leave whenever it likes
            self._serve()

    def _serve(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        while line := self.rfile.readline():
            path = line.split(b" ")[1].decode()
            length = 0
            while header := self.rfile.readline().strip():
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            asked = self.rfile.read(length)
            server.replay.asked.append((path, json.loads(asked) if asked else None))
            head, pieces = server.replay.answer()
            if b"chunked" not in head:
                self.wfile.write(head + b"".join(pieces))
                continue
            self.wfile.write(head)
            for piece in pieces:
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")


def _cut(data: bytes, seed: str) -> list[bytes]:
    """Pieces of 1 to 900 bytes, always the same ones for a recording; events are split anywhere."""
    rng = random.Random(seed)
    pieces, at = [], 0
    while at < len(data):
        size = rng.randint(1, 900)
        pieces.append(data[at : at + size])
        at += size
    return pieces
