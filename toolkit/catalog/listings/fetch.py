"""How to ask a provider for its models: address, headers, pages, and what went wrong in words.

What came is read by `dialects`. A page is trusted with nothing: cursors may repeat, bodies may
be web pages, and one bad item never costs the others.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx

from toolkit.catalog.dialects import read_item
from toolkit.catalog.listings.endpoints import (
    has_listing,
    listing_addresses,
    listing_headers,
    listing_params,
)
from toolkit.catalog.listings.item import clean
from toolkit.catalog.listings.listed_model import ListedModel, Listing
from toolkit.errors import CatalogSyncFailed, ToolkitError
from toolkit.records import Blame
from toolkit.secret import Secret, redact

if TYPE_CHECKING:
    from toolkit.providers.provider import Provider

# Models of all pages of one listing, each id once, with what was odd on the way.


class Gathering:
    """Models of all pages so far, each id once."""

    def __init__(self) -> None:
        self.by_id: dict[str, ListedModel] = {}
        self.notes: list[str] = []
        self.complete: bool = True
        self.pages: int = 0

    @property
    def models(self) -> list[ListedModel]:
        """In the order in which the provider named them."""
        return list(self.by_id.values())

    def add(self, items: Iterable[object]) -> int:
        """Read the items of one page; the number of models not seen before."""
        self.pages += 1
        before = len(self.by_id)
        unreadable = 0
        for raw in items:
            model = read_item(raw)
            if model is None:
                unreadable += 1
            elif (seen := self.by_id.get(model.model_id)) is None:
                self.by_id[model.model_id] = model
            elif seen.raw != model.raw:
                self._flag(seen, "id:duplicate_differs")
            else:
                self._flag(seen, "id:duplicate")
        if unreadable:
            self.notes.append(f"items_without_id:{unreadable}")
        return len(self.by_id) - before

    def _flag(self, model: ListedModel, flag: str) -> None:
        if flag not in model.flags:
            self.by_id[model.model_id] = replace(model, flags=(*model.flags, flag))

    def note_missing(self, note: str) -> None:
        """The listing may go on beyond what could be read."""
        self.notes.append(note)
        self.complete = False


_R = TypeVar("_R")

MAX_PAGES: Final = 200
DEADLINE_S: Final = 30.0

_LIST_NAMES: Final = (
    "data",
    "models",
    "modelSummaries",
    "publisherModels",
    "resources",
    "results",
    "items",
)
_LARGE_BYTES: Final = 128 * 1024
_SHOWN_AT_ONCE: Final = 4
_SHOWN_AT_MOST: Final = 200


async def fetch_listing(
    provider: Provider,
    key: Secret | None,
    http: httpx.AsyncClient,
    *,
    deadline_s: float = DEADLINE_S,
    details: bool = True,
) -> Listing:
    """Ask a provider for its whole listing, all pages.

    Args:
        provider: its type and base URL say where and how to ask.
        key: sent in the provider's own header; None sends none.
        http: the guarded client (`toolkit.calls.http_client.open_http`).
        deadline_s: for all pages together, seconds.
        details: where the listing has few details (Ollama), query each model as well.

    Raises:
        CatalogSyncFailed: `cause` is `auth`, `forbidden`, `not_found`, `rate_limited`,
            `server_error`, `http_status`, `html`, `not_json`, `no_list`, `error_in_body`,
            `timeout` or the wire's own word (`dns`, `tls`, `connect`, ...); `status` and the
            provider's words are kept, and `hint` says what to do.
    """
    asker = _Asker(provider, key, http, deadline_s, details)
    try:
        async with asyncio.timeout(deadline_s):
            return await asker.ask_all()
    except TimeoutError:
        raise CatalogSyncFailed(
            f"{provider.name} did not list its models within {deadline_s:g} s",
            provider=provider.name,
            cause="timeout",
            blame="provider",
            hint="Try again later; the models known so far are kept.",
        ) from None


@dataclass(frozen=True, slots=True)
class _Asker:
    """One listing in the making."""

    provider: Provider
    key: Secret | None
    http: httpx.AsyncClient
    deadline_s: float
    details: bool

    async def ask_all(self) -> Listing:
        """The first address that answers with a list; the best failure where none does."""
        failures: list[CatalogSyncFailed] = []
        for url in listing_addresses(self.provider):
            try:
                return await self._ask_pages(url)
            except CatalogSyncFailed as failure:
                failures.append(failure)
                if failure.cause not in ("not_found", "html", "not_json", "no_list"):
                    break
        telling = [failure for failure in failures if failure.cause != "not_found"]
        raise explain_missing(self.provider, (telling or failures)[0])

    async def _ask_pages(self, url: str) -> Listing:
        gathering = Gathering()
        params = dict(listing_params(self.provider, url))
        for _ in range(MAX_PAGES):
            payload = await self._get(url, params)
            items = find_items(payload)
            if items is None:
                raise refuse_body(self.provider, payload, self._secrets())
            news = await _off_loop(gathering.add, items, size=len(items) * 500)
            cursor = next_cursor(payload, self.provider.type.startswith("anthropic"))
            if not cursor:
                break
            if not news and items and "page_token" not in cursor:
                gathering.note_missing("paging:loop")
            if not news:  # Cohere writes a token even on its last page
                break
            params |= cursor
        else:
            gathering.note_missing("paging:limit")
        models = gathering.models
        if self.details and url.endswith("/api/tags"):
            models = await self._show_all(url, models)
        return Listing(
            models=tuple(models),
            complete=gathering.complete,
            notes=tuple(gathering.notes),
            pages=gathering.pages,
            url=url,
        )

    async def _get(self, url: str, params: Mapping[str, str]) -> Any:
        response = await self._send("GET", url, params=dict(params) or None)
        if response.status_code != httpx.codes.OK:
            raise refuse_status(self.provider, response, self._secrets())
        return await _off_loop(self._parse, response, size=len(response.content))

    async def _send(self, method: str, url: str, **content: Any) -> httpx.Response:
        try:
            return await self.http.request(
                method,
                url,
                headers=listing_headers(self.provider, self.key),
                timeout=httpx.Timeout(self.deadline_s, connect=5.0),
                follow_redirects=False,
                **content,
            )
        except (ToolkitError, httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise refuse_wire(self.provider, error) from None

    def _parse(self, response: httpx.Response) -> Any:
        try:
            return json.loads(response.content.decode("utf-8-sig", "replace"))
        except (ValueError, RecursionError):
            raise refuse_body(self.provider, response, self._secrets()) from None

    def _secrets(self) -> tuple[Secret, ...]:
        return () if self.key is None else (self.key,)

    async def _show_all(self, url: str, models: list[ListedModel]) -> list[ListedModel]:
        """Ask Ollama about each model: only `/api/show` knows capabilities and windows."""
        gate = asyncio.Semaphore(_SHOWN_AT_ONCE)
        show_url = url.removesuffix("/api/tags") + "/api/show"

        async def show(model: ListedModel) -> ListedModel:
            async with gate:
                try:
                    response = await self._send("POST", show_url, json={"model": model.model_id})
                    shown = (
                        self._parse(response) if response.status_code == httpx.codes.OK else None
                    )
                except CatalogSyncFailed:
                    shown = None
            return _with_show(model, shown)

        return [
            *await asyncio.gather(*(show(model) for model in models[:_SHOWN_AT_MOST])),
            *models[_SHOWN_AT_MOST:],
        ]


def find_items(payload: object) -> list[Any] | None:
    """The list of models in an answer, or None; llama.cpp has two (`data` is the fuller one)."""
    if isinstance(payload, list):
        return payload
    if isinstance(payload, Mapping):
        return next((payload[n] for n in _LIST_NAMES if isinstance(payload.get(n), list)), None)
    return None


def next_cursor(payload: object, anthropic: bool = False) -> dict[str, str]:
    """The query parameters that ask for the next page; empty after the last one."""
    if not isinstance(payload, Mapping):
        return {}
    for name, param in (("nextPageToken", "pageToken"), ("next_page_token", "page_token")):
        token = payload.get(name)
        if isinstance(token, str) and token:
            return {param: token}
    following = payload.get("next")  # of watsonx
    if isinstance(following, Mapping) and isinstance(href := following.get("href"), str):
        start = parse_qs(urlsplit(href).query).get("start")
        return {"start": start[0]} if start else {}
    last_id = payload.get("last_id")
    if payload.get("has_more") is True and isinstance(last_id, str) and last_id:
        return {"after_id" if anthropic else "after": last_id}
    return {}


def _with_show(model: ListedModel, shown: object) -> ListedModel:
    if not isinstance(shown, Mapping) or "error" in shown:
        return replace(model, flags=(*model.flags, "show:unavailable"))
    kept = {name: shown.get(name) for name in ("capabilities", "model_info", "details")}
    again = read_item({**model.raw, "show": kept})
    return model if again is None else replace(again, model_id=clean(model.model_id))


async def _off_loop(work: Callable[[Any], _R], argument: object, *, size: int) -> _R:
    """Run `work` in a thread where it would hold up the event loop's streams."""
    if size < _LARGE_BYTES:
        return work(argument)
    return await asyncio.to_thread(work, argument)


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
