"""From what the wire and the body say to the errors of the house, in one place.

The wire is asked first (did anything usable come at all?), then the status, then the body.
litellm's own exception is looked at only when it refused a request before sending it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from toolkit.calls.parsers.error_messages import NO_MODEL, RATE, find_meaning
from toolkit.calls.parsers.json_text import BadJson, decode_json
from toolkit.calls.parsers.parsed_response import ParsedResponse, ProviderWords, find_error
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
from toolkit.secret import Secret, redact

_MAX_WORDS = 600
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_NOT_API_HINT = "Check the base URL; a login page or a proxy may be answering instead."


@dataclass(frozen=True, slots=True)
class _Wire:
    kind: type[CallError]
    message: str
    hint: str | None = None
    blame: Blame | None = None


_WIRE: Final[Mapping[str, _Wire]] = {
    "dns": _Wire(ConnectionFailed, "the host name could not be resolved"),
    "connect": _Wire(ConnectionFailed, "the connection was refused"),
    "timeout_connect": _Wire(RequestTimeout, "no connection in time", blame="network"),
    "tls": _Wire(
        ConnectionFailed,
        "no secure connection",
        "The server's certificate is not valid for it, or it speaks plain http.",
    ),
    "reset": _Wire(ConnectionFailed, "the server closed the connection without an answer"),
    "protocol": _Wire(ConnectionFailed, "what came is not proper HTTP", blame="provider"),
    "timeout_read": _Wire(RequestTimeout, "no answer in time"),
    "deadline": _Wire(RequestTimeout, "the total deadline passed"),
    "stream_stall": _Wire(RequestTimeout, "the stream stalled"),
    "bad_body": _Wire(MalformedResponse, "the body is broken"),
    "not_api": _Wire(MalformedResponse, "a web page came instead of an answer", _NOT_API_HINT),
    "empty": _Wire(MalformedResponse, "the answer is empty"),
    "stream_error": _Wire(MalformedResponse, "the stream holds a broken event"),
    "too_large": _Wire(MalformedResponse, "the answer is too large"),
    "unexpected_encoding": _Wire(MalformedResponse, "the answer is in an encoding not asked for"),
    "stream_cut": _Wire(StreamInterrupted, "the stream was cut"),
    "stream_truncated": _Wire(StreamInterrupted, "the stream ended without a finish"),
    "redirect_refused": _Wire(
        ConnectionFailed,
        "the server redirects, and redirects are never followed because they would carry the key",
        "Set the base URL to the address that it redirects to, if you trust it.",
        "policy",
    ),
    "address_refused": _Wire(
        ConnectionFailed,
        "the address is not allowed",
        "A private or loopback address needs a provider marked as local.",
        "policy",
    ),
    "foreign_origin": _Wire(ConnectionFailed, "the request left for another host", blame="policy"),
    "second_request": _Wire(ConnectionFailed, "a hidden second request", blame="local"),
    "no_record": _Wire(ConnectionFailed, "a request outside of any call", blame="local"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Whose error it is: put into every error and used to clean the provider's words."""

    provider: str = ""
    model: str | None = None
    request_id: str | None = None
    secrets: tuple[Secret, ...] = ()


NOWHERE: Final = Context()


def wire_error(failure: WireFailure, context: Context = NOWHERE) -> CallError:
    """The error for a wire that failed."""
    known = _WIRE[failure.cause]
    blame = known.blame
    if failure.cause == "tls" and "CertificateError" not in failure.detail:
        blame = "client"  # TLS to a plain port: the base URL is wrong
    if failure.cause == "deadline" and failure.detail == "local":
        blame = "client"
    return _error(known.kind, failure.cause, known.message, context).but(
        hint=known.hint, blame=blame, words=failure.detail
    )


def cause_error(cause: str, detail: str, context: Context = NOWHERE) -> CallError:
    """The error for a cause found while reading."""
    return wire_error(WireFailure(cause, detail), context)


def status_error(record: WireRecord, context: Context = NOWHERE) -> CallError:
    """The error for an answer whose status is 400 or more."""
    body, status = record.body or b"", record.status or 0
    words = _read_words(body)
    if status in (404, 405) and (words is None or _is_bare_not_found(words)):
        draft = _error(
            MalformedResponse, "not_api", f"nothing answers there (status {status})", context
        )
        return draft.but(hint=_NOT_API_HINT, blame="client", status=status, words=_plain(body))
    words = words or ProviderWords(message=_plain(body))
    meaning = find_meaning(status, words)
    retry_after = _retry_after(record, body)
    draft = _error(meaning.kind, meaning.cause, f"the provider answered {status}", context)
    return draft.but(status=status, words=words.message, retry_after=retry_after)


def words_error(words: ProviderWords, record: WireRecord, context: Context = NOWHERE) -> CallError:
    """The error for an error object inside an answer that began as a success."""
    meaning = find_meaning(words.status, words)
    if meaning is NO_MODEL and not words.status:
        meaning = NO_MODEL
    retry_after = _retry_after(record, record.body or b"") if meaning is RATE else None
    draft = _error(meaning.kind, meaning.cause, "the answer holds an error", context)
    return draft.but(
        status=words.status or record.status, words=words.message, retry_after=retry_after
    )


def body_error(body: bytes, record: WireRecord, context: Context = NOWHERE) -> CallError:
    """The error for a 200 whose body is no answer of this API."""
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
    error = cause_error(cause, _plain(body), context)
    error.status = record.status
    return error


def reading_error(
    reading: ParsedResponse, record: WireRecord, context: Context = NOWHERE
) -> CallError | None:
    """What is wrong with an answer that was read to its end, or None."""
    if reading.error is not None:
        return words_error(reading.error, record, context)
    if reading.finish_reason == "content_filter" or reading.refusal:
        draft = _error(
            ContentFiltered, "content_filter", "a safety system refused the answer", context
        )
        return draft.but(status=record.status, words=reading.refusal or reading.finish or "")
    if not reading.is_recognised:
        return cause_error("bad_body", "the body has none of the fields of an answer", context)
    if reading.finish == "error":
        return words_error(ProviderWords(message="finish reason `error`"), record, context)
    if not reading.has_content and _is_empty(reading, is_stream=record.stream):
        return cause_error("empty", "no text, no reasoning, no tool call", context)
    return None


def _is_empty(reading: ParsedResponse, *, is_stream: bool) -> bool:
    """An empty answer is a failure unless its tokens went somewhere that we can name.

    Gemini gives an empty text without saying how many tokens it took: that is an answer. In a
    stream an empty text says nothing, it opens every one of them.
    """
    if reading.finish_reason == "length":
        return False
    tokens = reading.tokens.get("output_tokens")
    if tokens is None and not is_stream and reading.finish_reason:
        return reading.is_null
    return reading.is_null or not tokens


_REFUSED_HINTS: Final = {
    "UnsupportedParams": 'Leave the parameter out, or set `on_unsupported="drop"`.',
    "NoEmbeddings": "Ask a provider that serves an embedding model.",
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
    ) -> CallError:
        """The finished error, the provider's words cleaned of secrets and control characters."""
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
            provider_message=clean or None,
        )


def _error(kind: type[CallError], cause: str, message: str, context: Context) -> _Draft:
    return _Draft(kind, cause, message, context)


def clean_words(words: str, secrets: Iterable[Secret] = ()) -> str:
    """Someone else's words, safe to show and to store: no secret, no control character, short."""
    cut = words[: _MAX_WORDS * 8]
    text = " ".join(_CONTROL.sub(" ", redact(cut, secrets)).split()).rstrip(".")
    return text if len(text) <= _MAX_WORDS else text[:_MAX_WORDS] + "…"


def _read_words(body: bytes) -> ProviderWords | None:
    try:
        value, _ = decode_json(body)
    except BadJson:
        return None
    return find_error(value)


def _is_bare_not_found(words: ProviderWords) -> bool:
    """A web framework's own 404, not an API's: it names no model and has no code."""
    said = words.message.strip(" .!").lower()
    return said in ("not found", "method not allowed", "page not found", "404 page not found")


def _plain(body: bytes) -> str:
    text = body[: _MAX_WORDS * 8].decode("utf-8", "replace")
    return re.sub(r"<[^>]{0,400}>", " ", re.sub(r"(?is)<(script|style).*?</\1>", " ", text))


def _retry_after(record: WireRecord, body: bytes) -> float | None:
    from toolkit.calls.policy.retry import read_retry_after

    return read_retry_after(record.headers, body)
