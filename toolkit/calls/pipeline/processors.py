"""The built-in processors: limits, redaction, default parameters, templates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from toolkit.errors import ContextWindowExceeded
from toolkit.pricing.token_estimate import estimate_tokens
from toolkit.records import ChatRequest, Message

# Fields of a message that hold names and addresses, not text.
_NOT_TEXT: Final = frozenset({"role", "type", "id", "tool_call_id", "image_url", "input_audio"})


@dataclass(frozen=True, slots=True)
class InputTokenLimit:
    """Refuses a request whose input is longer than about `max_tokens` tokens."""

    max_tokens: int

    def before(self, request: ChatRequest) -> ChatRequest:
        """Raises: ContextWindowExceeded: it is longer."""
        texts = [{"content": text} for text in request.inputs]
        tokens = estimate_tokens([*request.messages, *texts])
        if tokens > self.max_tokens:
            raise ContextWindowExceeded(
                f"the input has about {tokens:,} tokens and the limit set here is "
                f"{self.max_tokens:,}",
                model=request.model,
                request_id=request.request_id,
                blame="policy",
                cause="own_limit",
                hint="Shorten the input or raise the limit.",
            )
        return request


class Redaction:
    """Replaces what matches a pattern in every text, before it is sent and stored.

    That is the text of every message, part and tool call, and the texts to embed.

    Args:
        patterns: regular expressions, with what to put in place of each match.
    """

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._patterns = [(re.compile(p), put) for p, put in patterns.items()]

    def before(self, request: ChatRequest) -> ChatRequest:
        """The request with every match replaced."""
        messages = tuple(self._clean(message) for message in request.messages)
        inputs = tuple(self._clean(text) for text in request.inputs)
        return replace(request, messages=messages, inputs=inputs)

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            for pattern, put in self._patterns:
                value = pattern.sub(put, value)
            return value
        if isinstance(value, Mapping):
            return {
                key: inner if key in _NOT_TEXT else self._clean(inner)
                for key, inner in value.items()
            }
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            return [self._clean(inner) for inner in value]
        return value


@dataclass(frozen=True, slots=True)
class DefaultParams:
    """Gives every request parameters that it does not set itself."""

    params: Mapping[str, Any]

    def before(self, request: ChatRequest) -> ChatRequest:
        """The request with the missing parameters; they are those of a conversation."""
        if request.operation != "chat":
            return request
        return replace(request, params={**self.params, **request.params})


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """Puts text around the user's messages, or a system prompt before them, for one provider.

    Attributes:
        provider: name of the provider; None for all.
        user: form of each user text, with `{text}` in its place.
        system: system prompt where the conversation has none.
    """

    provider: str | None = None
    user: str = "{text}"
    system: str | None = None

    def before(self, request: ChatRequest) -> ChatRequest:
        """The request in the form of the template."""
        if self.provider not in (None, request.model.partition("/")[0]):
            return request
        messages = [self._fill(message) for message in request.messages]
        if self.system and not any(message["role"] == "system" for message in messages):
            messages.insert(0, {"role": "system", "content": self.system})
        return replace(request, messages=tuple(messages))

    def _fill(self, message: Message) -> Message:
        content = message.get("content")
        if message["role"] != "user" or not isinstance(content, str):
            return message
        return {**message, "content": self.user.replace("{text}", content)}
