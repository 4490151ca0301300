"""Patches of httpx and of httpx2: their real transports, synchronous and asynchronous.

vcrpy reads a whole body before it returns it, and records nothing of one that breaks. These patches
pass on each chunk at once with a timestamp, and record what arrived before a break.

httpx2 is a package of its own with the interface of httpx. The official Anthropic client uses it
since its version 2, while litellm and the OpenAI client use httpx.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from toolkit.replay.cassettes.exchange import Exchange
from toolkit.replay.patches.patch import recorded_connections

if TYPE_CHECKING:
    from toolkit.replay.cassettes.recording import ExchangeRecorder
    from toolkit.replay.patches.patch import Patch, Session

_CUT_MESSAGE = "the connection broke in the body, as recorded"
_LIBRARIES = ("httpx", "httpx2")


def build_httpx_patches(cassette: Session) -> Iterator[Patch]:
    """The patches of both transports of each of the two libraries that is installed."""
    # Imported here even when the program has not done so yet: a client may be imported, and its
    # transport made, while the cassette is open.
    for name in _LIBRARIES:
        if find_spec(name) is not None:
            yield from _LibraryPatches(cassette, import_module(name)).build()


class _LibraryPatches:
    """The patches of one library, which is httpx or has its interface."""

    def __init__(self, cassette: Session, library: Any) -> None:
        self._cassette = cassette
        self._library = library
        # Both libraries check that a stream is an instance of their own base class.
        blocking, network = library.SyncByteStream, library.AsyncByteStream
        self._recorded: Any = type("Recorded", (_Recorded, blocking), {})
        self._async_recorded: Any = type("AsyncRecorded", (_AsyncRecorded, network), {})
        self._replayed: Any = type("Replayed", (_Replayed, blocking, network), {})

    def build(self) -> tuple[Patch, ...]:
        """The patches of the asynchronous and the synchronous transport."""
        network, blocking = self._library.AsyncHTTPTransport, self._library.HTTPTransport
        return (
            (network, "handle_async_request", self._patch_async(network.handle_async_request)),
            (blocking, "handle_request", self._patch_blocking(blocking.handle_request)),
        )

    def _patch_async(self, real: Any) -> Any:
        @functools.wraps(real)
        async def handle_async_request(transport: Any, request: Any) -> Any:
            asked = self._scrub(request, await request.aread())
            answer = self._cassette.find_answer(asked)
            if answer is not None:
                return self._respond(answer)
            recorder = self._cassette.start_recording(asked)
            with recorded_connections():
                response = await real(transport, request)
            _record_head(recorder, response)
            response.stream = self._async_recorded(response.stream, recorder, self._library)
            return response

        return handle_async_request

    def _patch_blocking(self, real: Any) -> Any:
        @functools.wraps(real)
        def handle_request(transport: Any, request: Any) -> Any:
            asked = self._scrub(request, request.read())
            answer = self._cassette.find_answer(asked)
            if answer is not None:
                return self._respond(answer)
            recorder = self._cassette.start_recording(asked)
            with recorded_connections():
                response = real(transport, request)
            _record_head(recorder, response)
            response.stream = self._recorded(response.stream, recorder, self._library)
            return response

        return handle_request

    def _scrub(self, request: Any, body: bytes) -> Exchange:
        return self._cassette.scrub_request(request.method, str(request.url), request.headers, body)

    def _respond(self, answer: Exchange) -> Any:
        headers = [(n, value) for n, values in answer.answer_headers.items() for value in values]
        reason = answer.reason.encode("ascii", "replace")
        return self._library.Response(
            answer.status,
            headers=headers,
            stream=self._replayed(answer, self._library),
            extensions={"reason_phrase": reason} if reason else None,
        )


def _record_head(recorder: ExchangeRecorder, response: Any) -> None:
    recorder.keep_head(response.status_code, response.reason_phrase, response.headers.multi_items())


class _Replayed:
    """The recorded body of an answer in chunks, for both kinds of client."""

    def __init__(self, answer: Exchange, library: Any) -> None:
        self._answer = answer
        self._library = library

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer.pieces()
        if self._answer.cut == "broken":
            raise self._library.RemoteProtocolError(_CUT_MESSAGE)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


class _Recorded:
    """A body that is recorded while a synchronous client reads it."""

    def __init__(self, stream: Any, recorder: ExchangeRecorder, library: Any) -> None:
        self._stream, self._recorder, self._library = stream, recorder, library

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._stream:
                self._recorder.keep_piece(piece)
                yield piece
        except self._library.HTTPError:
            self._recorder.end("broken")
            raise
        self._recorder.end()

    def close(self) -> None:
        self._stream.close()


class _AsyncRecorded:
    """A body that is recorded while an asynchronous client reads it."""

    def __init__(self, stream: Any, recorder: ExchangeRecorder, library: Any) -> None:
        self._stream, self._recorder, self._library = stream, recorder, library

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._stream:
                self._recorder.keep_piece(piece)
                yield piece
        except self._library.HTTPError:
            self._recorder.end("broken")
            raise
        self._recorder.end()

    async def aclose(self) -> None:
        await self._stream.aclose()
