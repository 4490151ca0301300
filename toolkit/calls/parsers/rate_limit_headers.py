"""What is left of a rate limit, read from the headers of any provider."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

_MAX_COUNT: Final = 10**15
_MAX_RESET_S: Final = 366 * 86_400.0
_EPOCH_FROM_S: Final = 1_000_000_000.0
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)")
_UNIT_S: Final = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0,
}  # fmt: skip

# Where "limit", "remaining" and "reset" are in a name, by what is counted; each name is one
# window of one provider, and the first window that is there counts. Anthropic, OpenAI and those
# who copy them, Cerebras, Mistral, Fireworks, Together, GitHub, Hugging Face, OpenRouter.
_WINDOWS: Final[Mapping[str, tuple[str, ...]]] = {
    "requests": (
        "x-ratelimit-{}-requests",
        "anthropic-ratelimit-requests-{}",
        "x-ratelimit-{}-requests-minute",
        "x-ratelimit-{}-req-minute",
        "x-ratelimit-{}-minute",
        "x-ratelimit-{}-requests-day",
        "ratelimit-{}-requests",
        "x-ratelimit-{}",
        "ratelimit-{}",
        "x-rate-limit-{}",
    ),
    "tokens": (
        "x-ratelimit-{}-tokens",
        "anthropic-ratelimit-tokens-{}",
        "anthropic-ratelimit-input-tokens-{}",
        "x-ratelimit-{}-tokens-minute",
        "x-ratelimitbysize-{}-minute",
        "ratelimitbysize-{}",
        "x-ratelimit-{}-tokens-prompt",
        "ratelimit-{}-tokens",
    ),
}


def read_ratelimit_headers(
    headers: Mapping[str, str], at: datetime | None = None
) -> dict[str, Any]:
    """The `ratelimit_*` columns of a row; None where the provider does not say.

    Args:
        headers: response headers, names in lower case.
        at: when they came, UTC, against which dates and epochs are read.

    Returns:
        `ratelimit_limit_requests`, `..._remaining_...` (counts) and `..._reset_..._s` (seconds
        until it is full again), for requests and tokens.
    """
    if not any("ratelimit" in name or "rate-limit" in name for name in headers):
        return {}
    at = at or datetime.now(UTC)
    columns: dict[str, Any] = {}
    for counted, windows in _WINDOWS.items():
        window = _find_window(headers, windows)
        limit, remaining, reset = (
            headers.get(window.format(word)) if window else None
            for word in ("limit", "remaining", "reset")
        )
        reset_s = _read_reset(reset, at)
        period_s = _read_reset(headers.get(f"x-ratelimit-renewalperiod-{counted}"), at)
        if reset_s is not None and period_s is not None and reset_s > period_s:
            reset_s /= 1000  # Azure: later than a whole period can only be milliseconds
        columns[f"ratelimit_limit_{counted}"] = _read_count(limit)
        columns[f"ratelimit_remaining_{counted}"] = _read_count(remaining)
        columns[f"ratelimit_reset_{counted}_s"] = reset_s
    return columns


def _find_window(headers: Mapping[str, str], windows: Iterable[str]) -> str | None:
    """The window with most headers: what remains of one is not a share of another's limit."""

    def said(window: str) -> int:
        return sum(window.format(word) in headers for word in ("limit", "remaining", "reset"))

    best = max(windows, key=lambda window: (window.format("remaining") in headers, said(window)))
    return best if said(best) else None


def _read_count(text: str | None) -> int | None:
    """A whole number; several of them (`100;w=60, 1000`) give the first.

    Some say 2^63 or 2^64 for "no limit": what no account can have is unknown.
    """
    if text is None:
        return None
    first = re.split(r"[,;\s]", text.strip(), maxsplit=1)[0]
    try:
        value = float(first)
    except ValueError:
        return None
    return int(value) if math.isfinite(value) and 0 <= value <= _MAX_COUNT else None


def _read_reset(text: str | None, at: datetime) -> float | None:
    """Seconds from a duration (`6m0s`, `20ms`), a number, an epoch or a date."""
    if text is None:
        return None
    text = text.strip()
    seconds = _read_seconds(text, at)
    if seconds is None or not math.isfinite(seconds) or seconds > _MAX_RESET_S:
        return None
    return max(0.0, seconds)


def _read_seconds(text: str, at: datetime) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return _read_duration(text) if _PART.match(text) else _read_date(text, at)
    if value >= _EPOCH_FROM_S * 1000:
        value /= 1000
    return value - at.timestamp() if value >= _EPOCH_FROM_S else value


def _read_duration(text: str) -> float | None:
    if _PART.sub("", text):
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(text))


def _read_date(text: str, at: datetime) -> float | None:
    try:
        reset = datetime.fromisoformat(text)
    except ValueError:
        return None
    reset = reset if reset.tzinfo else reset.replace(tzinfo=UTC)
    return (reset - at).total_seconds()
