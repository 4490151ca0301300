"""What a provider's answer says, whichever API it came from.

`ParsedResponse` is the common form; one parser for each API style fills it, from a whole body or
event by event. litellm's own result is not used: it rewrites finish reasons, invents usage and
calls broken streams a success.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, Final, Literal

import orjson

from toolkit.calls.parsers.error_messages import ProviderWords
from toolkit.records import Choice, Part, ToolCall, Usage

Kind = Literal["text", "reasoning", "tool_call"]
Piece = tuple[Kind, str]
Style = Literal[
    "openai",
    "responses",
    "anthropic",
    "gemini",
    "converse",
    "cohere",
    "ollama",
    "litellm",
]

FIELDS_NOT_READ: Final = "fields_not_read"
COST_ELSEWHERE: Final = "cost_in_other_currency"
WRONG_TYPES: Final = "wrong_types"
USAGE_INVALID: Final = "usage_invalid"

_MAX_TOKENS: Final = 10**12
_MAX_UNREAD_FIELDS: Final = 64
_MAX_UNREAD_CHARS: Final = 4096


_FINISH_REASONS: Final[Mapping[str, str]] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "complete": "stop",
    "completed": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "refusal": "content_filter",
    "sensitive": "content_filter",  # Z.AI
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "model_armor": "content_filter",
    "image_safety": "content_filter",
    "image_prohibited_content": "content_filter",
    "image_recitation": "content_filter",
    "error_toxic": "content_filter",  # Cohere
}


@dataclass(slots=True)
class ToolDraft:
    """A tool call while its arguments are still arriving."""

    id: str | None
    name: str
    arguments: list[str] = field(default_factory=list)
    type: Literal["function", "custom"] = "function"
    provider_fields: dict[str, Any] = field(default_factory=dict)

    def finished(self) -> ToolCall:
        """The tool call so far; a function without any arguments gets an empty object."""
        nothing = "" if self.type == "custom" else "{}"
        return ToolCall(
            id=self.id,
            name=self.name,
            arguments="".join(self.arguments) or nothing,
            type=self.type,
            provider_fields=self.provider_fields,
        )

    @property
    def is_whole(self) -> bool:
        """Whether the arguments so far are a complete JSON value."""
        try:
            orjson.loads("".join(self.arguments))
        except orjson.JSONDecodeError:
            return False
        return True


@dataclass(slots=True)
class AudioDraft:
    """Audio while its pieces are still arriving."""

    data: list[str] = field(default_factory=list)
    transcript: list[str] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    def finished(self) -> Part:
        """The audio as one part."""
        return Part(
            type="audio",
            text="".join(self.transcript),
            data=join_base64(self.data),
            media_type=None,
            raw=self.raw,
        )


@dataclass(slots=True)
class ChoiceDraft:
    """One answer while it arrives; `n` greater than 1 brings several.

    Attributes:
        text, reasoning: pieces, in order.
        tools: tool calls in the order in which they were begun.
        finish: the provider's own finish reason.
        finish_message: what the provider says about it.
        refusal: the text of a refusal by a safety system.
        logprobs: log probabilities of the text's tokens.
        parts: images, citations and other content.
        audio: audio that is arriving.
        has_other: content that was received and is of no kind of `Part`.
    """

    index: int = 0
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tools: dict[int, ToolDraft] = field(default_factory=dict)
    finish: str | None = None
    finish_message: str | None = None
    refusal: str | None = None
    logprobs: list[Mapping[str, Any]] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    audio: AudioDraft | None = None
    has_other: bool = False

    @property
    def finish_reason(self) -> str | None:
        """The finish reason in OpenAI's terms, or the provider's own where it is none of them.

        Google has none of its own for a model that wants tools called, and some servers say
        `stop` then: what the answer holds decides, because agents branch on it.
        """
        if self.finish is None:
            return None
        reason = normalize_finish(self.finish)
        return "tool_calls" if reason == "stop" and self.tools else reason

    @property
    def has_content(self) -> bool:
        """Whether there is anything to give to the caller."""
        is_other = self.parts or self.audio or self.has_other
        return bool(self.text or self.reasoning or self.tools or is_other)

    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls in the order in which they were begun.

        Gemini and Ollama give calls no id, and the result of a tool is sent with the id of its
        call. So a call without one gets an id made from its place and its arguments.
        """
        calls = []
        for place, draft in enumerate(self.tools.values()):
            call = draft.finished()
            if call.id is None:
                digest = zlib.crc32(f"{call.name} {call.arguments}".encode("utf-8", "replace"))
                call = replace(call, id=f"call_{place}_{digest:08x}")
            calls.append(call)
        return tuple(calls)

    def all_parts(self) -> tuple[Part, ...]:
        """The parts, audio included."""
        audio = () if self.audio is None else (self.audio.finished(),)
        return (*audio, *self.parts)

    def finished(self) -> Choice:
        """The choice so far."""
        return Choice(
            index=self.index,
            text="".join(self.text),
            reasoning="".join(self.reasoning),
            tool_calls=self.tool_calls(),
            finish_reason=self.finish_reason,
            parts=self.all_parts(),
            logprobs=tuple(self.logprobs),
            refusal=self.refusal,
        )


@dataclass(slots=True)
class ParsedResponse(ChoiceDraft):
    """What an answer has said so far: its first choice, and what holds for all of it.

    Attributes:
        others: further choices by their index.
        tokens: counts by field of `Usage`; None where what the provider sent is not a count.
        service_tier: the tier that the provider says it used.
        cost_reported_usd: what the provider says the call cost.
        cost_elsewhere: the same in another currency, as stated (`1.2 CNY`); never counted as USD.
        response_model, response_id, system_fingerprint: as the provider names them.
        next_turn: members of the assistant message that the provider needs back.
        flags: oddities.
        unread: members that the parser does not know, by path.
        raw: the decoded body of a whole answer.
        error: an error inside an answer that began as a success.
        problem: why the answer cannot be trusted: a member is of the wrong type.
        vectors: embeddings, one for each text.
        is_recognised: something of this API's shape was received.
        is_null: the answer itself says that it has no content.
        is_ended: the API's own end mark was received.
    """

    others: dict[int, ChoiceDraft] = field(default_factory=dict)
    tokens: dict[str, int | None] = field(default_factory=dict)
    service_tier: str | None = None
    cost_reported_usd: Decimal | None = None
    cost_elsewhere: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    system_fingerprint: str | None = None
    next_turn: dict[str, Any] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    unread: dict[str, Any] = field(default_factory=dict)
    raw: Any = None
    error: ProviderWords | None = None
    problem: str | None = None
    vectors: tuple[tuple[float, ...], ...] = ()
    is_recognised: bool = False
    is_null: bool = False
    is_ended: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether every choice that was begun has its finish reason."""
        return self.finish is not None and all(
            other.finish is not None for other in self.others.values()
        )

    def choices(self) -> tuple[Choice, ...]:
        """Every choice, the first one first."""
        others = (self.others[index].finished() for index in sorted(self.others))
        return (self.finished(), *others)

    def usage(self) -> Usage:
        """Tokens by class, as far as the provider said."""
        known: dict[str, Any] = {n: count for n, count in self.tokens.items() if count is not None}
        if not known:
            return Usage(service_tier=self.service_tier)
        return Usage(**known, service_tier=self.service_tier, source="provider")

    def count(self, name: str, value: Any) -> int | None:
        """Note one token count and return it.

        What cannot be a count becomes None and a flag. Zero does not replace a count that was
        received before: some servers end with a chunk of empty usage.
        """
        number = self.read_count(value)
        if number is None:
            if value is not None:
                self.tokens[name] = None
            return None
        if number == 0 and self.tokens.get(name):
            return self.tokens[name]
        self.tokens[name] = number
        return number

    def counts(self, *counts: tuple[str, Any]) -> list[int | None]:
        """Note several token counts, each as `count` does."""
        return [self.count(name, value) for name, value in counts]

    def read_count(self, value: Any) -> int | None:
        """A count as a number; None, and a flag, where it cannot be one."""
        if value is None or (type(value) is int and 0 <= value < _MAX_TOKENS):
            return value
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 13:
            self.flags.add(USAGE_INVALID)
            return int(value)
        if isinstance(value, float) and value.is_integer() and 0 <= value < _MAX_TOKENS:
            return int(value)
        self.flags.add(USAGE_INVALID)
        return None

    def cost(self, value: Any, currency: Any = None) -> None:
        """Note a cost that the provider reports, in USD where no currency is named."""
        if value is None or isinstance(value, bool):
            return
        try:
            cost = Decimal(str(value)[:64])
        except InvalidOperation:
            return
        if not cost.is_finite() or cost < 0:
            return
        if currency is not None and str(currency).strip().upper() not in ("", "USD", "$"):
            self.cost_elsewhere = f"{cost} {str(currency).strip().upper()[:16]}"
            self.flags.add(COST_ELSEWHERE)
            self._keep_unread("usage.cost", self.cost_elsewhere)
        elif cost != 0 or not self.cost_reported_usd:
            self.cost_reported_usd = cost

    def refuse(self, path: str, value: Any) -> None:
        """Note that a member that carries content is of the wrong type; the first one counts."""
        if self.problem is None:
            self.problem = f"`{path}` is {_name_type(value)}"

    def flag_type(self, path: str, value: Any) -> None:
        """Note that a member that carries no content is of the wrong type."""
        self.flags.add(WRONG_TYPES)
        self._keep_unread(path, value)

    def as_object(self, value: Any, path: str) -> Mapping[str, Any] | None:
        """The object, or None where it is missing or empty; anything else is a problem."""
        if type(value) is dict:
            return value
        if value:
            self.refuse(path, value)
        elif isinstance(value, int | float):  # 0 and false are not "not said"
            self.flag_type(path, value)
        return None

    def as_list(self, value: Any, path: str) -> Sequence[Any]:
        """The list, empty where it is missing; anything else is a problem."""
        if type(value) is list:
            return value
        if value:
            self.refuse(path, value)
        elif isinstance(value, int | float):
            self.flag_type(path, value)
        return ()

    def as_text(self, value: Any, path: str) -> str:
        """The text, "" where it is missing; anything else is a problem."""
        if type(value) is str:
            return value
        if value is not None:
            self.refuse(path, value)
        return ""

    def as_label(self, value: Any, path: str) -> str | None:
        """A name or id, None where it is missing or empty; anything else is flagged."""
        if type(value) is str:
            return value or None
        if value is not None:
            self.flag_type(path, value)
        return None

    def note_unread(self, path: str, value: Mapping[str, Any], known: frozenset[str]) -> None:
        """Keep and flag the members of an object that are not known and not empty."""
        if known.issuperset(value):
            return
        for name in value.keys() - known:
            item = value[name]
            if item is None or item in ("", [], {}):
                continue
            self.flags.add(FIELDS_NOT_READ)
            self._keep_unread(f"{path}{name}", item)

    def _keep_unread(self, path: str, item: Any) -> None:
        held = self.unread.get(path)
        if held is None:
            if len(self.unread) < _MAX_UNREAD_FIELDS:
                self.unread[path[:200]] = _clip(item)
        elif isinstance(held, str) and isinstance(item, str) and len(held) < _MAX_UNREAD_CHARS:
            self.unread[path] = (held + item)[:_MAX_UNREAD_CHARS]


class ResponseParser(ABC):
    """Fills a `ParsedResponse` from one API style; use it for one answer.

    Attributes:
        reading: what the answer has said so far.
        expected_choices: how many choices were asked for.
        has_end_mark: whether streams of this API end with a mark of its own; where they do not,
            only the end of the body shows that nothing follows a finish reason.
        has_list_bodies: whether a whole answer may be the one item of a list, and not a list of
            the events of a stream.
    """

    has_end_mark: ClassVar[bool] = True
    has_list_bodies: ClassVar[bool] = False

    def __init__(self) -> None:
        self.reading: ParsedResponse = ParsedResponse()
        self.expected_choices: int = 1

    @abstractmethod
    def parse_event(self, name: str | None, value: Mapping[str, Any]) -> Sequence[Piece]:
        """Read one decoded event of a stream and return what it adds."""

    @abstractmethod
    def parse_body(self, value: Mapping[str, Any]) -> None:
        """Read a whole body."""

    def finish(self) -> Sequence[Piece]:
        """Complete what can only be completed at the end, and return what that adds."""
        return ()


def name_set(names: str) -> frozenset[str]:
    """The names in a text, for membership tests: the members that a reader knows."""
    return frozenset(names.split())


def normalize_finish(finish: str) -> str:
    """A finish reason in OpenAI's terms, or the provider's own where it is none of them."""
    if (known := _FINISH_REASONS.get(finish)) is not None:
        return known
    return _FINISH_REASONS.get(finish.lower().replace("-", "_"), finish)


def join_base64(pieces: Sequence[str]) -> str | None:
    """Base64 that came in pieces as one text; each piece may have been padded by itself."""
    if not pieces:
        return None
    joined = "".join(pieces)
    if "=" not in joined[:-2]:
        return joined
    try:
        data = b"".join(base64.b64decode(piece) for piece in pieces)
    except (binascii.Error, ValueError):
        return joined
    return base64.b64encode(data).decode()


def split_data_url(url: str) -> tuple[str | None, str | None, str | None]:
    """Address, base64 and MIME type of an address that may be a `data:` one."""
    if not url.startswith("data:"):
        return url, None, None
    head, _, data = url[5:].partition(",")
    return None, data, head.split(";")[0] or None


def as_json(value: Any) -> str:
    """A decoded value as JSON text."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a number of more than 64 bits
        return json.dumps(value)


def without(value: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A copy of an object that lacks some members."""
    return {name: item for name, item in value.items() if name not in names}


def _name_type(value: Any) -> str:
    if value == "":
        return "empty"
    if isinstance(value, bool):
        return "a boolean"
    names = {str: "a text", list: "a list", dict: "an object", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _clip(item: Any) -> Any:
    """An unknown member as it came, or the beginning of its JSON where it is long."""
    text = as_json(item)
    return item if len(text) <= _MAX_UNREAD_CHARS else text[:_MAX_UNREAD_CHARS]
