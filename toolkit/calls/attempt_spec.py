"""What one attempt is to do, how it ended, and where its answer comes from.

The policy and an attempt exchange `AttemptSpec` and `AttemptEnd`. The source is a fact of the
process and not of a task: a cassette patches the HTTP libraries of the whole process, so a
background probe is played from it as well, and its row says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from toolkit.errors import CallError, KeyRequired
from toolkit.keys.service import ResolvedKey
from toolkit.providers.provider import Provider
from toolkit.records import AttemptKind, Call, ChatRequest, Source, Status
from toolkit.secret import Secret


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


K = TypeVar("K")
KeyFor = Callable[["Provider", Secret | None], K | None]

STAND_IN_KEY: Final = "stand-in-key-of-an-offline-replay"
"""Used in replay where there is no key: nobody is called, so a test needs none."""

_stack: list[Source] = ["live"]


def current_source() -> Source:
    """What a row written now says of its source."""
    return _stack[-1]


@contextmanager
def marked_source(source: Source) -> Iterator[None]:
    """Every call of the process has this source while the block runs."""
    _stack.append(source)
    try:
        yield
    finally:
        _stack.pop()


def keyless_in_replay(key_for: KeyFor[K]) -> KeyFor[K]:
    """`key_for`, which in replay gives a stand-in where a key is needed and there is none."""

    def find_key(provider: Provider, explicit: Secret | None) -> K | None:
        is_replay = current_source() == "replay"
        try:
            found = key_for(provider, explicit)
        except KeyRequired:
            if not is_replay:
                raise
            found = None
        if found is None and is_replay and provider.needs_key:
            return key_for(provider, Secret(STAND_IN_KEY))
        return found

    return find_key
