"""Why a listing could not be read, in words: each refusal becomes a `CatalogSyncFailed`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import httpx

from toolkit.catalog.listings.endpoints import has_listing
from toolkit.errors import CatalogSyncFailed, ToolkitError
from toolkit.records import Blame
from toolkit.secret import Secret, redact

if TYPE_CHECKING:
    from toolkit.providers.provider import Provider

_MOST_WORDS: Final = 300
_KEY_WORDS: Final = re.compile(r"(?i)api[ _-]?key|credential|unauthori[sz]ed|authenticat")
_HTML: Final = re.compile(r"(?i)^\s*<(?:!doctype|html|head|body|\?xml)")

_KEY_HINT: Final = "Check the key with `toolkit keys check {name}`; it may be expired or mistyped."
_STATUSES: Final[Mapping[int, tuple[str, Blame, str]]] = {
    401: ("auth", "client", _KEY_HINT),
    403: ("forbidden", "client", "The key has no permission to list models."),
    404: ("not_found", "client", "Check the base URL: it has no model listing at that path."),
    405: ("not_found", "client", "Check the base URL: it has no model listing at that path."),
    429: ("rate_limited", "policy", "Too many requests; sync again later."),
}


_CALL_BY_ID: Final = "Call its models by their id, for example `toolkit chat -m {name}/MODEL_ID`."
# Why there is no listing at the address of a type, and where the ids of its models are.
_UNLISTED: Final[Mapping[str, tuple[str, str]]] = {
    "bedrock": (
        "Bedrock lists models at another host than it serves them, and a key is sent to its "
        "provider's own host only",
        "https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html",
    ),
    "sap": (
        "SAP AI Core lists deployments and not models",
        "https://help.sap.com/docs/sap-ai-core/generative-ai/orchestration",
    ),
}
_UNLISTED_CAUSES: Final = frozenset(
    {"not_found", "forbidden", "http_status", "html", "not_json", "no_list", "redirect"}
)


def explain_missing(provider: Provider, failure: CatalogSyncFailed) -> CatalogSyncFailed:
    """Say in a failure that providers of this type have no listing here, where that is so."""
    kind = provider.type
    general = f"it has none of a known form at {provider.base_url}", ""
    reason, ids = _UNLISTED.get(kind.removesuffix("_converse"), general)
    if not has_listing(kind) and failure.cause in _UNLISTED_CAUSES:
        failure.message = f"{provider.name} has no model listing that can be read: {reason}"
        failure.hint = _CALL_BY_ID.format(name=provider.name) + (f" The ids: {ids}" if ids else "")
    return failure


def refuse_status(
    provider: Provider, response: httpx.Response, secrets: Iterable[Secret]
) -> CatalogSyncFailed:
    """Return the error for a status other than 200."""
    status = response.status_code
    words = _provider_words(response.content, secrets)
    default: tuple[str, Blame, str] = ("http_status", "client", "Check the base URL and the key.")
    if status >= 500:
        default = ("server_error", "provider", "The provider has a problem; sync again later.")
    elif 300 <= status < 400:
        default = ("redirect", "client", "Use the final address as base URL.")
    elif status == 400 and words and _KEY_WORDS.search(words):
        default = _STATUSES[401]  # Gemini and xAI answer 400 to a bad key
    cause, blame, hint = _STATUSES.get(status, default)
    said = f": {words}" if words else ""
    return CatalogSyncFailed(
        f"{provider.name} answered {status} to the model listing{said}",
        provider=provider.name,
        status=status,
        retry_after=_seconds(response.headers.get("retry-after")),
        blame=blame,
        cause=cause,
        hint=hint.format(name=provider.name),
        provider_message=words,
    )


def refuse_body(
    provider: Provider, answer: httpx.Response | Any, secrets: Iterable[Secret]
) -> CatalogSyncFailed:
    """Return the error for a 200 answer that is not a listing: raw, or parsed JSON."""
    words, status = None, 200
    hint = "Check the base URL: this address does not list models."
    if isinstance(answer, httpx.Response):
        text = answer.content[:2000].decode("utf-8", "replace")
        if _HTML.search(text):
            cause, what = "html", "a web page instead of a model listing"
            hint = "Check the base URL: it points to a web page, not to the API."
        elif not text.strip():
            cause, what = "not_json", "an empty body"
        else:
            cause, what = "not_json", "something that is not JSON"
    elif isinstance(answer, Mapping) and answer.get("error"):
        words = _words_of(answer, secrets)
        cause, what = "error_in_body", f"an error: {words}"
        hint = "See the provider's message."
    else:
        cause, what = "no_list", "JSON without a list of models"
    return CatalogSyncFailed(
        f"{provider.name} answered with {what}",
        provider=provider.name,
        status=status,
        cause=cause,
        hint=hint,
        provider_message=words,
    )


def refuse_wire(provider: Provider, error: Exception) -> CatalogSyncFailed:
    """The failure of the wire below: no connection, no answer, an answer too large."""
    if isinstance(error, ToolkitError):
        return CatalogSyncFailed(
            error.message,
            provider=provider.name,
            status=error.status,
            blame=error.blame,
            cause=error.cause or error.code.lower(),
            hint=error.hint or "Check the base URL, and that the server is running.",
        )
    timed_out = isinstance(error, httpx.TimeoutException)
    return CatalogSyncFailed(
        f"{provider.name} could not be reached ({type(error).__name__})",
        provider=provider.name,
        blame="network",
        cause="timeout" if timed_out else "connect",
        hint="Check the base URL, and that the server is running.",
    )


def _provider_words(body: bytes, secrets: Iterable[Secret]) -> str | None:
    text = body[:20_000].decode("utf-8", "replace")
    try:
        return _words_of(json.loads(text), secrets)
    except (ValueError, RecursionError):
        if _HTML.search(text) or not text.strip():
            return None
        return _short(text, secrets)


def _words_of(payload: Any, secrets: Iterable[Secret]) -> str | None:
    """The message in any of the shapes that providers give an error."""
    for _ in range(3):
        if isinstance(payload, list) and payload:
            payload = payload[0]
        if isinstance(payload, Mapping):
            payload = next(
                (payload[n] for n in ("error", "message", "detail", "title") if payload.get(n)),
                None,
            )
    return _short(payload, secrets) if isinstance(payload, str) else None


def _short(text: str, secrets: Iterable[Secret]) -> str:
    words = " ".join(redact(text, secrets).split())
    return words if len(words) <= _MOST_WORDS else f"{words[:_MOST_WORDS]}…"


def _seconds(value: str | None) -> float | None:
    return float(value) if value and re.fullmatch(r"\d{1,7}(?:\.\d+)?", value) else None
