"""Sources of a provider's key, in their order, and how each is listed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

from toolkit.keys.dotenv_file import read_dotenv
from toolkit.keys.index import CURRENT, KeyCheck, KeyEntry
from toolkit.keys.stores import KeyStores, clean_key
from toolkit.keys.token_sources import TokenSources
from toolkit.providers.provider import Provider
from toolkit.secret import Secret

KeySource = Literal["argument", "token", "environment", "keyring", "vault", "dotenv"]

HEADER: Final = "header:"
"""Prefix of the names of secret headers in the stores."""

NEXT: Final = ":next"
"""Suffix of the name of a new key while it is being tried."""


def header_key(header: str) -> str:
    """The name under which the secret value of a header is stored."""
    return HEADER + header.lower()


@dataclass(frozen=True, slots=True)
class Place:
    """A source that may have a key; `read` opens it."""

    source: KeySource
    name: str
    read: Callable[[], Secret | None]

    @property
    def label(self) -> str:
        """Description, such as `environment GROQ_API_KEY`."""
        return f"{self.source} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLocation:
    """A source with a key of a provider, as `toolkit keys list` shows it.

    Attributes:
        provider: whose key.
        name: its name, or the variable that holds it.
        source: the kind of source.
        fingerprint: identifies the key without revealing it.
        origin: where it may be sent to.
        in_force: whether this one is used.
        shadowed_by: the source that overrides it, or None.
        note: why it is not used, or "".
        created_at: when it was stored, UTC, ISO; None in the environment.
        last_check: the result of its last check, or None.
    """

    provider: str
    name: str
    source: KeySource
    fingerprint: str
    origin: str
    in_force: bool = False
    shadowed_by: str | None = None
    note: str = ""
    created_at: str | None = None
    last_check: KeyCheck | None = None

    @property
    def label(self) -> str:
        """Description, such as `keyring default`."""
        return f"{self.source} {self.name}"


def find_places(stores: KeyStores, provider: Provider, name: str | None) -> Iterator[Place]:
    """Sources for this provider at its current origin, in order of priority.

    Args:
        stores: the stored keys.
        provider: whose key.
        name: one of several stored keys; None: variables and all stored keys.
    """
    may_read_variables = name is None and is_bound(provider)
    if may_read_variables:
        yield from find_variables(provider)
    entries = usable(stores.index.names(provider.name, provider.origin), name)
    for entry in sorted(entries, key=lambda entry: entry.store != "keyring"):
        yield Place(entry.store, entry.name, partial(stores.read, entry))
    if may_read_variables:
        yield from find_dotenv(provider)


def find_variables(provider: Provider) -> Iterator[Place]:
    """Variables of the process environment with a key of this provider."""
    return _variables(provider, os.environ, "environment")


def find_dotenv(provider: Provider) -> Iterator[Place]:
    """Variables of `./.env` with a key of this provider."""
    return _variables(provider, read_dotenv(), "dotenv")


def _variables(provider: Provider, values: Mapping[str, str], source: KeySource) -> Iterator[Place]:
    for name in provider.key_env:
        if value := clean_key(values.get(name, "")):
            yield Place(source, name, partial(Secret, value))


def is_bound(provider: Provider) -> bool:
    """Whether the keys of its variables may be sent to its current address."""
    return bool(provider.key_origin) and provider.key_origin == provider.origin


def usable(entries: list[KeyEntry], name: str | None) -> list[KeyEntry]:
    """The entries with this name; without a name all keys, the default first."""
    if name is not None:
        return [entry for entry in entries if entry.name == name]
    return sorted((entry for entry in entries if not _is_aside(entry.name)), key=_rank)


def list_places(stores: KeyStores, tokens: TokenSources, provider: Provider) -> list[KeyLocation]:
    """All sources with a key of this provider, in order of priority; no store is opened."""
    index = stores.index

    def variable(place: Place) -> KeyLocation:
        secret = place.read()
        assert secret is not None
        shown = index.fingerprint(secret)
        return KeyLocation(
            provider=provider.name,
            name=place.name,
            source=place.source,
            fingerprint=shown,
            origin=provider.key_origin or "",
            note="" if is_bound(provider) else f"not confirmed for {provider.origin}",
            last_check=index.find_check(shown),
        )

    def stored(entry: KeyEntry) -> KeyLocation:
        return KeyLocation(
            provider=provider.name,
            name=entry.name,
            source=entry.store,
            fingerprint=entry.fingerprint,
            origin=entry.origin,
            note=_note(entry, provider),
            created_at=entry.created_at,
            last_check=index.find_check(entry.fingerprint),
        )

    entries = [entry for entry in index.entries() if entry.provider == provider.name]
    entries.sort(key=lambda entry: (entry.store != "keyring", _rank(entry)))
    found = [
        *_token_place(stores, tokens, provider),
        *map(variable, find_variables(provider)),
        *map(stored, entries),
        *map(variable, find_dotenv(provider)),
    ]
    return _with_shadows(found)


def _token_place(
    stores: KeyStores, tokens: TokenSources, provider: Provider
) -> Iterator[KeyLocation]:
    if source := tokens.find(provider.name, provider.origin):
        token = source.last()
        yield KeyLocation(
            provider=provider.name,
            name="source",
            source="token",
            fingerprint=stores.index.fingerprint(token) if token else "not fetched yet",
            origin=provider.origin,
        )


def _note(entry: KeyEntry, provider: Provider) -> str:
    if entry.origin != provider.origin:
        return f"stored for {entry.origin}"
    if entry.name.startswith(HEADER):
        return "value of a header"
    if not entry.is_confirmed:
        return "the keyring has not confirmed it"
    return "being tried" if entry.name.endswith(NEXT) else ""


def _is_aside(name: str) -> bool:
    return name.startswith(HEADER) or name.endswith(NEXT)


def _rank(entry: KeyEntry) -> tuple[bool, str, str]:
    return entry.name != CURRENT, entry.created_at, entry.name


def _with_shadows(found: list[KeyLocation]) -> list[KeyLocation]:
    """Mark the first usable source as active, and the other usable ones as overridden by it."""
    first = next((place for place in found if not place.note), None)
    if first is None:
        return found
    return [
        place
        if place.note
        else replace(place, in_force=True)
        if place is first
        else replace(place, shadowed_by=first.label)
        for place in found
    ]
