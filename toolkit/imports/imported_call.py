"""A call read from another tool's file, and the row that it becomes.

The id of a row is made of the file's own, so that a file imported twice is imported once; it is a
UUIDv7 of the call's own time, so that ids still sort by time.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from toolkit.records import Call, Operation, Status
from toolkit.version import __version__

_MAX_NAME: Final = 200
# Model names without a provider: by their beginning.
_PROVIDERS_BY_MODEL: Final = (
    (("gpt-", "o1", "o3", "o4", "chatgpt", "text-embedding-", "davinci", "dall-e"), "openai"),
    (("claude",), "anthropic"),
    (("gemini",), "gemini"),
    (("mistral", "codestral", "ministral"), "mistral"),
    (("deepseek",), "deepseek"),
    (("grok",), "xai"),
    (("command",), "cohere"),
)


class NotUnderstood(ValueError):
    """An entry that is not read, and why; the reason is counted, so it names no single entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedCall:
    """One call as another tool recorded it.

    Attributes:
        key: what identifies it in its tool, the same in every export.
        started_at: when it was made, UTC.
        model: `provider/model_id`.
        request_id: what several calls of one request share; None: `key`.
    """

    key: str
    started_at: datetime
    model: str
    request_id: str | None = None
    response_model: str | None = None
    operation: Operation = "chat"
    status: Status = "ok"
    error_code: str | None = None
    error_message: str | None = None
    stream: bool = False
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: Decimal | None = None
    duration_ms: float | None = None
    ttft_ms: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    messages: list[Mapping[str, Any]] | None = None
    output_text: str | None = None
    reasoning_text: str | None = None
    tool_calls: list[Mapping[str, Any]] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    def as_row(self, tool: str, seq: int, *, has_content: bool) -> dict[str, Any]:
        """The row of `calls`; prompts and answers only where the recording policy keeps them."""
        has_usage = self.input_tokens is not None or self.output_tokens is not None
        values: dict[str, Any] = {name: getattr(self, name) for name in _SAME}
        if has_content:
            values |= {name: getattr(self, name) for name in _CONTENT}
        return Call(
            call_id=_make_id(tool, self.key, self.started_at),
            request_id=_make_id(tool, self.request_id or self.key, self.started_at),
            attempt=1,
            attempt_kind="first",
            origin="import",
            seq=seq,
            provider=self.model.partition("/")[0],
            source="import",
            usage_source="provider" if has_usage else "none",
            cost_source="reported" if self.cost_usd is not None else None,
            cost_reported_usd=self.cost_usd,
            tags={"imported_from": tool, **self.tags},
            recorded_by="import",
            toolkit_version=__version__,
            **values,
        ).as_row()


_CONTENT: Final = ("messages", "output_text", "reasoning_text", "tool_calls")
_OWN: Final = ("key", "request_id", "tags", *_CONTENT)
_SAME: Final = tuple(name for name in ImportedCall.__slots__ if name not in _OWN)


@dataclass(slots=True)
class Findings:
    """What a file holds: its calls, and what was not understood.

    Attributes:
        tool: which tool wrote the file.
        calls: calls in the file's order.
        skipped: entries that were not read, counted by reason.
        fields_not_read: names of fields that have no place in a row.
    """

    tool: str
    calls: list[ImportedCall] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    fields_not_read: set[str] = field(default_factory=set)

    def read_each(
        self, entries: Iterable[Any], read: Callable[[Mapping[str, Any]], ImportedCall | None]
    ) -> None:
        """Read each entry; count those that cannot be read. None is an entry without a call."""
        for entry in entries:
            if not isinstance(entry, Mapping):
                self.skipped["not an object"] += 1
                continue
            try:
                call = read(entry)
            except NotUnderstood as error:
                self.skipped[str(error)] += 1
            except KeyError as error:
                self.skipped[f"the field {error.args[0]!r} is missing"] += 1
            except (ValueError, TypeError, AttributeError, OverflowError) as error:
                self.skipped[f"a value of an unexpected form ({type(error).__name__})"] += 1
            else:
                if call is not None:
                    self.calls.append(call)

    def note_fields(self, entry: Mapping[str, Any], known: Iterable[str]) -> None:
        """Note the fields of an entry that are set and not read."""
        used = {name for name, value in entry.items() if value not in (None, "", [], {})}
        self.fields_not_read |= used - set(known)


def require_moment(value: Any) -> datetime:
    """A time in ISO 8601 or seconds since the epoch, as UTC.

    Raises:
        NotUnderstood: it is neither.
    """
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        text = str(value).strip()
        if text.replace(".", "", 1).isdigit():
            return datetime.fromtimestamp(float(text), UTC)
        when = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        raise NotUnderstood("a time that is not a time") from None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def find_count(value: Any) -> int | None:
    """A count of tokens, None where there is none.

    Raises:
        NotUnderstood: it is not a count.
    """
    if value in (None, ""):
        return None
    try:
        count = int(float(value))
    except (TypeError, ValueError, OverflowError):
        raise NotUnderstood("a count of tokens that is not a number") from None
    if count < 0:
        raise NotUnderstood("a negative count of tokens")
    return count


def find_money(value: Any) -> Decimal | None:
    """An amount in USD; None where there is none, and for 0, which tools write for unknown.

    Raises:
        NotUnderstood: it is not an amount.
    """
    if value in (None, ""):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise NotUnderstood("a cost that is not a number") from None
    if not amount.is_finite() or amount < 0:
        raise NotUnderstood("a cost that is not a number")
    return amount or None


def model_name(model: str, provider: str | None, otherwise: str) -> str:
    """`provider/model_id`, the provider guessed from the model's name where none is given."""
    model = model.strip()[:_MAX_NAME]
    if not model:
        raise NotUnderstood("no name of a model")
    if provider:
        return model if model.startswith(f"{provider}/") else f"{provider}/{model}"
    if "/" in model:
        return model
    for beginnings, owner in _PROVIDERS_BY_MODEL:
        if model.lower().startswith(beginnings):
            return f"{owner}/{model}"
    return f"{otherwise}/{model}"


def _make_id(tool: str, key: str, at: datetime) -> str:
    digest = int.from_bytes(hashlib.sha256(f"{tool}\0{key}".encode()).digest()[:10])
    milliseconds = max(0, int(at.timestamp() * 1000)) & (2**48 - 1)
    high = milliseconds << 16 | 0x7000 | (digest >> 62 & 0xFFF)
    return str(uuid.UUID(int=high << 64 | 0b10 << 62 | digest & (2**62 - 1)))
