"""The door of the HTTP API, before any routing: Host, Origin, token, limits, body.

Pure ASGI, and it decides on `scope["path"]` only: a URL rebuilt from the Host header can lie.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from toolkit.api.bearer_tokens import BearerToken, BearerTokens
from toolkit.api.error_format import refuse, respond
from toolkit.api.token_limits import Limits
from toolkit.errors import KeyStoreError

MAX_BODY_BYTES: Final = 10 * 1024 * 1024
MAX_DEPTH: Final = 64
BODY_TIMEOUT_S: Final = 30.0
# The page of documentation holds no data; a browser cannot send a bearer token to it.
_STRING_OR_BRACKET: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_OPEN_PATHS: Final = frozenset({"/api/docs"})


class Guard:
    """Lets a request through to `app` when it may pass, with its token in the scope's state."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: BearerTokens,
        limits: Limits,
        hosts: Collection[str] = ("localhost", "127.0.0.1", "::1"),
        origins: Collection[str] = (),
    ) -> None:
        self.app = app
        self.tokens = tokens
        self.limits = limits
        self.hosts = frozenset(hosts)
        self.origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._check_caller(headers)
        if refusal is not None:
            await refusal(scope, receive, send)
        elif _full_path(scope) in _OPEN_PATHS:
            await self.app(scope, receive, send)
        else:
            await self._admit(scope, receive, send, headers)

    def _check_caller(self, headers: Headers) -> JSONResponse | None:
        host = _host_name(headers.get("host", ""))
        if host not in self.hosts:
            return refuse(421, "HOST_NOT_ALLOWED", "this server does not answer for that host name")
        origin = headers.get("origin")
        if origin is not None and origin not in self.origins:
            return refuse(403, "ORIGIN_NOT_ALLOWED", "requests from other web pages are refused")
        return None

    async def _admit(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        token = self._find_token(headers)
        if isinstance(token, JSONResponse):
            await token(scope, receive, send)
            return
        wait_s = self.limits.enter(token)
        if wait_s is not None:
            answer = refuse(
                429,
                "RATE_LIMIT_EXCEEDED",
                f"token {token.name!r} has reached its limit of requests",
                retry_after=str(max(1, round(wait_s))),
            )
            await answer(scope, receive, send)
            return
        try:
            await self._pass_on(scope, receive, send, headers, token)
        finally:
            self.limits.leave(token)

    def _find_token(self, headers: Headers) -> BearerToken | JSONResponse:
        kind, _, text = headers.get("authorization", "").partition(" ")
        try:
            token = self.tokens.find(text.strip()) if kind.lower() == "bearer" else None
        except KeyStoreError as error:
            return respond(error)
        if token is None:
            return refuse(
                401,
                "TOKEN_REQUIRED",
                "send a token of this server as `Authorization: Bearer ...`",
                www_authenticate="Bearer",
            )
        return token

    async def _pass_on(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers, token: BearerToken
    ) -> None:
        scope.setdefault("state", {})["token"] = token
        if scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self.app(scope, receive, send)
            return
        body = await _read_body(receive, headers)
        if isinstance(body, JSONResponse):
            await body(scope, receive, send)
            return
        await self.app(scope, _replay(body, receive), send)


def _full_path(scope: Scope) -> str:
    return str(scope["path"])


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


async def _read_body(receive: Receive, headers: Headers) -> bytes | JSONResponse:
    """The whole body, counted while it comes: the length that a client claims is no limit."""
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return refuse(400, "CLIENT_GONE", "the request ended before its body")
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > MAX_BODY_BYTES:
                    return refuse(413, "BODY_TOO_LARGE", f"a body may hold {MAX_BODY_BYTES} bytes")
                chunks.append(chunk)
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        return refuse(408, "TIMEOUT", f"the body did not arrive within {BODY_TIMEOUT_S:.0f} s")
    body = b"".join(chunks)
    return _check_body(body, headers) or body


def _check_body(body: bytes, headers: Headers) -> JSONResponse | None:
    if not body:
        return None
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return refuse(415, "JSON_REQUIRED", "send the body as `Content-Type: application/json`")
    if json_depth(body) > MAX_DEPTH:
        return refuse(400, "CLIENT_ERROR", f"the JSON is nested deeper than {MAX_DEPTH}")
    return None


def json_depth(body: bytes) -> int:
    """Deepest nesting of brackets outside strings; needs no recursion, so it cannot be overrun."""
    depth = deepest = 0
    for match in _STRING_OR_BRACKET.finditer(body):
        mark = match[0]
        if mark in (b"[", b"{"):
            depth += 1
            deepest = max(deepest, depth)
        elif mark in (b"]", b"}"):
            depth -= 1
    return deepest


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replayed() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
