"""One recorded exchange: request, response, and its chunks with their times."""

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
"""`broken`: the connection broke in the body; `left`: the client disconnected before its end."""

_LOOPBACK = ("127.", "localhost", "[::1]", "::1", "0.0.0.0")  # noqa: S104  compared, never bound
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of a body: size in bytes and receive time, milliseconds since the request."""

    size: int
    at_ms: float


@dataclass(frozen=True)
class Exchange:
    """One request and its response, without secrets.

    Attributes:
        method, uri, request_headers, request_body: the request.
        status, reason, answer_headers, body: the response; the body is not compressed.
        started_ms: when the request was sent, milliseconds since the cassette was opened.
        headers_ms: when the response headers arrived, milliseconds since the request.
        chunks: the chunks of the body with their times.
        cut: how the body was interrupted; None if it is complete.
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
        """The body, split into its recorded chunks."""
        if not self.chunks:
            return [self.body] if self.body else []
        parts, start = [], 0
        for chunk in self.chunks:
            parts.append(self.body[start : start + chunk.size])
            start += chunk.size
        return [*parts, self.body[start:]] if start < len(self.body) else parts


def request_key(method: str, uri: str, body: bytes, *, with_host: bool = True) -> str:
    """SHA-256 of the canonical form of a scrubbed request.

    The canonical form has: the method in upper case; scheme, host and port (every loopback address
    is the same host, because local servers use any free port); the path; the sorted query; the
    body as JSON with sorted keys, or unchanged if it is not JSON.

    Args:
        with_host: False for a server that replaces any host.
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
    """Normalize a body, so that equivalent bodies are equal.

    JSON gets sorted keys and no space, and numbers of equal value are the same (`1`, `1.0`,
    `1e0`: clients of different languages write them differently). A multipart body gets a fixed
    boundary, because clients make a new one for each request. Any other body is unchanged.
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
    """The body as JSON, or None if it is not JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def decompress_request(headers: Mapping[str, str], body: bytes) -> bytes:
    """Decompress the body of a request; return it unchanged if that fails.

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
