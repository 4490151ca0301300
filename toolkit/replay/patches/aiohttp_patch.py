"""The patch of aiohttp, which the call path and litellm use.

A recorded or replayed body is read in chunks through aiohttp's own `StreamReader`, so that its
interface behaves as without a cassette.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.streams import StreamReader
from multidict import CIMultiDict
from vcr.request import Request
from vcr.stubs.aiohttp_stubs import build_response

from toolkit.errors import CassetteError
from toolkit.replay.cassettes.exchange import Exchange
from toolkit.replay.patches.patch import recorded_connections

if TYPE_CHECKING:
    from toolkit.replay.cassettes.recording import ExchangeRecorder
    from toolkit.replay.patches.patch import Patch, Session

_CUT_WORDS = "the connection broke in the body, as recorded"
_BUFFER_BYTES = 2**26

Pull = Callable[[], Awaitable[bytes]]


def build_aiohttp_patch(cassette: Session) -> Patch:
    """The patch of every client session."""
    session = aiohttp.ClientSession
    return session, "_request", _patched(cassette, session._request)


def _patched(cassette: Session, real: Any) -> Any:
    @functools.wraps(real)
    async def _request(self: aiohttp.ClientSession, method: str, url: Any, **kwargs: Any) -> Any:
        body = await _read_body(kwargs)
        headers = self._prepare_headers(kwargs.get("headers"))
        full = self._build_url(url)
        if kwargs.get("params"):
            full = full.update_query(kwargs["params"])
        asked = cassette.scrub_request(method, str(full), dict(headers), body)
        answer = cassette.find_answer(asked)
        if answer is not None:
            response = _answer(asked, answer)
            await _raise_for_status(self, kwargs.get("raise_for_status"), response)
            return response
        recorder = cassette.start_recording(asked)
        with recorded_connections():
            response = await real(self, method, url, **kwargs)
        head = [(str(name), value) for name, value in response.headers.items()]
        recorder.keep_head(response.status, response.reason or "", head, plain=self.auto_decompress)
        response.content = _Pulled(_teeing(response.content, recorder))
        return response

    return _request


async def _read_body(kwargs: dict[str, Any]) -> bytes:
    """The request's body; one that can be read only once is replaced by its bytes."""
    if kwargs.get("json") is not None:
        return json.dumps(kwargs["json"]).encode()
    data = kwargs.get("data")
    if data is None:
        return b""
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, bytes | bytearray):
        return bytes(data)
    if hasattr(data, "__aiter__") and not isinstance(data, aiohttp.payload.Payload):
        kwargs["data"] = b"".join([part async for part in data])
        return bytes(kwargs["data"])
    return await _serialize(kwargs, data)


async def _serialize(kwargs: dict[str, Any], data: Any) -> bytes:
    """A form, a multipart body or a file as bytes, which then are sent with its content type."""
    if isinstance(data, Mapping | list | tuple):
        data = aiohttp.FormData(data)
    try:
        payload = (
            data()
            if isinstance(data, aiohttp.FormData)
            else aiohttp.payload.get_payload(data, disposition=None)
        )
    except LookupError:
        raise CassetteError(
            f"a request body of type {type(data).__name__} cannot be recorded",
            hint="Send it as bytes, a form or a file.",
        ) from None
    collected = _Collected()
    await payload.write(collected)  # type: ignore[arg-type]
    kwargs["data"] = bytes(collected.body)
    headers = CIMultiDict(kwargs.get("headers") or {})
    if payload.content_type:
        headers.setdefault("Content-Type", payload.headers["Content-Type"])
    kwargs["headers"] = headers
    return bytes(kwargs["data"])


class _Collected:
    """A writer for aiohttp's payloads that collects the bytes."""

    def __init__(self) -> None:
        self.body: bytearray = bytearray()

    async def write(self, chunk: bytes) -> None:
        self.body += chunk

    async def write_eof(self, chunk: bytes = b"") -> None:
        self.body += chunk


def _answer(asked: Exchange, answer: Exchange) -> aiohttp.ClientResponse:
    recorded = {
        "status": {"code": answer.status, "message": answer.reason},
        "headers": answer.answer_headers,
        "body": {"string": answer.body},
    }
    request = Request(asked.method, asked.uri, asked.request_body, {})
    response: aiohttp.ClientResponse = build_response(request, recorded, ())
    response.content = _Pulled(_playing(answer))
    return response


async def _raise_for_status(session: Any, asked: Any, response: aiohttp.ClientResponse) -> None:
    wanted = session._raise_for_status if asked is None else asked
    if callable(wanted):
        await wanted(response)
    elif wanted:
        response.raise_for_status()


class _NoConnection:
    """Replaces the connection of a StreamReader; flow control is not needed here."""

    _reading_paused = False
    connected = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self, resume_parser: bool = True) -> None:
        pass


class _Pulled(StreamReader):
    """aiohttp's own reader, which fetches the next chunk when its buffer is empty."""

    def __init__(self, pull: Pull) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(_NoConnection(), _BUFFER_BYTES, loop=loop)  # type: ignore[arg-type]
        self._pull = pull

    async def _wait(self, func_name: str) -> None:
        piece = await self._pull()
        if piece:
            self.feed_data(piece)
        else:
            self.feed_eof()


def _teeing(content: StreamReader, recorder: ExchangeRecorder) -> Pull:
    """Read from the connection and record the bytes."""

    async def pull() -> bytes:
        try:
            piece = await content.readany()
        except (aiohttp.ClientError, OSError):
            recorder.end("broken")
            raise
        recorder.keep_piece(piece)
        if not piece:
            recorder.end()
        return piece

    return pull


def _playing(answer: Exchange) -> Pull:
    """Return the recorded chunks."""
    pieces = iter(answer.pieces())

    async def pull() -> bytes:
        piece = next(pieces, b"")
        if not piece and answer.cut == "broken":
            raise aiohttp.ClientPayloadError(_CUT_WORDS)
        return piece

    return pull
