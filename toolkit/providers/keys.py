"""The keys: which one is in force for a provider, where it is from, and what it shadows.

Order: explicit argument, a plugin's token source, process environment, OS keyring, vault,
`.env` (read, never exported). Stored keys are bound to the origin they were set for; those of
the environment to the origin their variable is meant for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from toolkit.errors import InvalidInput, KeyRequired, KeyStoreError
from toolkit.providers.dotenv_file import read_dotenv
from toolkit.providers.key_index import CURRENT, KeyCheck, KeyEntry, StoreName
from toolkit.providers.key_stores import KeyStores
from toolkit.providers.names import check_name
from toolkit.providers.provider import Provider
from toolkit.providers.registry import Registry
from toolkit.providers.tokens import TokenSources
from toolkit.secret import Secret
from toolkit.settings import Settings

KeySource = Literal["argument", "token", "environment", "keyring", "vault", "dotenv"]

_MAX_KEY: Final = 16 * 1024
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_HEADER: Final = "header:"
_NEXT: Final = ":next"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedKey:
    """The key in force for one provider.

    Attributes:
        secret: its value; `reveal` it only where it leaves for its own origin.
        source: where it is from.
        name: its name among the provider's stored keys, or the variable that holds it.
        fingerprint: how it is told from others.
        shadows: other places that hold a key of this provider, which this one hides.
    """

    secret: Secret
    source: KeySource
    name: str
    fingerprint: str
    shadows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPlace:
    """One place that holds a key of a provider, as `toolkit keys list` shows it.

    Attributes:
        provider: whose key.
        name: its name, or the variable that holds it.
        source: what kind of place.
        fingerprint: how the key is told from others.
        origin: where it may be sent to.
        in_force: this one is used.
        shadowed_by: the place that hides it, or None.
        note: why it cannot be used, or "".
        created_at: when it was stored, UTC, ISO; None in the environment.
        last_check: what its last check said, or None.
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


@dataclass(frozen=True, slots=True)
class _Place:
    """A place that may be asked now; `read` opens it."""

    source: KeySource
    name: str
    read: Callable[[], Secret | None]

    @property
    def label(self) -> str:
        return f"{self.source} {self.name}"


class Keys:
    """The keys of one home folder.

    Args:
        settings: where the home folder is, and how long to wait for the keyring.
        ask_passphrase: asks a person for the vault's passphrase; None where nobody can be asked.
    """

    def __init__(
        self, settings: Settings, ask_passphrase: Callable[[], Secret] | None = None
    ) -> None:
        self.stores = KeyStores(settings, ask_passphrase)
        self.tokens = TokenSources()
        self._registry = Registry(settings)
        self._given: dict[Secret, None] = {}

    # ---- the key in force ---------------------------------------------------------------------

    def resolve(
        self, provider: Provider, explicit: str | None = None, *, name: str | None = None
    ) -> ResolvedKey | None:
        """The key in force for a provider, or None where there is none.

        Args:
            provider: whose key; its origin decides which stored keys may be used.
            explicit: a key that the caller gave; it wins.
            name: one of several stored keys; None takes the usual order.

        Raises:
            KeyRequired: a key is there but cannot be used: the keyring or vault is locked, it
                was stored for another origin, or it holds what no key holds.
        """
        if explicit is not None:
            self._given[Secret(explicit)] = None
            return self._resolved(provider, Secret(explicit), "argument", "argument")
        if name is None and (tokens := self.tokens.find(provider.name, provider.origin)):
            return self._resolved(provider, tokens.get(), "token", "token source")
        trouble: KeyStoreError | None = None
        places = list(self._places(provider, name))
        for place in places:
            try:
                secret = place.read()
            except KeyStoreError as error:
                trouble = trouble or error
                continue
            if secret is not None:
                shadows = tuple(other.label for other in places if other is not place)
                return self._resolved(provider, secret, place.source, place.name, shadows)
        if trouble is not None:
            raise KeyRequired(
                f"the key of {provider.name} cannot be read: {trouble.message}",
                provider=provider.name,
                cause=trouble.cause,
                hint=trouble.hint,
            )
        self._refuse_foreign(provider, name)
        return None

    def find_header(self, provider: Provider, header: str) -> Secret | None:
        """The stored value of a secret header, or None.

        Raises:
            KeyRequired: it is stored but cannot be read, or for another origin.
        """
        found = self.resolve(provider, name=_HEADER + header.lower())
        return None if found is None else found.secret

    def known_secrets(self) -> list[Secret]:
        """Every key that this process, machine and home folder know, for redaction and scans.

        Asks the keyring, and the vault where no person has to be asked for its passphrase.
        """
        found = dict(self._given)
        variables = {name for provider in self._registry.list() for name in provider.key_env}
        for place in (os.environ, read_dotenv()):
            values = (place.get(name, "").strip() for name in variables)
            found |= {Secret(value): None for value in values if value}
        for entry in self.stores.index.entries():
            if entry.store == "vault" and not self.stores.vault.can_unlock():
                continue
            try:
                value = self.stores.read(entry)
            except KeyStoreError:
                continue
            if value is not None:
                found[value] = None
        return [*found, *self.tokens.known()]

    # ---- changing what is stored --------------------------------------------------------------

    def set(
        self,
        provider: Provider | str,
        value: str,
        *,
        name: str = CURRENT,
        store: StoreName = "keyring",
    ) -> KeyEntry:
        """Store a key for a provider's present origin, and read it back.

        Args:
            provider: whose key.
            value: the key; surrounding white space is not part of it.
            name: which of several keys of this provider.
            store: `keyring`, or `vault` where that was chosen.

        Raises:
            InvalidInput: the value cannot be a key, or the provider has no address yet.
            KeyStoreError: the store cannot be used; the hint names the others.
        """
        check_name(name, "name of a key")
        owner = self._require(provider)
        return self.stores.put(owner.name, name, owner.origin, check_key(value.strip()), store)

    def set_header(
        self, provider: Provider | str, header: str, value: str, *, store: StoreName = "keyring"
    ) -> KeyEntry:
        """Store the secret value of a header like a key.

        Raises:
            InvalidInput, KeyStoreError: as `set`.
        """
        owner = self._require(provider)
        name = _HEADER + header.lower()
        return self.stores.put(owner.name, name, owner.origin, Secret(value), store)

    def remove(
        self, provider: Provider | str, *, name: str = CURRENT, store: StoreName | None = None
    ) -> list[KeyEntry]:
        """Delete a stored key, wherever and for whichever origin it is stored.

        Raises:
            InvalidInput: no such key is stored.
            KeyStoreError: a store cannot be used; what it holds stays listed.
        """
        owner = provider if isinstance(provider, str) else provider.name
        found = [
            entry
            for entry in self.stores.index.entries()
            if (entry.provider, entry.name) == (owner, name) and store in (None, entry.store)
        ]
        if not found:
            raise InvalidInput(
                f"no key {name!r} of {owner} is stored",
                hint="`toolkit keys list` shows what is; keys of the environment are not ours.",
            )
        for entry in found:
            self.stores.delete(entry)
        return found

    def rotate(
        self,
        provider: Provider | str,
        value: str,
        *,
        works: Callable[[Secret], object],
        name: str = CURRENT,
    ) -> KeyEntry:
        """Replace a stored key; until the new one has worked both are kept.

        Args:
            provider: whose key.
            value: the new key.
            works: tries the new key, and raises when the provider does not take it.
            name: which of several keys.

        Raises:
            InvalidInput: no key is stored yet that could be replaced, or as `set`.
            KeyStoreError: as `set`.
            ToolkitError: what `works` raised; the old key stays in force, the new one is gone.
        """
        owner = self._require(provider)
        secret = check_key(value.strip())
        stored = self.stores.index.names(owner.name, owner.origin)
        old = next((entry for entry in stored if entry.name == name), None)
        if old is None:
            raise InvalidInput(
                f"no key {name!r} of {owner.name} is stored that could be replaced",
                provider=owner.name,
                hint=f"Set one with `toolkit keys set {owner.name}`.",
            )
        new = self.stores.put(owner.name, name + _NEXT, owner.origin, secret, old.store)
        try:
            works(secret)
            return self.stores.put(owner.name, name, owner.origin, secret, old.store)
        finally:
            self.stores.delete(new)

    def unlock_vault(self, passphrase: str) -> None:
        """Open the encrypted vault for this process (a new one takes this passphrase).

        Raises:
            KeyStoreError: wrong or too short, or the vault cannot be read.
        """
        self.stores.vault.unlock(Secret(passphrase))

    # ---- looking ------------------------------------------------------------------------------

    def list(self, provider: Provider | str | None = None) -> list[KeyPlace]:
        """Every place that holds a key, by provider; keyring and vault are not opened."""
        if provider is not None:
            return self._list_one(self._require(provider))
        return [place for one in self._registry.list() for place in self._list_one(one)]

    def fingerprint(self, secret: Secret) -> str:
        """How a key is told from others: `…3f2a#9c01ab42`."""
        return self.stores.index.fingerprint(secret)

    def note_check(self, fingerprint: str, answer: str, reason: str) -> None:
        """Remember what a check of a key said, for `list`."""
        self.stores.index.note_check(fingerprint, answer, reason)

    # ---- how ----------------------------------------------------------------------------------

    def _places(self, provider: Provider, name: str | None) -> Iterator[_Place]:
        """Places that may be asked for this provider at its present origin, first one first."""
        may_read_variables = name is None and _is_bound(provider)
        if may_read_variables:
            yield from _variables(provider, os.environ, "environment")
        entries = _usable(self.stores.index.names(provider.name, provider.origin), name)
        for store in ("keyring", "vault"):
            for entry in entries:
                if entry.store == store:
                    yield _Place(entry.store, entry.name, lambda e=entry: self.stores.read(e))  # type: ignore[misc]
        if may_read_variables:
            yield from _variables(provider, read_dotenv(), "dotenv")

    def _resolved(
        self,
        provider: Provider,
        secret: Secret,
        source: KeySource,
        name: str,
        shadows: tuple[str, ...] = (),
    ) -> ResolvedKey:
        try:
            check_key(secret.reveal())
        except InvalidInput as error:
            raise KeyRequired(
                f"the key of {provider.name} ({source} {name}) cannot be one: {error.message}",
                provider=provider.name,
                cause="bad_key",
                hint=error.hint,
            ) from None
        fingerprint = self.fingerprint(secret)
        return ResolvedKey(
            secret=secret, source=source, name=name, fingerprint=fingerprint, shadows=shadows
        )

    def _refuse_foreign(self, provider: Provider, name: str | None) -> None:
        """Say that there is a key, but for another address, instead of that there is none."""
        foreign = _usable(self.stores.index.foreign(provider.name, provider.origin), name)
        if foreign:
            raise KeyRequired(
                f"the key of {provider.name} was stored for {foreign[0].origin}, but its address "
                f"is {provider.origin} now",
                provider=provider.name,
                cause="origin_changed",
                hint=f"If that is right, set the key again: `toolkit keys set {provider.name}`.",
            )
        if name is None and provider.needs_key and not _is_bound(provider):
            found = next(_variables(provider, os.environ, "environment"), None)
            found = found or next(_variables(provider, read_dotenv(), "dotenv"), None)
            if found is not None:
                raise KeyRequired(
                    f"{found.name} holds a key, but nobody has said that {provider.origin} may "
                    "have it",
                    provider=provider.name,
                    cause="origin_changed",
                    hint=f"If it may: `toolkit providers update {provider.name} --key-env "
                    f"{found.name}`.",
                )

    def _list_one(self, provider: Provider) -> list[KeyPlace]:
        listed: list[KeyPlace] = []
        if source := self.tokens.find(provider.name, provider.origin):
            token = source.last()
            shown = self.fingerprint(token) if token else "not fetched yet"
            listed.append(self._place(provider, "token", "token source", shown))
        bound = "" if _is_bound(provider) else f"nobody has said that {provider.origin} may have it"
        for place in _variables(provider, os.environ, "environment"):
            listed.append(self._variable(provider, place, bound))
        entries = self.stores.index.entries()
        for entry in sorted(entries, key=lambda e: (e.store != "keyring", _rank(e))):
            if entry.provider == provider.name:
                listed.append(self._stored(provider, entry))
        for place in _variables(provider, read_dotenv(), "dotenv"):
            listed.append(self._variable(provider, place, bound))
        return _with_shadows(listed)

    def _place(
        self, provider: Provider, source: KeySource, name: str, fingerprint: str, note: str = ""
    ) -> KeyPlace:
        return KeyPlace(
            provider=provider.name,
            name=name,
            source=source,
            fingerprint=fingerprint,
            origin=provider.key_origin or "",
            note=note,
            last_check=self.stores.index.find_check(fingerprint),
        )

    def _variable(self, provider: Provider, place: _Place, note: str) -> KeyPlace:
        secret = place.read()
        assert secret is not None
        return self._place(provider, place.source, place.name, self.fingerprint(secret), note)

    def _stored(self, provider: Provider, entry: KeyEntry) -> KeyPlace:
        away = entry.origin != provider.origin
        return KeyPlace(
            provider=entry.provider,
            name=entry.name,
            source=entry.store,
            fingerprint=entry.fingerprint,
            origin=entry.origin,
            note=f"stored for {entry.origin}" if away else "",
            created_at=entry.created_at,
            last_check=self.stores.index.find_check(entry.fingerprint),
        )

    def _require(self, provider: Provider | str) -> Provider:
        owner = self._registry.require(provider) if isinstance(provider, str) else provider
        if not owner.origin:
            raise InvalidInput(
                f"{owner.name} has no address yet that a key could be bound to",
                provider=owner.name,
                hint=f"Give its base URL first: `toolkit providers add {owner.name} --url URL`.",
            )
        return owner


def check_key(value: str) -> Secret:
    """Return a key, or say why a text cannot be one; the text itself is never repeated.

    Raises:
        InvalidInput: empty, over 16 KiB, or with anything but visible ASCII.
    """
    if not value:
        raise InvalidInput("the key is empty", hint="Copy it again from the provider's page.")
    if len(value) > _MAX_KEY:
        raise InvalidInput(f"a key of {len(value):,} characters is none", hint="Copy it again.")
    if not _VISIBLE.fullmatch(value):
        kind = "line breaks, spaces or control characters" if value.isascii() else "other letters"
        raise InvalidInput(
            f"the key holds {kind} than a key can have"
            if not value.isascii()
            else f"the key holds {kind}",
            hint="Copy it again, without the lines and quotes around it.",
        )
    return Secret(value)


def _variables(
    provider: Provider, values: object, source: Literal["environment", "dotenv"]
) -> Iterator[_Place]:
    get = values.get  # type: ignore[attr-defined]
    for name in provider.key_env:
        if value := (get(name) or "").strip():
            yield _Place(source, name, lambda v=value: Secret(v))  # type: ignore[misc]


def _is_bound(provider: Provider) -> bool:
    """Whether the keys of its variables are meant for where it is now."""
    return bool(provider.key_origin) and provider.key_origin == provider.origin


def _usable(entries: list[KeyEntry], name: str | None) -> list[KeyEntry]:
    """The entries of that name; without a name all keys, the usual one first."""
    if name is not None:
        return [entry for entry in entries if entry.name == name]
    keys = [e for e in entries if not e.name.startswith(_HEADER) and not e.name.endswith(_NEXT)]
    return sorted(keys, key=_rank)


def _rank(entry: KeyEntry) -> tuple[bool, str, str]:
    return entry.name != CURRENT, entry.created_at, entry.name


def _with_shadows(listed: list[KeyPlace]) -> list[KeyPlace]:
    """Mark the first usable place as in force, and the others as hidden by it."""
    from dataclasses import replace

    usable = [p for p in listed if not p.note and not p.name.startswith(_HEADER)]
    usable = [p for p in usable if not p.name.endswith(_NEXT)]
    if not usable:
        return listed
    first = usable[0]
    label = f"{first.source} {first.name}"
    return [
        replace(place, in_force=place is first, shadowed_by=label)
        if place in usable and place is not first
        else replace(place, in_force=place is first)
        for place in listed
    ]
