"""What one attempt is to do, and how it ended: what the policy and an attempt exchange."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from toolkit.errors import CallError
from toolkit.keys.service import ResolvedKey
from toolkit.providers.provider import Provider
from toolkit.records import AttemptKind, Call, ChatRequest, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnd:
    """How an attempt ended, as the policy needs to know it.

    Attributes:
        status: `ok`, `error` or `cancelled`.
        error: why it failed.
        total_tokens: input and output tokens, where the provider counted them.
        call: its row.
    """

    status: Status
    error: CallError | None = None
    total_tokens: int | None = None
    call: Call | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSpec:
    """What one attempt is to do.

    Attributes:
        provider, model_id: what is called.
        request: what is sent, with the provider's defaults.
        key: the key in use, or None.
        number, kind: its position among the attempts of the request, and why it is made.
        queue_ms: how long it waited for our own rate limits.
        total_at: the request's deadline, a moment of `time.monotonic`.
        earlier: the rows of the request's earlier attempts.
        dropped: parameters left out because the provider refused them before.
        wants_usage: request usage at the end of a stream.
        settle: called once with how the attempt ended (a stream: at its end).
    """

    provider: Provider
    model_id: str
    request: ChatRequest
    key: ResolvedKey | None = None
    number: int = 1
    kind: AttemptKind = "first"
    queue_ms: float | None = None
    total_at: float
    earlier: tuple[Call, ...] = ()
    dropped: tuple[str, ...] = ()
    wants_usage: bool = True
    settle: Callable[[AttemptEnd], None] = lambda end: None

    @property
    def model(self) -> str:
        """`provider/model_id`."""
        return f"{self.provider.name}/{self.model_id}"
