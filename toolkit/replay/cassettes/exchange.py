"""One recorded exchange: what was asked, what came back, in which pieces and when."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import orjson

Cut = Literal["broken", "left"]
"""`broken`: the connection broke in the body; `left`: the client went away before its end."""

_LOOPBACK = ("127.", "localhost", "[::1]", "::1", "0.0.0.0")  # noqa: S104  compared, never bound
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a body: its size in bytes and its arrival, milliseconds since the request."""

    size: int
    at_ms: float


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, scrubbed.

    Attributes:
        method, uri, request_headers, request_body: what was asked.
        status, reason, answer_headers, body: what came back; the body is not compressed.
        started_ms: when the request was sent, milliseconds since the cassette was opened.
        headers_ms: when the answer's head was there, milliseconds since the request.
        chunks: the pieces of the body with their times.
        cut: how the body ended before its end; None where it is whole.
    """

    method: str
    uri: str
    request_headers: Mapping[str, str] = field(default_factory=dict)
    request_body: bytes = b""
    status: int = 200
    reason: str = ""
    answer_headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    body: bytes = b""
    started_ms: float = 0.0
    headers_ms: float = 0.0
    chunks: tuple[Chunk, ...] = ()
    cut: Cut | None = None

    @cached_property
    def key(self) -> str:
        """Hash of the canonical request: exchanges with the same key are interchangeable."""
        return request_key(self.method, self.uri, self.request_body)

    @property
    def is_stream(self) -> bool:
        """Whether the answer is a stream of events."""
        kinds = self.answer_headers.get("content-type", ())
        return any("event-stream" in kind or "ndjson" in kind for kind in kinds)

    def pieces(self) -> list[bytes]:
        """The body cut where it was cut when it came."""
        if not self.chunks:
            return [self.body] if self.body else []
        parts, start = [], 0
        for chunk in self.chunks:
            parts.append(self.body[start : start + chunk.size])
            start += chunk.size
        return [*parts, self.body[start:]] if start < len(self.body) else parts


def request_key(method: str, uri: str, body: bytes, *, with_host: bool = True) -> str:
    """SHA-256 of the canonical form of a scrubbed request.

    Canonical are: the method in upper case; scheme, host and port (every loopback address is
    the same host, because local servers take whichever port is free); the path; the query
    sorted; the body as JSON with sorted keys, or as it stands where it is not JSON.

    Args:
        with_host: False for a server that stands in for any host.
    """
    parts = urlsplit(uri)
    origin = _origin(parts.scheme, parts.hostname or "", parts.port) if with_host else ""
    query = sorted(parse_qsl(parts.query, keep_blank_values=True))
    head = json.dumps([method.upper(), origin, parts.path or "/", query])
    return hashlib.sha256(head.encode() + b"\n" + canonical_body(body)).hexdigest()


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    return host.lower().startswith(_LOOPBACK)


def _origin(scheme: str, host: str, port: int | None) -> str:
    if is_loopback(host):
        return "loopback"
    return f"{scheme.lower()}://{host.lower()}:{port or _PORTS.get(scheme.lower(), 0)}"


def canonical_body(body: bytes) -> bytes:
    """What two bodies with the same meaning have in common.

    JSON gets sorted keys and no space, and numbers of equal value are the same (`1`, `1.0`,
    `1e0`: clients of different languages write them differently). A multipart body gets a fixed
    boundary, because clients make a new one for each request. Any other body is left as it is.
    """
    if not body:
        return b""
    if body.startswith(b"--"):
        return _with_fixed_boundary(body)
    try:
        return orjson.dumps(_with_plain_numbers(orjson.loads(body)), option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
        return body


def _with_plain_numbers(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, dict):
        return {name: _with_plain_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_plain_numbers(item) for item in value]
    return value


def _with_fixed_boundary(body: bytes) -> bytes:
    delimiter = body.partition(b"\r\n")[0].rstrip()
    if len(delimiter) <= len(b"--") or not body.rstrip().endswith(delimiter + b"--"):
        return body
    return body.replace(delimiter, b"--boundary")


def parse_json(body: bytes) -> Any:
    """The body as JSON, or None where it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def decompress_request(headers: Mapping[str, str], body: bytes) -> bytes:
    """A request's body as it reads without compression; what does not decode stays as it is.

    Two compressions of the same text need not be the same bytes, so they cannot be compared.
    """
    named = {name.lower(): value for name, value in headers.items()}
    kind = named.get("content-encoding", "").strip().lower()
    if not body or kind in ("", "identity"):
        return body
    import httpx

    try:
        return httpx.Response(200, headers={"content-encoding": kind}, content=body).read()
    except httpx.DecodingError:
        return body
