"""Access tokens and signatures: cloud identities, and keys that are exchanged for a token.

Where a provider of such a type has no key, the credentials that the cloud's own tools use are
looked for. Google, Azure and SAP exchange theirs for an access token; AWS and Oracle sign each
request. A key of IBM, Sber or SAP is exchanged for a token, too. Tokens are renewed before they
end, and fetched over the guarded transport, through the proxy if there is one.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from toolkit.calls.adapters.cloud_credentials import (
    CREDENTIALS,
    InstanceRequest,
    TokenAnswer,
    UnsupportedCredentials,
    ask_instance,
    find_instance_request,
    find_token_request,
    read_object,
)
from toolkit.calls.adapters.key_exchange import TokenRequest, write_exchange
from toolkit.calls.adapters.request_signing import SIGNED_TYPES, RequestSigner, find_signer
from toolkit.calls.adapters.token_renewal import Token, TokenRenewals, leeway_of
from toolkit.calls.http_client import open_http
from toolkit.calls.policy.retry import read_retry_after
from toolkit.errors import (
    AuthenticationFailed,
    CallError,
    ConnectionFailed,
    KeyRequired,
    RateLimited,
    ServerError,
)
from toolkit.keys.service import ResolvedKey
from toolkit.providers.provider import Provider, origin_of
from toolkit.secret import Secret, redact
from toolkit.settings import Settings

# Where a token service does not say how long a token lasts.
_UNKNOWN_LIFE_S: Final = 300.0
CLOUDS: Final[Mapping[str, str]] = {
    "azure": "azure",
    "azure_ai": "azure",
    "sap": "sap",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
}
"""Types that take an access token in place of a key, and whose token service gives it."""


class Identities:
    """The identities of one client, with the tokens in use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tokens = TokenRenewals()
        self._signers: dict[str, RequestSigner] = {}
        self._finding_signer = threading.Lock()

    async def find_token(self, provider: Provider) -> ResolvedKey | None:
        """The access token for a provider, fetched or renewed where that is due.

        Returns:
            None where the provider's type has no such identity, or no credentials are found.

        Raises:
            KeyRequired: there are credentials, and no token was given for them.
        """
        kind = CLOUDS.get(provider.type)
        if kind is None:
            return None
        token = await self._tokens.get(kind, partial(self._find, kind, provider))
        if token is None:
            return None
        return ResolvedKey(secret=token.secret, source="token", name=kind, fingerprint="identity")

    async def exchange(self, provider: Provider, key: ResolvedKey) -> ResolvedKey:
        """The key, or the access token that the provider's token service gives for it.

        Raises:
            KeyRequired: no token was given for it.
        """
        request = write_exchange(provider.type, key.secret.reveal())
        if request is None:
            return key
        digest = hashlib.sha256(key.secret.reveal().encode()).hexdigest()
        name = f"{request.url} {digest}"
        token = await self._tokens.get(name, partial(self._fetch, request, provider, for_key=True))
        return key if token is None else replace(key, secret=token.secret)

    async def find_signer(self, provider: Provider) -> RequestSigner | None:
        """What signs a provider's requests, or None where it has no such identity."""
        if provider.type not in SIGNED_TYPES:
            return None
        signer = self._signers.get(_signer_name(provider))
        return signer or await asyncio.to_thread(self._find_signer_once, provider)

    def _find_signer_once(self, provider: Provider) -> RequestSigner | None:
        """Find a provider's signer, once for all calls that wait for it."""
        name = _signer_name(provider)
        with self._finding_signer:
            signer = self._signers.get(name)
            if signer is None and (signer := find_signer(provider)) is not None:
                self._signers[name] = signer
        return signer

    async def _find(self, kind: str, provider: Provider) -> Token | None:
        """A token for the credentials of a cloud's own tools, or None without any."""
        try:
            request = await asyncio.to_thread(find_token_request, kind)
        except (OSError, ValueError, TypeError) as error:
            reason = str(error) if isinstance(error, UnsupportedCredentials) else ""
            raise KeyRequired(
                f"the credentials for {provider.name} cannot be used: "
                f"{reason or type(error).__name__} while reading {CREDENTIALS[kind]}",
                provider=provider.name,
                cause="token_source",
                hint=f"Check {CREDENTIALS[kind]}, or set an API key.",
            ) from None
        if request is not None:
            return await self._fetch(request, provider)
        instance = await asyncio.to_thread(find_instance_request, kind)
        return None if instance is None else await self._ask_instance(instance, provider)

    async def _ask_instance(self, request: InstanceRequest, provider: Provider) -> Token | None:
        """A token of the machine's own identity, or None where it has none."""
        try:
            answer = await asyncio.to_thread(ask_instance, request)
        except (OSError, ValueError, HTTPException) as error:
            raise ConnectionFailed(
                f"no access token for {provider.name}: the metadata service at "
                f"{origin_of(request.url)} cannot be asked ({type(error).__name__})",
                provider=provider.name,
                cause="token_source",
                hint="Its address comes from a variable of the cloud (GCE_METADATA_HOST, "
                "IDENTITY_ENDPOINT or AZURE_POD_IDENTITY_AUTHORITY_HOST).",
            ) from None
        if answer is None:
            return None
        secrets = [Secret(value) for value in request.headers.values() if len(value) >= 12]
        return _read_token(answer, provider, secrets)

    async def _fetch(
        self, request: TokenRequest, provider: Provider, *, for_key: bool = False
    ) -> Token:
        try:
            is_local = urlsplit(request.url).hostname in ("127.0.0.1", "localhost", "::1")
            async with open_http(self._settings, local=is_local) as http:
                response = await http.post(
                    request.url, data=dict(request.form), headers=dict(request.headers)
                )
        except CallError as error:
            error.provider = provider.name
            error.message = f"no access token for {provider.name}: {error.message}"
            error.hint = (
                f"Check whether the token service {origin_of(request.url)} can be reached from "
                "here; its address comes from the credentials or from their variables."
            )
            raise
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            raise KeyRequired(
                f"no access token for {provider.name}: the credentials name a token service whose "
                "address is no URL",
                provider=provider.name,
                cause="token_source",
                hint="Correct its address in the credentials or in their variables.",
            ) from None
        answer = TokenAnswer(response.status_code, response.headers, response.content)
        secrets = [Secret(value) for value in request.form.values() if len(value) >= 12]
        return _read_token(answer, provider, secrets, for_key=for_key)


def _read_token(
    answer: TokenAnswer, provider: Provider, secrets: Sequence[Secret], *, for_key: bool = False
) -> Token:
    """The token in the answer of a token service.

    Args:
        answer: of the service.
        provider: for errors.
        secrets: what was sent; the service's words may repeat it.
        for_key: a key was exchanged, so a refusal is the refusal of that key.

    Raises:
        CallError: there is none.
    """
    values = read_object(answer.body)
    secret = values.get("access_token")
    if answer.status >= 400 or not isinstance(secret, str) or not secret:
        reason = str(values.get("error_description") or values.get("error") or "")
        said = f"{answer.status} {redact(reason, secrets)[:200]}".rstrip()
        raise _refusal(provider, answer, said, for_key=for_key)
    ends_at = _end_of(values)
    return Token(Secret(secret), ends_at, ends_at - leeway_of(ends_at - time.time()))


def _refusal(provider: Provider, answer: TokenAnswer, said: str, *, for_key: bool) -> CallError:
    """The error for a token service that gave no token.

    A service that is down or asked too often says nothing about the credentials: such an answer
    is tried again like that of a provider.
    """
    problem = f"no access token for {provider.name}: the token service answered {said}"
    busy = {429: RateLimited, 408: ServerError}.get(answer.status)
    if busy is not None or answer.status >= 500:
        kind: type[CallError] = busy or ServerError
        return kind(
            problem,
            provider=provider.name,
            status=answer.status,
            retry_after=read_retry_after(answer.headers, answer.body),
            cause="token_source",
            hint="The service that gives access tokens is overloaded or down, not the model; "
            "try again later.",
        )
    if for_key:
        return AuthenticationFailed(
            problem,
            provider=provider.name,
            status=answer.status,
            cause="token_source",
            hint=f"Check the key of {provider.name}, and whether it may be exchanged for a token.",
        )
    return KeyRequired(
        problem,
        provider=provider.name,
        cause="token_source",
        hint="Check the credentials of the cloud provider's tools, or set an API key.",
    )


def _end_of(answer: Mapping[str, Any]) -> float:
    """When a token ends: its lifetime, or a moment in seconds (Azure) or milliseconds (Sber)."""
    now = time.time()
    forms = (("expires_in", now, 1.0), ("expires_on", 0.0, 1.0), ("expires_at", 0.0, 0.001))
    for name, start, unit_s in forms:
        value = answer.get(name)
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if isinstance(value, int | float) and value > 0:
            return start + value * unit_s
    return now + _UNKNOWN_LIFE_S


def _signer_name(provider: Provider) -> str:
    return f"{provider.type} {provider.base_url}"
