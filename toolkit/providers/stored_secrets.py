"""What of a provider is secret goes into the key store: before it is saved, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from toolkit.errors import InvalidInput
from toolkit.keys.index import CURRENT, StoreName
from toolkit.keys.service import Keys
from toolkit.keys.sources import header_key
from toolkit.keys.stores import check_key, clean_key
from toolkit.providers.headers import check_headers, is_secret
from toolkit.providers.provider import Provider
from toolkit.secret import Secret


@contextmanager
def stored_secrets(
    keys: Keys,
    provider: Provider,
    api_key: str | None,
    headers: Mapping[str, str],
    store: StoreName,
) -> Iterator[None]:
    """Store a key and secret headers; when what follows fails they are taken away again.

    Raises:
        InvalidInput, KeyStoreError: one of them cannot be stored; then none is.
    """
    with keys.stores.together() as put:
        if api_key is not None:
            put(provider.name, CURRENT, _origin(provider), check_key(clean_key(api_key)), store)
        for header, value in headers.items():
            put(provider.name, header_key(header), _origin(provider), Secret(value), store)
        yield


def _origin(provider: Provider) -> str:
    if not provider.origin:
        raise InvalidInput(
            f"{provider.name} has no address yet that a key could be bound to",
            provider=provider.name,
            hint="Give its base URL as well.",
        )
    return provider.origin


def split_headers(headers: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Headers that may stand in a file, and those whose value is kept like a key.

    Raises:
        InvalidProvider: a header is not acceptable.
    """
    checked = check_headers(headers)
    secret = {name: value for name, value in checked.items() if is_secret(name, value)}
    return {name: value for name, value in checked.items() if name not in secret}, secret


def changed_headers(
    headers: Mapping[str, str], changes: Mapping[str, str | None]
) -> dict[str, str]:
    """Headers after single changes; None takes one away."""
    names = {name.lower() for name in changes}
    kept = {name: headers[name] for name in headers if name.lower() not in names}
    return kept | {name: value for name, value in changes.items() if value is not None}
