"""A raw server that breaks every rule on purpose; the path of a request names the fault.

`faults.py` holds the faults; `FaultServer.base_url(fault, style)` is where one of them answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.servers.dialects import Answer, Event, Style, events, style_of, whole


class Gone(Exception):
    """The fault has closed the connection."""


class Exchange:
    """One request and the raw means to answer it."""

    def __init__(
        self, writer: asyncio.StreamWriter, path: str, asked: Mapping[str, Any], server: FaultServer
    ) -> None:
        self._writer = writer
        self.path = path
        self.asked = asked
        self.server = server
        self.style: Style = style_of(urlsplit(path).path)
        self.stream = bool(asked.get("stream")) or ":streamGenerateContent" in path

    async def send(self, data: bytes | str) -> None:
        """Write bytes as they are."""
        self._writer.write(data.encode("latin-1") if isinstance(data, str) else data)
        await self._writer.drain()
        if self._writer.transport.is_closing():
            raise Gone

    async def head(
        self, status: int = 200, *, length: int | None = None, kind: str = "", **headers: str
    ) -> None:
        """Write a head; without `length` the body is chunked."""
        kind = kind or ("text/event-stream" if self.stream else "application/json")
        lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}"]
        size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        lines.append(size)
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join(lines) + "\r\n\r\n")

    async def chunk(self, data: bytes | str) -> None:
        """Write one HTTP chunk."""
        data = data.encode() if isinstance(data, str) else data
        await self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def end(self) -> None:
        """End the chunked body."""
        await self.send(b"0\r\n\r\n")

    async def reply(
        self, body: bytes | str | Any, status: int = 200, *, kind: str = "", **headers: str
    ) -> None:
        """A whole answer: bytes or text as they are, anything else as JSON."""
        if not isinstance(body, bytes | str):
            body = json.dumps(body)
        data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
        await self.head(status, length=len(data), kind=kind, **headers)
        await self.send(data)

    async def answer(self, body: Any, **headers: str) -> None:
        """A body where a whole answer is due, one event where a stream is due."""
        if self.stream:
            await self.head(**headers)
            await self.chunk(f"data: {json.dumps(body)}\n\n")
            await self.end()
        else:
            await self.reply(body, **headers)

    def good(self, **fields: Any) -> dict[str, Any]:
        """A proper whole body."""
        return whole(Answer(**fields), self.style, self.asked, "fault-1")

    def good_events(self, **fields: Any) -> list[Event]:
        """The events of a proper stream."""
        return list(events(Answer(**fields), self.style, self.asked, "fault-1"))

    async def good_stream(self, **fields: Any) -> None:
        """A proper stream up to its last event; the body is not ended."""
        await self.head()
        for event in self.good_events(**fields):
            await self.chunk(event.wire())

    async def sleep(self, seconds: float) -> None:
        """Wait, but notice a client that goes away."""
        for _ in range(max(1, int(seconds / 0.02))):
            await asyncio.sleep(min(seconds, 0.02))
            if self._writer.transport.is_closing():
                raise Gone

    def close(self) -> None:
        """Close in the ordinary way."""
        self._writer.close()
        raise Gone

    def reset(self) -> None:
        """Send a TCP reset."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        raise Gone


Fault = Callable[[Exchange], Awaitable[None]]


class FaultServer:
    """Serves the faults of a table on 127.0.0.1, from a thread of its own.

    Attributes:
        hits: how many requests came, by fault.
        left: how many clients went away while they were being answered, by fault.
    """

    def __init__(self, faults: Mapping[str, Fault], tls: ssl.SSLContext | None = None) -> None:
        self._faults = faults
        self._tls = tls
        self.hits: dict[str, int] = {}
        self.left: dict[str, int] = {}
        self.port = 0
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="fault-server", daemon=True)

    @property
    def origin(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    def base_url(self, fault: str, style: Style) -> str:
        """The base URL at which `fault` answers in a style's language."""
        return f"{self.origin}/{fault}{base_path(style)}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
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
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                first = await reader.readexactly(1)
                if first == b"\x16":  # a TLS greeting: answer as plain servers do
                    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    break
                head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                path = head.split(" ", 2)[1]
                sizes = [line for line in head.lower().split("\r\n") if "content-length" in line]
                size = int(sizes[0].partition(":")[2]) if sizes else 0
                asked = json.loads(await reader.readexactly(size) or b"{}")
                fault, _, rest = path.lstrip("/").partition("/")
                self.hits[fault] = self.hits.get(fault, 0) + 1
                await self._faults[fault](Exchange(writer, f"/{rest}", asked, self))
        except (Gone, ConnectionError):
            self.left[fault] = self.left.get(fault, 0) + 1
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            writer.close()


def base_path(style: Style) -> str:
    """What a style's base URL ends with."""
    return {"openai": "/v1", "anthropic": "", "gemini": "/v1beta"}[style]


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port whose queue is full, so that further connections get no answer at all."""
    with socket.socket() as listener, contextlib.ExitStack() as held:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = held.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(listener.getsockname())
        yield listener.getsockname()[1]
