"""Signatures in place of keys: AWS's (SigV4) and Oracle's, with the credentials of their tools."""

from __future__ import annotations

import base64
import configparser
import hashlib
import logging
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from toolkit.calls.adapters.cloud_credentials import may_ask_machine
from toolkit.calls.adapters.request import HttpRequest
from toolkit.calls.adapters.token_renewal import PAUSE_S, Moment, leeway_of
from toolkit.errors import CallError, ConnectionFailed, KeyRequired, RateLimited, ServerError
from toolkit.providers.provider import Provider

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
SIGNED_TYPES: Final = frozenset((*_AWS_SERVICES, "oci"))
"""Provider types whose requests may be signed in place of a key."""
_SIGNED_BY_ORACLE: Final = (
    *("date", "(request-target)", "host"),
    *("content-length", "content-type", "x-content-sha256"),
)


class RequestSigner(Protocol):
    """Signs requests of one provider."""

    def sign(self, request: HttpRequest) -> HttpRequest:
        """The request with its signature headers."""


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
        self._asked_at = Moment()

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
            now = self._asked_at.now()
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
            self._asked_at = Moment()
            self._ends_at = end.timestamp() if isinstance(end, datetime) else 0.0
            self._renew_at = self._ends_at - leeway_of(self._ends_at - now)
            return self._frozen


def _unusable_aws(provider: str, error: Exception) -> CallError:
    """The error for AWS credentials that botocore could not get.

    A service of AWS's that is down or cannot be reached says nothing about the credentials.
    """
    from botocore.exceptions import ClientError, HTTPClientError  # type: ignore[import-untyped]

    problem = f"AWS gave no credentials for {provider}: {str(error)[:200]}"
    if isinstance(error, HTTPClientError):
        return ConnectionFailed(problem, provider=provider or None, cause="token_source")
    status = 0
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0
    if status == 429 or status >= 500:
        kind: type[CallError] = RateLimited if status == 429 else ServerError
        return kind(problem, provider=provider or None, status=status, cause="token_source")
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
    if not may_ask_machine("aws"):
        # Nobody answers at the address of EC2's metadata service elsewhere: botocore would wait.
        session.get_component("credential_provider").remove("iam-role")
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
