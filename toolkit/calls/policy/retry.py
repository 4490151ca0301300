"""When another try makes sense: Retry-After in every form, and back-off with full jitter."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

MAX_BACKOFF_S: Final = 8.0
FIRST_BACKOFF_S: Final = 0.5
_MS_HEADERS: Final = ("retry-after-ms", "x-ms-retry-after-ms")
_MAX_STATED_S: Final = 366 * 86_400.0
_MAX_BODY: Final = 100_000
_MAX_TEXT: Final = 4000
_NUMBER: Final = r"\d{1,12}(?:\.\d{1,12})?"
_UNIT: Final = r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)"
_PART: Final = re.compile(rf"({_NUMBER})\s{{0,3}}({_UNIT})(?![a-z])", re.I)
_PARTS: Final = rf"(?:{_NUMBER}\s{{0,3}}{_UNIT}(?![a-z])[\s,]{{0,3}}(?:and\s)?){{1,4}}"
_DURATION: Final = re.compile(rf"\s*(?:{_PARTS}|{_NUMBER})\s*", re.I)
# "Please try again in 1m3.2s" (OpenAI, Groq), "retry after 6 seconds" (Azure), "retry in 12.5s"
# (Google); a bare number is not believed: it may count something else.
_IN_WORDS: Final = re.compile(
    rf"\b(?:try\s+again|retry|retrying|wait)\s+(?:in|after|for)\s+(?:about\s+)?({_PARTS})", re.I
)
# A member of an error that says so; its name says the unit.
_MEMBER: Final = re.compile(
    rb'"(retry_?after(?:_?(?:ms|s|seconds))?)"\s{0,3}:\s{0,3}"?(\d{1,9}(?:\.\d{1,9})?)"?\s{0,3}[,}]',
    re.I,
)
_UNIT_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def read_retry_after(
    headers: Mapping[str, str], body: bytes = b"", *, now: datetime | None = None
) -> float | None:
    """Seconds until the provider wants to be asked again; None where it does not say.

    Reads `retry-after-ms` and Azure's `x-ms-retry-after-ms`, `retry-after` (seconds, a float, a
    duration such as `1m3.2s`, an HTTP or ISO date), Google's `RetryInfo.retryDelay`, a member
    `retry_after`, and words such as "try again in 20s" in the body, in this order. Junk, zero,
    negative and endless values, dates gone by and more than a year count as not said, and the
    next form is read.

    Args:
        headers: response headers, names in lower case.
        body: the answer's body.
        now: the present moment, UTC, against which dates are read.
    """
    stated = headers.get("retry-after", "")
    forms = (
        *((_read_number(headers.get(name, "")) or 0) / 1000 for name in _MS_HEADERS),
        _read_duration(stated),
        _read_date(stated, now or datetime.now(UTC)),
    )
    if waits := [seconds for seconds in forms if seconds]:
        return waits[0]
    return _read_retry_info(body) or _read_member(body) or _read_words(body)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between attempts: full jitter, U(0, min(longest, first * factor^(n-1))) seconds.

    Source: Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).

    Attributes:
        first_s: upper bound of the first wait.
        longest_s: upper bound of every wait.
        factor: how much longer each wait may be than the one before.
    """

    first_s: float = FIRST_BACKOFF_S
    longest_s: float = MAX_BACKOFF_S
    factor: float = 2.0

    def wait_s(self, attempts: int, rng: Callable[[], float]) -> float:
        """The wait after `attempts` attempts, 1 or more; `rng` returns a number in [0, 1)."""
        return rng() * min(self.longest_s, self.first_s * self.factor ** min(attempts - 1, 10))


def _read_number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _read_duration(text: str) -> float | None:
    if _DURATION.fullmatch(text[:100]) is None:
        return None
    parts = _PART.findall(text)
    value = sum(float(number) * _seconds_of(unit) for number, unit in parts)
    if not parts:
        value = float(text)
    return value if value <= _MAX_STATED_S else None


def _seconds_of(unit: str) -> float:
    unit = unit.lower()
    is_ms = unit == "ms" or unit.startswith("milli")
    return 0.001 if is_ms else _UNIT_S[unit[0]]


def _read_date(text: str, now: datetime) -> float | None:
    try:
        at = datetime.fromisoformat(text) if text[:2] == "20" else parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    seconds = (at - now).total_seconds()
    return seconds if 0 <= seconds <= _MAX_STATED_S else None


def _read_retry_info(body: bytes) -> float | None:
    if b"retryDelay" not in body or len(body) > _MAX_BODY:
        return None
    try:
        whole = json.loads(body)
    except (ValueError, RecursionError):
        return None
    delay = _find_retry_delay(whole)
    return None if delay is None else _read_duration(delay)


def _read_member(body: bytes) -> float | None:
    """Seconds in a member such as `retry_after` or `retry_after_ms`."""
    match = _MEMBER.search(body[:_MAX_TEXT])
    if match is None:
        return None
    seconds = float(match[2]) / (1000 if match[1].lower().endswith(b"ms") else 1)
    return seconds if 0 < seconds <= _MAX_STATED_S else None


def _read_words(body: bytes) -> float | None:
    """Seconds in a message such as "try again in 1m3.2s"."""
    match = _IN_WORDS.search(body[:_MAX_TEXT].decode("utf-8", "replace"))
    return None if match is None else (_read_duration(match[1]) or None)


def _find_retry_delay(value: Any, depth: int = 0) -> str | None:
    if depth > 8:
        return None
    if isinstance(value, Mapping):
        if isinstance(value.get("retryDelay"), str):
            return str(value["retryDelay"])
        children: Any = value.values()
    elif isinstance(value, list):
        children = value
    else:
        return None
    return next(
        (found for child in children if (found := _find_retry_delay(child, depth + 1))), None
    )
