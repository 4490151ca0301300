"""Ollama's chat and generate endpoints: bodies, whole answers and streams of JSON lines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from toolkit.api.formats.answer import answers_of
from toolkit.api.formats.embeddings_format import EmbeddingBody, Text
from toolkit.api.formats.error_format import ErrorFormat, body_of
from toolkit.api.formats.messages_format import parse_input
from toolkit.api.formats.model_request import MAX_MESSAGES, ModelRequest, model_params
from toolkit.calls.chat_request import MAX_INPUTS
from toolkit.calls.parsers.parsed_response import ToolDraft
from toolkit.calls.parsers.stream_parser import Delta
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.records import Embedding, Reply

_OPTIONS: Final = {
    "num_predict": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "stop": "stop",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "repeat_penalty": "repetition_penalty",
}
_NS: Final = 1_000_000  # nanoseconds in a millisecond


class OllamaBody(BaseModel):
    """What the bodies of both endpoints have in common."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    model: str = Field(min_length=1, max_length=512, examples=["local/smollm2-135m"])
    stream: bool | None = None
    format: str | dict[str, Any] | None = None
    options: dict[str, Any] | None = None
    think: StrictBool | str | None = None
    keep_alive: str | float | None = None

    def _left_out(self) -> tuple[str, ...]:
        """What steers Ollama's own server, or is not known, and so reaches no provider."""
        given = {"keep_alive": self.keep_alive, **(self.model_extra or {})}
        fields = [name for name, value in given.items() if value not in (None, False, "", [])]
        options = [f"options.{name}" for name in self.options or () if name not in _OPTIONS]
        return (*fields, *options)

    def loaded(self) -> dict[str, Any] | None:
        """The answer to a request that only loads or unloads the model; None for another one."""
        return None

    def _load_answer(self, empty: Mapping[str, Any]) -> dict[str, Any]:
        reason = "unload" if self.keep_alive in (0, "0", "0s", "0m") else "load"
        head = {"model": self.model, "created_at": datetime.now(UTC).isoformat()}
        return {**head, **empty, "done": True, "done_reason": reason}

    def _request(self, messages: list[dict[str, Any]], tools: Any = None) -> ModelRequest:
        options = self.options or {}
        fields: dict[str, Any] = {
            ours: options[theirs] for theirs, ours in _OPTIONS.items() if theirs in options
        }
        if fields.get("max_tokens", 1) < 1:  # -1 and -2 are Ollama's way to say: no limit
            del fields["max_tokens"]
        if tools:
            fields["tools"] = tools
        if self.format == "json":
            fields["response_format"] = {"type": "json_object"}
        elif isinstance(self.format, dict):
            schema = {"name": "answer", "schema": self.format}
            fields["response_format"] = {"type": "json_schema", "json_schema": schema}
        if self.think:
            fields["reasoning_effort"] = self.think if isinstance(self.think, str) else "medium"
        return ModelRequest(
            model=self.model,
            messages=messages,
            params=model_params(fields),
            stream=self.stream is not False,
            with_usage=True,
            left_out=self._left_out(),
        )


class OllamaChatBody(OllamaBody):
    """The body of `POST /api/chat`."""

    messages: list[dict[str, Any]] = Field(max_length=MAX_MESSAGES)
    tools: list[dict[str, Any]] | None = Field(None, max_length=512)

    def loaded(self) -> dict[str, Any] | None:
        """The answer to a request without messages, which only loads or unloads the model."""
        empty = {"message": {"role": "assistant", "content": ""}}
        return None if self.messages else self._load_answer(empty)

    def to_request(self) -> ModelRequest:
        """The request in the internal form.

        Raises:
            InvalidInput: a field is not the client's to set.
        """
        calls = _Calls()
        return self._request([_message(message, calls) for message in self.messages], self.tools)


class OllamaGenerateBody(OllamaBody):
    """The body of `POST /api/generate`."""

    prompt: str = ""
    system: str | None = None
    suffix: str | None = None
    images: list[Annotated[str, Field(min_length=1)]] | None = Field(None, max_length=64)

    def loaded(self) -> dict[str, Any] | None:
        """The answer to a request without a prompt, which only loads or unloads the model."""
        return None if self.prompt or self.images else self._load_answer({"response": ""})

    def to_request(self) -> ModelRequest:
        """The request in the internal form.

        Raises:
            InvalidInput: a field is not the client's to set.
        """
        if self.suffix:
            raise InvalidInput("`suffix` is not supported: a chat model cannot fill in the middle")
        system = [{"role": "system", "content": self.system}] if self.system else []
        asked = {"role": "user", "content": self.prompt, "images": self.images}
        return self._request([*system, _message(asked, _Calls())])


class _Calls:
    """The tool calls of a conversation: Ollama gives them no ids, and names their results."""

    def __init__(self) -> None:
        self._count = 0
        self._open: list[tuple[str, str | None]] = []

    def add(self, given_id: str | None, name: str | None) -> str:
        """The id of the next call."""
        call_id = given_id or f"call_{self._count}"
        self._count += 1
        self._open.append((call_id, name))
        return call_id

    def close(self, name: str | None) -> str:
        """The id of the first call without a result, of that name where there is one."""
        named = [call for call in self._open if name is not None and call[1] == name]
        found = next(iter(named or self._open), None)
        if found is None:
            return "call_0"
        self._open.remove(found)
        return found[0]


def _message(message: Mapping[str, Any], calls: _Calls) -> dict[str, Any]:
    """A message in OpenAI's form; `calls` gives ids to tool calls and their results."""
    role, text = message.get("role"), message.get("content") or ""
    if role == "tool":
        name = message.get("tool_name") or message.get("name")
        call_id = message.get("tool_call_id") or calls.close(name)
        return {"role": "tool", "tool_call_id": call_id, "content": text}
    made: dict[str, Any] = {"role": role, "content": text}
    if images := message.get("images"):
        parts = [{"type": "image_url", "image_url": {"url": _data_url(i)}} for i in images]
        made["content"] = [{"type": "text", "text": text}, *parts]
    if found := message.get("tool_calls"):
        made["tool_calls"] = [_tool_call(call, calls) for call in found]
        made["content"] = text or None
    return made


def _tool_call(call: Mapping[str, Any], calls: _Calls) -> dict[str, Any]:
    function = call.get("function") or {}
    arguments = function.get("arguments") or {}
    if not isinstance(arguments, str):
        arguments = orjson.dumps(arguments).decode()
    call_id = calls.add(call.get("id"), function.get("name"))
    made = {"name": function.get("name"), "arguments": arguments}
    return {"id": call_id, "type": "function", "function": made}


def _data_url(image: str) -> str:
    if image.startswith("data:"):
        return image
    kinds = {"/9j/": "jpeg", "iVBOR": "png", "R0lGO": "gif", "UklGR": "webp"}
    kind = next((kind for start, kind in kinds.items() if image.startswith(start)), "png")
    return f"data:image/{kind};base64,{image}"


class OllamaEmbedBody(BaseModel):
    """The body of `POST /api/embed`; what steers Ollama's own server is accepted and not used."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore")

    model: str = Field(min_length=1, max_length=512, examples=["openai/text-embedding-3-small"])
    input: Text | Annotated[list[Text], Field(min_length=1, max_length=MAX_INPUTS)]
    dimensions: int | None = Field(None, ge=1, le=65_536)

    def to_body(self) -> EmbeddingBody:
        """The same request in the form of `POST /v1/embeddings`."""
        return EmbeddingBody.model_validate(self.model_dump(exclude_none=True))


class OllamaShowBody(BaseModel):
    """The body of `POST /api/show`; older clients call the model `name`."""

    model: str = Field("", max_length=512, examples=["local/smollm2-135m"])
    name: str = Field("", max_length=512)


def ollama_vectors(made: Embedding) -> dict[str, Any]:
    """Vectors as Ollama lists them."""
    return {
        "model": made.model,
        "embeddings": [list(vector) for vector in made.vectors],
        "prompt_eval_count": made.usage.input_tokens or 0,
    }


class OllamaFormat:
    """Writes Ollama's answers for one request; `is_chat` says of which endpoint."""

    errors: ErrorFormat = "ollama"
    media_type = "application/x-ndjson"

    def __init__(self, *, is_chat: bool) -> None:
        self._is_chat = is_chat

    def whole(self, reply: Reply) -> dict[str, Any]:
        """A whole reply as one object."""
        answer = answers_of(reply)[0]
        calls = [
            {"function": {"name": call.name, "arguments": parse_input(call.arguments)}}
            for call in answer.tool_calls
        ]
        content = self.content(reply.model, answer.text, answer.reasoning, calls)
        return content | _last(reply)

    def content(
        self, model: str, text: str, thinking: str = "", calls: list[dict[str, Any]] | None = None
    ) -> dict[str, Any]:
        """One object with a piece of the answer."""
        head = {"model": model, "created_at": datetime.now(UTC).isoformat()}
        reasoning = {"thinking": thinking} if thinking else {}
        if not self._is_chat:
            return {**head, "response": text, **reasoning, "done": False}
        message: dict[str, Any] = {"role": "assistant", "content": text, **reasoning}
        if calls:
            message["tool_calls"] = calls
        return {**head, "message": message, "done": False}

    def writer(self, call_id: str, model: str) -> OllamaWriter:
        """The writer of the lines."""
        return OllamaWriter(self, model)


class OllamaWriter:
    """Writes one JSON object a line."""

    def __init__(self, form: OllamaFormat, model: str) -> None:
        self._form, self._model = form, model

    def start(self) -> bytes:
        """Ollama sends nothing before the first piece."""
        return b""

    def piece(self, delta: Delta, tools: Mapping[int, ToolDraft]) -> bytes:
        """One piece of text or thinking; tool calls come whole, at the end."""
        if delta.kind == "text":
            return _line(self._form.content(self._model, delta.text))
        if delta.kind == "reasoning":
            return _line(self._form.content(self._model, "", delta.text))
        return b""

    def end(self, reply: Reply) -> bytes:
        """The tool calls, and the line with the counts."""
        calls = [
            {"function": {"name": call.name, "arguments": parse_input(call.arguments)}}
            for call in reply.tool_calls
        ]
        lines = [self._form.content(self._model, "", "", calls)] if calls else []
        lines.append(self._form.content(self._model, "") | _last(reply))
        return b"".join(_line(line) for line in lines)

    def failed(self, error: ToolkitError) -> bytes:
        """An error as the last line."""
        return _line(body_of(error, "ollama"))


def _last(reply: Reply) -> dict[str, Any]:
    timing, usage = reply.timing, reply.usage
    total_ms, first_ms = timing.duration_ms or 0.0, timing.ttft_ms or 0.0
    return {
        "done": True,
        "done_reason": {"length": "length"}.get(reply.finish_reason or "", "stop"),
        "total_duration": int(total_ms * _NS),
        "load_duration": 0,
        "prompt_eval_count": usage.input_tokens or 0,
        "prompt_eval_duration": int(first_ms * _NS),
        "eval_count": usage.output_tokens or 0,
        "eval_duration": int(max(0.0, total_ms - first_ms) * _NS),
    }


def _line(data: Mapping[str, Any]) -> bytes:
    return orjson.dumps(data) + b"\n"
