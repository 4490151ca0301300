"""OpenAI's Responses API: the body, its items, and whole answers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from toolkit.api.formats.answer import Answer, tool_call_id
from toolkit.api.formats.model_request import (
    MAX_MESSAGES,
    ModelRequest,
    collect_labels,
    model_params,
)
from toolkit.api.formats.unsupported_parameters import UnsupportedPolicy
from toolkit.errors import InvalidInput
from toolkit.records import ToolCall, Usage

_OWN: Final = frozenset(
    [
        "model",
        "input",
        "instructions",
        "previous_response_id",
        "tools",
        "tool_choice",
        "text",
        "reasoning",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "user",
        "store",
        "include",
        "truncation",
        "background",
        "conversation",
        "prompt",
        "stream",
        "stream_options",
        "top_logprobs",
        "on_unsupported",
    ]
)
_NOT_KEPT: Final = (
    ("background", "background responses are not kept; leave `background` out"),
    ("conversation", "conversations are not kept; use `previous_response_id`"),
    ("prompt", "stored prompts are OpenAI's own; send `instructions` and `input`"),
)


# Tags of the row from which a response is read again.
STORE_LABEL: Final = "store"
PREVIOUS_LABEL: Final = "previous_response_id"


class ResponsesBody(BaseModel):
    """The body of `POST /v1/responses`; unlisted fields go to the provider as they are."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    model: str = Field(min_length=1, max_length=512, examples=["local/smollm2-135m"])
    input: str | list[dict[str, Any]] = Field(max_length=10_000_000)
    instructions: str | None = None
    previous_response_id: str | None = Field(None, max_length=200)
    tools: list[dict[str, Any]] | None = Field(None, max_length=512)
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    max_output_tokens: int | None = Field(None, ge=1, le=1_000_000)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_logprobs: int | None = Field(None, ge=0, le=20)
    metadata: dict[str, Any] | None = None
    user: str | None = Field(None, max_length=512)
    stream: bool | None = None
    store: bool | None = None
    on_unsupported: UnsupportedPolicy | None = None

    def to_request(self, history: Sequence[Mapping[str, Any]] = ()) -> ModelRequest:
        """The request in the internal form, after the conversation that it continues.

        Raises:
            InvalidInput: an item, tool or field cannot be translated.
        """
        extra = self.model_extra or {}
        for name, problem in _NOT_KEPT:
            if extra.get(name):
                raise InvalidInput(problem)
        fields = {name: value for name, value in extra.items() if name not in _OWN}
        for name in ("temperature", "top_p", "parallel_tool_calls"):
            fields[name] = getattr(self, name)
        fields |= self._translated()
        messages = [*self._system(history), *history, *messages_of(self.input)]
        if not messages or len(messages) > MAX_MESSAGES:
            raise InvalidInput(f"a request holds 1 to {MAX_MESSAGES} messages")
        return ModelRequest(
            model=self.model,
            messages=[dict(message) for message in messages],
            params=model_params(fields),
            stream=bool(self.stream),
            with_usage=True,
            labels=collect_labels(self.user, self.metadata) | self._own_labels(),
            on_unsupported=self.on_unsupported,
        )

    def _own_labels(self) -> dict[str, str]:
        """What the row has to say for the response to be read again."""
        labels = {STORE_LABEL: "false"} if self.store is False else {}
        if self.previous_response_id:
            labels[PREVIOUS_LABEL] = self.previous_response_id
        return labels

    def _system(self, history: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        if self.instructions:
            yield {"role": "system", "content": self.instructions}

    def _translated(self) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if self.max_output_tokens is not None:
            fields["max_completion_tokens"] = self.max_output_tokens
        if self.tools:
            fields["tools"] = [_tool(tool) for tool in self.tools]
            fields["tool_choice"] = _tool_choice(self.tool_choice)
        if self.top_logprobs:
            fields |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        if effort := (self.reasoning or {}).get("effort"):
            fields["reasoning_effort"] = effort
        text = self.text or {}
        if text.get("verbosity"):
            fields["verbosity"] = text["verbosity"]
        form = text.get("format") or {}
        if form.get("type") == "json_schema":
            schema = {k: form[k] for k in ("name", "schema", "strict", "description") if k in form}
            fields["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif form.get("type") == "json_object":
            fields["response_format"] = {"type": "json_object"}
        return fields


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    kind = tool.get("type")
    if kind == "function":
        names = ("name", "description", "parameters", "strict")
        given = {name: tool[name] for name in names if tool.get(name) is not None}
        return {"type": "function", "function": given}
    if kind == "custom":
        return {"type": "custom", "custom": {k: v for k, v in tool.items() if k != "type"}}
    raise InvalidInput(
        f"the tool {kind!r} runs at OpenAI only and cannot be translated for other providers",
        hint="Use tools of type `function` or `custom`.",
    )


def _tool_choice(choice: str | Mapping[str, Any] | None) -> Any:
    if not isinstance(choice, Mapping):
        return choice
    kind = choice.get("type")
    if kind in ("function", "custom"):
        return {"type": kind, kind: {"name": choice.get("name")}}
    if kind == "allowed_tools":
        tools = [_tool_choice(tool) for tool in choice.get("tools") or ()]
        return {"type": kind, kind: {"mode": choice.get("mode", "auto"), "tools": tools}}
    return choice.get("mode", "auto")


# ---- items to messages --------------------------------------------------------------------------


def messages_of(items: str | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages in OpenAI's chat form from the input of a response.

    Raises:
        InvalidInput: an item is of a kind that cannot be translated.
    """
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    messages: list[dict[str, Any]] = []
    for item in items:
        _add_item(messages, item)
    return messages


def _add_item(messages: list[dict[str, Any]], item: Mapping[str, Any]) -> None:
    kind = item.get("type") or "message"
    if kind == "message":
        role = "system" if item.get("role") == "developer" else item.get("role", "user")
        messages.append({"role": role, "content": _content(item.get("content"))})
    elif kind in ("function_call", "custom_tool_call"):
        _assistant(messages).setdefault("tool_calls", []).append(_called(item, kind))
    elif kind in ("function_call_output", "custom_tool_call_output"):
        content = _content(item.get("output"))
        messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": content})
    elif kind == "reasoning":
        _add_reasoning(messages, item)
    else:
        raise InvalidInput(
            f"an input item of type {kind!r} cannot be translated for other providers",
            hint="Send messages, function calls and their outputs.",
        )


def _assistant(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The assistant message that is being put together; calls and reasoning belong to one."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    return messages[-1]


def _called(item: Mapping[str, Any], kind: str) -> dict[str, Any]:
    call_id = item.get("call_id") or item.get("id")
    if kind == "custom_tool_call":
        custom = {"name": item.get("name"), "input": item.get("input", "")}
        return {"id": call_id, "type": "custom", "custom": custom}
    function = {"name": item.get("name"), "arguments": item.get("arguments") or "{}"}
    return {"id": call_id, "type": "function", "function": function}


def _add_reasoning(messages: list[dict[str, Any]], item: Mapping[str, Any]) -> None:
    """State of ours that came back (see `_reasoning_item`); foreign state means nothing here."""
    state = item.get("toolkit_next_turn")
    if isinstance(state, Mapping):
        messages.append({"role": "assistant", "content": None, **state})


def _content(content: Any) -> Any:
    if content is None or isinstance(content, str):
        return content or ""
    parts = [_part(part) for part in content]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text", "summary_text"):
        return {"type": "text", "text": part.get("text", "")}
    if kind == "refusal":
        return {"type": "text", "text": part.get("refusal", "")}
    if kind == "input_image" and part.get("image_url"):
        image = {"url": part["image_url"]}
        if part.get("detail"):
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image}
    if kind == "input_file" and (part.get("file_data") or part.get("file_url")):
        given = {k: part[k] for k in ("file_data", "file_url", "filename") if part.get(k)}
        return {"type": "file", "file": given}
    if kind == "input_audio":
        return {"type": "input_audio", "input_audio": part.get("input_audio")}
    raise InvalidInput(
        f"a content part of type {kind!r} cannot be translated",
        hint="Files and images must be in the request itself, not stored at OpenAI.",
    )


# ---- replies to items ---------------------------------------------------------------------------


def response_json(  # noqa: PLR0913 - one argument for each member that differs
    body: ResponsesBody,
    call_id: str,
    model: str,
    output: Sequence[Mapping[str, Any]],
    status: str,
    *,
    finish_reason: str | None = None,
    usage: Usage | None = None,
    created_at: float | None = None,
) -> dict[str, Any]:
    """A `response` object, whole or in progress; `created_at` is now unless it is given."""
    incomplete = _incomplete_details(finish_reason)
    reasoning = body.reasoning or {}
    return {
        "id": f"resp_{call_id}",
        "object": "response",
        "created_at": int(time.time() if created_at is None else created_at),
        "status": "incomplete" if incomplete else status,
        "background": False,
        "error": None,
        "incomplete_details": incomplete,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "model": model,
        "output": list(output),
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": body.previous_response_id,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "store": body.store is not False,
        "temperature": body.temperature,
        "text": body.text or {"format": {"type": "text"}},
        "tool_choice": body.tool_choice or "auto",
        "tools": body.tools or [],
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": _usage_json(usage) if usage else None,
        "user": body.user,
        "metadata": body.metadata or {},
    }


def _incomplete_details(finish_reason: str | None) -> dict[str, str] | None:
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}
    found = reason.get(finish_reason or "")
    return {"reason": found} if found else None


def _usage_json(usage: Usage) -> dict[str, Any] | None:
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_input_tokens or 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.total_tokens,
    }


def output_items(call_id: str, answer: Answer) -> list[dict[str, Any]]:
    """The output items of a whole answer."""
    items = []
    if answer.reasoning or answer.next_turn:
        items.append(reasoning_item(call_id, answer.reasoning, answer.next_turn))
    if answer.text or not answer.tool_calls:
        items.append(message_item(call_id, answer))
    items += [call_item(call_id, i, call) for i, call in enumerate(answer.tool_calls)]
    return items


def reasoning_item(
    call_id: str, text: str, next_turn: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A reasoning item; it carries what the provider needs back in the next turn."""
    summary = [{"type": "summary_text", "text": text}] if text else []
    item: dict[str, Any] = {"id": f"rs_{call_id}", "type": "reasoning", "summary": summary}
    return item | ({"toolkit_next_turn": dict(next_turn)} if next_turn else {})


def message_item(call_id: str, answer: Answer) -> dict[str, Any]:
    """A message item with the answer's text and citations."""
    annotations = [
        {
            "type": "url_citation",
            "url": part.url,
            "title": part.title or "",
            "start_index": part.raw.get("start_index", 0),
            "end_index": part.raw.get("end_index", 0),
        }
        for part in answer.parts
        if part.type == "citation" and part.url
    ]
    content: list[dict[str, Any]] = [
        {
            "type": "output_text",
            "text": answer.text,
            "annotations": annotations,
            "logprobs": list(answer.logprobs),
        }
    ]
    if answer.refusal:
        content = [{"type": "refusal", "refusal": answer.refusal}]
    return {
        "id": f"msg_{call_id}",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": content,
    }


def call_item(call_id: str, index: int, call: ToolCall) -> dict[str, Any]:
    """A function call (or a call of a custom tool) as an item."""
    common = {
        "id": f"fc_{call_id}_{index}",
        "call_id": tool_call_id(call.id, index),
        "name": call.name,
        "status": "completed",
    }
    if call.type == "custom":
        return {**common, "type": "custom_tool_call", "input": call.arguments}
    return {**common, "type": "function_call", "arguments": call.arguments}
