"""Replays cassettes on a real socket to any client, in chunks with the recorded timing.

Requests are matched as in replay, by path, query and canonical body; this server replaces the
recorded host. Identical requests get their recorded answers in order, starting over after the last.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from toolkit.errors import CassetteMissing, InvalidInput
from toolkit.replay.cassettes.cassette_file import read_cassette
from toolkit.replay.cassettes.exchange import Exchange, parse_json, request_key
from toolkit.replay.cassettes.request_index import RequestIndex
from toolkit.replay.cassettes.scrub import Scrubber

# Just enough HTTP/1.1 for a server on a loopback socket: read a request, write an answer.


MAX_HEAD_BYTES: Final = 64 * 1024
MAX_BODY_BYTES: Final = 32 * 1024 * 1024


class BadRequest(Exception):
    """A request that cannot be answered, with its HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Request:
    """A received request; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def keeps_alive(self) -> bool:
        """Whether the client keeps the connection open."""
        return self.headers.get("connection", "").lower() != "close"


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request | None:
    """The next request of a connection; None when the client has closed it.

    Raises:
        BadRequest: it is malformed or too large.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError:
        raise BadRequest(431, "the request headers are too large") from None
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest(400, "this is not an HTTP/1.1 request")
    pairs = (line.partition(":") for line in lines[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return Request(words[0].upper(), words[1], headers, await _read_body(reader, headers))


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _read_chunked(reader)
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise BadRequest(400, "Content-Length is not a number")
    if int(length) > MAX_BODY_BYTES:
        raise BadRequest(413, "the request body is too large")
    return await reader.readexactly(int(length))


async def _read_chunked(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    total = 0
    while True:
        line = (await reader.readuntil(b"\r\n")).split(b";")[0].strip()
        try:
            size = int(line, 16)
        except ValueError:
            raise BadRequest(400, "a chunk size is not a number") from None
        total += size
        if size < 0 or total > MAX_BODY_BYTES:
            raise BadRequest(413, "the request body is too large")
        parts.append(await reader.readexactly(size))
        await reader.readuntil(b"\r\n")
        if size == 0:
            return b"".join(parts)


def head_of(status: int, reason: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """The head of an answer; a header that could split it loses its line ends."""
    lines = [f"HTTP/1.1 {status} {_one_line(reason) or 'Status'}"]
    lines += [f"{_one_line(name)}: {_one_line(value)}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def chunk_of(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")


_HOST = "127.0.0.1"
_NO_BODY = (204, 304)
_DRAIN_S = 0.5


class ReplayServer:
    """A server on 127.0.0.1 that answers from cassettes; use it in a `with` block.

    Args:
        folder: a folder of cassettes (all below it) or one cassette.
        speed: 1 is as recorded, 2 twice as fast, 0 without delays.
        port: 0 takes any free port.

    Attributes:
        port: the port in use, once it serves.
        served, missed: how many requests were answered from a cassette, and how many not.

    Raises:
        CassetteMissing: there is no cassette.
        CassetteStale: one of them is incomplete or edited.
        InvalidInput: a speed below 0, or a port that is taken.
    """

    def __init__(self, folder: Path, *, speed: float = 1.0, port: int = 0) -> None:
        if not (math.isfinite(speed) and speed >= 0):
            raise InvalidInput(f"invalid speed: {speed:g}", hint="Use 0 or more.")
        self.port: int = port
        self.served: int = 0
        self.missed: int = 0
        self._speed = speed
        self._exchanges = load_exchanges(folder)
        self._answers: dict[str, list[Exchange]] = {}
        for exchange in self._exchanges:
            self._answers.setdefault(_key_of(exchange), []).append(exchange)
        self._asked: dict[str, int] = {}
        self._nearest = RequestIndex([replace(e, uri=_path_of(e.uri)) for e in self._exchanges])
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, to which the recorded path is added."""
        return f"http://{_HOST}:{self.port}"

    @property
    def routes(self) -> Mapping[str, int]:
        """The served requests: method, path and model, with the number of recorded answers."""
        found: dict[str, int] = {}
        for exchange in self._exchanges:
            asked = parse_json(exchange.request_body)
            model = asked.get("model") if isinstance(asked, dict) else None
            name = f"{exchange.method} {_path_of(exchange.uri)}{f' ({model})' if model else ''}"
            found[name] = found.get(name, 0) + 1
        return found

    # ---- start and stop -----------------------------------------------------------------------

    def __enter__(self) -> Self:
        listening = self._listen()
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listening, started)),
            name="replay-server",
            daemon=True,
        )
        self._thread.start()
        started.wait()
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
            self._thread.join()

    def wait(self) -> None:
        """Serve until the thread is interrupted."""
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(0.5)

    def _listen(self) -> socket.socket:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((_HOST, self.port))
        except OSError as error:
            listening.close()
            raise InvalidInput(
                f"port {self.port} cannot be used ({error.strerror})",
                hint="Choose another one, or 0 for any that is free.",
            ) from None
        self.port = listening.getsockname()[1]
        return listening

    async def _serve(self, listening: socket.socket, started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accept, sock=listening, limit=MAX_HEAD_BYTES)
        started.set()
        await self._stop.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    # ---- one connection ---------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when the connection is over."""
        try:
            request = await read_request(reader, writer)
        except BadRequest as bad:
            await _refuse(writer, bad.status, "bad_request", bad.reason)
            await _drain(reader)
            return False
        if request is None:
            return False
        asked = _scrubbed(request)
        answer = self._next_answer(_key_of(asked))
        if answer is None:
            self.missed += 1
            near = self._nearest.describe_nearest(asked)
            await _refuse(
                writer, 404, CassetteMissing.code, f"no cassette has a matching request: {near}"
            )
            return request.keeps_alive
        self.served += 1
        await self._play(answer, request, writer)
        return request.keeps_alive and answer.cut != "broken"

    def _next_answer(self, key: str) -> Exchange | None:
        answers = self._answers.get(key)
        if not answers:
            return None
        turn = self._asked.get(key, 0)
        self._asked[key] = turn + 1
        return answers[turn % len(answers)]

    async def _play(self, answer: Exchange, request: Request, writer: asyncio.StreamWriter) -> None:
        began = asyncio.get_running_loop().time()
        await self._wait_until(began, answer.headers_ms)
        headers = [(k, v) for k, values in answer.answer_headers.items() for v in values]
        has_body = answer.status not in _NO_BODY and request.method != "HEAD"
        ending = [("transfer-encoding", "chunked")] if has_body else []
        writer.write(head_of(answer.status, answer.reason, [*headers, *ending]))
        await writer.drain()
        if not has_body:
            return
        times = [chunk.at_ms for chunk in answer.chunks]
        for at, piece in enumerate(answer.pieces()):
            await self._wait_until(began, times[at] if at < len(times) else 0.0)
            if piece:
                writer.write(chunk_of(piece))
                await writer.drain()
        if answer.cut != "broken":
            writer.write(chunk_of(b""))
            await writer.drain()

    async def _wait_until(self, began: float, at_ms: float) -> None:
        if self._speed:
            left_s = began + at_ms / 1000 / self._speed - asyncio.get_running_loop().time()
            if left_s > 0:
                await asyncio.sleep(left_s)


def load_exchanges(folder: Path) -> Sequence[Exchange]:
    """All exchanges of a cassette, or of all cassettes below a folder.

    Raises:
        CassetteMissing: there is none.
        CassetteStale: one of them is incomplete or edited.
    """
    from toolkit.replay.cassettes.cassette_lint import find_cassettes

    exchanges = [e for path in find_cassettes(folder) for e in read_cassette(path).exchanges]
    if not exchanges:
        raise CassetteMissing(f"there is no cassette in {folder}", hint="Record one first.")
    return exchanges


def _key_of(exchange: Exchange) -> str:
    return request_key(exchange.method, exchange.uri, exchange.request_body, with_host=False)


def _path_of(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _scrubbed(request: Request) -> Exchange:
    scrubber = Scrubber()
    scrubber.learn_from(request.target, request.headers)
    return Exchange(
        method=request.method,
        uri=scrubber.scrub_uri(request.target),
        request_body=scrubber.scrub_body(request.body),
    )


async def _drain(reader: asyncio.StreamReader) -> None:
    """Read remaining bytes briefly, because closing with unread bytes resets the connection."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_S):
            while await reader.read(MAX_HEAD_BYTES):
                pass


async def _refuse(writer: asyncio.StreamWriter, status: int, code: str, message: str) -> None:
    """An error in a format that the clients of OpenAI and Anthropic both understand."""
    error = {"type": "not_found_error", "code": code, "message": message}
    body = json.dumps({"type": "error", "error": error}).encode()
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
    writer.write(head_of(status, "Refused", headers) + body)
    await writer.drain()
