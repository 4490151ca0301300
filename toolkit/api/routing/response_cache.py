"""Answers that are kept for the same request of the same token, where that is asked for.

Only an exact repetition finds an answer: model, messages and parameters must be the same. A hit
is a row of its own with `source = 'cache'`, which costs nothing and names the call it repeats.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import orjson
from uuid_utils import uuid7

from toolkit.api.formats.model_request import ModelRequest
from toolkit.errors import InvalidInput
from toolkit.records import Call, Receipt, Reply

CACHE_HEADER: Final = "x-toolkit-cache"
MAX_TTL_S: Final = 30 * 24 * 3600.0
_DEFAULT_TTL_S: Final = 300.0
_MAX_ENTRIES: Final = 1000
_MAX_BYTES: Final = 64 * 1024 * 1024


def read_ttl(text: str | None) -> float | None:
    """Seconds that the request header asks for; 0 is off, None where it is not sent.

    Raises:
        InvalidInput: it is neither `on`, `off` nor a number of seconds.
    """
    if text is None or not text.strip():
        return None
    value = text.strip().lower()
    if value in ("on", "off"):
        return _DEFAULT_TTL_S if value == "on" else 0.0
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_TTL_S:
        raise InvalidInput(
            f"`X-Toolkit-Cache` is `on`, `off` or a number of seconds, not {text[:50]!r}"
        )
    return seconds


def cache_key(token_name: str, request: ModelRequest) -> str:
    """What makes two requests the same: the token, the model, the conversation, the parameters."""
    parts = [token_name, request.model, request.messages, request.params]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class _Entry:
    reply: Reply
    dropped: tuple[str, ...]
    ends_at: float
    size: int


class ResponseCache:
    """Answers in memory, the least recently used ones dropped first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._size = 0

    def find(self, key: str) -> tuple[Reply, tuple[str, ...]] | None:
        """The kept answer and the parameters that were dropped for it, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.ends_at <= self._clock():
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry.reply, entry.dropped

    def keep(self, key: str, reply: Reply, dropped: tuple[str, ...], ttl_s: float) -> None:
        """Keep an answer for `ttl_s` seconds; a cut one (`length`) is not kept."""
        if reply.finish_reason not in ("stop", "tool_calls"):
            return
        size = _size_of(reply)
        if size > _MAX_BYTES // 16:
            return
        self._remove(key)
        slim = replace(reply, raw=None, attempts=reply.attempts[-1:])
        self._entries[key] = _Entry(slim, dropped, self._clock() + ttl_s, size)
        self._size += size
        while len(self._entries) > _MAX_ENTRIES or self._size > _MAX_BYTES:
            self._remove(next(iter(self._entries)))

    def _remove(self, key: str) -> None:
        if entry := self._entries.pop(key, None):
            self._size -= entry.size


def _size_of(reply: Reply) -> int:
    """Roughly the bytes of an answer; the question is kept with its row as well."""
    texts = len(reply.text) + len(reply.reasoning) + sum(len(c.arguments) for c in reply.tool_calls)
    parts = sum(len(part.data or "") + len(part.text or "") for part in reply.parts)
    asked = len(repr(reply.attempts[-1].messages)) if reply.attempts else 0
    return 2000 + 2 * (texts + parts + asked)


def repeat(reply: Reply, request: ModelRequest, token_name: str) -> Reply:
    """A kept reply as the answer to a new request, with a row that says so.

    The row's tags name the call that is repeated and what it cost; the new one costs nothing.
    """
    first = reply.attempts[-1]
    saved = {} if first.cost_usd is None else {"saved_usd": str(first.cost_usd)}
    call = Call(
        call_id=str(uuid7()),
        request_id=str(uuid7()),
        attempt=1,
        attempt_kind="first",
        origin="gateway",
        started_at=datetime.now(UTC),
        seq=0,
        provider=first.provider,
        model=first.model,
        response_model=first.response_model,
        stream=request.stream,
        source="cache",
        status="ok",
        finish_reason=first.finish_reason,
        input_tokens=first.input_tokens,
        output_tokens=first.output_tokens,
        cached_input_tokens=first.cached_input_tokens,
        reasoning_tokens=first.reasoning_tokens,
        usage_source=first.usage_source,
        cost_usd=Decimal(0),
        params=first.params,
        messages=first.messages,
        output_text=first.output_text,
        reasoning_text=first.reasoning_text,
        tool_calls=first.tool_calls,
        tags={**request.labels, "token": token_name, "cache_of": first.call_id, **saved},
        toolkit_version=first.toolkit_version,
        litellm_version=first.litellm_version,
        parsed_by=first.parsed_by,
    )
    return replace(
        reply,
        attempts=(call,),
        call_id=call.call_id,
        request_id=call.request_id,
        receipt=Receipt(cost_usd=Decimal(0)),
    )
