"""The built-in processors: limits, redaction, budgets, default parameters, templates."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from toolkit.calls.tokens import estimate_tokens
from toolkit.errors import BudgetExceeded, ContextWindowExceeded
from toolkit.records import Call, ChatRequest, Message


@dataclass(frozen=True, slots=True)
class InputTokenLimit:
    """Refuses a request whose input is longer than about `max_tokens` tokens."""

    max_tokens: int

    def before(self, request: ChatRequest) -> ChatRequest:
        """Raises: ContextWindowExceeded: it is longer."""
        tokens = estimate_tokens(request.messages)
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
    """Replaces what matches a pattern in every message before it is sent and stored.

    Args:
        patterns: regular expressions, with what to put in place of each match.
    """

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._patterns = [(re.compile(p), put) for p, put in patterns.items()]

    def before(self, request: ChatRequest) -> ChatRequest:
        """The request with every match replaced."""
        messages = tuple(
            {**message, "content": self._clean(message.get("content"))}
            for message in request.messages
        )
        return replace(request, messages=messages)

    def _clean(self, content: Any) -> Any:
        if isinstance(content, str):
            for pattern, put in self._patterns:
                content = pattern.sub(put, content)
            return content
        if isinstance(content, Sequence):
            return [
                {**part, "text": self._clean(part["text"])}
                if isinstance(part, Mapping) and "text" in part
                else part
                for part in content
            ]
        return content


@dataclass(frozen=True, slots=True)
class DefaultParams:
    """Gives every request parameters that it does not set itself."""

    params: Mapping[str, Any]

    def before(self, request: ChatRequest) -> ChatRequest:
        """The request with the missing parameters."""
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
        with self._lock:
            held = sum(self._reserved.values(), self.spent_usd())
            if held + estimate > self.cap_usd:
                raise BudgetExceeded(
                    f"{self.name} of ${self.cap_usd} would be passed: ${held:.6f} is spent or "
                    f"reserved, and this call may cost ${estimate:.6f}",
                    model=request.model,
                    request_id=request.request_id,
                    hint="Raise the cap, or lower `max_tokens`.",
                )
            self._reserved[request.request_id] = estimate
        return request

    def ended(self, request: ChatRequest, attempts: Iterable[Call]) -> None:
        """Give back what was reserved; what was really spent stands in the ledger."""
        with self._lock:
            self._reserved.pop(request.request_id, None)
