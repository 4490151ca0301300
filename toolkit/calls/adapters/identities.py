"""Access tokens and signatures: cloud identities, and keys that are exchanged for a token.

Where a provider of such a type has no key, the credentials that the cloud's own tools use are
looked for. Google, Azure and SAP exchange theirs for an access token; AWS and Oracle sign each
request. A key of IBM, Sber or SAP is exchanged for a token, too. Tokens are renewed before they
end, and fetched over the guarded transport, through the proxy if there is one.
"""

from __future__ import annotations

import asyncio
import base64
import configparser
import hashlib
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import httpx

from toolkit.calls.adapters.key_exchange import TokenRequest, find_sap_request, write_exchange
from toolkit.calls.adapters.request import HttpRequest
from toolkit.calls.adapters.token_renewal import PAUSE_S, Token, TokenRenewals, leeway_of
from toolkit.calls.http_client import open_http
from toolkit.errors import AuthenticationFailed, CallError, KeyRequired
from toolkit.keys.service import ResolvedKey
from toolkit.providers.provider import Provider, origin_of
from toolkit.secret import Secret, redact
from toolkit.settings import Settings

_log = logging.getLogger(__name__)

_REGION: Final = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.")
# The name of the AWS service that is part of a signature, for each provider type.
_AWS_SERVICES: Final[Mapping[str, str]] = {
    "bedrock": "bedrock",
    "bedrock_converse": "bedrock",
    "bedrock_mantle": "bedrock",
    "sagemaker": "sagemaker",
    "sagemaker_chat": "sagemaker",
    "sagemaker_nova": "sagemaker",
}
_SIGNED_BY_ORACLE: Final = (
    *("date", "(request-target)", "host"),
    *("content-length", "content-type", "x-content-sha256"),
)


class RequestSigner(Protocol):
    """Signs requests of one provider."""

    def sign(self, request: HttpRequest) -> HttpRequest:
        """The request with its signature headers."""


def can_sign(provider_type: str) -> bool:
    """Return whether requests of a provider type may be signed in place of a key."""
    return provider_type in _AWS_SERVICES or provider_type == "oci"


def find_signer(provider: Provider) -> RequestSigner | None:
    """The signer for a provider, or None without credentials for one.

    Raises:
        KeyRequired: there are credentials, and they cannot be used.
    """
    if provider.type == "oci":
        return _find_oracle_signer(provider)
    service = _AWS_SERVICES.get(provider.type)
    return None if service is None else _find_aws_signer(provider, service)


class AwsSigner:
    """Signs requests with the credentials of AWS's own chain (SigV4).

    Args:
        credentials: of botocore, which renews those that end.
        region: region of the service.
        service: AWS's name of the service.
        provider: name of the provider, for errors.
    """

    def __init__(
        self, credentials: Any, region: str, service: str = "bedrock", provider: str = ""
    ) -> None:
        self._credentials, self._region, self._service = credentials, region, service
        self._provider = provider
        self._lock = threading.Lock()  # requests are signed on several threads
        self._frozen: Any = None
        self._ends_at = self._renew_at = 0.0

    def sign(self, request: HttpRequest) -> HttpRequest:
        """The request with AWS's signature headers."""
        from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
        from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]

        unsigned = {k: v for k, v in request.headers.items() if k != "authorization"}
        signed = AWSRequest(
            method=request.method,
            url=request.url,
            data=request.body,
            # Only these are signed: a proxy may change others on the way.
            headers={k: v for k, v in unsigned.items() if k == "content-type"},
        )
        SigV4Auth(self._current(), self._service, self._region).add_auth(signed)
        added = {name.lower(): str(value) for name, value in signed.headers.items()}
        return replace(request, headers={**unsigned, **added})

    def _current(self) -> Any:
        """The credentials of this moment, renewed by botocore where that is due.

        botocore renews during the last 15 minutes, and fails in the last 10 where it cannot:
        credentials that last for less would be fetched for each request, and those that can
        still be used would be refused.

        Raises:
            KeyRequired: the credentials have ended and were not renewed.
        """
        with self._lock:
            now = time.time()
            if self._frozen is not None and now < min(self._renew_at, self._ends_at):
                return self._frozen
            try:
                self._frozen = self._credentials.get_frozen_credentials()
            except Exception as error:  # noqa: BLE001 - of botocore and of many services
                if self._frozen is None or self._ends_at <= now:
                    raise _unusable_aws(self._provider, error) from None
                self._renew_at = now + PAUSE_S
                _log.warning(
                    "AWS credentials were not renewed; the old ones are used for another %d s: %s",
                    self._ends_at - now,
                    str(error)[:200],
                )
                return self._frozen
            # Without an end of their own they are asked for each time, which costs nothing.
            end = getattr(self._credentials, "_expiry_time", None)
            self._ends_at = end.timestamp() if isinstance(end, datetime) else 0.0
            self._renew_at = self._ends_at - leeway_of(self._ends_at - now)
            return self._frozen


def _unusable_aws(provider: str, error: Exception) -> KeyRequired:
    return KeyRequired(
        f"the AWS credentials for {provider} cannot be used: {str(error)[:200]}",
        provider=provider or None,
        cause="token_source",
        hint="Check them with `aws sts get-caller-identity`, or set an API key.",
    )


def _find_aws_signer(provider: Provider, service: str) -> AwsSigner | None:
    """The signer with AWS's credentials, or None without botocore or without credentials.

    Raises:
        KeyRequired: there are credentials, and they cannot be used.
    """
    try:
        from botocore.session import Session  # type: ignore[import-untyped]
    except ImportError:
        return None
    session = Session()
    try:
        credentials = session.get_credentials()
    except Exception as error:  # noqa: BLE001 - of botocore and of many services
        raise _unusable_aws(provider.name, error) from None
    if credentials is None:
        return None
    named = provider.params.get("aws_region_name")
    found = _REGION.search(provider.base_url)
    region = named or (found[1] if found else None) or session.get_config_variable("region")
    return AwsSigner(credentials, str(region or "us-east-1"), service, provider.name)


class OracleSigner:
    """Signs requests with a user's private key (draft-cavage HTTP signatures, version 1).

    Args:
        key_id: tenancy, user and fingerprint, joined by slashes.
        private_key: in PEM form.
    """

    def __init__(self, key_id: str, private_key: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key = load_pem_private_key(private_key, password=None)
        if not isinstance(key, RSAPrivateKey):
            raise ValueError("Oracle Cloud signs with RSA keys only")
        self._key_id, self._key = key_id, key

    def sign(self, request: HttpRequest) -> HttpRequest:
        """The request with Oracle's signature headers."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        parts = urlsplit(request.url)
        path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        values = {
            "date": formatdate(usegmt=True),
            "(request-target)": f"{request.method.lower()} {path}",
            "host": parts.netloc,
            "content-length": str(len(request.body)),
            "content-type": request.headers.get("content-type", "application/json"),
            "x-content-sha256": base64.b64encode(hashlib.sha256(request.body).digest()).decode(),
        }
        text = "\n".join(f"{name}: {values[name]}" for name in _SIGNED_BY_ORACLE)
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        authorization = (
            f'Signature version="1",keyId="{self._key_id}",algorithm="rsa-sha256",'
            f'headers="{" ".join(_SIGNED_BY_ORACLE)}",'
            f'signature="{base64.b64encode(signature).decode()}"'
        )
        # Host and length are written by the transport, with these same values.
        added = {name: values[name] for name in ("date", "content-type", "x-content-sha256")}
        added["authorization"] = authorization
        return replace(request, headers={**request.headers, **added})


def _find_oracle_signer(provider: Provider) -> OracleSigner | None:
    """The signer with the user of Oracle's own variables, or of its configuration file."""
    names = ("user", "fingerprint", "tenancy", "key", "key_file")
    found = _read_oracle_profile() | {
        name: value for name in names if (value := os.environ.get(f"OCI_{name.upper()}"))
    }
    if not all(found.get(name) for name in ("user", "fingerprint", "tenancy")):
        return None
    try:
        if inline := found.get("key"):
            private_key = inline.replace("\\n", "\n").encode()
        elif file := found.get("key_file"):
            private_key = Path(file).expanduser().read_bytes()
        else:
            return None
        key_id = f"{found['tenancy']}/{found['user']}/{found['fingerprint']}"
        return OracleSigner(key_id, private_key)
    except (OSError, ValueError, TypeError) as error:
        raise KeyRequired(
            f"the private key of Oracle Cloud cannot be used: {type(error).__name__}",
            provider=provider.name,
            cause="token_source",
            hint="Check OCI_KEY_FILE, or `key_file` in ~/.oci/config: an RSA key in PEM form "
            "without a passphrase.",
        ) from None


def _read_oracle_profile() -> dict[str, str]:
    """The profile in use of Oracle's own configuration file."""
    path = Path(os.environ.get("OCI_CONFIG_FILE") or "~/.oci/config").expanduser()
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text("utf-8"))
    except (OSError, ValueError, configparser.Error):
        return {}
    profile = os.environ.get("OCI_CLI_PROFILE") or "DEFAULT"
    if profile == parser.default_section or not parser.has_section(profile):
        return dict(parser.defaults())
    return dict(parser.items(profile))


# Where a token service does not say how long a token lasts.
_UNKNOWN_LIFE_S: Final = 300.0
_GOOGLE_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_GOOGLE_TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
_AZURE_SCOPE: Final = "https://cognitiveservices.azure.com/.default"
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CLIENT_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
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
        if not can_sign(provider.type):
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
            request = await asyncio.to_thread(_FINDERS[kind])
        except (OSError, ValueError, TypeError) as error:
            raise KeyRequired(
                f"the credentials for {provider.name} cannot be used: "
                f"{type(error).__name__} while reading {_CREDENTIALS[kind]}",
                provider=provider.name,
                cause="token_source",
                hint=f"Check {_CREDENTIALS[kind]}, or set an API key.",
            ) from None
        return None if request is None else await self._fetch(request, provider)

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
        answer = _as_mapping(response.content)
        secret = answer.get("access_token")
        if response.status_code >= 400 or not isinstance(secret, str):
            reason = str(answer.get("error_description") or answer.get("error") or "")
            # The service's words may repeat what was posted.
            secrets = [Secret(value) for value in request.form.values() if len(value) >= 12]
            said = f"{response.status_code} {redact(reason, secrets)[:200]}".rstrip()
            raise _refusal(provider, response.status_code, said, for_key=for_key)
        ends_at = _end_of(answer)
        leeway_s = leeway_of(ends_at - time.time())
        return Token(Secret(secret), ends_at, ends_at - leeway_s)


def _refusal(
    provider: Provider, status: int, said: str, *, for_key: bool
) -> AuthenticationFailed | KeyRequired:
    """The error for a token service that gave no token."""
    problem = f"no access token for {provider.name}: the token service answered {said}"
    if for_key:
        return AuthenticationFailed(
            problem,
            provider=provider.name,
            status=status,
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
    """When a token ends: its lifetime in seconds, or (Sber) a moment in milliseconds."""
    now = time.time()
    for name, start, unit_s in (("expires_in", now, 1.0), ("expires_at", 0.0, 0.001)):
        value = answer.get(name)
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if isinstance(value, int | float) and value > 0:
            return start + value * unit_s
    return now + _UNKNOWN_LIFE_S


def _signer_name(provider: Provider) -> str:
    return f"{provider.type} {provider.base_url}"


def _google_request() -> TokenRequest | None:
    """Application-default credentials: a service account's, or those of `gcloud auth`."""
    values = _read_json(_google_file())
    if values is None:
        return None
    token_uri = str(values.get("token_uri") or _GOOGLE_TOKEN_URI)
    if values.get("type") == "service_account":
        assertion = _sign_assertion(values, token_uri)
        return TokenRequest(token_uri, {"grant_type": _JWT_BEARER, "assertion": assertion})
    if values.get("type") == "authorized_user":
        names = ("client_id", "client_secret", "refresh_token")
        form = {name: str(values.get(name) or "") for name in names}
        return TokenRequest(token_uri, {"grant_type": "refresh_token", **form})
    return None


def _google_file() -> Path | None:
    if named := os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return Path(named)
    folder = os.environ.get("CLOUDSDK_CONFIG")
    base = Path(folder) if folder else Path.home() / ".config" / "gcloud"
    return base / "application_default_credentials.json"


def _sign_assertion(values: Mapping[str, Any], audience: str) -> str:
    """A signed statement of a service account that it wants a token (RFC 7523)."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    now = int(time.time())
    header = {"alg": "RS256", "typ": "JWT", "kid": values.get("private_key_id")}
    claims = {
        "iss": values.get("client_email"),
        "scope": _GOOGLE_SCOPE,
        "aud": audience,
        "iat": now,
        "exp": now + 3600,
    }
    signed = b".".join(_encode(json.dumps(part).encode()) for part in (header, claims))
    key = load_pem_private_key(str(values.get("private_key")).encode(), password=None)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("the private key of the service account is not an RSA key")
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return b".".join((signed, _encode(signature))).decode()


def _azure_request() -> TokenRequest | None:
    """A client's secret, or the token of a workload identity, in Azure's own variables."""
    tenant, client = os.environ.get("AZURE_TENANT_ID"), os.environ.get("AZURE_CLIENT_ID")
    if not tenant or not client:
        return None
    form = {"grant_type": "client_credentials", "client_id": client, "scope": _AZURE_SCOPE}
    if secret := os.environ.get("AZURE_CLIENT_SECRET"):
        form["client_secret"] = secret
    elif file := os.environ.get("AZURE_FEDERATED_TOKEN_FILE"):
        form["client_assertion_type"] = _CLIENT_ASSERTION
        form["client_assertion"] = Path(file).read_text("utf-8").strip()
    else:
        return None
    host = os.environ.get("AZURE_AUTHORITY_HOST") or "https://login.microsoftonline.com"
    host = host if "://" in host else f"https://{host}"
    return TokenRequest(f"{host.rstrip('/')}/{tenant}/oauth2/v2.0/token", form)


_FINDERS: Final[Mapping[str, Callable[[], TokenRequest | None]]] = {
    "azure": _azure_request,
    "google": _google_request,
    "sap": find_sap_request,
}
_CREDENTIALS: Final[Mapping[str, str]] = {
    "azure": "the file that AZURE_FEDERATED_TOKEN_FILE names",
    "google": "the file that GOOGLE_APPLICATION_CREDENTIALS names, or that of gcloud",
    "sap": "AICORE_SERVICE_KEY",
}


def _read_json(path: Path | None) -> Mapping[str, Any] | None:
    try:
        return None if path is None else _as_mapping(path.read_bytes()) or None
    except OSError:
        return None


def _as_mapping(body: bytes) -> Mapping[str, Any]:
    """A JSON object, or an empty one where the text is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, Mapping) else {}


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
