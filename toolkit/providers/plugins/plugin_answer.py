"""Calls the method that a plugin has, and converts its answer to OpenAI's format."""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import uuid4

from toolkit.providers.plugins.plugin import Answer, Piece, Plugin, PluginRequest


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
