"""Tests a provider that may not be saved yet, with its key, and says no in the right class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from uuid_utils import uuid7

from toolkit.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    InvalidProvider,
    KeyRequired,
    ModelNotFound,
    ToolkitError,
)
from toolkit.health.checks import QUESTIONS, ProbeResult
from toolkit.health.probe import probe_provider
from toolkit.keys.service import ResolvedKey
from toolkit.providers.headers import Headers
from toolkit.providers.provider import Provider
from toolkit.records import ChatRequest, Reply
from toolkit.secret import Secret

if TYPE_CHECKING:
    from toolkit.calls.client import Client
    from toolkit.toolkit import Toolkit

_REFUSALS: Final[Mapping[str, type[ToolkitError]]] = {
    "address": InvalidProvider,
    "reachable": ConnectionFailed,
    "key": AuthenticationFailed,
    "model": ModelNotFound,
}


async def try_provider(
    toolkit: Toolkit,
    provider: Provider,
    *,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    call: bool = False,
    model: str | None = None,
) -> ProbeResult:
    """Test a provider as it stands in front of us, saved or not.

    Args:
        toolkit: its keys are asked where `api_key` is None, its store gets the row of a call.
        provider: whom to test.
        api_key: the key to test.
        headers: values of secret headers that are not stored yet.
        call: also call the model, which may cost money.
        model: the model to look for or to call.
    """
    provider = _with_headers(toolkit.providers.registry.locate(provider), headers or {})
    try:
        key = toolkit.keys.resolve(provider, api_key)
    except KeyRequired as error:
        result = await probe_provider(provider, None, settings=toolkit.settings)
        return _with_key_trouble(result, error)
    result = await probe_provider(
        provider,
        None if key is None else key.secret,
        settings=toolkit.settings,
        call=call,
        model=model,
        ask=partial(_ask, toolkit, provider, key),
    )
    if key is not None and key.source != "argument":
        toolkit.keys.note_check(key.fingerprint, result.key.answer, result.key.reason)
    return result


def _with_headers(provider: Provider, values: Mapping[str, str]) -> Provider:
    """The provider with secret headers that are not stored yet."""
    if not values:
        return provider
    stored = provider.headers

    def find(name: str) -> Secret:
        return Secret(values[name] if name in values else stored[name])

    plain = {name: stored[name] for name in stored if name not in provider.secret_headers}
    return replace(provider, headers=Headers(plain, provider.secret_headers, find))


async def _ask(
    toolkit: Toolkit,
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
    client = _client_for(toolkit, provider, model_id, key)
    try:
        return await client.complete(request)
    finally:
        await client.aclose()


def _client_for(
    toolkit: Toolkit, provider: Provider, model_id: str, key: ResolvedKey | None
) -> Client:
    """A call path for this one provider, which nobody else knows yet."""
    from toolkit.calls.client import Client

    return Client(
        settings=toolkit.settings,
        resolve=lambda _: (provider, model_id),
        key_for=lambda *_: key,
        record=toolkit.record,
    )


def _with_key_trouble(result: ProbeResult, error: KeyRequired) -> ProbeResult:
    """A key is there but cannot be used: that is what the third answer says."""
    light = replace(result.key, answer="could_not_check", reason=error.message, hint=error.hint)
    return replace(result, key=light, error=result.error or error)


def refusal_of(result: ProbeResult) -> ToolkitError:
    """The failure that the first plain no of a test stands for."""
    light = result.refusals[0]
    kind = _REFUSALS[light.question]
    hint = f"{light.hint} " if light.hint else ""
    cause = None if result.error is None else result.error.cause
    return kind(
        f"nothing was saved: {QUESTIONS[light.question]}: no, {light.reason}",
        provider=result.provider,
        cause=cause,
        hint=f"{hint}To save it all the same, untested: `--no-test` (in Python `test=False`).",
    )


def require_accepted(result: ProbeResult) -> None:
    """Raise unless a test has shown that the key is accepted.

    Raises:
        ToolkitError: it was refused, nothing was reached, or nothing could tell.
    """
    if result.refusals:
        raise refusal_of(result)
    if result.key.answer != "works":
        raise AuthenticationFailed(
            f"whether the new key works could not be checked: {result.key.reason}",
            provider=result.provider,
            hint="The old key stays. Try it with a call (`--call`), or set the new one with "
            "`toolkit keys set`.",
        )
