"""One exchange while it is being recorded: chunks are timestamped when the caller receives them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import httpx

from toolkit.replay.cassettes.exchange import Chunk, Cut, Exchange

if TYPE_CHECKING:
    from toolkit.replay.cassettes.scrub import Scrubber


class ExchangeRecorder:
    """Collects the answer to one request.

    Args:
        asked: the scrubbed request.
        opened_ns: when the cassette was opened, monotonic.
    """

    def __init__(self, asked: Exchange, opened_ns: int) -> None:
        self.asked = asked
        self._sent_ns = time.monotonic_ns()
        self._started_ms = (self._sent_ns - opened_ns) / 1e6
        self._head: tuple[int, str, list[tuple[str, str]]] | None = None
        self._headers_ms = 0.0
        self._compression = ""
        self._pieces: list[tuple[bytes, float]] = []
        self._cut: Cut | None = "left"
        self._on_end: Callable[[ExchangeRecorder], None] | None = None

    def on_end(self, act: Callable[[ExchangeRecorder], None]) -> None:
        """Call `act` when the body has ended."""
        self._on_end = act

    @property
    def is_answered(self) -> bool:
        """Whether the response headers have arrived."""
        return self._head is not None

    def keep_head(
        self, status: int, reason: str, headers: Iterable[tuple[str, str]], *, plain: bool = False
    ) -> None:
        """Record the response headers; `plain` means that the body is already decompressed."""
        self._headers_ms = self._now_ms()
        self._head = status, reason, list(headers)
        named = {name.lower(): value for name, value in self._head[2]}
        self._compression = "" if plain else named.get("content-encoding", "")

    def keep_piece(self, data: bytes) -> None:
        """Record bytes of the body."""
        if data:
            self._pieces.append((data, self._now_ms()))

    def end(self, cut: Cut | None = None) -> None:
        """Record the end of the body; `broken` if the connection broke."""
        self._cut = cut
        if self._on_end is not None:
            self._on_end(self)

    def _length_of(self, headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
        """The length that the answer to a HEAD request names: it has no body to count."""
        if self.asked.method.upper() != "HEAD":
            return {}
        found = [value for name, value in headers if name.lower() == "content-length"]
        return {"content-length": found[:1]} if found else {}

    def _now_ms(self) -> float:
        return (time.monotonic_ns() - self._sent_ns) / 1e6

    def finish(self, scrubber: Scrubber) -> Exchange:
        """The exchange without secrets."""
        assert self._head is not None
        status, reason, headers = self._head
        pieces = list(_decompress(self._pieces, self._compression))
        body, sizes = scrubber.scrub_chunks([data for data, _ in pieces], is_error=status >= 400)
        stamped = zip(sizes, pieces, strict=True)
        return Exchange(
            method=self.asked.method,
            uri=self.asked.uri,
            request_headers=self.asked.request_headers,
            request_body=scrubber.scrub_body(self.asked.request_body),
            status=status,
            reason=scrubber.scrub_text(reason),
            answer_headers=scrubber.scrub_answer_headers(headers) | self._length_of(headers),
            body=body,
            started_ms=self._started_ms,
            headers_ms=self._headers_ms,
            chunks=tuple(Chunk(size, at_ms) for size, (_, at_ms) in stamped),
            cut=self._cut,
        )


def _decompress(pieces: list[tuple[bytes, float]], kind: str) -> Iterator[tuple[bytes, float]]:
    """The decompressed chunks; a truncated body is decompressed as far as possible."""
    if not kind or kind == "identity":
        yield from pieces
        return
    at_ms = 0.0

    def feed() -> Iterator[bytes]:
        nonlocal at_ms
        for data, arrived_ms in pieces:
            at_ms = arrived_ms
            yield data

    class Stream(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return feed()

    answer = httpx.Response(200, headers={"content-encoding": kind}, stream=Stream())
    try:
        for data in answer.iter_bytes():
            yield data, at_ms
    except httpx.DecodingError:
        return
