"""What a provider's answer says, read from the wire by us, piece by piece or whole.

`ParsedResponse` is the common form; one parser per API style fills it. litellm's own result
is not used: it rewrites finish words, invents usage and calls broken streams a success.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, Protocol

from toolkit.calls.adapters.styles import ApiStyle
from toolkit.records import ToolCall, Usage

Kind = Literal["text", "reasoning", "tool_call"]
Piece = tuple[Kind, str]
Style = ApiStyle

_MAX_TOKENS = 10**12
_FINISH_WORDS: Mapping[str, str] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "STOP": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "COMPLETE": "stop",
    "complete": "stop",
    "STOP_SEQUENCE": "stop",
    "length": "length",
    "max_tokens": "length",
    "MAX_TOKENS": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "TOOL_CALL": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderWords:
    """An error in the provider's own words, found in a body or an event."""

    message: str
    code: str = ""
    type: str = ""
    status: int | None = None


@dataclass(slots=True)
class ToolDraft:
    """A tool call while its arguments are still arriving."""

    id: str | None
    name: str
    arguments: list[str] = field(default_factory=list)

    def finished(self) -> ToolCall:
        """The tool call as it stands; no arguments at all are an empty object."""
        return ToolCall(id=self.id, name=self.name, arguments="".join(self.arguments) or "{}")


@dataclass(slots=True)
class ParsedResponse:
    """What an answer has said so far.

    Attributes:
        text, reasoning: pieces, in order.
        tools: tool calls by the provider's index.
        finish: the provider's own finish word.
        tokens: counts by field of `Usage`; None where what the provider said is no count.
        cost_reported_usd: what the provider says the call cost.
        response_model, response_id, system_fingerprint: in the provider's words.
        flags: oddities.
        error: an error inside an answer that began as a success.
        refusal: the words of a refusal by a safety system.
        vectors: embeddings, one for each text.
        has_other: content that is neither text nor reasoning nor a tool call (an image, audio).
        is_recognised: something of this API's shape was seen.
        is_null: the answer says itself that it has no content.
        is_ended: the API's own end mark was seen.
    """

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tools: dict[int, ToolDraft] = field(default_factory=dict)
    finish: str | None = None
    tokens: dict[str, int | None] = field(default_factory=dict)
    cost_reported_usd: Decimal | None = None
    response_model: str | None = None
    response_id: str | None = None
    system_fingerprint: str | None = None
    flags: set[str] = field(default_factory=set)
    error: ProviderWords | None = None
    refusal: str | None = None
    vectors: tuple[tuple[float, ...], ...] = ()
    has_other: bool = False
    is_recognised: bool = False
    is_null: bool = False
    is_ended: bool = False

    @property
    def finish_reason(self) -> str | None:
        """The finish word in OpenAI's terms, or the provider's own where it is none of them."""
        if self.finish is None:
            return None
        reason = _FINISH_WORDS.get(self.finish, self.finish)
        # Google has no word of its own for a model that wants tools called.
        return "tool_calls" if self.finish == "STOP" and self.tools else reason

    @property
    def has_content(self) -> bool:
        """Whether there is anything to give to the caller."""
        return bool(self.text or self.reasoning or self.tools or self.has_other)

    def usage(self) -> Usage:
        """Tokens by class, as far as the provider said."""
        known = {name: count for name, count in self.tokens.items() if count is not None}
        return Usage(**known, source="provider") if known else Usage()

    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls in the provider's order."""
        return tuple(self.tools[index].finished() for index in sorted(self.tools))

    def count(self, name: str, value: Any) -> int | None:
        """Note one token count; what cannot be a count becomes None and a flag."""
        if value is None:
            return None
        number = int(value) if isinstance(value, float) and value.is_integer() else value
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < _MAX_TOKENS:
            self.flags.add("usage_invalid")
            self.tokens[name] = None
            return None
        self.tokens[name] = number
        return number

    def cost(self, value: Any) -> None:
        """Note a cost that the provider reports, USD."""
        try:
            cost = Decimal(str(value))
        except InvalidOperation:
            return
        if cost.is_finite() and cost >= 0:
            self.cost_reported_usd = cost


class ResponseParser(Protocol):
    """Fills a `ParsedResponse` from one API style."""

    reading: ParsedResponse

    def take_event(self, name: str | None, value: Mapping[str, Any]) -> Sequence[Piece]:
        """Take one decoded event of a stream and return what it adds."""

    def take_whole(self, value: Mapping[str, Any]) -> None:
        """Take a whole body."""


def choose_reader(style: Style) -> ResponseParser:
    """A fresh reader for an API style."""
    if style == "anthropic":
        from toolkit.calls.parsers.anthropic_messages import AnthropicParser

        return AnthropicParser()
    if style == "gemini":
        from toolkit.calls.parsers.gemini_content import GeminiParser

        return GeminiParser()
    from toolkit.calls.parsers.openai_chat import OpenAIChatParser

    return OpenAIChatParser()


def find_error(value: Any) -> ProviderWords | None:
    """An error object in a body of any provider's making, or None."""
    if isinstance(value, list) and len(value) == 1:  # Gemini wraps errors of streams in a list
        value = value[0]
    if not isinstance(value, Mapping):
        return None
    error = value.get("error", value.get("errors"))
    if isinstance(error, list) and error:
        error = error[0]
    if not error:
        return _find_flat_error(value)
    if not isinstance(error, Mapping):
        error = {"message": str(error)}
    message = error.get("message") or error.get("detail") or error
    code = error.get("code")
    kind = error.get("type") or error.get("status") or ""
    return ProviderWords(
        message=_inner_message(error) or str(message),
        code="" if code is None else str(code),
        type=str(kind),
        status=_status(code) or _status(error.get("status_code")) or _status(value.get("code")),
    )


def _find_flat_error(value: Mapping[str, Any]) -> ProviderWords | None:
    """`{"message": ..., "code": ...}` and `{"detail": ...}`, without an answer beside them."""
    is_error = value.get("object") == "error" or value.get("type") == "error"
    if not is_error and {"choices", "candidates", "content", "done"} & value.keys():
        return None
    message = value.get("message") or value.get("detail") or value.get("msg")
    if not message or isinstance(message, Mapping):
        return None
    code = value.get("code")
    return ProviderWords(
        message=str(message),
        code="" if code is None else str(code),
        type=str(value.get("type") or ""),
        status=_status(code) or _status(value.get("status")) or _status(value.get("statusCode")),
    )


def _inner_message(error: Mapping[str, Any]) -> str | None:
    """OpenRouter keeps the upstream's own words in `metadata.raw`."""
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    return f"{error.get('message', '')} {raw}".strip() if isinstance(raw, str) and raw else None


def _status(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:
        return value
    return None
