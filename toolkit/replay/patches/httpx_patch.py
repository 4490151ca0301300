"""Where a cassette listens to httpx: its real transports, synchronous and asynchronous.

vcrpy reads a whole body before it hands it on, and keeps nothing of one that breaks. These
taps pass each piece on as it comes, stamp it, and keep what came before a cut.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import httpx

from toolkit.replay.cassettes.exchange import Exchange

if TYPE_CHECKING:
    from toolkit.replay.cassettes.recording import ExchangeRecorder
    from toolkit.replay.patches.patch import Patch, Session

_CUT_WORDS = "the connection broke in the body, as recorded"


def build_httpx_patches(cassette: Session) -> tuple[Patch, ...]:
    """The patches of both transports."""
    network, blocking = httpx.AsyncHTTPTransport, httpx.HTTPTransport
    return (
        (network, "handle_async_request", _patched_async(cassette, network.handle_async_request)),
        (blocking, "handle_request", _patched_blocking(cassette, blocking.handle_request)),
    )


def _patched_async(cassette: Session, real: Any) -> Any:
    @functools.wraps(real)
    async def handle_async_request(self: Any, request: httpx.Request) -> httpx.Response:
        asked = _asked(cassette, request, await request.aread())
        answer = cassette.find_answer(asked)
        if answer is not None:
            return _answer(answer, _AsyncPieces(answer))
        recorder = cassette.start_recording(asked)
        response: httpx.Response = await real(self, request)
        _keep_head(recorder, response)
        response.stream = _AsyncTee(response.stream, recorder)
        return response

    return handle_async_request


def _patched_blocking(cassette: Session, real: Any) -> Any:
    @functools.wraps(real)
    def handle_request(self: Any, request: httpx.Request) -> httpx.Response:
        asked = _asked(cassette, request, request.read())
        answer = cassette.find_answer(asked)
        if answer is not None:
            return _answer(answer, _Pieces(answer))
        recorder = cassette.start_recording(asked)
        response: httpx.Response = real(self, request)
        _keep_head(recorder, response)
        response.stream = _Tee(response.stream, recorder)
        return response

    return handle_request


def _asked(cassette: Session, request: httpx.Request, body: bytes) -> Exchange:
    return cassette.scrub_request(request.method, str(request.url), request.headers, body)


def _keep_head(recorder: ExchangeRecorder, response: httpx.Response) -> None:
    recorder.keep_head(response.status_code, response.reason_phrase, response.headers.multi_items())


def _answer(answer: Exchange, stream: Any) -> httpx.Response:
    headers = [(name, value) for name, values in answer.answer_headers.items() for value in values]
    reason = answer.reason.encode("ascii", "replace")
    extensions = {"reason_phrase": reason} if reason else None
    return httpx.Response(answer.status, headers=headers, stream=stream, extensions=extensions)


class _Pieces(httpx.SyncByteStream):
    def __init__(self, answer: Exchange) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer.pieces()
        if self._answer.cut == "broken":
            raise httpx.RemoteProtocolError(_CUT_WORDS)


class _AsyncPieces(httpx.AsyncByteStream):
    def __init__(self, answer: Exchange) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._answer.pieces():
            yield piece
        if self._answer.cut == "broken":
            raise httpx.RemoteProtocolError(_CUT_WORDS)


class _Tee(httpx.SyncByteStream):
    def __init__(self, stream: Any, recorder: ExchangeRecorder) -> None:
        self._stream, self._recorder = stream, recorder

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._stream:
                self._recorder.keep_piece(piece)
                yield piece
        except httpx.HTTPError:
            self._recorder.end("broken")
            raise
        self._recorder.end()

    def close(self) -> None:
        self._stream.close()


class _AsyncTee(httpx.AsyncByteStream):
    def __init__(self, stream: Any, recorder: ExchangeRecorder) -> None:
        self._stream, self._recorder = stream, recorder

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._stream:
                self._recorder.keep_piece(piece)
                yield piece
        except httpx.HTTPError:
            self._recorder.end("broken")
            raise
        self._recorder.end()

    async def aclose(self) -> None:
        await self._stream.aclose()
