"""The built-in processors: limits, redaction, budgets, default parameters, templates."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from toolkit.errors import BudgetExceeded, ContextWindowExceeded
from toolkit.pricing.token_estimate import estimate_tokens
from toolkit.records import Call, ChatRequest, Message

# Names and addresses in a message; what is said stands beside them.
_NOT_SAID: Final = frozenset({"role", "type", "id", "tool_call_id", "image_url", "input_audio"})


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
    """Replaces what matches a pattern in everything that is said, before it is sent and stored.

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
                key: inner if key in _NOT_SAID else self._clean(inner)
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
        user: form of each user text, with `{text}` where it stands.
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


@dataclass
class BudgetCap:
    """Refuses a request that could take the spending past a cap; holds with calls in flight.

    Attributes:
        cap_usd: the cap, USD.
        spent_usd: what was spent so far in the span that the cap is for (read from the ledger).
        estimate_usd: the most that a request may cost; None where it has no price.
        name: what the cap is called in the error.
    """

    cap_usd: Decimal
    spent_usd: Callable[[], Decimal]
    estimate_usd: Callable[[ChatRequest], Decimal | None]
    name: str = "the daily budget"
    _reserved: dict[str, Decimal] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def before(self, request: ChatRequest) -> ChatRequest:
        """Reserve what the request may cost.

        Raises:
            BudgetExceeded: the cap would be passed. A cap of zero lets only calls without a
                price through.
        """
        estimate = self.estimate_usd(request)
        if estimate is None:
            return request
        spent = self.spent_usd()
        with self._lock:
            held = sum(self._reserved.values(), spent)
            if held + estimate > self.cap_usd:
                raise _over(self.name, self.cap_usd, held, estimate, request)
            self._reserved[request.request_id] = estimate
        return request

    def ended(self, request: ChatRequest, attempts: Iterable[Call]) -> None:
        """Give back what was reserved; what was really spent stands in the ledger."""
        with self._lock:
            self._reserved.pop(request.request_id, None)


@dataclass
class RunBudget:
    """A cap for one run: the requests of one `origin_id` (an eval run, a board, ...).

    Attributes:
        origin_id: the run.
        cap_usd: the cap, USD.
        estimate_usd: the most that a request may cost; None where it has no price.
        spent_usd: what the run has spent; give it what a resumed run spent before.
    """

    origin_id: str
    cap_usd: Decimal
    estimate_usd: Callable[[ChatRequest], Decimal | None]
    spent_usd: Decimal = Decimal(0)
    _cap: BudgetCap = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._cap = BudgetCap(
            self.cap_usd,
            lambda: self.spent_usd,
            self.estimate_usd,
            f"the budget of {self.origin_id}",
        )

    def before(self, request: ChatRequest) -> ChatRequest:
        """Reserve what the request may cost, if it is one of the run's.

        Raises:
            BudgetExceeded: the cap would be passed.
        """
        return self._cap.before(request) if request.origin_id == self.origin_id else request

    def ended(self, request: ChatRequest, attempts: Iterable[Call]) -> None:
        """Count what the request really cost, failed attempts included."""
        if request.origin_id == self.origin_id:
            self.spent_usd += sum((call.cost_usd or Decimal(0) for call in attempts), Decimal(0))
            self._cap.ended(request, attempts)


def _over(
    name: str, cap: Decimal, held: Decimal, estimate: Decimal, request: ChatRequest
) -> BudgetExceeded:
    return BudgetExceeded(
        f"{name} of ${cap} would be passed: ${held:.6f} is spent or "
        f"reserved, and this call may cost ${estimate:.6f}",
        model=request.model,
        request_id=request.request_id,
        hint="Raise the cap, or lower `max_tokens`.",
    )
