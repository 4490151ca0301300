"""What providers' error messages mean: an error class for each, by status and by text.

The status decides; the text does where a status is shared by quite different failures (429 for
an account without credit, 400 for a wrong key). The patterns come from recorded answers of some
forty providers. Only the beginning and the end of a message are searched, so that a message of
any length costs the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from toolkit.errors import (
    AuthenticationFailed,
    CallError,
    ContentFiltered,
    ContextWindowExceeded,
    InvalidRequest,
    MalformedResponse,
    ModelNotFound,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    RequestTimeout,
    ServerError,
)

_SEARCHED_HEAD: Final = 4000
_SEARCHED_TAIL: Final = 1000
_MAX_RAW: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderWords:
    """An error as the provider describes it, found in a body or an event."""

    message: str
    code: str = ""
    type: str = ""
    status: int | None = None


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
NOT_CHAT: Final = Meaning(ModelNotFound, "wrong_endpoint")
MALFORMED: Final = Meaning(MalformedResponse, "failed_finish")
UNSIGNED: Final = Meaning(InvalidRequest, "missing_thought_signature")

_CONTEXT_WORDS = re.compile(
    r"context_length_exceeded|exceed_context_size|string_above_max_length|tokens_limit_reached"
    r"|maximum context|longer than the model|prompt is too long|input is too long"
    r"|context[ _](?:length|window|size)[^.\n]{0,80}(?:exceed|too (?:long|large|small)|maximum)"
    r"|(?:exceed\w*|(?:long|larg|great)er than|beyond|fits? (?:in|into|within)|over)\b"
    r"[^.\n]{0,60}context[ _](?:length|window|size)"
    r"|input length .{0,40}exceed|too many (?:input )?tokens"
    r"|reduce the length of the (?:messages|prompt|input)"
    r"|input token count .{0,60}exceeds|exceeds the maximum number of tokens"
    r"|maximum (?:prompt|input) length|prompt (?:has|contains) .{0,30}tokens.{0,60}(?:max|limit)",
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
# A message that names the model while it refuses something else is about that something.
_NOT_ELSE = r"(?:(?!\b(?:param\w*|tools?|functions?|files?|images?|messages?|fields?|role|value)\b)"
_MODEL_WORDS = re.compile(
    r"model_not_found|model_not_available|model_decommissioned|unknown[_ ]model|no such model"
    r"|invalid[_ ]model\b|not a valid model|model not (?:exist|found)"
    r"|model identifier is invalid|no endpoints found|deploymentnotfound"
    r"|models?/\S+ (?:is|was) not (?:found|supported)"
    rf"|\bmodel\b{_NOT_ELSE}[^;\n]){{0,100}}?"
    r"(?:does not exist|not found|not available|decommissioned"
    r"|is not supported\b(?! (?:for|by|with)))",
    re.I | re.S,
)
_NOT_CHAT_WORDS = re.compile(
    r"only supported in v1/responses|not a chat model|use v1/(?:responses|completions)", re.I
)
_REGION_WORDS = re.compile(
    r"location is not supported|unsupported_country|not available in your (?:country|region)",
    re.I,
)
_RATE_WORDS = re.compile(
    r"rate[_ ]limit|too many requests|resource_exhausted|throttl"
    r"|(?:tokens|requests) per (?:min|day)",
    re.I,
)
_OVERLOADED_WORDS = re.compile(
    r"overloaded|over capacity|engine_overloaded|at capacity|capacity[ _]exceeded", re.I
)
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
    text = f"{words.code[:200]} {words.type[:200]} {_excerpt(words.message)}"
    if status is None:
        return _by_words(text, _by_name(words))
    if status >= 500:
        return _server(status, text)
    if status in _BY_WORDS_TOO:
        return _BY_WORDS_TOO[status](text)
    return _BY_STATUS.get(status) or _bad_request(text, BAD_REQUEST)


def _excerpt(text: str) -> str:
    if len(text) <= _SEARCHED_HEAD + _SEARCHED_TAIL:
        return text
    return f"{text[:_SEARCHED_HEAD]} {text[-_SEARCHED_TAIL:]}"


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


def _too_large(text: str) -> Meaning:
    """A 413: the input is too long for the model, or for what is left of a minute (Groq)."""
    if _RATE_WORDS.search(text) and not _CONTEXT_WORDS.search(text):
        return RATE
    return _bad_request(text, TOO_LARGE)


def _not_found(text: str) -> Meaning:
    return NOT_CHAT if _NOT_CHAT_WORDS.search(text) else NO_MODEL


def _by_name(words: ProviderWords) -> Meaning | None:
    """What the type or the code of an error is known to mean: Anthropic's, AWS's, Google's."""
    for name in (words.type, words.code):
        plain = name[:60].rpartition("#")[2].replace("_", "").lower()
        plain = plain.removesuffix("exception").removesuffix("error")
        if (found := _BY_NAME.get(plain)) is not None:
            return found
    return None


def _by_words(text: str, by_name: Meaning | None = None) -> Meaning:
    """An error without any status: inside a 200, or in the middle of a stream."""
    for pattern, meaning in ((_OVERLOADED_WORDS, OVERLOADED), (_RATE_WORDS, RATE)):
        if pattern.search(text) and not _QUOTA_WORDS.search(text):
            return meaning
    found = _bad_request(text, SERVER)
    if found is not SERVER:
        return found
    if by_name is not None:
        return by_name
    invalid = "invalid_request" in text or "INVALID_ARGUMENT" in text
    return BAD_REQUEST if invalid and not _SERVER_WORDS.search(text) else SERVER


_BY_STATUS: Final[Mapping[int, Meaning]] = {
    401: AUTH,
    402: QUOTA,
    408: TIMED_OUT,
    409: CONFLICT,
    498: OVERLOADED,  # Groq: no capacity for the flex tier
    499: SERVER,
}
# Types and codes of errors in lower case, without underscores and without `error` at the end.
_BY_NAME: Final[Mapping[str, Meaning]] = {
    "accessdenied": PERMISSION,
    "authentication": AUTH,
    "billing": QUOTA,
    "deadlineexceeded": TIMED_OUT,
    "expiredtoken": AUTH,
    "modeltimeout": TIMED_OUT,
    "notfound": NO_MODEL,
    "permission": PERMISSION,
    "permissiondenied": PERMISSION,
    "requesttoolarge": TOO_LARGE,
    "resourcenotfound": NO_MODEL,
    "timeout": TIMED_OUT,
    "unauthenticated": AUTH,
    "unrecognizedclient": AUTH,
    "validation": BAD_REQUEST,
}
_BY_WORDS_TOO: Final[Mapping[int, Callable[[str], Meaning]]] = {
    403: _forbidden,
    404: _not_found,
    413: _too_large,
    429: _too_many,
}


def find_error(value: Any) -> ProviderWords | None:
    """An error object in a body of any provider's making, or None."""
    if isinstance(value, list) and len(value) == 1:  # Gemini wraps errors of streams in a list
        value = value[0]
    if not isinstance(value, Mapping):
        return None
    error = value.get("error") or value.get("errors")
    if isinstance(error, list):
        error = error[0] if error else None
    if not error:
        return _find_flat_error(value)
    if not isinstance(error, Mapping):
        error = {"message": _brief(error)}
    message = error.get("message") or error.get("detail") or error
    code = error.get("code")
    kind = error.get("type") or error.get("status") or ""
    return ProviderWords(
        message=_inner_message(error) or _brief(message),
        code="" if code is None else _brief(code),
        type=_brief(kind),
        status=_status(code) or _status(error.get("status_code")) or _status(value.get("code")),
    )


def find_flat_failure(value: Mapping[str, Any]) -> ProviderWords | None:
    """An error that is the event itself, as vLLM and FastAPI send it inside a stream, or None.

    A message alone may be a notice; it is an error where it is called one, or has such a status.
    """
    words = _find_flat_error(value)
    is_named = "error" in (value.get("object"), value.get("type")) or "detail" in value
    return words if words is not None and (is_named or (words.status or 0) >= 400) else None


def _find_flat_error(value: Mapping[str, Any]) -> ProviderWords | None:
    """`{"message": ..., "code": ...}` and `{"detail": ...}`, without an answer beside them."""
    is_error = value.get("object") == "error" or value.get("type") == "error"
    if not is_error and {"choices", "candidates", "content", "done"} & value.keys():
        return None
    message = value.get("message") or value.get("detail") or value.get("msg")
    if not message or isinstance(message, Mapping):
        return None
    code = value.get("code")
    return ProviderWords(
        message=_brief(message),
        code="" if code is None else _brief(code),
        type=_brief(value.get("type") or value.get("__type") or ""),
        status=_status(code) or _status(value.get("status")) or _status(value.get("statusCode")),
    )


def _inner_message(error: Mapping[str, Any]) -> str | None:
    """OpenRouter keeps what the upstream said in `metadata.raw`."""
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if not isinstance(raw, str) or not raw:
        return None
    return f"{_brief(error.get('message', ''))} {raw[:_MAX_RAW]}".strip()


def _brief(value: Any, depth: int = 0) -> str:
    """A value as text, without writing out more of it than is ever shown or searched."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping | list):
        return str(value)
    if depth > 3:
        return "..."
    if isinstance(value, Mapping):
        pairs = list(value.items())[:20]
        inner = ", ".join(f"{n[:100]}: {_brief(item, depth + 1)[:_MAX_RAW]}" for n, item in pairs)
        return f"{{{inner}}}"
    return f"[{', '.join(_brief(item, depth + 1)[:_MAX_RAW] for item in value[:20])}]"


def _status(value: Any) -> int | None:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdecimal():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:
        return value
    return None
