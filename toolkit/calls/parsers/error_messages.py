"""What providers' error bodies mean: status first, their words where the status is ambiguous.

The wordings are those of recorded answers of some forty providers; a status can be shared by
quite different failures (429 for an empty account, 400 for a wrong key).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from toolkit.calls.parsers.parsed_response import ProviderWords
from toolkit.errors import (
    AuthenticationFailed,
    CallError,
    ContentFiltered,
    ContextWindowExceeded,
    InvalidRequest,
    ModelNotFound,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    RequestTimeout,
    ServerError,
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """A class of failure with its finer cause."""

    kind: type[CallError]
    cause: str


AUTH: Final = Meaning(AuthenticationFailed, "auth")
PERMISSION: Final = Meaning(PermissionDenied, "permission")
NO_MODEL: Final = Meaning(ModelNotFound, "model_not_found")
CONTEXT: Final = Meaning(ContextWindowExceeded, "context_length")
FILTERED: Final = Meaning(ContentFiltered, "content_filter")
QUOTA: Final = Meaning(QuotaExceeded, "quota")
RATE: Final = Meaning(RateLimited, "rate_limit")
BAD_REQUEST: Final = Meaning(InvalidRequest, "bad_request")
TOO_LARGE: Final = Meaning(InvalidRequest, "too_large_request")
OVERLOADED: Final = Meaning(ServerError, "overloaded")
UNAVAILABLE: Final = Meaning(ServerError, "unavailable")
SERVER: Final = Meaning(ServerError, "server")
CONFLICT: Final = Meaning(ServerError, "conflict")
TIMED_OUT: Final = Meaning(RequestTimeout, "timeout_read")

_CONTEXT_WORDS = re.compile(
    r"context_length|context length|context window|context size|maximum context"
    r"|prompt is too long|input is too long|input length .{0,40}exceed|too many (?:input )?tokens"
    r"|reduce the length of the (?:messages|prompt|input)|string_above_max_length"
    r"|input token count .{0,60}exceeds|exceeds the maximum number of tokens"
    r"|maximum (?:prompt|input) length|exceed_context_size|longer than the model"
    r"|prompt (?:has|contains) .{0,30}tokens.{0,60}(?:max|limit)|tokens_limit_reached",
    re.I | re.S,
)
_FILTER_WORDS = re.compile(
    r"content_filter|content_policy|content management policy|responsible ?ai ?policy"
    r"|safety system|data_inspection_failed|flagged (?:as|by|for)|requires moderation"
    r"|content exists risk|violat\w+ .{0,30}(?:usage|content) polic",
    re.I | re.S,
)
_QUOTA_WORDS = re.compile(
    r"insufficient_quota|insufficient (?:balance|credits?|funds|quota)|credit balance is too low"
    r"|out of credits|billing_(?:not_active|hard_limit)|payment required|purchase more credits"
    r"|requires? more credits|exceeded your (?:current|monthly) (?:quota|included credits)"
    r"|no (?:active )?subscription|spending limit",
    re.I,
)
_AUTH_WORDS = re.compile(
    r"api[_ ]key[_ ](?:not[_ ]valid|invalid|expired)|invalid[_ ](?:x-)?api[_ -]?key"
    r"|incorrect api key|authentication_error|unauthenticated|invalid authentication"
    r"|missing (?:authentication|api key)|no auth credentials"
    r"|security token .{0,40}(?:invalid|expired)",
    re.I,
)
_MODEL_WORDS = re.compile(
    r"model_not_found|model_not_available|model_decommissioned|unknown[_ ]model|no such model"
    r"|invalid[_ ]model\b|not a valid model|model not (?:exist|found)"
    r"|model identifier is invalid"
    r"|models?/\S+ (?:is|was) not found"
    r"|model\b.{0,120}(?:does not exist|not found|is not supported for|not available)"
    r"|model\b.{0,120}decommissioned"
    r"|no endpoints found|deploymentnotfound|\bmodel:",
    re.I | re.S,
)
_REGION_WORDS = re.compile(
    r"location is not supported|unsupported_country|not available in your (?:country|region)",
    re.I,
)
_RATE_WORDS = re.compile(r"rate[_ ]limit|too many requests|resource_exhausted|throttl", re.I)
_OVERLOADED_WORDS = re.compile(r"overloaded|over capacity|engine_overloaded|at capacity", re.I)
_SERVER_WORDS = re.compile(
    r"server_error|internal|api_error|unavailable|upstream|bad gateway|timeout", re.I
)


def find_meaning(status: int | None, words: ProviderWords) -> Meaning:
    """What an error means.

    Args:
        status: HTTP status of the answer, or the one inside the body of a 200.
        words: what the provider said; its message may be empty.
    """
    status = status if status is not None and status >= 400 else words.status
    text = f"{words.code} {words.type} {words.message}"
    if status is None:
        return _by_words(text)
    if status >= 500:
        return _server(status, text)
    if status in _BY_WORDS_TOO:
        return _BY_WORDS_TOO[status](text)
    return _BY_STATUS.get(status) or _bad_request(text, TOO_LARGE if status == 413 else BAD_REQUEST)


def _server(status: int, text: str) -> Meaning:
    if status == 529 or _OVERLOADED_WORDS.search(text):
        return OVERLOADED
    return UNAVAILABLE if status in (502, 503, 504) else SERVER


def _too_many(text: str) -> Meaning:
    # Google says "exceeded your current quota" for a limit per minute.
    if _QUOTA_WORDS.search(text) and "RESOURCE_EXHAUSTED" not in text:
        return QUOTA
    return RATE


def _forbidden(text: str) -> Meaning:
    if _QUOTA_WORDS.search(text):
        return QUOTA
    if _FILTER_WORDS.search(text):
        return FILTERED
    return AUTH if _AUTH_WORDS.search(text) else PERMISSION


def _bad_request(text: str, otherwise: Meaning) -> Meaning:
    """A 4xx that may mean anything: the provider's words decide."""
    for pattern, meaning in (
        (_AUTH_WORDS, AUTH),
        (_QUOTA_WORDS, QUOTA),
        (_FILTER_WORDS, FILTERED),
        (_CONTEXT_WORDS, CONTEXT),
        (_REGION_WORDS, PERMISSION),
        (_MODEL_WORDS, NO_MODEL),
    ):
        if pattern.search(text):
            return meaning
    return otherwise


def _by_words(text: str) -> Meaning:
    """An error without any status: inside a 200, or in the middle of a stream."""
    for pattern, meaning in ((_OVERLOADED_WORDS, OVERLOADED), (_RATE_WORDS, RATE)):
        if pattern.search(text) and not _QUOTA_WORDS.search(text):
            return meaning
    found = _bad_request(text, SERVER)
    if found is not SERVER:
        return found
    invalid = "invalid_request" in text or "INVALID_ARGUMENT" in text
    return BAD_REQUEST if invalid and not _SERVER_WORDS.search(text) else SERVER


_BY_STATUS: Final[Mapping[int, Meaning]] = {
    401: AUTH,
    402: QUOTA,
    404: NO_MODEL,
    408: TIMED_OUT,
    409: CONFLICT,
}
_BY_WORDS_TOO: Final[Mapping[int, Callable[[str], Meaning]]] = {403: _forbidden, 429: _too_many}
