"""From what a person writes to a `ChatRequest`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from uuid_utils import uuid7

from toolkit.errors import InvalidInput
from toolkit.records import ChatRequest, Message

MAX_INPUTS: Final = 2048  # as many as OpenAI takes
_REQUEST_OPTIONS = ("origin", "origin_id", "tags", "fallbacks", "timeout_s", "on_unsupported")


def build_request(
    model: str, prompt: str | Sequence[Message], options: Mapping[str, Any], *, stream: bool = False
) -> ChatRequest:
    """Build the request from a prompt or a conversation; options that are not ours are parameters.

    Raises:
        InvalidInput: the model has no `provider/model_id` form or there is nothing to ask.
    """
    rest = dict(options)
    messages = build_messages(prompt, rest.pop("system", None))
    return ChatRequest(
        request_id=str(uuid7()),
        model=model,
        messages=messages,
        stream=stream,
        **_take_own(rest),
        params=rest,
    )


def build_embedding_request(
    model: str, texts: str | Sequence[str], options: Mapping[str, Any]
) -> ChatRequest:
    """Build the request for vectors of texts; options that are not ours are parameters.

    Raises:
        InvalidInput: there is no text, there are too many, or one is no text.
    """
    inputs = (texts,) if isinstance(texts, str) else tuple(texts)
    if not inputs or len(inputs) > MAX_INPUTS:
        raise InvalidInput(
            f"{len(inputs):,} texts to embed",
            hint=f"Give at least one and at most {MAX_INPUTS:,} at a time.",
        )
    if any(not isinstance(text, str) or not text for text in inputs):
        raise InvalidInput("every input to embed must be a text, and none may be empty")
    rest = dict(options)
    return ChatRequest(
        request_id=str(uuid7()),
        model=model,
        messages=(),
        operation="embeddings",
        inputs=inputs,
        **_take_own(rest),
        params=rest,
    )


def _take_own(options: dict[str, Any]) -> dict[str, Any]:
    """Take what is ours out of the options; parameters of the model stay."""
    own = {name: options.pop(name) for name in _REQUEST_OPTIONS if name in options}
    own["fallbacks"] = tuple(own.get("fallbacks") or ())
    own["tags"] = {str(k): str(v) for k, v in (own.get("tags") or {}).items()}
    return own


def build_messages(prompt: str | Sequence[Message], system: str | None) -> tuple[Message, ...]:
    """Messages in OpenAI's form from a text or a conversation, the system prompt first."""
    if isinstance(prompt, str):
        if not prompt.strip():
            raise InvalidInput("the prompt is empty", hint="Write what the model should answer.")
        messages: list[Message] = [{"role": "user", "content": prompt}]
    else:
        messages = [dict(message) for message in prompt]
        if not messages or any("role" not in message for message in messages):
            raise InvalidInput("a conversation needs at least one message, each with a `role`")
    if system:
        messages.insert(0, {"role": "system", "content": system})
    return tuple(messages)
