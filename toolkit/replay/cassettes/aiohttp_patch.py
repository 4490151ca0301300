"""Where a cassette listens to aiohttp, which the call path and litellm use.

A recorded or played body is read through aiohttp's own `StreamReader`, piece by piece, so
that its whole interface behaves as it does without a cassette.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.streams import StreamReader
from vcr.request import Request
from vcr.stubs.aiohttp_stubs import build_response
from yarl import URL

from toolkit.errors import CassetteError
from toolkit.replay.cassettes.exchange import Exchange

if TYPE_CHECKING:
    from toolkit.replay.cassettes.cassette import OpenCassette
    from toolkit.replay.cassettes.recording import ExchangeRecorder

_CUT_WORDS = "the connection broke in the body, as recorded"
_BUFFER_BYTES = 2**26

Pull = Callable[[], Awaitable[bytes]]


def build_aiohttp_tap(cassette: OpenCassette) -> tuple[Any, str, Any]:
    """A patch in vcrpy's form: (class, attribute, replacement)."""
    session = aiohttp.ClientSession
    return session, "_request", _tap(cassette, session._request)


def _tap(cassette: OpenCassette, real: Any) -> Any:
    @functools.wraps(real)
    async def _request(self: aiohttp.ClientSession, method: str, url: Any, **kwargs: Any) -> Any:
        body = await _read_body(kwargs)
        headers = self._prepare_headers(kwargs.get("headers"))
        full = URL(url) if isinstance(url, str) else url
        if kwargs.get("params"):
            full = full.update_query(kwargs["params"])
        asked = cassette.scrub_request(method, str(full), dict(headers), body)
        answer = cassette.find_answer(asked)
        if answer is not None:
            response = _answer(asked, answer)
            await _raise_for_status(self, kwargs.get("raise_for_status"), response)
            return response
        take = cassette.start_take(asked)
        response = await real(self, method, url, **kwargs)
        head = [(str(name), value) for name, value in response.headers.items()]
        take.keep_head(response.status, response.reason or "", head, plain=self.auto_decompress)
        response.content = _Pulled(_teeing(response.content, take))
        return response

    return _request


async def _read_body(kwargs: dict[str, Any]) -> bytes:
    """The request's body; one that can be read only once is put back as bytes."""
    if kwargs.get("json") is not None:
        return json.dumps(kwargs["json"]).encode()
    data = kwargs.get("data")
    if data is None:
        return b""
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, bytes | bytearray):
        return bytes(data)
    if hasattr(data, "__aiter__"):
        kwargs["data"] = b"".join([part async for part in data])
        return bytes(kwargs["data"])
    raise CassetteError(f"a request body of type {type(data).__name__} cannot be recorded")


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
    """Stands where a StreamReader expects its connection; flow control stays below."""

    _reading_paused = False
    connected = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self, resume_parser: bool = True) -> None:
        pass


class _Pulled(StreamReader):
    """aiohttp's own reader, which pulls the next piece whenever it has nothing left."""

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


def _teeing(content: StreamReader, take: ExchangeRecorder) -> Pull:
    """Pull from the wire and keep what comes."""

    async def pull() -> bytes:
        try:
            piece = await content.readany()
        except (aiohttp.ClientError, OSError):
            take.end("broken")
            raise
        take.keep_piece(piece)
        if not piece:
            take.end()
        return piece

    return pull


def _playing(answer: Exchange) -> Pull:
    """Pull what was recorded, in the pieces in which it came."""
    pieces = iter(answer.pieces())

    async def pull() -> bytes:
        piece = next(pieces, b"")
        if not piece and answer.cut == "broken":
            raise aiohttp.ClientPayloadError(_CUT_WORDS)
        return piece

    return pull
