"""A provider on a real socket, in a thread of its own, that answers what a test scripts.

`python -m tests.servers.mock_provider` serves one fixed answer from a process of its own, for
benchmarks that must not share an interpreter with their server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.servers.dialects import Answer, Event, Style, events, style_of, whole
from tests.servers.own_dialects import MEDIA_TYPES, events_own, whole_own

_MODELS = ("mock-model", "mock-small", "mock-large")
_REASONS = {200: "OK", 307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized"}


@dataclass
class Received:
    """One request as it came, and the server's stamps of what it sent back.

    `stamps` holds `monotonic_ns` of each content chunk just before it was written;
    `closed_early` says that the client went away before the answer was whole.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    json: Any
    index: int
    arrived_ns: int
    body: bytes = b""
    stamps: list[int] = field(default_factory=list)
    closed_early: bool = False


class MockProvider:
    """A server on 127.0.0.1 that speaks the API of the path it is called at.

    Use it in a `with` block. Unscripted requests are answered with `default`.

    Attributes:
        base_url: `http://127.0.0.1:PORT/v1`; `origin` is the same without the path.
        requests: every request that came (`Received`), in order.
        connections: how many TCP connections were accepted.
        stamps: `monotonic_ns` of every content chunk of every answer.
    """

    def __init__(self, default: Answer | None = None, *, port: int = 0) -> None:
        self.default = default or Answer()
        self.requests: list[Received] = []
        self.connections = 0
        self._script: deque[Answer] = deque()
        self._port = port
        self._started = threading.Event()
        self._failed: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._open: set[asyncio.Task[Any]] = set()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    @property
    def port(self) -> int:
        return self._port

    @property
    def stamps(self) -> list[int]:
        return [stamp for request in self.requests for stamp in request.stamps]

    def enqueue(self, text: str | None = None, *, times: int = 1, **fields: Any) -> None:
        """Script the next answer (or the next `times` answers); fields are those of `Answer`."""
        self._script.extend([Answer(text=text, **fields)] * times)

    def enqueue_answer(self, answer: Answer) -> None:
        """Script the next answer."""
        self._script.append(answer)

    def forget(self) -> None:
        """Drop scripted answers that nobody asked for."""
        self._script.clear()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="mock-provider", daemon=True)
        self._thread.start()
        self._started.wait(10)
        if self._failed is not None:
            raise RuntimeError("the mock provider did not start") from self._failed
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(10)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # told to the thread that waits in __enter__
            self._failed = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(
            self._accept, "127.0.0.1", self._port, limit=1 << 26, backlog=1024
        )
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read one request and answer it; False when the connection is over."""
        received = await self._read(reader)
        if received is None:
            return False
        self.requests.append(received)
        answer = self._script.popleft() if self._script else self.default
        try:
            return await self._answer(received, answer, writer)
        except ConnectionError:
            received.closed_early = True
            return False

    async def _read(self, reader: asyncio.StreamReader) -> Received | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        lines = head.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ", 2)
        pairs = (line.partition(":") for line in lines[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        try:
            content = json.loads(body) if body else None
        except ValueError:
            content = body
        index = len(self.requests)
        return Received(method, path, headers, content, index, time.monotonic_ns(), body)

    async def _answer(
        self, received: Received, answer: Answer, writer: asyncio.StreamWriter
    ) -> bool:
        if answer.first_delay_s:
            await asyncio.sleep(answer.first_delay_s)
        if answer.drop_after == 0:
            return self._drop(answer, writer)
        path, asked = urlsplit(received.path).path, received.json
        if received.method == "GET" and answer.body is None and answer.status == 200:
            return await self._send_json(received, answer, writer, _listing(path))
        if answer.body is not None or answer.status != 200:
            return await self._send_raw(received, answer, writer)
        asked = asked if isinstance(asked, dict) else {}
        if path.endswith("/embeddings"):
            return await self._send_json(received, answer, writer, _embeddings(asked))
        style = answer.style or style_of(path)
        if asked.get("stream") or path.endswith((":streamGenerateContent", "/converse-stream")):
            return await self._send_stream(received, answer, writer, asked)
        body = _whole(answer, style, asked, _call_id(received))
        received.stamps.append(time.monotonic_ns())
        return await self._send_json(received, answer, writer, body)

    async def _send_json(
        self, received: Received, answer: Answer, writer: asyncio.StreamWriter, body: Any
    ) -> bool:
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
        shown = b"" if received.method == "HEAD" else data
        writer.write(_head(received, answer, "application/json", len(data)) + shown)
        await writer.drain()
        return True

    async def _send_raw(
        self, received: Received, answer: Answer, writer: asyncio.StreamWriter
    ) -> bool:
        body = answer.body if answer.body is not None else _error_body(answer)
        kind = "application/json" if isinstance(body, Mapping) else "text/plain"
        if isinstance(body, Mapping):
            body = json.dumps(body)
        data = body.encode() if isinstance(body, str) else body
        writer.write(_head(received, answer, kind, len(data)) + data)
        await writer.drain()
        return True

    async def _send_stream(
        self,
        received: Received,
        answer: Answer,
        writer: asyncio.StreamWriter,
        asked: Mapping[str, Any],
    ) -> bool:
        style = answer.style or style_of(urlsplit(received.path).path)
        kind = MEDIA_TYPES.get(style, "text/event-stream")
        writer.write(_head(received, answer, kind, None))
        sent = 0
        for event in _events(answer, style, asked, _call_id(received)):
            if event.content:
                await self._wait_for_content(answer, writer, sent)
                received.stamps.append(time.monotonic_ns())
                sent += 1
            data = event.wire()
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await writer.drain()
            if answer.drop_after is not None and sent >= answer.drop_after:
                return self._drop(answer, writer)
            if writer.transport.is_closing():
                received.closed_early = True
                return False
        if answer.terminator_delay_s:
            await asyncio.sleep(answer.terminator_delay_s)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    @staticmethod
    async def _wait_for_content(answer: Answer, writer: asyncio.StreamWriter, sent: int) -> None:
        delay_s = answer.chunk_delay_s if sent else answer.content_delay_s
        if delay_s:
            await asyncio.sleep(delay_s)
        if writer.transport.is_closing():
            raise ConnectionResetError

    @staticmethod
    def _drop(answer: Answer, writer: asyncio.StreamWriter) -> bool:
        if answer.reset:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()
        return False


def _whole(answer: Answer, style: Style, asked: Mapping[str, Any], call_id: str) -> dict[str, Any]:
    make = whole if style in ("openai", "anthropic", "gemini") else whole_own
    return make(answer, style, asked, call_id)


def _events(
    answer: Answer, style: Style, asked: Mapping[str, Any], call_id: str
) -> Iterator[Event]:
    make = events if style in ("openai", "anthropic", "gemini") else events_own
    return make(answer, style, asked, call_id)


def _call_id(received: Received) -> str:
    return f"mock-{received.index}"


def _head(received: Received, answer: Answer, kind: str, length: int | None) -> bytes:
    headers = {
        "content-type": kind,
        "x-request-id": _call_id(received),
        **({"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}),
        **{name.lower(): value for name, value in answer.headers.items()},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reason = _REASONS.get(answer.status, "Status")
    return f"HTTP/1.1 {answer.status} {reason}\r\n{lines}\r\n".encode("latin-1")


def _error_body(answer: Answer) -> Mapping[str, Any]:
    return {"error": {"message": answer.text or f"status {answer.status}", "type": "mock_error"}}


def _listing(path: str) -> dict[str, Any]:
    if path.endswith(("/models", "/models/")) and not path.endswith("v1beta/models"):
        data = [{"id": name, "object": "model", "owned_by": "mock"} for name in _MODELS]
        return {"object": "list", "data": data}
    if path.endswith("v1beta/models"):
        return {"models": [{"name": f"models/{name}"} for name in _MODELS]}
    return {"status": "ok"}


def _embeddings(asked: Mapping[str, Any]) -> dict[str, Any]:
    texts = asked.get("input") or []
    texts = [texts] if isinstance(texts, str) else texts
    data = [
        {"object": "embedding", "index": index, "embedding": [float(len(str(text))), 1.0, 0.0]}
        for index, text in enumerate(texts)
    ]
    words = sum(len(str(text).split()) for text in texts)
    usage = {"prompt_tokens": words, "total_tokens": words}
    return {"object": "list", "data": data, "model": asked.get("model"), "usage": usage}


def main() -> None:
    """Serve one answer for ever; prints the base URL, then waits for standard input to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answer", default="{}", help="fields of Answer as JSON")
    options = parser.parse_args()
    with MockProvider(Answer(**json.loads(options.answer))) as server:
        print(server.base_url, flush=True)
        with contextlib.suppress(EOFError, KeyboardInterrupt):
            while line := input():  # "connections" is the only question
                print(server.connections if line == "connections" else "?", flush=True)


if __name__ == "__main__":
    main()
