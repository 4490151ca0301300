"""Keys that are exchanged for an access token before they can be used.

IBM, Sber and SAP give out keys that their model services do not take: a token service of theirs
turns a key into a token that lasts for minutes. litellm does this over connections of its own;
here the request for a token is only written, and `identities` sends it over the guarded
transport.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_IBM_TOKENS: Final = "https://iam.cloud.ibm.com/identity/token"
_IBM_GRANT: Final = "urn:ibm:params:oauth:grant-type:apikey"
_SBER_TOKENS: Final = "https://ngw.devices.sberbank.ru:9443/api/v2/oauth"
_JWT_START: Final = "eyJ"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A form to post for a token.

    Attributes:
        url: of the token service.
        form: what is posted; it may hold a secret.
        headers: beside those of a form; they may hold a secret.
    """

    url: str
    form: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def write_exchange(provider_type: str, key: str) -> TokenRequest | None:
    """Return the request that turns a key into a token.

    Returns:
        None where the provider takes the key itself, or the key is such a token already.
    """
    write = _WRITERS.get(provider_type)
    return None if write is None or key.startswith(_JWT_START) else write(key)


def write_sap_request(service_key: Mapping[str, Any]) -> TokenRequest | None:
    """Return the request for a token with the parts of a service key of SAP AI Core.

    Args:
        service_key: `clientid`, `clientsecret` and `url`, the address of the token service.

    Returns:
        None where a part is missing.
    """
    client, secret = service_key.get("clientid"), service_key.get("clientsecret")
    url = service_key.get("url")
    if not (client and secret and url):
        return None
    address = str(url).rstrip("/").removesuffix("/oauth/token") + "/oauth/token"
    form = {
        "grant_type": "client_credentials",
        "client_id": str(client),
        "client_secret": str(secret),
    }
    return TokenRequest(address, form)


def find_sap_request() -> TokenRequest | None:
    """Return the request for a token with the service key in SAP's own variables, if any."""
    if named := _read_object(os.environ.get("AICORE_SERVICE_KEY") or ""):
        return write_sap_request(named.get("credentials") or named)
    names = {"clientid": "CLIENT_ID", "clientsecret": "CLIENT_SECRET", "url": "AUTH_URL"}
    return write_sap_request({k: os.environ.get(f"AICORE_{v}") for k, v in names.items()})


def _exchange_at_ibm(key: str) -> TokenRequest:
    url = os.environ.get("WATSONX_IAM_URL") or _IBM_TOKENS
    return TokenRequest(url, {"grant_type": _IBM_GRANT, "apikey": key})


def _exchange_at_sber(key: str) -> TokenRequest:
    url = os.environ.get("GIGACHAT_AUTH_URL") or _SBER_TOKENS
    scope = os.environ.get("GIGACHAT_SCOPE") or "GIGACHAT_API_PERS"
    headers = {"authorization": f"Basic {key}", "rquid": str(uuid.uuid4())}
    return TokenRequest(url, {"scope": scope}, headers)


def _exchange_at_sap(key: str) -> TokenRequest | None:
    return write_sap_request(_read_object(key))


def _read_object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, Mapping) else {}


_WRITERS: Final[Mapping[str, Callable[[str], TokenRequest | None]]] = {
    "gigachat": _exchange_at_sber,
    "sap": _exchange_at_sap,
    "watsonx": _exchange_at_ibm,
}
