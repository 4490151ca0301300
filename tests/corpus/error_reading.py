"""What an error answer means: the status decides, the provider's words where it is ambiguous.

Part of the judge: it imports nothing of the toolkit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_SAID: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "AUTHENTICATION_FAILED",
        ("api_key_invalid", "incorrect api key", "security token included in the request is inva"),
    ),
    ("QUOTA_EXCEEDED", ("credit balance is too low", "insufficient_quota")),
    (
        "CONTEXT_WINDOW_EXCEEDED",
        (
            "context_length_exceeded",
            "maximum context length",
            "prompt is too long",
            "input is too long",
            "input token count",
            "maximum prompt length",
            "too many tokens",
        ),
    ),
    (
        "MODEL_NOT_FOUND",
        ("invalid model:", "is not a valid model id", "model identifier is invalid"),
    ),
)
_BY_STATUS = {
    401: "AUTHENTICATION_FAILED",
    402: "QUOTA_EXCEEDED",
    403: "PERMISSION_DENIED",
    404: "MODEL_NOT_FOUND",
    408: "TIMEOUT",
    429: "RATE_LIMIT_EXCEEDED",
}


def name_error(status: int, words: str) -> str:
    """The code of an error answer: the status decides, for 400 and 403 what it says."""
    if status >= 500:
        return "SERVER_ERROR"
    if status == 404 and not words.strip():
        return "PARSE_ERROR"  # nobody said anything about a model: no API answers there
    if status == 429:
        is_spent = "insufficient_quota" in words
        return "QUOTA_EXCEEDED" if is_spent else "RATE_LIMIT_EXCEEDED"
    if status in (400, 403):
        said = words.lower()
        found = (code for code, phrases in _SAID if any(phrase in said for phrase in phrases))
        if code := next(found, None):
            return code
    return _BY_STATUS.get(status, "CLIENT_ERROR")


def name_inner_error(error: Any) -> str:
    """The code of an error object inside an answer that began with status 200."""
    if not isinstance(error, dict):
        return "SERVER_ERROR"
    status = error.get("status_code") or error.get("code")
    return name_error(status if isinstance(status, int) else 500, json.dumps(error))


def read_stated_wait(headers: Mapping[str, str], words: str) -> float | None:
    """Whole seconds of `Retry-After`, or Google's `retryDelay`; no seconds are no wait."""
    if (stated := headers.get("retry-after", "")).isdecimal():
        return float(stated) or None
    if found := re.search(r'"retryDelay":\s*"(\d+(?:\.\d+)?)s"', words):
        return float(found[1])
    return None
