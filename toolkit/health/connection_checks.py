"""Tests a provider in four steps: address allowed, reachable, key accepted, model callable.

Each step runs only if the previous one passed. A test requests the free model listing; if that does
not prove that calls reach the API, it also sends an empty body to the endpoint for calls: an API
answers 400 or 401 for free, a wrong path 404. It calls a model only on request.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from toolkit.calls.http_client import open_http
from toolkit.catalog.listings.endpoints import listing_addresses, listing_headers
from toolkit.catalog.listings.fetch import fetch_listing
from toolkit.errors import (
    AuthenticationFailed,
    CatalogSyncFailed,
    ConnectionFailed,
    InvalidProvider,
    InvalidRequest,
    KeyRequired,
    ModelNotFound,
    PermissionDenied,
    QuotaExceeded,
    ToolkitError,
)
from toolkit.providers.base_url import check_base_url, refuse_clear_text, resolve_checked
from toolkit.providers.checks import Answer, CheckResult, ProbeResult, Question
from toolkit.providers.naming import close_names
from toolkit.providers.provider import UNSAVED
from toolkit.secret import Secret
from toolkit.settings import Settings

if TYPE_CHECKING:
    import httpx

    from toolkit.providers.provider import Provider
    from toolkit.records import Reply

AskModel = Callable[[str, Mapping[str, Any]], Awaitable["Reply"]]
"""Sends one short prompt to a model: (model_id, params) -> reply."""

MAX_TOKENS: Final = 2048
"""Output tokens for a reasoning model to think before it answers."""

_DEADLINE_S: Final = 15.0

# What a failed listing means for reachability and for the key.
_REACHED: Final[Mapping[str, tuple[Answer, Answer]]] = {
    "auth": ("works", "refused"),
    "forbidden": ("works", "could_not_check"),
    "rate_limited": ("works", "could_not_check"),
    "not_found": ("works", "could_not_check"),
    "http_status": ("works", "could_not_check"),
    "error_in_body": ("works", "could_not_check"),
    "no_list": ("could_not_check", "could_not_check"),
}
# The endpoint of a chat call, by type; other types are not probed without a listing.
_ENDPOINTS: Final[Mapping[str, str]] = {
    "openai": "/chat/completions",
    "openai-compatible": "/chat/completions",
    "ollama": "/chat/completions",
    "azure": "/chat/completions",
    "anthropic": "/v1/messages",
    "anthropic-compatible": "/v1/messages",
}
_NO_ENDPOINT: Final = frozenset({404, 405, 410})
_VERSIONED: Final = re.compile(r"/v\d+[a-z0-9]*(?:/|$)")
_NO: Final = (
    ModelNotFound,
    PermissionDenied,
    InvalidRequest,
    QuotaExceeded,
)


async def probe_provider(
    provider: Provider,
    key: Secret | None,
    *,
    settings: Settings,
    call: bool = False,
    model: str | None = None,
    ask: AskModel | None = None,
    verify_key: bool = True,
) -> ProbeResult:
    """Test one provider, saved or not; nothing is recorded here.

    Args:
        provider: the provider to test.
        key: the key to test, or None.
        settings: proxy and deadlines.
        call: also call a model, which may cost money; needs `ask`.
        model: the model to look for or to call; None takes the provider's default.
        ask: makes and records the call.
        verify_key: if the listing answers, request it again without the key, because a public
            listing does not prove the key.

    Returns:
        The results of the checks; failures are results, not exceptions.
    """
    # Loading aiohttp takes 0.2 s the first time, which is not the provider's latency.
    await asyncio.to_thread(import_module, "aiohttp")
    test = _Test(provider, key, settings, model or provider.default_model)
    if await test.check_address():
        async with open_http(settings, local=provider.is_local) as http:
            await test.check_listing(http)
            if test.needs_endpoint and verify_key:
                await test.check_endpoint(http)
            if verify_key and test.answer("key") == "works" and key is not None:
                await test.check_key_matters(http)
    if test.answer("reachable") == "works":
        test.look_for_model()
        if call and ask is not None and test.answer("key") != "refused":
            await test.call_model(ask)
    return test.result()


@dataclass
class _Test:
    """One test in progress: each step sets a check, `result` returns them."""

    provider: Provider
    key: Secret | None
    settings: Settings
    model: str | None
    checks: dict[Question, CheckResult] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    latency_ms: float | None = None
    error: ToolkitError | None = None
    model_asked: str | None = None
    missing_model: str | None = None
    suggested_url: str | None = None
    needs_endpoint: bool = False

    def set(self, question: Question, answer: Answer, reason: str, hint: str = "") -> None:
        self.checks[question] = CheckResult(question, answer, reason, hint)

    def answer(self, question: Question) -> Answer | None:
        check = self.checks.get(question)
        return None if check is None else check.answer

    async def check_address(self) -> bool:
        provider = self.provider
        try:
            address = check_base_url(provider.base_url, provider.is_local)
            if self.settings.proxy is None:  # a proxy resolves names itself
                ips = await asyncio.to_thread(
                    resolve_checked, address.host, address.port, provider.is_local
                )
                for ip in ips:
                    refuse_clear_text(address, ip)
        except InvalidProvider as error:
            self.error = error
            self.set("address", "refused", error.message, error.hint)
            return False
        except ConnectionFailed as error:
            self.error = error
            self.set("address", "could_not_check", error.message, error.hint)
            self.set("reachable", "refused", error.message, "Check the host name.")
            return False
        self.set("address", "works", address.url)
        return True

    async def check_listing(self, http: httpx.AsyncClient) -> None:
        began = time.perf_counter()
        try:
            listing = await fetch_listing(
                self.provider, self.key, http, deadline_s=_DEADLINE_S, details=False
            )
        except CatalogSyncFailed as error:
            self.note_failure(error)
            return
        finally:
            self.latency_ms = round((time.perf_counter() - began) * 1000, 1)
        self.models = tuple(model.model_id for model in listing.models)
        base = self.provider.base_url.rstrip("/")
        # The listing may be below /v1 although calls go to the base URL itself.
        self.needs_endpoint = listing.url == f"{base}/v1/models" and not _VERSIONED.search(base)
        count = len(self.models)
        self.set("reachable", "works", f"it lists {count} model{'' if count == 1 else 's'}")
        if self.key is not None:
            self.set("key", "works", "it lists its models with this key")
        elif self.provider.needs_key:
            self.set("key", "could_not_check", "no key is set", self.key_hint())
        else:
            self.set("key", "works", "no key is needed")

    def note_failure(self, error: CatalogSyncFailed) -> None:
        self.error = error
        reached, accepted = _REACHED.get(error.cause or "", ("refused", "could_not_check"))
        if error.cause == "address_refused":
            self.set("address", "refused", error.message, error.hint)
            return
        if error.cause == "auth":
            self.set("reachable", "works", "it answers")
            self.note_refused_key(error)
            return
        self.set("reachable", reached, error.message, error.hint)
        if reached == "works":
            self.set("key", accepted, error.message, error.hint)
        self.needs_endpoint = error.cause in ("not_found", "html", "not_json", "no_list")

    async def check_endpoint(self, http: httpx.AsyncClient) -> None:
        """Whether calls would reach the API at this base URL; if not, suggest one that works."""
        path = _ENDPOINTS.get(self.provider.type)
        if path is None:
            return
        base = self.provider.base_url.rstrip("/")
        root = base.removesuffix("/v1") if path.startswith("/v1/") else base
        status = await self.ask_endpoint(http, root + path)
        if status is None or status >= 500:
            return
        if status in _NO_ENDPOINT or 300 <= status < 400:
            self.set("reachable", "refused", f"no API answers at {root + path} (HTTP {status})")
            self.checks.pop("key", None)
            await self.suggest(http, base, path)
        elif self.answer("reachable") != "works" or not self.models:
            self.set("reachable", "works", "it answers, although it does not list its models")
            if status in (401, 403):
                self.note_refused_key(
                    AuthenticationFailed(f"it answers HTTP {status} to this key", hint="")
                )
            else:
                self.set("key", "could_not_check", "it does not list its models", _call_it(self))

    async def suggest(self, http: httpx.AsyncClient, base: str, path: str) -> None:
        """Look for the API below /v1, where most servers have it."""
        hint = "Check the base URL: it is the part before /chat/completions."
        if not _VERSIONED.search(base) and not path.startswith("/v1/"):
            status = await self.ask_endpoint(http, f"{base}/v1{path}")
            if status is not None and status < 500 and status not in _NO_ENDPOINT:
                self.suggested_url = f"{base}/v1"
                hint = f"The API answers at {base}/v1: use that as the base URL."
        self.checks["reachable"] = replace(self.checks["reachable"], hint=hint)

    async def ask_endpoint(self, http: httpx.AsyncClient, url: str) -> int | None:
        """The status for an empty body; None without an answer."""
        import httpx

        try:
            response = await http.post(
                url, json={}, headers=listing_headers(self.provider, self.key)
            )
        except (ToolkitError, httpx.HTTPError, OSError):
            return None
        return response.status_code

    def note_refused_key(self, error: ToolkitError) -> None:
        if self.key is not None:
            self.set("key", "refused", error.message, error.hint)
        elif self.provider.needs_key:
            self.set("key", "could_not_check", "it requires a key and none is set", self.key_hint())
        else:
            self.set("key", "refused", "it requires a key and none is set", self.key_hint())

    async def check_key_matters(self, http: httpx.AsyncClient) -> None:
        """Whether the listing depends on the key; a public one does not."""
        if path := self.provider.key_check_path:
            url = self.provider.base_url.rstrip("/") + path
            status = await self.ask_status(http, url, self.key)
            if status in (401, 403):
                self.set("key", "refused", f"it answers {status} to this key", self.key_hint())
            elif status != 200:
                self.set("key", "could_not_check", f"its key check answers {status or 'nothing'}")
            return
        status = await self.ask_status(http, listing_addresses(self.provider)[0], None)
        if status == 200:
            self.set(
                "key",
                "could_not_check",
                "it lists its models without a key",
                _call_it(self),
            )

    async def ask_status(self, http: httpx.AsyncClient, url: str, key: Secret | None) -> int | None:
        import httpx

        try:
            response = await http.get(url, headers=listing_headers(self.provider, key))
        except (ToolkitError, httpx.HTTPError, OSError):
            return None
        return response.status_code

    def look_for_model(self) -> None:
        call_it = _call_it(self)
        if self.model is None:
            self.set(
                "model",
                "could_not_check",
                "no model is given",
                "Enter a model id."
                if self.provider.name == UNSAVED
                else f"Name one: `toolkit providers test {self.provider.name} --model MODEL`.",
            )
        elif self.model in self.models:
            self.set("model", "could_not_check", f"{self.model} is listed", call_it)
        elif not self.models:
            self.set("model", "could_not_check", "it lists no models", call_it)
        else:
            self.missing_model = self.model
            close = close_names(self.model, self.models)
            meant = f"Did you mean {' or '.join(close)}? " if close else ""
            reason = f"{self.model} is not among the {len(self.models)} listed models"
            self.set("model", "could_not_check", reason, meant + call_it)

    async def call_model(self, ask: AskModel) -> None:
        model = self.model
        if model is None and self.provider.is_local and self.models:
            model = self.models[0]
        if model is None:
            return
        self.model_asked = model
        try:
            await _ask_generously(ask, model)
        except (AuthenticationFailed, KeyRequired) as error:
            self.error = error
            self.note_refused_key(error)
        except ToolkitError as error:
            self.error = error
            answer: Answer = "refused" if isinstance(error, _NO) else "could_not_check"
            detail = f": {error.provider_message}" if error.provider_message else ""
            self.set("model", answer, f"{model}: {error.message}{detail}", error.hint)
        else:
            self.missing_model = None  # the model answered, regardless of the listing
            self.set("model", "works", f"{model} answered")
            if self.key is not None and self.provider.needs_key:
                self.set("key", "works", f"{model} answered with this key")

    def key_hint(self) -> str:
        where = f" (get one at {self.provider.key_url})." if self.provider.key_url else "."
        if self.provider.name == UNSAVED:
            return "Enter its API key together with the address" + where
        return f"Set one: `toolkit keys set {self.provider.name}`" + where

    def result(self) -> ProbeResult:
        unknown = {
            "reachable": "the address is not allowed",
            "key": "nothing was reached",
            "model": "nothing was reached" if self.answer("reachable") != "works" else "no answer",
        }
        for question in ("address", "reachable", "key", "model"):
            if question not in self.checks:
                self.set(question, "could_not_check", unknown.get(question, ""))
        return ProbeResult(
            provider=self.provider.name,
            address=self.checks["address"],
            reachable=self.checks["reachable"],
            key=self.checks["key"],
            model=self.checks["model"],
            models=self.models,
            latency_ms=self.latency_ms,
            model_asked=self.model_asked,
            missing_model=self.missing_model,
            suggested_url=self.suggested_url,
            error=self.error,
        )


def _call_it(test: _Test) -> str:
    if test.provider.name == UNSAVED:
        return "Only a call can verify it."
    return f"Only a call can verify it: `toolkit providers test {test.provider.name} --call`."


async def _ask_generously(ask: AskModel, model: str) -> None:
    """Parameters with enough output tokens, under the name this provider uses."""
    try:
        await ask(model, {"max_tokens": MAX_TOKENS})
    except InvalidRequest as error:
        if "max_completion_tokens" not in (error.provider_message or ""):
            raise
        await ask(model, {"max_completion_tokens": MAX_TOKENS})
