"""Anthropic's Messages API: the body, its content blocks, and whole answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field

from toolkit.api.formats.answer import Answer, cached_tokens, tool_call_id
from toolkit.api.formats.model_request import (
    MAX_MESSAGES,
    ModelRequest,
    collect_labels,
    model_params,
)
from toolkit.api.formats.unsupported_parameters import UnsupportedPolicy
from toolkit.errors import InvalidInput
from toolkit.records import Usage

STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
# They steer Anthropic's own handling of a context; Claude Code sends the first with each request.
_OF_ANTHROPIC: Final = ("context_management", "container")
_EFFORTS: Final = ((2048, "low"), (8192, "medium"))


class MessagesBody(BaseModel):
    """The body of `POST /v1/messages`; unlisted fields go to the provider as they are."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    model: str = Field(min_length=1, max_length=512, examples=["local/smollm2-135m"])
    messages: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    system: str | list[dict[str, Any]] | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0, le=1_000_000)
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    tools: list[dict[str, Any]] | None = Field(None, max_length=512)
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    on_unsupported: UnsupportedPolicy | None = None

    def to_request(self, *, takes_thinking: bool) -> ModelRequest:
        """The request in the internal form.

        Args:
            takes_thinking: whether the provider takes Anthropic's `thinking`; another one gets
                the `reasoning_effort` that comes nearest.

        Raises:
            InvalidInput: a block or tool cannot be translated, or a field is not the client's.
        """
        fields: dict[str, Any] = dict(self.model_extra or {})
        left_out = [name for name in _OF_ANTHROPIC if fields.pop(name, None)]
        if fields.pop("mcp_servers", None):
            raise InvalidInput(
                "`mcp_servers` are called by Anthropic only and cannot be translated"
            )
        for name in ("max_tokens", "temperature", "top_p", "top_k"):
            fields[name] = getattr(self, name)
        if self.stop_sequences:
            fields["stop"] = self.stop_sequences
        if self.tools:
            fields["tools"] = [_tool(tool) for tool in self.tools]
            fields |= _tool_choice(self.tool_choice or {})
        fields |= self._reasoning(takes_thinking=takes_thinking)
        fields |= _output_config(fields, takes_effort=takes_thinking)
        user = (self.metadata or {}).get("user_id")
        return ModelRequest(
            model=self.model,
            messages=[*_system(self.system), *_messages(self.messages)],
            params=model_params(fields),
            stream=bool(self.stream),
            with_usage=True,
            labels=collect_labels(user),
            on_unsupported=self.on_unsupported,
            left_out=tuple(left_out),
        )

    def _reasoning(self, *, takes_thinking: bool) -> dict[str, Any]:
        thinking = self.thinking or {}
        if takes_thinking:
            return {"thinking": thinking} if thinking else {}
        if thinking.get("type") != "enabled":
            return {"reasoning_effort": "medium"} if thinking.get("type") == "adaptive" else {}
        budget = int(thinking.get("budget_tokens") or 0)
        effort = next((name for most, name in _EFFORTS if budget <= most), "high")
        return {"reasoning_effort": effort}


class CountBody(MessagesBody):
    """The body of `POST /v1/messages/count_tokens`."""


# ---- blocks to messages -------------------------------------------------------------------------


def _system(system: str | Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    if not system:
        return []
    if isinstance(system, str):
        return [{"role": "system", "content": system}]
    parts = [_block(block) for block in system]
    has_cache = any("cache_control" in part for part in parts)
    text = "\n\n".join(part.get("text", "") for part in parts)
    return [{"role": "system", "content": parts if has_cache else text}]


def _messages(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for message in messages:
        content = message.get("content")
        role = message.get("role")
        if role not in ("user", "assistant", "system"):
            raise InvalidInput(f"a message has the role {role!r}; it is `user` or `assistant`")
        if isinstance(content, str) or content is None:
            found.append({"role": role, "content": content or ""})
        elif role == "assistant":
            found.append(_assistant(content))
        else:
            found += _user(content)
    return found


def _assistant(blocks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None}
    texts: list[str] = []
    for block in blocks:
        kind = block.get("type")
        if kind == "text":
            texts.append(str(block.get("text", "")))
        elif kind == "tool_use":
            function = {
                "name": block.get("name"),
                "arguments": orjson.dumps(block.get("input") or {}).decode(),
            }
            call = {"id": block.get("id"), "type": "function", "function": function}
            message.setdefault("tool_calls", []).append(call | _provider_fields(block))
        elif kind in ("thinking", "redacted_thinking"):
            _add_thinking(message, block)
        else:
            raise InvalidInput(f"an assistant's block of type {kind!r} cannot be translated")
    message["content"] = "".join(texts) or (None if "tool_calls" in message else "")
    return message


def _add_thinking(message: dict[str, Any], block: Mapping[str, Any]) -> None:
    """A thinking block goes back as it came; one without a signature is plain text to read."""
    if block.get("type") == "redacted_thinking" or block.get("signature"):
        message.setdefault("thinking_blocks", []).append(dict(block))
    elif text := block.get("thinking"):
        message["reasoning_content"] = message.get("reasoning_content", "") + text


def _provider_fields(block: Mapping[str, Any]) -> dict[str, Any]:
    known = {"type", "id", "name", "input", "cache_control", "caller"}
    return {name: value for name, value in block.items() if name not in known}


def _user(blocks: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Results of tools first, as OpenAI's form wants them directly after the calls."""
    results: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for block in blocks:
        if block.get("type") == "tool_result":
            results.append(_tool_result(block))
        else:
            parts.append(_block(block))
    if not parts:
        return results
    is_plain = all(part["type"] == "text" and "cache_control" not in part for part in parts)
    content: Any = "\n\n".join(part["text"] for part in parts) if is_plain else parts
    return [*results, {"role": "user", "content": content}]


def _tool_result(block: Mapping[str, Any]) -> dict[str, Any]:
    content = block.get("content")
    if not isinstance(content, str):
        parts = [_block(part) for part in content or ()]
        is_plain = all(part["type"] == "text" for part in parts)
        content = "".join(part["text"] for part in parts) if is_plain else parts
    if block.get("is_error") and isinstance(content, str):
        content = f"Error: {content}"
    return {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": content or ""}


def _block(block: Mapping[str, Any]) -> dict[str, Any]:
    kind, source = block.get("type"), block.get("source") or {}
    cache = {"cache_control": block["cache_control"]} if block.get("cache_control") else {}
    if kind == "text":
        return {"type": "text", "text": str(block.get("text", "")), **cache}
    if kind in ("image", "document"):
        if source.get("type") == "text":
            return {"type": "text", "text": str(source.get("data", "")), **cache}
        url = source.get("url") or (
            f"data:{source.get('media_type', 'image/png')};base64,{source.get('data', '')}"
        )
        if kind == "image":
            return {"type": "image_url", "image_url": {"url": url}, **cache}
        name = str(block.get("title") or "document.pdf")
        return {"type": "file", "file": {"file_data": url, "filename": name}, **cache}
    raise InvalidInput(f"a block of type {kind!r} cannot be translated for other providers")


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if "input_schema" not in tool:
        raise InvalidInput(
            f"the tool {tool.get('type')!r} runs at Anthropic only and cannot be translated",
            hint="Use tools with an `input_schema`.",
        )
    function = {
        "name": tool.get("name"),
        "description": tool.get("description", ""),
        "parameters": tool["input_schema"],
    }
    made: dict[str, Any] = {"type": "function", "function": function}
    if tool.get("cache_control"):
        made["cache_control"] = tool["cache_control"]
    return made


def _output_config(fields: dict[str, Any], *, takes_effort: bool) -> dict[str, Any]:
    """The effort and the schema of the answer, taken out of `fields`, in OpenAI's names."""
    config = fields.pop("output_config", None) or {}
    form = config.get("format") or fields.pop("output_format", None) or {}
    found: dict[str, Any] = {}
    if form.get("type") == "json_schema":
        schema = {"name": "answer", "schema": form.get("schema") or {}, "strict": True}
        found["response_format"] = {"type": "json_schema", "json_schema": schema}
    if effort := config.get("effort"):
        if takes_effort:
            found["output_config"] = {"effort": effort}
        else:
            found["reasoning_effort"] = "high" if effort == "max" else effort
    return found


def _tool_choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if choice.get("disable_parallel_tool_use"):
        found["parallel_tool_calls"] = False
    match choice.get("type"):
        case "any":
            found["tool_choice"] = "required"
        case "none":
            found["tool_choice"] = "none"
        case "auto":
            found["tool_choice"] = "auto"
        case "tool":
            function = {"name": choice.get("name")}
            found["tool_choice"] = {"type": "function", "function": function}
    return found


# ---- replies to blocks --------------------------------------------------------------------------


def message_head(call_id: str, model: str) -> dict[str, Any]:
    """What is known of a message before its content."""
    return {
        "id": f"msg_{call_id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def stop_reason(finish_reason: str | None) -> str:
    """The reason in Anthropic's terms."""
    return STOP_REASONS.get(finish_reason or "stop", finish_reason or "end_turn")


def blocks_of(answer: Answer) -> list[dict[str, Any]]:
    """The content blocks of an answer."""
    blocks = thinking_blocks(answer)
    if answer.text or not (answer.tool_calls or blocks):
        blocks.append({"type": "text", "text": answer.text})
    for index, call in enumerate(answer.tool_calls):
        blocks.append(
            {
                "type": "tool_use",
                "id": tool_call_id(call.id, index),
                "name": call.name,
                "input": parse_input(call.arguments),
                **call.provider_fields,
            }
        )
    return blocks


def thinking_blocks(answer: Answer) -> list[dict[str, Any]]:
    """The thinking of an answer, with its signatures where the provider gave some."""
    if kept := answer.next_turn.get("thinking_blocks"):
        return [dict(block) for block in kept]
    if answer.reasoning:
        return [{"type": "thinking", "thinking": answer.reasoning, "signature": ""}]
    return []


def parse_input(arguments: str) -> Any:
    """The arguments of a tool call as an object; what is not JSON stays a text inside one."""
    try:
        found = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        return {"input": arguments}
    return found if isinstance(found, dict) else {"input": found}


def usage_json(usage: Usage) -> dict[str, Any]:
    """Usage in Anthropic's form: input tokens there are those that no cache had."""
    cached, written = cached_tokens(usage), usage.cache_write_tokens or 0
    return {
        "input_tokens": max(0, (usage.input_tokens or 0) - cached - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.output_tokens or 0,
    }
