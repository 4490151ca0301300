"""Stored keys: their values in the OS keyring or the vault, their names in the index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from toolkit.errors import ToolkitError
from toolkit.keys.index import KeyEntry, KeyIndex, StoreName
from toolkit.keys.os_keyring import OSKeyring
from toolkit.keys.terminal import ask_passphrase
from toolkit.keys.vault import Vault
from toolkit.secret import Secret
from toolkit.settings import Settings

Put = Callable[[str, str, str, Secret, StoreName], KeyEntry]
"""Stores one value: provider, name, origin, value, store."""


class KeyStores:
    """Both stores of one home folder; a value is read once per process.

    Args:
        settings: where they are, and how long to wait.
        ask_passphrase: prompts for the vault's passphrase; with True, for a new one.
    """

    def __init__(
        self, settings: Settings, ask_passphrase: Callable[[bool], Secret] = ask_passphrase
    ) -> None:
        self.index: KeyIndex = KeyIndex(settings)
        self.keyring: OSKeyring = OSKeyring(settings)
        self.vault: Vault = Vault(
            settings.vault_path, wait_s=settings.lock_wait_s, ask=ask_passphrase
        )
        self._values: dict[KeyEntry, Secret] = {}

    def read(self, entry: KeyEntry) -> Secret | None:
        """The value of a stored key, or None if its store no longer has it.

        Raises:
            KeyStoreError: the store cannot be used.
        """
        # An entry that is not confirmed may be another process's, with the value of the key before.
        if entry.is_confirmed and (known := self._values.get(entry)) is not None:
            return known
        if entry.store == "keyring":
            value = self.keyring.get(_username(entry))
        else:
            value = self.vault.get(entry.provider, entry.name, entry.origin)
        if not entry.is_confirmed:
            value = self._confirm(entry, value)
        elif value is not None:
            self._values[entry] = value
        return value

    def _confirm(self, entry: KeyEntry, value: Secret | None) -> Secret | None:
        """Resolve a write that timed out: the keyring has the key now, or the entry is dropped."""
        if value is None:
            self.index.drop(entry)
            return None
        actual = self.index.fingerprint(value)  # of the key before, where the write came to nothing
        self.index.put(replace(entry, fingerprint=actual, is_confirmed=True))
        return value

    def put(
        self, provider: str, name: str, origin: str, secret: Secret, store: StoreName
    ) -> KeyEntry:
        """Store a value, bound to `origin`, and read it back.

        Raises:
            KeyStoreError: the store cannot be used; the key is then not listed.
        """
        entry = KeyEntry(
            provider=provider,
            name=name,
            origin=origin,
            store=store,
            fingerprint=self.index.fingerprint(secret),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        with self._announced(entry):
            if store == "keyring":
                self.keyring.set(_username(entry), secret)
            else:
                self.vault.set(provider, name, origin, secret)
        self.index.put(entry)
        self._values[entry] = secret
        return entry

    @contextmanager
    def _announced(self, entry: KeyEntry) -> Iterator[None]:
        """List an entry as not confirmed while its value is written.

        The name comes before the value, so that a process that is killed in between leaves no value
        that is not listed: the next read confirms the entry or drops it. The same holds where a
        keyring finishes after our time-out (seen under load).
        """
        known = self.index.names(entry.provider, entry.origin)
        old = next((e for e in known if (e.name, e.store) == (entry.name, entry.store)), None)
        self.index.put(replace(entry, is_confirmed=False))
        try:
            yield
        except ToolkitError as error:
            if error.cause == "keyring_timeout" and self.keyring.was_asked:
                error.message += "; whether it has stored the key is not known yet"
                error.hint = (
                    f"`toolkit keys list {entry.provider}` shows whether it has; `toolkit keys "
                    f"remove {entry.provider}` deletes it. {error.hint}".strip()
                )
            elif old is None:
                self.index.drop(entry)
            else:
                self.index.put(old)
            raise

    @contextmanager
    def together(self) -> Iterator[Put]:
        """Store several values, all or none: yields `put`, and undoes it on any failure.

        Raises:
            KeyStoreError: as `put`.
        """
        done: list[tuple[KeyEntry, KeyEntry | None, Secret | None]] = []

        def put(*place: Any) -> KeyEntry:
            provider, name, origin, _, store = place
            entries = self.index.names(provider, origin)
            old = next((e for e in entries if (e.name, e.store) == (name, store)), None)
            before = None if old is None else self.read(old)
            entry = self.put(*place)
            done.append((entry, old, before))
            return entry

        try:
            yield put
        except BaseException:  # undone as a whole, also on Ctrl+C
            for entry, old, before in reversed(done):
                if old is None or before is None:
                    self.delete(entry)
                else:
                    self.put(old.provider, old.name, old.origin, before, old.store)
            raise

    def delete(self, entry: KeyEntry) -> None:
        """Delete a value and its name.

        Raises:
            KeyStoreError: the store cannot be used; the key stays listed.
        """
        # Not confirmed while its value is deleted: if this process is killed in between, the next
        # read drops the entry.
        self.index.put(replace(entry, is_confirmed=False))
        try:
            if entry.store == "keyring":
                self.keyring.remove(_username(entry))
            else:
                self.vault.remove(entry.provider, entry.name, entry.origin)
        except ToolkitError:
            self.index.put(entry)
            raise
        self.index.drop(entry)
        self._values.pop(entry, None)


def _username(entry: KeyEntry) -> str:
    """The name of a key in the keyring; the origin is part of it."""
    return f"{entry.provider}/{entry.name}@{entry.origin}"
