"""What every HTTP request passes before any routing: Host, Origin, token, scope, limits, body.

Pure ASGI, and it decides on `scope["path"]` only: a URL rebuilt from the Host header can lie.
Nothing of a body is read before the token may use the path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from fnmatch import fnmatchcase
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from toolkit.api.access import scope_error
from toolkit.api.bearer_tokens import BearerToken, BearerTokens
from toolkit.api.formats.error_format import ErrorFormat, error_format, refuse, respond
from toolkit.api.json_bodies import LARGE_BYTES, BodyRefused, check_bounds
from toolkit.api.token_limits import Limits
from toolkit.errors import KeyStoreError

MAX_BODY_BYTES: Final = 10 * 1024 * 1024
MAX_MANAGEMENT_BODY_BYTES: Final = 1024 * 1024
BODY_TIMEOUT_S: Final = 30.0
# The page of documentation holds no data, and a browser cannot send a bearer token to it.
OPEN_PATHS: Final = frozenset({"/api/docs", "/health"})
_GATEWAY_WITHOUT_V1: Final = ("/chat/", "/completions", "/responses", "/messages", "/embeddings")
_TOKEN_HEADERS: Final = ("x-api-key", "api-key", "x-goog-api-key")
_CORS_METHODS: Final = "GET, POST, PUT, DELETE"
_CORS_MAX_AGE_S: Final = "600"


class Guard:
    """Lets a request through to `app` when it may pass, with its token in the scope's state.

    Args:
        app: the application behind.
        tokens, limits: who may send requests, and how many.
        hosts: Host names that are answered.
        origins: origins of web pages and desktop clients that may send requests; patterns as
            `vscode-webview://*` are allowed. None by default.
        open_paths: paths that need no token.
        count: called with path and status of every response.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: BearerTokens,
        limits: Limits,
        hosts: Collection[str] = ("localhost", "127.0.0.1", "::1"),
        origins: Collection[str] = (),
        open_paths: Collection[str] = OPEN_PATHS,
        count: Callable[[str, int], None] = lambda path, status: None,
    ) -> None:
        self.app = app
        self.tokens = tokens
        self.limits = limits
        self.hosts: frozenset[str] = frozenset(host.lower() for host in hosts)
        self.origins: tuple[str, ...] = tuple(origins)
        self._open_paths = frozenset(open_paths)
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope = _with_version(scope)
        if scope.get("http_version") == "1.0":
            send = _in_one_piece(send)
        send = _counting(send, scope["path"], self._count)
        headers = Headers(scope=scope)
        form = error_format(scope["path"])
        refusal = self._check_caller(headers, form)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        origin = headers.get("origin")
        if origin is not None:
            if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                await _preflight(origin, headers)(scope, receive, send)
                return
            send = _with_cors(send, origin)
        if scope["path"] in self._open_paths:
            await self.app(scope, receive, send)
        else:
            await self._admit(scope, receive, send, headers, form)

    def _check_caller(self, headers: Headers, form: ErrorFormat) -> JSONResponse | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _host_name(hosts[0]) not in self.hosts:
            return refuse(
                421, "HOST_NOT_ALLOWED", "this server does not answer for that host name", form
            )
        origin = headers.get("origin")
        if origin is not None and not any(fnmatchcase(origin, known) for known in self.origins):
            return refuse(
                403,
                "ORIGIN_NOT_ALLOWED",
                "requests from this web page or desktop client are refused; allow it with "
                "`toolkit serve --allow-origin ORIGIN`",
                form,
            )
        return None

    async def _admit(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers, form: ErrorFormat
    ) -> None:
        token = self._find_token(headers, form)
        if isinstance(token, JSONResponse):
            await token(scope, receive, send)
            return
        wait_s = self.limits.enter(token)
        if wait_s is not None:
            answer = refuse(
                429,
                "RATE_LIMIT_EXCEEDED",
                f"token {token.name!r} has reached its limit of requests",
                form,
                retry_after=str(max(1, round(wait_s))),
            )
            await answer(scope, receive, send)
            return
        try:
            await self._pass_on(scope, receive, send, headers, token, form)
        finally:
            self.limits.leave(token)

    def _find_token(self, headers: Headers, form: ErrorFormat) -> BearerToken | JSONResponse:
        try:
            token = next(
                (t for text in _token_texts(headers) if (t := self.tokens.find(text))), None
            )
        except KeyStoreError as error:
            return respond(error, form)
        if token is None:
            return refuse(
                401,
                "TOKEN_REQUIRED",
                "send a token of this server as `Authorization: Bearer ...`; "
                "make one with `toolkit serve token create NAME`",
                form,
                www_authenticate="Bearer",
            )
        return token

    async def _pass_on(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: Headers,
        token: BearerToken,
        form: ErrorFormat,
    ) -> None:
        scope.setdefault("state", {})["token"] = token
        if scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self.app(scope, receive, send)
            return
        if form != "toolkit" and (error := scope_error(token, "call")):
            await respond(error, form)(scope, receive, send)
            return
        most = MAX_MANAGEMENT_BODY_BYTES if form == "toolkit" else MAX_BODY_BYTES
        body = await _read_body(receive, headers, most, form)
        if isinstance(body, JSONResponse):
            await body(scope, receive, send)
            return
        await self.app(scope, _replay(body, receive), send)


def _with_version(scope: Scope) -> Scope:
    """The scope of a gateway path under one `/v1`, whatever the client's base URL ends in.

    Without `/v1`, with it in a client that adds its own, or with a slash at the end of the path: a
    redirect would lose the body.
    """
    given: str = scope["path"]
    path = given.rstrip("/") or "/"
    if path.startswith("/v1/v1/"):
        path = path.removeprefix("/v1")
    elif path.startswith((*_GATEWAY_WITHOUT_V1, "/models/")) or path == "/models":
        path = f"/v1{path}"
    return scope if path == given else {**scope, "path": path, "raw_path": path.encode()}


def _host_name(host: str) -> str:
    """The name of a Host header in lower case; empty if the port is not valid."""
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        port = port.removeprefix(":") if port else "0"
    else:
        name, colon, port = host.partition(":")
        port = port if colon else "0"
    return name.lower() if port.isdecimal() else ""


def _token_texts(headers: Headers) -> list[str]:
    """Where the clients of the different APIs put their key."""
    kind, _, text = headers.get("authorization", "").partition(" ")
    found = [text.strip()] if kind.lower() == "bearer" else []
    return [*found, *(headers[name] for name in _TOKEN_HEADERS if name in headers)]


def _preflight(origin: str, headers: Headers) -> Response:
    allowed = {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": _CORS_METHODS,
        "access-control-max-age": _CORS_MAX_AGE_S,
        "vary": "Origin, Access-Control-Request-Headers",
    }
    if wanted := headers.get("access-control-request-headers"):
        allowed["access-control-allow-headers"] = wanted
    if headers.get("access-control-request-private-network") == "true":
        allowed["access-control-allow-private-network"] = "true"
    return Response(status_code=204, headers=allowed)


def _counting(send: Send, path: str, count: Callable[[str, int], None]) -> Send:
    async def send_and_count(message: Message) -> None:
        if message["type"] == "http.response.start":
            count(path, message["status"])
        await send(message)

    return send_and_count


def _in_one_piece(send: Send) -> Send:
    """Holds an answer back until it is whole: uvicorn would send chunks, unknown to HTTP/1.0."""
    held: list[Message] = []

    async def send_whole(message: Message) -> None:
        if message["type"] == "http.response.start":
            held.append(message)
            return
        if message["type"] != "http.response.body" or not held:
            await send(message)
            return
        held.append(message)
        if message.get("more_body", False):
            return
        start, *parts = held
        held.clear()
        body = b"".join(part.get("body", b"") for part in parts)
        MutableHeaders(scope=start)["content-length"] = str(len(body))
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return send_whole


def _with_cors(send: Send, origin: str) -> Send:
    async def send_with_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = "*"
            headers.add_vary_header("Origin")
        await send(message)

    return send_with_cors


async def _read_body(
    receive: Receive, headers: Headers, most: int, form: ErrorFormat
) -> bytes | JSONResponse:
    """Read the whole body, counted on arrival, because the stated length cannot be trusted."""
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return refuse(400, "CLIENT_GONE", "the request ended before its body", form)
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > most:
                    return refuse(413, "BODY_TOO_LARGE", f"a body may hold {most} bytes", form)
                chunks.append(chunk)
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        problem = f"the body did not arrive within {BODY_TIMEOUT_S:.0f} s"
        return refuse(408, "TIMEOUT", problem, form)
    body = b"".join(chunks)
    return await _check_body(body, headers, form) or body


async def _check_body(body: bytes, headers: Headers, form: ErrorFormat) -> JSONResponse | None:
    if not body:
        return None
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        problem = f"send the body without `Content-Encoding: {encoding[:40]}`, as it is"
        return refuse(415, "ENCODING_NOT_SUPPORTED", problem, form)
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and form != "ollama":  # curl's default, in Ollama's own examples
        problem = "send the body as `Content-Type: application/json`"
        return refuse(415, "JSON_REQUIRED", problem, form)
    try:
        if len(body) > LARGE_BYTES:
            await asyncio.to_thread(check_bounds, body)
        else:
            check_bounds(body)
    except BodyRefused as error:
        return refuse(400, "CLIENT_ERROR", str(error), form)
    return None


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replayed() -> Any:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
