"""Build a `ChatRequest` from what the caller wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from uuid_utils import uuid7

from toolkit.calls.options import (
    EmbedOptions,
    check_options,
    plain_messages,
    plain_parameters,
)
from toolkit.errors import InvalidInput
from toolkit.records import ChatRequest, Message

MAX_INPUTS: Final = 2048  # as many as OpenAI takes
_REQUEST_FIELDS: Final = (
    *("origin", "origin_id", "tags", "fallbacks", "timeout_s", "on_unsupported"),
    *("max_retries", "retry_initial_s", "retry_max_s", "retry_factor"),
)
_EMBED_PARAMETERS: Final = frozenset(EmbedOptions.__annotations__)


def build_request(
    model: str, prompt: str | Sequence[Message], options: Mapping[str, Any], *, stream: bool = False
) -> ChatRequest:
    """Build the request from a prompt or a conversation.

    Args:
        model: `provider/model_id`.
        prompt: the user's text, or messages in OpenAI's form.
        options: see `toolkit.calls.options.CallOptions`, without `api_key`.
        stream: whether the answer is wanted piece by piece.

    Raises:
        InvalidInput: an option is misspelt, or a value cannot be sent.
    """
    check_options(options)
    rest = dict(options)
    messages = build_messages(prompt, rest.pop("system", None))
    fields = _take_fields(rest)
    extra_body = rest.pop("extra_body", None)
    params = plain_parameters(rest)
    if extra_body is not None:
        params["extra_body"] = extra_body
    return ChatRequest(
        request_id=str(uuid7()),
        model=model,
        messages=messages,
        stream=stream,
        params=params,
        **fields,
    )


def build_embedding_request(
    model: str, texts: str | Sequence[str], options: Mapping[str, Any]
) -> ChatRequest:
    """Build the request for vectors of texts.

    Raises:
        InvalidInput: there is no text, there are too many, or an item is not a text.
    """
    check_options(options, _EMBED_PARAMETERS)
    inputs = (texts,) if isinstance(texts, str) else tuple(texts)
    if not inputs or len(inputs) > MAX_INPUTS:
        raise InvalidInput(
            f"{len(inputs):,} texts to embed",
            hint=f"Give at least one and at most {MAX_INPUTS:,} at a time.",
        )
    if any(not isinstance(text, str) or not text for text in inputs):
        raise InvalidInput("every input to embed must be a non-empty string")
    rest = dict(options)
    fields = _take_fields(rest)
    return ChatRequest(
        request_id=str(uuid7()),
        model=model,
        messages=(),
        operation="embeddings",
        inputs=inputs,
        params=rest,
        **fields,
    )


def _take_fields(options: dict[str, Any]) -> dict[str, Any]:
    """Move the toolkit's own options out; what stays are parameters of the model."""
    fields: dict[str, Any] = {
        name: options.pop(name) for name in _REQUEST_FIELDS if name in options
    }
    fallbacks = fields.get("fallbacks") or ()
    fields["fallbacks"] = (fallbacks,) if isinstance(fallbacks, str) else tuple(fallbacks)
    fields["tags"] = {str(k): str(v) for k, v in (fields.get("tags") or {}).items()}
    return fields


def build_messages(prompt: str | Sequence[Message], system: str | None) -> tuple[Message, ...]:
    """Messages in OpenAI's form from a text or a conversation, the system prompt first.

    Raises:
        InvalidInput: there is nothing to send, or a message has no role.
    """
    messages = plain_messages(prompt)
    if system:
        messages.insert(0, {"role": "system", "content": system})
    return tuple(messages)
