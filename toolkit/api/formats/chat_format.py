"""OpenAI's chat completions: the body, whole answers and streams."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field

from toolkit.api.formats.answer import Answer, answers_of, tool_call_id, tool_call_json
from toolkit.api.formats.error_format import ErrorFormat, body_of
from toolkit.api.formats.model_request import (
    MAX_MESSAGES,
    ModelRequest,
    collect_labels,
    messages_of_functions,
    model_params,
    tools_of_functions,
)
from toolkit.api.formats.unsupported_parameters import UnsupportedPolicy
from toolkit.calls.parsers.parsed_response import ToolDraft
from toolkit.calls.parsers.stream_parser import Delta
from toolkit.errors import ToolkitError
from toolkit.records import Embedding, Reply, Usage

EVENT_STREAM: Final = "text/event-stream"
_AUDIO_TTL_S: Final = 3600


class ChatBody(BaseModel):
    """The body of `POST /v1/chat/completions`.

    Fields that are not listed go to the provider as they are, except those that would set an
    address, a key, a header or another part of the toolkit.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    model: str = Field(min_length=1, max_length=512, examples=["local/smollm2-135m"])
    messages: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool | None = None
    stream_options: dict[str, bool | None] | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=1_000_000)
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    max_completion_tokens: int | None = Field(None, ge=1, le=1_000_000)
    stop: str | list[str] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    n: int | None = Field(None, ge=1, le=128)
    tools: list[dict[str, Any]] | None = Field(None, max_length=512)
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    prompt_cache_key: str | None = Field(None, max_length=512)
    user: str | None = Field(None, max_length=512)
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    on_unsupported: UnsupportedPolicy | None = Field(
        None, description="What to do with a parameter that the provider does not support."
    )

    def to_request(self) -> ModelRequest:
        """The request in the internal form.

        Raises:
            InvalidInput: a field is not the client's to set.
        """
        own = {"user", "metadata", "on_unsupported"}
        extra = self.model_extra or {}
        given = self.model_dump(exclude=own, exclude_none=True) | extra
        fields = tools_of_functions(given)
        # Some clients always send the field; providers refuse an empty list and a choice from it.
        empty = [name for name in ("tools", "tool_choice") if name in fields]
        empty = empty if fields.get("tools") == [] else []
        params = model_params({k: v for k, v in fields.items() if k not in empty})
        return ModelRequest(
            model=self.model,
            messages=messages_of_functions(self.messages),
            params=params,
            left_out=tuple(empty),
            has_functions=bool(extra.get("functions")),
            stream=bool(self.stream),
            with_usage=bool((self.stream_options or {}).get("include_usage")),
            labels=collect_labels(self.user, self.metadata),
            on_unsupported=self.on_unsupported,
        )


class ChatFormat:
    """Writes chat completions for one request."""

    errors: ErrorFormat = "openai"
    media_type = EVENT_STREAM

    def __init__(self, request: ModelRequest) -> None:
        self._request = request

    def whole(self, reply: Reply) -> dict[str, Any]:
        """A whole reply as a `chat.completion`."""
        body = completion_json(reply)
        if self._request.has_functions:
            body["choices"] = [_with_function_call(choice) for choice in body["choices"]]
        return body

    def writer(self, call_id: str, model: str) -> ChunkWriter:
        """The writer of the chunks."""
        request = self._request
        return ChunkWriter(
            call_id,
            model,
            with_usage=request.with_usage,
            has_functions=request.has_functions,
        )


def usage_json(usage: Usage) -> dict[str, Any] | None:
    """Usage in OpenAI's form, or None where it was not counted."""
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "audio_tokens": usage.audio_input_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.audio_output_tokens,
        },
    }


def completion_json(reply: Reply) -> dict[str, Any]:
    """A whole reply as a `chat.completion`."""
    body = {
        "id": f"chatcmpl-{reply.call_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": reply.model,
        "choices": [_choice(answer) for answer in answers_of(reply)],
        "usage": usage_json(reply.usage),
    }
    if reply.usage.service_tier:
        body["service_tier"] = reply.usage.service_tier
    return body


def _choice(answer: Answer) -> dict[str, Any]:
    return {
        "index": answer.index,
        "message": _message(answer),
        "finish_reason": answer.finish_reason,
        "logprobs": _logprobs(answer.logprobs),
    }


def _with_function_call(choice: Mapping[str, Any]) -> dict[str, Any]:
    """A choice whose tool call is a function call, of which an answer has one."""
    message = dict(choice["message"])
    calls = message.pop("tool_calls", None)
    if not calls:
        return dict(choice)
    message["function_call"] = calls[0].get("function")
    return {**choice, "message": message, "finish_reason": "function_call"}


def _logprobs(tokens: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    return {"content": list(tokens), "refusal": None} if tokens else None


def _message(answer: Answer) -> dict[str, Any]:
    message = dict(answer.message)
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    return message | _parts_json(answer)


def _parts_json(answer: Answer) -> dict[str, Any]:
    """Pictures, audio and citations where clients of OpenAI and OpenRouter look for them."""
    found: dict[str, Any] = {"refusal": answer.refusal} if answer.refusal else {}
    images = [_image_url(part) for part in answer.parts if part.type == "image"]
    if images:
        found["images"] = [{"type": "image_url", "image_url": {"url": url}} for url in images]
    for part in answer.parts:
        if part.type == "audio" and part.data:
            found["audio"] = {
                "id": str(part.raw.get("id") or f"audio_{answer.index}"),
                "data": part.data,
                "transcript": part.text,
                "expires_at": int(time.time()) + _AUDIO_TTL_S,
            }
    citations = [part for part in answer.parts if part.type == "citation" and part.url]
    if citations:
        found["annotations"] = [
            {
                "type": "url_citation",
                "url_citation": {
                    "url": part.url,
                    "title": part.title or "",
                    "start_index": part.raw.get("start_index", 0),
                    "end_index": part.raw.get("end_index", 0),
                },
            }
            for part in citations
        ]
    return found


def _image_url(part: Any) -> str:
    return part.url or f"data:{part.media_type or 'image/png'};base64,{part.data}"


class ChunkWriter:
    """Writes the server-sent events of one streamed completion."""

    def __init__(
        self, call_id: str, model: str, *, with_usage: bool = False, has_functions: bool = False
    ) -> None:
        self._head = {
            "id": f"chatcmpl-{call_id}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        self._with_usage = with_usage
        self._has_functions = has_functions
        self._positions: dict[int, int] = {}  # of tool calls, by the provider's index
        self._sent: dict[int, int] = {}  # how many parts of their arguments

    def start(self) -> bytes:
        """The chunk that opens the message."""
        return self._delta({"role": "assistant", "content": ""})

    def piece(self, delta: Delta, tools: Mapping[int, ToolDraft]) -> bytes:
        """One piece of the answer as a chunk."""
        if delta.kind == "text":
            return self._delta({"content": delta.text})
        if delta.kind == "reasoning":
            return self._delta({"reasoning_content": delta.text})
        return self._tools(tools)

    def _delta(
        self, delta: Mapping[str, Any], finish_reason: str | None = None, index: int = 0
    ) -> bytes:
        if self._has_functions:
            if calls := delta.get("tool_calls"):
                one = [call["function"] for call in calls if call["index"] == 0]
                delta = {"function_call": one[0]} if one else {}
            if finish_reason == "tool_calls":
                finish_reason = "function_call"
        choice = {"index": index, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return event({**self._head, "choices": [choice]})

    def _tools(self, drafts: Mapping[int, ToolDraft]) -> bytes:
        """What has come of the tool calls since the last chunk."""
        news = [part for index, draft in drafts.items() if (part := self._part(index, draft))]
        return self._delta({"tool_calls": news}) if news else b""

    def _part(self, index: int, draft: ToolDraft) -> dict[str, Any] | None:
        if index not in self._positions and not draft.name:
            return None  # a client knows a call by its name
        known = index in self._positions
        position = self._positions.setdefault(index, len(self._positions))
        done = self._sent.get(index, 0)
        arguments = "".join(draft.arguments[done:])
        self._sent[index] = len(draft.arguments)
        if known:
            return {"index": position, "function": {"arguments": arguments}} if arguments else None
        function = {"name": draft.name, "arguments": arguments}
        call_id = tool_call_id(draft.id, position)
        return {"index": position, "id": call_id, "type": "function", "function": function}

    def _last_tools(self, reply: Reply) -> bytes:
        """Calls that did not come in pieces, and `{}` for those that came without arguments."""
        if not self._positions:
            calls = [{"index": i, **tool_call_json(c, i)} for i, c in enumerate(reply.tool_calls)]
        else:
            silent = [self._positions[index] for index, parts in self._sent.items() if not parts]
            calls = [{"index": p, "function": {"arguments": "{}"}} for p in silent]
        return self._delta({"tool_calls": calls}) if calls else b""

    def _rest(self, answers: Sequence[Answer]) -> bytes:
        """What is known at the end only: state for the next turn, parts, the other answers."""
        first, *others = answers
        extra = dict(first.next_turn) | _parts_json(first)
        chunks = [self._delta(extra)] if extra else []
        if first.logprobs:
            choice = {
                "index": 0,
                "delta": {},
                "finish_reason": None,
                "logprobs": _logprobs(first.logprobs),
            }
            chunks.append(event({**self._head, "choices": [choice]}))
        for answer in others:
            chunks.append(self._delta(_message(answer), index=answer.index))
            chunks.append(self._delta({}, answer.finish_reason, answer.index))
        return b"".join(chunks)

    def end(self, reply: Reply) -> bytes:
        """What closes a good stream: the finish, the usage if it is wanted, `[DONE]`."""
        parts = [self._last_tools(reply), self._rest(answers_of(reply))]
        parts.append(self._delta({}, reply.finish_reason))
        if self._with_usage:
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

    def failed(self, error: ToolkitError) -> bytes:
        """An error inside the stream; no `[DONE]` follows it."""
        return event(body_of(error, "openai"))


def event(data: Mapping[str, Any], name: str | None = None) -> bytes:
    """One server-sent event with a JSON body."""
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + orjson.dumps(data) + b"\n\n"


def stream_headers(model: str, call_id: str, request_id: str, attempts: int) -> dict[str, str]:
    """Which provider answers a stream; what it costs is known at its end only."""
    return {
        "x-toolkit-provider": model.partition("/")[0],
        "x-toolkit-call-id": call_id,
        "x-toolkit-request-id": request_id,
        "x-toolkit-attempts": str(attempts),
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
