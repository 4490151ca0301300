"""Where Google's and Azure's own tools find their credentials: variables, files, the machine.

A machine, a container or a function in a cloud has an identity of its own, and a service beside
it (the metadata service) gives tokens for it. That service is asked only where a variable names
it or the firmware says that this machine belongs to that cloud: elsewhere nobody answers at its
address, and each call without a key would wait for it.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlencode, urlsplit

from toolkit.calls.adapters.key_exchange import TokenRequest, find_sap_request

Cloud = Literal["aws", "azure", "google"]

_GOOGLE_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_GOOGLE_TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
_AZURE_RESOURCE: Final = "https://cognitiveservices.azure.com"
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CLIENT_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_METADATA_HOST: Final = "169.254.169.254"
_CONNECT_S: Final = 1.0  # the service is one hop away
_ANSWER_S: Final = 10.0
_MAX_ANSWER: Final = 64 * 1024
_FIRMWARE: Final = Path("/sys/class/dmi/id")
# What the firmware of a cloud's virtual machine says, by the file that says it.
_MACHINES: Final[Mapping[Cloud, tuple[str, str]]] = {
    "aws": ("sys_vendor", "Amazon EC2"),
    "azure": ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77"),
    "google": ("product_name", "Google"),
}
# Google's services without a machine of one's own: Cloud Run, functions, App Engine.
_GOOGLE_RUNTIMES: Final = ("K_SERVICE", "CLOUD_RUN_JOB", "GAE_SERVICE")


class UnsupportedCredentials(ValueError):
    """Credentials of a kind that cannot be used here."""


@dataclass(frozen=True, slots=True)
class InstanceRequest:
    """A request for a token at the service beside this machine, container or function.

    Attributes:
        url: of the service, with its query.
        headers: what the service requires; one of them may be a secret.
        is_named: a variable names the service, so it is an error when it cannot be reached.
        without_identity: statuses by which it says that this machine has no identity.
        answer_header: a header that only this service sends, where it has one.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    is_named: bool
    without_identity: tuple[int, ...]
    answer_header: str | None = None


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """The answer of a token service."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def may_ask_machine(cloud: Cloud) -> bool:
    """Whether the metadata service of a cloud may be asked for the identity of this machine."""
    if cloud == "aws":
        disabled = os.environ.get("AWS_EC2_METADATA_DISABLED")
        if disabled is not None:
            return disabled.lower() != "true"
        return bool(os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT")) or _is_machine_of("aws")
    if cloud == "azure":
        is_off = os.environ.get("AZURE_TOKEN_CREDENTIALS", "").lower() == "dev"
        return not is_off and _is_machine_of("azure")
    if os.environ.get("NO_GCE_CHECK", "").lower() == "true":
        return False
    return any(map(os.environ.get, _GOOGLE_RUNTIMES)) or _is_machine_of("google")


@cache
def _is_machine_of(cloud: Cloud) -> bool:
    """Whether the firmware of this machine names a cloud; only Linux shows it in a file."""
    name, value = _MACHINES[cloud]
    try:
        return (_FIRMWARE / name).read_text("utf-8", "replace").strip().startswith(value)
    except OSError:
        return False


def find_instance_request(cloud: str) -> InstanceRequest | None:
    """The request for a token of this machine's own identity, or None where it has none."""
    find = _INSTANCES.get(cloud)
    return None if find is None else find()


def _google_instance() -> InstanceRequest | None:
    named = os.environ.get("GCE_METADATA_HOST") or os.environ.get("GCE_METADATA_ROOT")
    if not named and not may_ask_machine("google"):
        return None
    host = named or os.environ.get("GCE_METADATA_IP") or _METADATA_HOST
    query = urlencode({"scopes": _GOOGLE_SCOPE})
    path = "/computeMetadata/v1/instance/service-accounts/default/token"
    return InstanceRequest(
        f"{_with_scheme(host)}{path}?{query}",
        {"Metadata-Flavor": "Google"},
        is_named=bool(named),
        without_identity=(404,),
        answer_header="metadata-flavor",
    )


def _azure_instance() -> InstanceRequest | None:
    """A managed identity: of App Service, Functions and Container Apps, or of a machine."""
    query = {"resource": _AZURE_RESOURCE}
    if client := os.environ.get("AZURE_CLIENT_ID"):  # one of several that the user made
        query["client_id"] = client
    endpoint, secret = os.environ.get("IDENTITY_ENDPOINT"), os.environ.get("IDENTITY_HEADER")
    if endpoint and secret and not os.environ.get("IDENTITY_SERVER_THUMBPRINT"):
        query = {"api-version": "2019-08-01", **query}
        headers = {"X-IDENTITY-HEADER": secret}
        return InstanceRequest(
            f"{endpoint}?{urlencode(query)}", headers, is_named=True, without_identity=()
        )
    named = os.environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST")
    if not named and not may_ask_machine("azure"):
        return None
    query = {"api-version": "2018-02-01", **query}
    return InstanceRequest(
        f"{_with_scheme(named or _METADATA_HOST)}/metadata/identity/oauth2/token?"
        f"{urlencode(query)}",
        {"Metadata": "true"},
        is_named=bool(named),
        without_identity=(400,),
    )


_INSTANCES: Final[Mapping[str, Callable[[], InstanceRequest | None]]] = {
    "azure": _azure_instance,
    "google": _google_instance,
}


def ask_instance(request: InstanceRequest) -> TokenAnswer | None:
    """Ask the service beside this machine, past every proxy.

    The guarded transport refuses link-local addresses, because a provider must not have one;
    this request goes to an address that is fixed or that a variable of the cloud names.

    Returns:
        None where this machine has no identity.

    Raises:
        OSError, ValueError, http.client.HTTPException: the service cannot be asked.
    """
    parts = urlsplit(request.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_CONNECT_S)
    try:
        connection.connect()
        connection.sock.settimeout(_ANSWER_S)
        connection.request("GET", f"{parts.path}?{parts.query}", headers=dict(request.headers))
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        answer = TokenAnswer(response.status, headers, response.read(_MAX_ANSWER))
    except OSError:
        if request.is_named:
            raise
        return None
    finally:
        connection.close()
    if answer.status in request.without_identity:
        return None
    if request.answer_header and request.answer_header not in headers and answer.status < 400:
        return None  # something else answers at this address
    return answer


def find_token_request(cloud: str) -> TokenRequest | None:
    """The request for a token with the credentials of a cloud's own tools, or None without any.

    Raises:
        OSError, ValueError, TypeError: there are credentials, and they cannot be used.
    """
    return _FINDERS[cloud]()


def _google_request() -> TokenRequest | None:
    """Application-default credentials: a service account's, or those of `gcloud auth`."""
    path = _google_file()
    values = read_object(path.read_bytes()) if path is not None else {}
    if not values:
        return None
    token_uri, kind = str(values.get("token_uri") or _GOOGLE_TOKEN_URI), values.get("type")
    if kind == "service_account":
        assertion = _sign_assertion(values, token_uri)
        return TokenRequest(token_uri, {"grant_type": _JWT_BEARER, "assertion": assertion})
    if kind == "authorized_user":
        names = ("client_id", "client_secret", "refresh_token")
        form = {name: str(values.get(name) or "") for name in names}
        return TokenRequest(token_uri, {"grant_type": "refresh_token", **form})
    raise UnsupportedCredentials(
        f"credentials of type {str(kind)[:40]!r} are not supported (supported: service_account, "
        "authorized_user)"
    )


def _google_file() -> Path | None:
    """The file with Google's credentials; one that a variable names need not exist."""
    if named := os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return Path(named)
    if folder := os.environ.get("CLOUDSDK_CONFIG"):
        base = Path(folder)
    elif os.name == "nt":
        base = Path(os.environ.get("APPDATA", "")) / "gcloud"
    else:
        base = Path.home() / ".config" / "gcloud"
    path = base / "application_default_credentials.json"
    return path if path.is_file() else None


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
    form = {
        "grant_type": "client_credentials",
        "client_id": client,
        "scope": f"{_AZURE_RESOURCE}/.default",
    }
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
CREDENTIALS: Final[Mapping[str, str]] = {
    "azure": "the file that AZURE_FEDERATED_TOKEN_FILE names",
    "google": "the file that GOOGLE_APPLICATION_CREDENTIALS names, or that of gcloud",
    "sap": "AICORE_SERVICE_KEY",
}
"""What is read for a cloud's credentials, for errors."""


def read_object(body: bytes) -> Mapping[str, Any]:
    """A JSON object, or an empty one where the text is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, Mapping) else {}


def _with_scheme(host: str) -> str:
    host = host.rstrip("/")
    return host if "://" in host else f"http://{host}"


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
