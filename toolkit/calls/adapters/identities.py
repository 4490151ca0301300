"""Cloud identities in place of keys: Google, Azure and AWS.

Where a provider of such a type has no key, the credentials that the cloud's own tools use are
looked for. Google and Azure exchange theirs for an access token, which is renewed before it ends;
AWS signs each request (SigV4). Tokens are fetched over the guarded transport, through the proxy
if there is one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from toolkit.calls.adapters.request import HttpRequest
from toolkit.calls.http_client import open_http
from toolkit.errors import KeyRequired
from toolkit.keys.service import ResolvedKey
from toolkit.providers.provider import Provider
from toolkit.secret import Secret
from toolkit.settings import Settings

_LEEWAY_S: Final = 300.0
_GOOGLE_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_GOOGLE_TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
_AZURE_SCOPE: Final = "https://cognitiveservices.azure.com/.default"
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CLIENT_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_REGION: Final = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.")
_KINDS: Final[Mapping[str, str]] = {
    "azure": "azure",
    "azure_ai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
}


@dataclass(frozen=True, slots=True)
class _Token:
    secret: Secret
    ends_at: float


@dataclass(frozen=True, slots=True)
class _TokenRequest:
    """A form to post for a token."""

    url: str
    form: Mapping[str, str]


class Identities:
    """The identities of one client, with the tokens in use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tokens: dict[str, _Token] = {}
        self._signers: dict[str, AwsSigner] = {}

    async def find_token(self, provider: Provider) -> ResolvedKey | None:
        """The access token for a provider, fetched or renewed where that is due.

        Returns:
            None where the provider's type has no such identity, or no credentials are found.

        Raises:
            KeyRequired: there are credentials, and no token was given for them.
        """
        kind = _KINDS.get(provider.type)
        if kind not in ("azure", "google"):
            return None
        if not self._is_fresh(kind):
            find = _google_request if kind == "google" else _azure_request
            request = await asyncio.to_thread(find)
            if request is None:
                return None
            self._tokens[kind] = await self._fetch(request, provider)
        secret = self._tokens[kind].secret
        return ResolvedKey(secret=secret, source="token", name=kind, fingerprint="identity")

    async def find_signer(self, provider: Provider) -> AwsSigner | None:
        """What signs a provider's requests, or None where it has no such identity."""
        if _KINDS.get(provider.type) != "aws":
            return None
        signer = self._signers.get(provider.base_url)
        if signer is None:
            signer = await asyncio.to_thread(find_aws_signer, provider)
            if signer is not None:
                self._signers[provider.base_url] = signer
        return signer

    def _is_fresh(self, kind: str) -> bool:
        token = self._tokens.get(kind)
        return token is not None and token.ends_at - time.time() > _LEEWAY_S

    async def _fetch(self, request: _TokenRequest, provider: Provider) -> _Token:
        is_local = urlsplit(request.url).hostname in ("127.0.0.1", "localhost", "::1")
        async with open_http(self._settings, local=is_local) as http:
            response = await http.post(request.url, data=dict(request.form))
        answer = _as_mapping(response.content)
        secret = answer.get("access_token")
        if response.status_code >= 400 or not isinstance(secret, str):
            reason = answer.get("error_description") or answer.get("error") or ""
            raise KeyRequired(
                f"no access token for {provider.name}: the identity service answered "
                f"{response.status_code} {str(reason)[:200]}".rstrip(),
                provider=provider.name,
                cause="token_source",
                hint="Check the credentials of the cloud provider's tools, or set an API key.",
            )
        lifetime_s = answer.get("expires_in")
        seconds = float(lifetime_s) if isinstance(lifetime_s, int | float | str) else 300.0
        return _Token(Secret(secret), time.time() + seconds)


def _google_request() -> _TokenRequest | None:
    """Application-default credentials: a service account's, or those of `gcloud auth`."""
    values = _read_json(_google_file())
    if values is None:
        return None
    token_uri = str(values.get("token_uri") or _GOOGLE_TOKEN_URI)
    if values.get("type") == "service_account":
        assertion = _sign_assertion(values, token_uri)
        return _TokenRequest(token_uri, {"grant_type": _JWT_BEARER, "assertion": assertion})
    if values.get("type") == "authorized_user":
        names = ("client_id", "client_secret", "refresh_token")
        form = {name: str(values.get(name) or "") for name in names}
        return _TokenRequest(token_uri, {"grant_type": "refresh_token", **form})
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
        raise KeyRequired("the private key of the service account is not an RSA key")
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return b".".join((signed, _encode(signature))).decode()


def _azure_request() -> _TokenRequest | None:
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
    return _TokenRequest(f"{host.rstrip('/')}/{tenant}/oauth2/v2.0/token", form)


class AwsSigner:
    """Signs requests with the credentials of AWS's own chain (SigV4).

    Args:
        credentials: of botocore; those that end are renewed by botocore itself.
        region: region of the service.
    """

    def __init__(self, credentials: Any, region: str) -> None:
        self._credentials, self._region = credentials, region

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
        SigV4Auth(self._credentials.get_frozen_credentials(), "bedrock", self._region).add_auth(
            signed
        )
        added = {name.lower(): str(value) for name, value in signed.headers.items()}
        return replace(request, headers={**unsigned, **added})


def find_aws_signer(provider: Provider) -> AwsSigner | None:
    """The signer for a provider, or None without botocore or without credentials.

    Raises:
        KeyRequired: there are credentials, and they cannot be used.
    """
    try:
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]
        from botocore.session import Session  # type: ignore[import-untyped]
    except ImportError:
        return None
    session = Session()
    try:
        credentials = session.get_credentials()
    except BotoCoreError as error:
        raise KeyRequired(
            f"the AWS credentials for {provider.name} cannot be used: {str(error)[:200]}",
            provider=provider.name,
            cause="token_source",
            hint="Check them with `aws sts get-caller-identity`, or set an API key.",
        ) from None
    if credentials is None:
        return None
    named = provider.params.get("aws_region_name")
    found = _REGION.search(provider.base_url)
    region = named or (found[1] if found else None) or session.get_config_variable("region")
    return AwsSigner(credentials, str(region or "us-east-1"))


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
