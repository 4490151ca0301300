"""The error class of a failed attempt, from the connection, the status and the body.

The connection is judged first (did anything usable arrive?), then the status, then the body.
litellm's own exception counts only where it refused a request before anything was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from toolkit.calls.parsers.error_messages import (
    CONTEXT,
    MALFORMED,
    OVERLOADED,
    RATE,
    SERVER,
    TIMED_OUT,
    UNAVAILABLE,
    UNSIGNED,
    Meaning,
    ProviderWords,
    find_error,
    find_meaning,
)
from toolkit.calls.parsers.json_text import BadJson, decode_json
from toolkit.calls.parsers.parsed_response import ParsedResponse
from toolkit.calls.transport.exchange_record import WireFailure, WireRecord
from toolkit.errors import (
    CallError,
    ConnectionFailed,
    ContentFiltered,
    InvalidRequest,
    MalformedResponse,
    RequestTimeout,
    StreamInterrupted,
)
from toolkit.records import Blame
from toolkit.secret import Secret, current_matcher, redact

_MAX_WORDS = 600
_MAX_DECODED = 64 * 1024
_LABELS = re.compile(r'"(code|type|status)"\s*:\s*"?([\w.-]{1,100})')
_MESSAGE = re.compile(r'"(message|detail|error)"\s*:\s*"((?:[^"\\]|\\.){1,5000})')
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_NOT_API_HINT: Final = "Check the base URL; a login page or a proxy may be answering instead."
_TOO_LARGE_HINT: Final = "Request less output, or raise the setting that the message names."


@dataclass(frozen=True, slots=True)
class _Failure:
    kind: type[CallError]
    message: str
    hint: str | None = None
    blame: Blame | None = None


_FAILURES: Final[Mapping[str, _Failure]] = {
    "dns": _Failure(ConnectionFailed, "host name could not be resolved"),
    "connect": _Failure(ConnectionFailed, "connection refused"),
    "timeout_connect": _Failure(RequestTimeout, "the connection timed out", blame="network"),
    "tls": _Failure(
        ConnectionFailed,
        "TLS connection failed",
        "The certificate is not valid for this host, or the server speaks plain http. For a "
        "private certificate authority set SSL_CERT_FILE.",
    ),
    "reset": _Failure(ConnectionFailed, "the server closed the connection without an answer"),
    "protocol": _Failure(ConnectionFailed, "the response is not valid HTTP", blame="provider"),
    "timeout_read": _Failure(RequestTimeout, "no response in time"),
    "deadline": _Failure(RequestTimeout, "total time limit exceeded"),
    "stream_stall": _Failure(RequestTimeout, "the stream stalled"),
    "bad_body": _Failure(MalformedResponse, "the response body cannot be read"),
    "not_api": _Failure(MalformedResponse, "the response is a web page, not an API", _NOT_API_HINT),
    "empty": _Failure(MalformedResponse, "the answer is empty"),
    "stream_error": _Failure(MalformedResponse, "the stream contains an invalid event"),
    "too_large": _Failure(MalformedResponse, "the answer is too large", _TOO_LARGE_HINT),
    "unexpected_encoding": _Failure(MalformedResponse, "unexpected content encoding"),
    "stream_cut": _Failure(StreamInterrupted, "the connection broke in the middle of the stream"),
    "stream_truncated": _Failure(
        StreamInterrupted, "the stream ended without a finish reason or an end mark"
    ),
    "redirect_refused": _Failure(
        ConnectionFailed,
        "the server redirects; redirects are not followed because they would forward the key",
        "If you trust the target, set the base URL to it.",
        "policy",
    ),
    "address_refused": _Failure(
        ConnectionFailed,
        "the address is not allowed",
        "Private and loopback addresses need a provider that is marked as local.",
        "policy",
    ),
    "foreign_origin": _Failure(
        ConnectionFailed, "the request would have gone to another host", blame="policy"
    ),
    "second_request": _Failure(
        ConnectionFailed, "a second request was made within one attempt", blame="local"
    ),
    "no_record": _Failure(
        ConnectionFailed, "a request was made outside of any attempt", blame="local"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What every error of an attempt carries, and the secrets that must not be in it."""

    provider: str = ""
    model: str | None = None
    request_id: str | None = None
    secrets: tuple[Secret, ...] = ()


NOWHERE: Final = Context()


def wire_error(failure: WireFailure, context: Context = NOWHERE) -> CallError:
    """The error for a connection that failed, or an answer that broke a rule."""
    known = _FAILURES[failure.cause]
    blame = known.blame
    if failure.cause == "tls" and "CertificateError" not in failure.detail:
        blame = "client"  # TLS to a plain port: the base URL is wrong
    if failure.cause == "deadline" and failure.detail == "local":
        blame = "client"
    return _error(known.kind, failure.cause, known.message, context).but(
        hint=known.hint, blame=blame, words=failure.detail, is_providers=False
    )


def cause_error(cause: str, detail: str, context: Context = NOWHERE) -> CallError:
    """The error for a fault that parsing found."""
    return wire_error(WireFailure(cause, detail), context)


def status_error(record: WireRecord, context: Context = NOWHERE) -> CallError:
    """The error for an answer whose status is 400 or more."""
    body, status = record.body or b"", record.status or 0
    words = _read_words(body)
    if status in (404, 405) and (words is None or _is_bare_not_found(words)):
        draft = _error(
            MalformedResponse, "not_api", f"no API at this address (status {status})", context
        )
        return draft.but(hint=_NOT_API_HINT, blame="client", status=status, words=_plain(body))
    words = words or ProviderWords(message=_plain(body))
    meaning = find_meaning(status, words)
    retry_after = _retry_after(record, body)
    draft = _error(
        meaning.kind, meaning.cause, f"the provider answered with status {status}", context
    )
    return draft.but(status=status, words=words.message, retry_after=retry_after)


def words_error(words: ProviderWords, record: WireRecord, context: Context = NOWHERE) -> CallError:
    """The error for an error object inside an answer that began as a success."""
    meaning = find_meaning(words.status, words)
    retry_after = _retry_after(record, record.body or b"") if meaning is RATE else None
    draft = _error(meaning.kind, meaning.cause, "the answer contains an error", context)
    return draft.but(
        status=words.status or record.status, words=words.message, retry_after=retry_after
    )


def body_error(body: bytes, record: WireRecord, context: Context = NOWHERE) -> CallError:
    """The error for a 200 whose body is not an answer of this API."""
    words = _read_words(body)
    if words is not None:
        return words_error(words, record, context)
    head = body[:512].lstrip().lower()
    is_page = head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")) or b"<html" in head
    cause = (
        "not_api"
        if is_page or "text/html" in record.headers.get("content-type", "")
        else ("bad_body")
    )
    known = _FAILURES[cause]
    draft = _error(known.kind, cause, known.message, context)
    return draft.but(hint=known.hint, words=_plain(body), status=record.status)


_FAILED_FINISHES: Final[Mapping[str, Meaning]] = {
    "error": SERVER,
    "server_error": SERVER,
    "internal_error": SERVER,
    "failed": SERVER,
    "network_error": UNAVAILABLE,  # Z.AI
    "insufficient_system_resource": OVERLOADED,  # DeepSeek
    "abort": SERVER,  # vLLM, SGLang
    "aborted": SERVER,
    "cancelled": SERVER,
    "canceled": SERVER,
    "user_cancel": SERVER,
    "timeout": TIMED_OUT,
    "error_limit": CONTEXT,  # Cohere
    "malformed_function_call": MALFORMED,
    "malformed_response": MALFORMED,
    "malformed_model_output": MALFORMED,
    "malformed_tool_use": MALFORMED,
    "malformed_tool_call": MALFORMED,
    "unexpected_tool_call": MALFORMED,
    "too_many_tool_calls": MALFORMED,
    "no_image": MALFORMED,
    "image_other": MALFORMED,
    "missing_thought_signature": UNSIGNED,
}


def find_failure(finish: str) -> Meaning | None:
    """What a finish reason means that says the answer failed; None for every other one."""
    return _FAILED_FINISHES.get(finish.lower().replace("-", "_"))


def reading_error(  # noqa: PLR0911 - one check after the other, the first that applies counts
    reading: ParsedResponse, record: WireRecord, context: Context = NOWHERE
) -> CallError | None:
    """What is wrong with an answer that was read to its end, or None."""
    if reading.error is not None:
        return words_error(reading.error, record, context)
    if reading.finish_reason == "content_filter" or reading.refusal:
        draft = _error(
            ContentFiltered, "content_filter", "a safety system blocked the answer", context
        )
        words = reading.refusal or reading.finish_message or reading.finish or ""
        return draft.but(status=record.status, words=words)
    if reading.problem is not None:
        return cause_error("bad_body", reading.problem, context)
    if not reading.is_recognised:
        return cause_error("bad_body", "the body has none of the fields of an answer", context)
    if reading.finish is not None and (meaning := find_failure(reading.finish)) is not None:
        draft = _error(meaning.kind, meaning.cause, "the answer ends with a failure", context)
        words = f"finish reason `{reading.finish}`"
        if reading.finish_message:
            words = f"{reading.finish_message} ({words})"
        return draft.but(status=record.status, words=words)
    if reading.has_content:
        return None
    if _is_empty(reading, is_stream=record.stream):
        words = "no text, reasoning or tool call"
        return cause_error("empty", reading.finish_message or words, context)
    reading.flags.add("empty_answer")
    return None


# Ends after which there need be no content: the model has finished, or ran out of tokens.
_PROPER_ENDS: Final = ("stop", "length", "tool_calls", "pause_turn")


def _is_empty(reading: ParsedResponse, *, is_stream: bool) -> bool:
    """An empty answer is a failure unless it ends properly and its tokens went somewhere.

    Anthropic documents a turn without content after results of tools. Gemini gives an empty text
    without a token count: that is an answer. In a stream an empty text means nothing, because it
    opens every stream.
    """
    reason = reading.finish_reason
    if reason == "length":
        return False
    if reading.is_null or reason not in _PROPER_ENDS:
        return True
    if reading.finish == "end_turn":
        return False
    tokens = reading.tokens.get("output_tokens")
    return bool(is_stream and tokens is None) or tokens == 0


_REFUSED_HINTS: Final = {
    "UnsupportedParams": 'Leave the parameter out, or set `on_unsupported="drop"`.',
    "NoEmbeddings": "Use a provider that serves an embedding model.",
    "ArgumentsNotObject": "Leave the call and its result out of the conversation, or send `{}`.",
    "ContentNotTaken": "Leave it out, or call a model whose API takes it.",
    "FetchedHere": "Give the picture or file itself, as a `data:` address in base64.",
}


def refused_by_litellm(error: BaseException, context: Context = NOWHERE) -> CallError:
    """The error for a request that litellm refused to build (nothing was sent)."""
    name = type(error).__name__
    draft = _error(InvalidRequest, "unsupported", "the request does not fit this provider", context)
    words = getattr(error, "message", None) or str(error)
    if hint := _REFUSED_HINTS.get(name):
        return draft.but(hint=hint, words=words)
    return draft.but(words=f"{name}: {words}")


@dataclass(frozen=True, slots=True)
class _Draft:
    kind: type[CallError]
    cause: str
    message: str
    context: Context

    def but(
        self,
        *,
        words: str = "",
        hint: str | None = None,
        blame: Blame | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        is_providers: bool = True,
    ) -> CallError:
        """The finished error; `words` are cleaned of secrets and control characters.

        `is_providers`: the words are the provider's, not a detail that we found ourselves.
        """
        context = self.context
        clean = clean_words(words, context.secrets)
        where = f"{context.provider}: " if context.provider else ""
        return self.kind(
            f"{where}{self.message}{': ' + clean if clean else ''}.",
            provider=context.provider or None,
            model=context.model,
            request_id=context.request_id,
            status=status,
            retry_after=retry_after,
            blame=blame,
            hint=hint,
            cause=self.cause,
            provider_message=clean if clean and is_providers else None,
        )


def _error(kind: type[CallError], cause: str, message: str, context: Context) -> _Draft:
    return _Draft(kind, cause, message, context)


def clean_words(words: str, secrets: Iterable[Secret] = ()) -> str:
    """A message of the provider, safe to show and store: no secret, no control character, short."""
    cut = words[: _MAX_WORDS * 8]
    # Keys in all forms, of this call and of others: a page that echoes a request holds any of them.
    clean = current_matcher().redact(redact(cut, secrets))
    text = " ".join(_CONTROL.sub(" ", clean).split()).rstrip(".")
    return text if len(text) <= _MAX_WORDS else text[:_MAX_WORDS] + "…"


def _read_words(body: bytes) -> ProviderWords | None:
    """The error object of a body; of a very long one only what its beginning shows."""
    if len(body) > _MAX_DECODED:
        return _read_long(body[:_MAX_DECODED])
    try:
        value, _ = decode_json(body)
    except BadJson:
        return None
    return find_error(value)


def _read_long(head: bytes) -> ProviderWords | None:
    text = head.decode("utf-8", "replace")
    if not text.lstrip().startswith(("{", "[")):
        return None
    found = {name: value for name, value in reversed(_LABELS.findall(text))}
    message = _MESSAGE.search(text)
    if message is None and not found:
        return None
    return ProviderWords(
        message=message[2] if message else text[:_MAX_WORDS],
        code=found.get("code", ""),
        type=found.get("type", found.get("status", "")),
    )


def _is_bare_not_found(words: ProviderWords) -> bool:
    """A web framework's own 404, not an API's: it names no model and has no code."""
    message = words.message.strip(" .!").lower()
    return message in ("not found", "method not allowed", "page not found", "404 page not found")


def _plain(body: bytes) -> str:
    text = body[: _MAX_WORDS * 8].decode("utf-8", "replace")
    return re.sub(r"<[^>]{0,400}>", " ", re.sub(r"(?is)<(script|style).*?</\1>", " ", text))


def _retry_after(record: WireRecord, body: bytes) -> float | None:
    from toolkit.calls.policy.retry import read_retry_after

    return read_retry_after(record.headers, body)
