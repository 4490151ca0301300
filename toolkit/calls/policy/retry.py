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
_MAX_STATED_S: Final = 366 * 86_400.0
_MAX_BODY: Final = 100_000
_DURATION: Final = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h)?\s*$")
_UNIT_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def read_retry_after(
    headers: Mapping[str, str], body: bytes = b"", *, now: datetime | None = None
) -> float | None:
    """Seconds until the provider wants to be asked again; None where it does not say.

    Reads `retry-after-ms`, `retry-after` (seconds, a float, a duration, an HTTP date) and Google's
    `RetryInfo.retryDelay` in the body, in this order. Junk, zero, negative and endless values,
    dates gone by and more than a year count as not said, and the next form is read.

    Args:
        headers: response headers, names in lower case.
        body: the answer's body.
        now: the present moment, UTC, against which dates are read.
    """
    stated = headers.get("retry-after", "")
    forms = (
        (_read_number(headers.get("retry-after-ms", "")) or 0) / 1000,
        _read_duration(stated),
        _read_date(stated, now or datetime.now(UTC)),
    )
    if waits := [seconds for seconds in forms if seconds]:
        return waits[0]
    return _read_retry_info(body)


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
    match = _DURATION.match(text)
    if match is None:
        return None
    value = float(match[1]) * _UNIT_S[match[2]]
    return value if value <= _MAX_STATED_S else None


def _read_date(text: str, now: datetime) -> float | None:
    try:
        at = parsedate_to_datetime(text)
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
