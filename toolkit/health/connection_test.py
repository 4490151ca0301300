"""Tests providers, saved or not, with the key and headers of real calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from uuid_utils import uuid7

from toolkit.calls.client import Client
from toolkit.errors import KeyRequired
from toolkit.health.connection_checks import probe_provider
from toolkit.keys.service import Keys, ResolvedKey
from toolkit.pricing.price import PricesFor
from toolkit.providers.checks import ProbeResult
from toolkit.providers.headers import Headers
from toolkit.providers.provider import Provider
from toolkit.providers.registry import Registry
from toolkit.records import Call, ChatRequest, Reply
from toolkit.secret import Secret
from toolkit.settings import Settings


class ConnectionTest:
    """Tests one provider at a time.

    Args:
        settings: proxy and deadlines.
        registry: the provider registry.
        keys: supplies the active key if none is given, and stores the result of its check.
        record: records the call of a test.
        processors: what every request passes, budgets included.
        prepare: looks the price of a model up; the provider may be unsaved.
        prices_for: the prices that were looked up.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        registry: Registry,
        keys: Keys,
        record: Callable[[Call], None],
        processors: Callable[[], Sequence[Any]],
        prepare: Callable[[Provider, str], Awaitable[None]],
        prices_for: PricesFor,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._keys = keys
        self._record = record
        self._processors = processors
        self._prepare = prepare
        self._prices_for = prices_for

    async def test(
        self,
        provider: Provider,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        call: bool = False,
        model: str | None = None,
    ) -> ProbeResult:
        """See `ConnectionTester.test`."""
        provider = _with_headers(self._registry.locate(provider), headers or {})
        try:
            key = self._keys.resolve(provider, api_key)
        except KeyRequired as error:
            result = await probe_provider(provider, None, settings=self._settings)
            return _with_key_trouble(result, error)
        result = await probe_provider(
            provider,
            None if key is None else key.secret,
            settings=self._settings,
            call=call,
            model=model,
            ask=partial(self._call_model, provider, key),
        )
        if key is not None and key.source != "argument":
            self._keys.note_check(key.fingerprint, result.key.answer, result.key.reason)
        return result

    async def _call_model(
        self,
        provider: Provider,
        key: ResolvedKey | None,
        model_id: str,
        params: Mapping[str, Any],
    ) -> Reply:
        request = ChatRequest(
            request_id=str(uuid7()),
            model=f"{provider.name}/{model_id}",
            messages=({"role": "user", "content": "Answer with the one word: works"},),
            params=params,
            origin="health",
        )
        # A client for this provider only: it may be unsaved, so the shared client cannot call it.
        client = Client(
            settings=self._settings,
            resolve=lambda _: (provider, model_id),
            key_for=lambda *_: key,
            record=self._record,
            processors=self._processors(),
            prepare=lambda _: self._prepare(provider, model_id),
            prices_for=self._prices_for,
        )
        try:
            return await client.complete(request)
        finally:
            await client.aclose()


def _with_headers(provider: Provider, values: Mapping[str, str]) -> Provider:
    """The provider with secret headers that are not stored yet."""
    if not values:
        return provider
    stored = provider.headers

    def find(name: str) -> Secret:
        return Secret(values[name] if name in values else stored[name])

    plain = {name: stored[name] for name in stored if name not in provider.secret_headers}
    return replace(provider, headers=Headers(plain, provider.secret_headers, find))


def _with_key_trouble(result: ProbeResult, error: KeyRequired) -> ProbeResult:
    """A key exists but cannot be used; reported by the third check."""
    check = replace(result.key, answer="could_not_check", reason=error.message, hint=error.hint)
    return replace(result, key=check, error=result.error or error)
