"""Serves plugins over HTTP on a loopback port, so that they are called like all providers.

The same code then measures, limits, classifies and records their calls. The port is protected by a
random token that only this process knows, and has an OpenAI-compatible API.
"""

from __future__ import annotations

import asyncio
import hmac
import inspect
import json
import secrets
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote
from uuid import uuid4

from toolkit.errors import (
    AuthenticationFailed,
    ContextWindowExceeded,
    InvalidRequest,
    KeyRequired,
    ModelNotFound,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    RequestTimeout,
    ToolkitError,
)
from toolkit.providers.plugins.plugin import Answer, Piece, Plugin, PluginRequest
from toolkit.secret import Secret, redact

KeyFor = Callable[[Plugin], Secret | None]

_MAX_HEAD: Final = 64 * 1024
_MAX_BODY: Final = 32 * 1024 * 1024
_ROUTES: Final = (("GET", "models"), ("POST", "chat/completions"))
_GONE: Final = (
    ConnectionError,
    asyncio.IncompleteReadError,
    asyncio.LimitOverrunError,
    ValueError,
)
_OWN_FIELDS: Final = frozenset({"model", "messages", "stream", "stream_options"})

# Exceptions of a plugin -> the equivalent status and code.
_STATUSES: Final[tuple[tuple[type[ToolkitError], int, str], ...]] = (
    (KeyRequired, 401, "invalid_api_key"),
    (AuthenticationFailed, 401, "invalid_api_key"),
    (PermissionDenied, 403, "permission_denied"),
    (ModelNotFound, 404, "model_not_found"),
    (ContextWindowExceeded, 400, "context_length_exceeded"),
    (InvalidRequest, 400, "invalid_request_error"),
    (QuotaExceeded, 429, "insufficient_quota"),
    (RateLimited, 429, "rate_limit_exceeded"),
    (RequestTimeout, 504, "timeout"),
)


@dataclass(frozen=True, slots=True)
class _Asker:
    """The connection of a caller, and whether it is still open."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def require_there(self) -> None:
        """Raise `ConnectionResetError` if the caller disconnected."""
        if self.reader.at_eof() or self.writer.transport.is_closing():
            raise ConnectionResetError

    async def unless_gone(self, answer: Coroutine[Any, Any, Piece]) -> Piece:
        """Wait for an answer; cancel it if the caller disconnects."""
        task = asyncio.ensure_future(answer)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=0.1)
                self.require_there()
        finally:
            task.cancel()
        return task.result()


class PluginBridge:
    """One loopback server for all plugins of a process, in a thread of its own.

    Args:
        key_for: returns the active key for a plugin's server, or None.
    """

    def __init__(self, key_for: KeyFor) -> None:
        self.token: Secret = Secret(secrets.token_urlsafe(32))
        self._key_for = key_for
        self._plugins: dict[str, Plugin] = {}
        self._port: int | None = None
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def url_of(self, plugin: Plugin) -> str:
        """The base URL of this plugin; starts the server for the first one."""
        self._plugins[plugin.provider.name] = plugin
        with self._starting:
            if self._port is None:
                self._start()
        return f"http://127.0.0.1:{self._port}/{plugin.provider.name}/v1"

    def close(self) -> None:
        """Stop the server, if it runs."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(5)
        self._port = self._thread = self._loop = self._stop = None

    def _start(self) -> None:
        ready = threading.Event()
        target = lambda: asyncio.run(self._serve(ready))  # noqa: E731 - a thread's one line
        self._thread = threading.Thread(target=target, name="toolkit-plugins", daemon=True)
        self._thread.start()
        ready.wait(10)

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._exchange, "127.0.0.1", 0, limit=_MAX_HEAD)
        self._port = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            await self._stop.wait()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            method, path, headers = await _read_head(reader)
            sent = headers.get("authorization", "").removeprefix("Bearer ")
            length = int(headers.get("content-length") or 0)
            if not hmac.compare_digest(sent.encode(), self.token.reveal().encode()):
                await _send_error(writer, AuthenticationFailed("not authorized"), 401)
            elif length > _MAX_BODY:
                await _send_error(writer, InvalidRequest("the request is too large"))
            else:
                body = await reader.readexactly(length)
                await self._route(method, path, body, _Asker(reader, writer))
        except (
            ConnectionError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            ValueError,
        ):
            pass  # the caller disconnected, or did not send HTTP
        finally:
            writer.close()

    async def _route(self, method: str, path: str, body: bytes, asker: _Asker) -> None:
        writer = asker.writer
        name, _, rest = unquote(path).strip("/").partition("/v1/")
        plugin = self._plugins.get(name)
        if plugin is None or (method, rest) not in (
            ("GET", "models"),
            ("POST", "chat/completions"),
        ):
            await _send_error(writer, ModelNotFound("there is no such plugin or path"))
            return
        try:
            if rest == "models":
                rows = [{"id": model, "object": "model"} for model in plugin.models()]
                await _send_json(writer, 200, {"object": "list", "data": rows})
                return
            asked = json.loads(body)
            request = PluginRequest(
                model=asked["model"],
                messages=asked["messages"],
                params={k: v for k, v in asked.items() if k not in _OWN_FIELDS},
                key=self._key_for(plugin),
            )
            if asked.get("stream"):
                await self._stream(plugin, request, asker)
            else:
                piece = await asker.unless_gone(ask_whole(plugin, request))
                await _send_json(writer, 200, whole_body(piece, request.model))
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - a plugin is foreign code
            await _send_error(writer, error)

    async def _stream(self, plugin: Plugin, request: PluginRequest, asker: _Asker) -> None:
        writer = asker.writer
        pieces = ask_stream(plugin, request)
        frame = stream_frame(request.model)
        has_begun, last = False, Piece()
        try:
            async for piece in pieces:
                if not has_begun:
                    _write_head(writer, 200, "text/event-stream")
                    has_begun = True
                last = piece
                asker.require_there()
                await _send_event(writer, chunk_body(piece, frame))
        except ConnectionError:
            raise
        except Exception as error:
            if not has_begun:
                raise
            await _send_event(writer, _error_body(error)[1])
            return
        finally:
            await pieces.aclose()  # type: ignore[attr-defined]
        if not has_begun:
            _write_head(writer, 200, "text/event-stream")
        if last.finish_reason is None:
            await _send_event(writer, chunk_body(Piece(finish_reason="stop"), frame))
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, str, Mapping[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    lines = head.split("\r\n")
    method, path, _ = lines[0].split(" ", 2)
    pairs = (line.partition(":") for line in lines[1:] if line)
    return method, path, {name.strip().lower(): value.strip() for name, _, value in pairs}


def _write_head(
    writer: asyncio.StreamWriter, status: int, kind: str, extra: Mapping[str, str] | None = None
) -> None:
    headers = {"content-type": kind, "connection": "close", **(extra or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {status} Plugin\r\n{lines}\r\n".encode("latin-1"))


async def _send_json(
    writer: asyncio.StreamWriter,
    status: int,
    body: Mapping[str, Any],
    extra: Mapping[str, str] | None = None,
) -> None:
    data = json.dumps(body).encode()
    _write_head(
        writer, status, "application/json", {"content-length": str(len(data)), **(extra or {})}
    )
    writer.write(data)
    await writer.drain()


async def _send_event(writer: asyncio.StreamWriter, body: Mapping[str, Any]) -> None:
    writer.write(b"data: " + json.dumps(body).encode() + b"\n\n")
    await writer.drain()


async def _send_error(
    writer: asyncio.StreamWriter, error: Exception, status: int | None = None
) -> None:
    found, body = _error_body(error)
    wait_s = getattr(error, "retry_after", None)
    extra = {"retry-after": f"{wait_s:g}"} if wait_s is not None else {}
    await _send_json(writer, status or found, body, extra)


def _error_body(error: Exception) -> tuple[int, dict[str, Any]]:
    """The error in OpenAI's format; of foreign errors only the class is included."""
    if isinstance(error, ToolkitError):
        known = next((row for row in _STATUSES if isinstance(error, row[0])), None)
        status, code = (known[1], known[2]) if known else (error.status or 500, "server_error")
        message = redact(error.message)
    else:
        status, code = 500, "server_error"
        message = f"the plugin failed: {type(error).__name__}"
    return status, {"error": {"message": message, "type": code, "code": code}}


async def ask_whole(plugin: Plugin, request: PluginRequest) -> Piece:
    """The whole answer of a plugin."""
    target = plugin.target
    if callable(getattr(target, "acomplete", None)):
        return _piece(await target.acomplete(request))
    if callable(getattr(target, "complete", None)):
        answer = await asyncio.to_thread(target.complete, request)
        return _piece(await answer if inspect.isawaitable(answer) else answer)
    if callable(getattr(target, "acompletion", None)):
        return _from_litellm(await target.acompletion(**_litellm_arguments(request)))
    pieces = [piece async for piece in ask_stream(plugin, request)]
    return Piece(
        text="".join(piece.text for piece in pieces),
        reasoning="".join(piece.reasoning for piece in pieces),
        tool_calls=[call for piece in pieces for call in piece.tool_calls],
        finish_reason=next((p.finish_reason for p in reversed(pieces) if p.finish_reason), None),
        usage=next((p.usage for p in reversed(pieces) if p.usage), None),
    )


async def ask_stream(plugin: Plugin, request: PluginRequest) -> AsyncIterator[Piece]:
    """The answer of a plugin as a stream; a single part if it cannot stream."""
    target = plugin.target
    if callable(getattr(target, "astream", None)):
        async for answer in target.astream(request):
            yield _piece(answer)
    elif callable(getattr(target, "astreaming", None)):
        async for chunk in target.astreaming(**_litellm_arguments(request)):
            yield _from_litellm_chunk(chunk)
    else:
        yield await ask_whole(plugin, request)


def _piece(answer: Answer) -> Piece:
    if isinstance(answer, Piece):
        return answer
    if isinstance(answer, str):
        return Piece(text=answer)
    raise TypeError(f"a plugin answers with text or a Piece, not {type(answer).__name__}")


def whole_body(piece: Piece, model: str) -> dict[str, Any]:
    """A whole answer as OpenAI's chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": piece.text or None}
    if piece.reasoning:
        message["reasoning_content"] = piece.reasoning
    if piece.tool_calls:
        message["tool_calls"] = list(piece.tool_calls)
    body = _frame("chat.completion", model) | {
        "choices": [{"index": 0, "message": message, "finish_reason": _finish(piece)}]
    }
    return body | ({"usage": dict(piece.usage)} if piece.usage else {})


def chunk_body(piece: Piece, frame: Mapping[str, Any]) -> dict[str, Any]:
    """A part as one chunk of OpenAI's stream."""
    delta: dict[str, Any] = {}
    if piece.text:
        delta["content"] = piece.text
    if piece.reasoning:
        delta["reasoning_content"] = piece.reasoning
    if piece.tool_calls:
        delta["tool_calls"] = [
            {"index": index, **call} for index, call in enumerate(piece.tool_calls)
        ]
    body = dict(frame) | {
        "choices": [{"index": 0, "delta": delta, "finish_reason": piece.finish_reason}]
    }
    return body | ({"usage": dict(piece.usage)} if piece.usage else {})


def stream_frame(model: str) -> dict[str, Any]:
    """The fields common to all chunks of a stream."""
    return _frame("chat.completion.chunk", model)


def _frame(kind: str, model: str) -> dict[str, Any]:
    return {
        "id": f"plugin-{uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
    }


def _finish(piece: Piece) -> str:
    return piece.finish_reason or ("tool_calls" if piece.tool_calls else "stop")


def _litellm_arguments(request: PluginRequest) -> dict[str, Any]:
    """The arguments that litellm passes to a `CustomLLM`; the plugin has imported its module."""
    litellm: Any = sys.modules["litellm"]
    return {
        "model": request.model,
        "messages": list(request.messages),
        "api_base": "",
        "custom_prompt_dict": {},
        "model_response": litellm.ModelResponse(),
        "print_verbose": lambda *_: None,
        "encoding": None,
        "api_key": request.key.reveal() if request.key else None,
        "logging_obj": None,
        "optional_params": dict(request.params),
        "acompletion": True,
        "litellm_params": {},
        "logger_fn": None,
        "headers": {},
        "timeout": None,
        "client": None,
    }


def _from_litellm(response: Any) -> Piece:
    body = response.model_dump()
    choice = body["choices"][0]
    message = choice["message"]
    return Piece(
        text=message.get("content") or "",
        reasoning=message.get("reasoning_content") or "",
        tool_calls=message.get("tool_calls") or (),
        finish_reason=choice.get("finish_reason"),
        usage=_usage(body.get("usage")),
    )


def _from_litellm_chunk(chunk: Mapping[str, Any]) -> Piece:
    tool = chunk.get("tool_use")
    return Piece(
        text=chunk.get("text") or "",
        tool_calls=() if tool is None else (tool,),
        finish_reason=(chunk.get("finish_reason") or "stop") if chunk.get("is_finished") else None,
        usage=_usage(chunk.get("usage")),
    )


def _usage(body: Any) -> Mapping[str, int] | None:
    """Token counts, if any: litellm fills in zeros for unknown ones."""
    if not isinstance(body, Mapping):
        return None
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    counted = {name: body[name] for name in names if isinstance(body.get(name), int)}
    return counted if any(counted.values()) else None
