"""OpenAI's chat format: what may be asked, and how replies, deltas and errors are written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from toolkit.calls.parsers.parsed_response import ToolDraft
from toolkit.calls.stream_buffer import Answering
from toolkit.records import Embedding, Reply, Usage


class ChatBody(BaseModel):
    """The body of `POST /v1/chat/completions`.

    An allow list: a field that is not named here is refused, so a caller can never set a base
    URL, a key, headers or anything else of the machinery behind.
    """

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=512, examples=["local/smollm2-135m"])
    messages: list[dict[str, Any]] = Field(min_length=1, max_length=2000)
    stream: bool = False
    stream_options: dict[Literal["include_usage", "include_obfuscation"], bool] | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0, le=1_000_000)
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    max_completion_tokens: int | None = Field(None, ge=1, le=1_000_000)
    stop: str | list[str] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None
    n: Literal[1] | None = None
    tools: list[dict[str, Any]] | None = Field(None, max_length=128)
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    prompt_cache_key: str | None = Field(None, max_length=512)
    user: str | None = Field(None, max_length=512)

    def params(self) -> dict[str, Any]:
        """The model's parameters: every field that was set and is not of the gateway itself."""
        own = {"model", "messages", "stream", "stream_options", "user", "n"}
        return self.model_dump(exclude=own, exclude_none=True)

    @property
    def wants_usage(self) -> bool:
        """Whether a streamed answer shall end with a chunk of usage."""
        return bool((self.stream_options or {}).get("include_usage"))


def usage_json(usage: Usage) -> dict[str, Any] | None:
    """Usage in OpenAI's form, or None when nobody counted."""
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def completion_json(reply: Reply) -> dict[str, Any]:
    """A whole reply as a `chat.completion`."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = _tool_calls_json(reply)
    elif not reply.text:
        message["content"] = ""
    return {
        "id": f"chatcmpl-{reply.call_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": reply.model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": reply.finish_reason,
                "logprobs": None,
            }
        ],
        "usage": usage_json(reply.usage),
    }


def _tool_calls_json(reply: Reply) -> list[dict[str, Any]]:
    return [
        {
            "id": call.id or f"call_{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for index, call in enumerate(reply.tool_calls)
    ]


class ChunkWriter:
    """Writes the server-sent events of one streamed completion."""

    def __init__(self, completion_id: str, model: str) -> None:
        self._head = {
            "id": f"chatcmpl-{completion_id}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        self._places: dict[int, int] = {}  # of tool calls, by the provider's index
        self._sent: dict[int, int] = {}  # how many parts of their arguments

    def delta(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        """One chunk with a delta."""
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return event({**self._head, "choices": [choice]})

    def tools(self, drafts: Mapping[int, ToolDraft]) -> bytes | None:
        """A chunk of what has come of the tool calls since the last one, if anything has."""
        news = [part for index, draft in drafts.items() if (part := self._part(index, draft))]
        return self.delta({"tool_calls": news}) if news else None

    def _part(self, index: int, draft: ToolDraft) -> dict[str, Any] | None:
        if index not in self._places and not draft.name:
            return None  # a client knows a call by its name
        known = index in self._places
        place = self._places.setdefault(index, len(self._places))
        done = self._sent.get(index, 0)
        arguments = "".join(draft.arguments[done:])
        self._sent[index] = len(draft.arguments)
        if known:
            return {"index": place, "function": {"arguments": arguments}} if arguments else None
        function = {"name": draft.name, "arguments": arguments}
        call_id = draft.id or f"call_{place}"
        return {"index": place, "id": call_id, "type": "function", "function": function}

    def _last_tools(self, reply: Reply) -> bytes | None:
        """Calls that were not told of in pieces, and `{}` for those that came without arguments."""
        if not self._places:
            calls = [{"index": i, **call} for i, call in enumerate(_tool_calls_json(reply))]
        else:
            silent = [self._places[index] for index, parts in self._sent.items() if not parts]
            calls = [{"index": place, "function": {"arguments": "{}"}} for place in silent]
        return self.delta({"tool_calls": calls}) if calls else None

    def end(self, reply: Reply, *, with_usage: bool) -> bytes:
        """What closes a good stream: the finish, the usage if asked for, `[DONE]`."""
        parts = []
        if tools := self._last_tools(reply):
            parts.append(tools)
        parts.append(self.delta({}, reply.finish_reason))
        if with_usage:
            cost = None if reply.cost_usd is None else str(reply.cost_usd)
            facts = {
                "provider": reply.model.partition("/")[0],
                "call_id": reply.call_id,
                "attempts": max(1, len(reply.attempts)),
                "cost_usd": cost,
            }
            usage = usage_json(reply.usage)
            parts.append(event({**self._head, "choices": [], "usage": usage, "toolkit": facts}))
        parts.append(b"data: [DONE]\n\n")
        return b"".join(parts)


def event(data: Mapping[str, Any]) -> bytes:
    """One server-sent event with a JSON body."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


def stream_headers(answering: Answering, request_id: str) -> dict[str, str]:
    """The same at the start of a stream; what it costs is known at its end only."""
    return {
        "x-toolkit-provider": answering.model.partition("/")[0],
        "x-toolkit-call-id": answering.call_id,
        "x-toolkit-request-id": request_id,
        "x-toolkit-attempts": str(answering.attempts),
        "cache-control": "no-store",
    }


def reply_headers(reply: Reply | Embedding) -> dict[str, str]:
    """Which provider answered, after how many attempts, under which id, for how much."""
    headers = {
        "x-toolkit-provider": reply.model.partition("/")[0],
        "x-toolkit-call-id": reply.call_id,
        "x-toolkit-request-id": reply.request_id,
        "x-toolkit-attempts": str(max(1, len(reply.attempts))),
    }
    if reply.cost_usd is not None:
        headers["x-toolkit-cost-usd"] = str(reply.cost_usd)
    return headers
