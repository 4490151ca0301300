"""API keys: the active key of a provider, its source, and the sources it overrides.

Order: explicit argument, a plugin's token source, process environment, OS keyring, vault,
`.env` (read, never exported). Stored keys are bound to the origin they were set for; those of
the environment to the origin their variable is meant for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from toolkit.display import Card, Shown
from toolkit.errors import AuthenticationFailed, InvalidInput, KeyRequired, KeyStoreError
from toolkit.keys.index import CURRENT, KeyEntry, StoreName
from toolkit.keys.sources import (
    NEXT,
    KeyLocation,
    KeySource,
    Place,
    TokenSources,
    check_key,
    clean_key,
    find_dotenv,
    find_places,
    find_variables,
    header_key,
    is_bound,
    list_places,
    usable,
)
from toolkit.keys.stores import KeyStores
from toolkit.keys.terminal import ask_passphrase
from toolkit.providers.naming import check_name
from toolkit.providers.provider import Provider
from toolkit.providers.provider_list import ProviderList
from toolkit.secret import Secret, hides_arguments
from toolkit.settings import Settings, read_dotenv


@dataclass(frozen=True, slots=True)
class KeyVerdict:
    """The result of checking a key at its provider.

    Attributes:
        provider: whose key.
        answer: `works`, `refused`, or `could_not_check` if no free request can decide it.
        reason: why.
        hint: what to do, or "".
    """

    provider: str
    answer: str
    reason: str
    hint: str = ""


CheckKey = Callable[[Provider, Secret], KeyVerdict]
"""Asks a provider, for free, whether it accepts a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedKey:
    """The active key of one provider.

    Attributes:
        secret: its value; call `reveal` only where it is sent to its own origin.
        source: where it is from.
        name: its name among the provider's stored keys, or the variable that holds it.
        fingerprint: identifies it without revealing it.
        shadows: other sources with a key of this provider, overridden by this one.
    """

    secret: Secret
    source: KeySource
    name: str
    fingerprint: str
    shadows: tuple[str, ...] = ()


class Keys(Shown):
    """The keys of one home folder.

    Args:
        settings: where the home folder is, and how long to wait for the keyring.
        registry: finds providers by name.
        ask_passphrase: prompts for the vault's passphrase; with True, for a new one.
    """

    def __init__(
        self,
        settings: Settings,
        registry: ProviderList,
        ask_passphrase: Callable[[bool], Secret] = ask_passphrase,
    ) -> None:
        self.stores: KeyStores = KeyStores(settings, ask_passphrase)
        self.tokens: TokenSources = TokenSources()
        self.check_with: CheckKey | None = None
        """Checks a key at its provider; if None (no network), keys are stored unchecked."""
        self._registry = registry
        self._given: dict[Secret, None] = {}

    # ---- the active key -----------------------------------------------------------------------

    def resolve(
        self,
        provider: Provider | str,
        explicit: str | Secret | None = None,
        *,
        name: str | None = None,
    ) -> ResolvedKey | None:
        """Find the active key of a provider, or None.

        Args:
            provider: whose key, by name or as an object; its origin decides which stored keys
                may be used.
            explicit: a key given by the caller; it has priority.
            name: one of several stored keys; None uses the usual order.

        Raises:
            KeyRequired: a key exists but cannot be used: the keyring or vault is locked, it was
                stored for another origin, or it contains invalid characters.
        """
        if isinstance(provider, str):
            provider = self._registry.require(provider)
        if explicit is not None:
            given = Secret(explicit) if isinstance(explicit, str) else explicit
            self._given[given] = None
            return self._resolved(provider, given, "argument", "argument")
        if name is None and (tokens := self.tokens.find(provider.name, provider.origin)):
            return self._resolved(provider, tokens.get(), "token", "token source")
        places = list(find_places(self.stores, provider, name))
        found = self._ask(provider, places)
        if found is None:
            self._refuse_foreign(provider, name)
            return None
        place, secret = found
        shadows = tuple(other.label for other in places if other is not place)
        return self._resolved(provider, secret, place.source, place.name, shadows)

    def find_header(self, provider: Provider, header: str) -> Secret | None:
        """The stored value of a secret header, or None.

        Raises:
            KeyRequired: it is stored but cannot be read, or for another origin.
        """
        name = header_key(header)
        found = self._ask(provider, list(find_places(self.stores, provider, name)))
        if found is None:
            self._refuse_foreign(provider, name)
        return None if found is None else found[1]

    def known_secrets(self) -> list[Secret]:
        """Every key that this process, machine and home folder know, for redaction and scans.

        Reads the keyring, and the vault if that needs no prompt.
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

    @hides_arguments
    def set(
        self,
        provider: Provider | str,
        value: str,
        *,
        name: str = CURRENT,
        store: StoreName = "keyring",
        check: bool = True,
    ) -> KeyEntry:
        """Check a key at its provider, then store it for the provider's current origin.

        A key that could not be checked (no connection, or no free request) is stored; `list` shows
        the result of the check.

        Args:
            provider: whose key.
            value: the key; white space and quotes around it are not part of it.
            name: which of several keys of this provider.
            store: `keyring` or `vault`.
            check: False stores it without asking the provider.

        Raises:
            InvalidInput: the value cannot be a key, or the provider has no address yet.
            AuthenticationFailed: the provider refuses the key; nothing is stored.
            KeyStoreError: the store cannot be used; the hint names the others.
        """
        check_name(name, "name of a key")
        owner = self._require(provider)
        secret = check_key(clean_key(value))
        verdict = self.check_with(owner, secret) if check and self.check_with else None
        if verdict is not None and verdict.answer == "refused":
            raise AuthenticationFailed(
                f"{owner.name} refuses this key ({verdict.reason}); nothing was stored",
                provider=owner.name,
                cause="key_refused",
                hint="Copy the key again, or store it without a check: `--no-check` "
                "(in Python `check=False`).",
            )
        entry = self.stores.put(owner.name, name, owner.origin, secret, store)
        if verdict is not None:
            self.note_check(entry.fingerprint, verdict.answer, verdict.reason)
        return entry

    @hides_arguments
    def set_header(
        self, provider: Provider | str, header: str, value: str, *, store: StoreName = "keyring"
    ) -> KeyEntry:
        """Store the secret value of a header like a key.

        Raises:
            InvalidInput, KeyStoreError: as `set`.
        """
        owner = self._require(provider)
        name = header_key(header)
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

    @hides_arguments
    def rotate(
        self,
        provider: Provider | str,
        value: str,
        *,
        works: Callable[[Secret], object] | None = None,
        name: str = CURRENT,
    ) -> KeyEntry:
        """Replace a stored key; until the new one has worked both are kept.

        Args:
            provider: whose key.
            value: the new key.
            works: tries the new key, and raises when the provider does not accept it; None checks
                it with a free request.
            name: which of several keys.

        Raises:
            InvalidInput: no key is stored yet, or as `set`.
            KeyStoreError: as `set`.
            ToolkitError: what `works` raised; the old key stays active, the new one is removed.
        """
        owner = self._require(provider)
        secret = check_key(clean_key(value))
        stored = self.stores.index.names(owner.name, owner.origin)
        old = next((entry for entry in stored if entry.name == name), None)
        if old is None:
            raise InvalidInput(
                f"no key {name!r} of {owner.name} is stored, so there is nothing to rotate",
                provider=owner.name,
                hint=f"Set one with `toolkit keys set {owner.name}`.",
            )
        new = self.stores.put(owner.name, name + NEXT, owner.origin, secret, old.store)
        try:
            (works or partial(self._require_accepted, owner))(secret)
            return self.stores.put(owner.name, name, owner.origin, secret, old.store)
        finally:
            self.stores.delete(new)

    def clear(self, provider: Provider | str | None = None) -> list[KeyEntry]:
        """Delete every stored key of a provider, or of all; those of the environment stay.

        Raises:
            KeyStoreError: a store cannot be used; what it holds stays listed.
        """
        owner = provider.name if isinstance(provider, Provider) else provider
        found = [e for e in self.stores.index.entries() if owner in (None, e.provider)]
        for entry in found:
            self.stores.delete(entry)
        return found

    @hides_arguments
    def unlock_vault(self, passphrase: str) -> None:
        """Open the encrypted vault for this process; a new vault gets this passphrase.

        Raises:
            KeyStoreError: wrong or too short, or the vault cannot be read.
        """
        self.stores.vault.unlock(Secret(passphrase))

    def is_vault_locked(self) -> bool:
        """Whether the vault holds keys that this process cannot read without its passphrase.

        Raises:
            KeyStoreError: the vault is damaged.
        """
        vault = self.stores.vault
        return bool(vault.ids()) and not vault.can_unlock()

    # ---- reading ------------------------------------------------------------------------------

    def has(self, provider: Provider | str) -> bool:
        """Whether a usable key exists; keyring and vault are not opened."""
        return self.active(provider) is not None

    def get(self, provider: Provider | str, *, reveal: bool = False) -> str | None:
        """The active key of a provider, masked (`…3f2a`) unless `reveal` is true; None without one.

        Raises:
            KeyRequired: as `resolve`.
        """
        found = self.resolve(provider)
        if found is None:
            return None
        return found.secret.reveal() if reveal else found.fingerprint.partition("#")[0]

    def active(self, provider: Provider | str) -> KeyLocation | None:
        """The location of the active key, or None; keyring and vault are not opened."""
        return next((place for place in self.list(provider) if place.in_force), None)

    def check(self, provider: Provider | str | None = None) -> list[KeyVerdict]:
        """Ask providers, for free, whether they accept their active key.

        Args:
            provider: only this one; None: every provider with a key.

        Raises:
            KeyRequired: as `resolve`, if a provider is given.
        """
        owners = (
            [self._registry.require(provider) if isinstance(provider, str) else provider]
            if provider is not None
            else [owner for owner in self._registry.list() if self.active(owner)]
        )
        return [self._check(owner, is_only=provider is not None) for owner in owners]

    def list(self, provider: Provider | str | None = None) -> list[KeyLocation]:
        """All key locations, by provider; keyring and vault are not opened."""
        if provider is None:
            owners = self._registry.list()
        else:
            owners = [self._registry.require(provider) if isinstance(provider, str) else provider]
        return [row for owner in owners for row in list_places(self.stores, self.tokens, owner)]

    def _card(self) -> Card:
        return Card(
            title="Keys",
            rows=[
                {
                    "provider": place.provider,
                    "place": place.label,
                    "fingerprint": place.fingerprint,
                    "in use": place.in_force,
                    "note": place.note,
                }
                for place in self.list()
            ],
            notes=["Add one with tk.keys.set(provider, key)."],
        )

    def fingerprint(self, secret: Secret) -> str:
        """The fingerprint of a key: `…3f2a#9c01ab42`."""
        return self.stores.index.fingerprint(secret)

    def note_check(self, fingerprint: str, answer: str, reason: str) -> None:
        """Store the result of a check, for `list`."""
        self.stores.index.note_check(fingerprint, answer, reason)

    # ---- internals ----------------------------------------------------------------------------

    def _check(self, owner: Provider, *, is_only: bool) -> KeyVerdict:
        try:
            key = self.resolve(owner)
        except KeyRequired as error:
            if is_only:
                raise
            return KeyVerdict(owner.name, "could_not_check", error.message, error.hint)
        if key is None:
            hint = f"`toolkit keys set {owner.name}`" if owner.needs_key else ""
            return KeyVerdict(owner.name, "could_not_check", "no key is set", hint)
        if self.check_with is None:
            return KeyVerdict(owner.name, "could_not_check", "the key cannot be checked here")
        verdict = self.check_with(owner, key.secret)
        self.note_check(key.fingerprint, verdict.answer, verdict.reason)
        return verdict

    def _require_accepted(self, owner: Provider, secret: Secret) -> None:
        if self.check_with is None:
            return
        verdict = self.check_with(owner, secret)
        if verdict.answer != "works":
            raise AuthenticationFailed(
                f"{owner.name} did not accept the new key: {verdict.reason}",
                provider=owner.name,
                hint=verdict.hint or "The old key stays active.",
            )

    def _ask(self, provider: Provider, places: Sequence[Place]) -> tuple[Place, Secret] | None:
        """The first source with a value; an unreadable one is reported if there is no other."""
        trouble: KeyStoreError | None = None
        for place in places:
            try:
                secret = place.read()
            except KeyStoreError as error:
                trouble = trouble or error
                continue
            if secret is not None:
                return place, secret
        if trouble is None:
            return None
        raise KeyRequired(
            f"the key of {provider.name} cannot be read: {trouble.message}",
            provider=provider.name,
            cause=trouble.cause,
            hint=trouble.hint,
        )

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
        """Report a key for another address, instead of a missing key."""
        foreign = usable(self.stores.index.foreign(provider.name, provider.origin), name)
        if foreign:
            raise KeyRequired(
                f"the key of {provider.name} was stored for {foreign[0].origin}, but its address "
                f"is {provider.origin} now",
                provider=provider.name,
                cause="origin_changed",
                hint=f"If that is right, set the key again: `toolkit keys set {provider.name}`.",
            )
        if name is None and provider.needs_key and not is_bound(provider):
            found = next(chain(find_variables(provider), find_dotenv(provider)), None)
            if found is not None:
                raise KeyRequired(
                    f"{found.name} holds a key, but it is not approved for {provider.origin}",
                    provider=provider.name,
                    cause="origin_changed",
                    hint=f"To approve it: `toolkit providers update {provider.name} --key-env "
                    f"{found.name}`.",
                )

    def _require(self, provider: Provider | str) -> Provider:
        owner = self._registry.require(provider) if isinstance(provider, str) else provider
        if not owner.origin:
            raise InvalidInput(
                f"{owner.name} has no base URL yet, so a key cannot be bound to it",
                provider=owner.name,
                hint=f"Give its base URL first: `toolkit providers add {owner.name} --url URL`.",
            )
        return owner
