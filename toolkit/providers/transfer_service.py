"""Takes providers out and brings them in, with the keys where a passphrase protects them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from toolkit.errors import InvalidInput
from toolkit.keys.index import StoreName
from toolkit.keys.service import Keys
from toolkit.providers.import_plan import ImportPlan, OnConflict, plan_import
from toolkit.providers.provider import Provider
from toolkit.providers.registry import Registry
from toolkit.providers.transfer import (
    Format,
    SharedKey,
    read_document,
    write_plain,
    write_sealed,
)
from toolkit.secret import Secret


class Transfer:
    """Export and import of one toolkit's providers."""

    def __init__(self, registry: Registry, keys: Keys) -> None:
        self._registry = registry
        self._keys = keys

    def write(self, names: Iterable[str] | None = None, *, style: Format = "json") -> str:
        """Providers as JSON or TOML, without any key.

        Args:
            names: which; None takes all that are in use and every one with an entry.

        Raises:
            ProviderNotFound: one of the names is not there.
        """
        return write_plain(self._chosen(names), style)

    def write_with_keys(self, passphrase: str, names: Iterable[str] | None = None) -> str:
        """Providers and their stored keys, sealed with a passphrase; keys of the environment stay.

        Raises:
            ProviderNotFound: one of the names is not there.
            KeyStoreError: a key cannot be read, or the passphrase is too short.
        """
        chosen = self._chosen(names)
        wanted = {provider.name for provider in chosen}
        shared: list[SharedKey] = []
        for entry in self._keys.stores.index.entries():
            if entry.provider in wanted and (secret := self._keys.stores.read(entry)) is not None:
                shared.append(
                    SharedKey(
                        provider=entry.provider,
                        name=entry.name,
                        origin=entry.origin,
                        secret=secret,
                    )
                )
        return write_sealed(chosen, shared, Secret(passphrase))

    def preview(
        self,
        raw: bytes,
        *,
        on_conflict: OnConflict = "skip",
        passphrase: str | None = None,
    ) -> ImportPlan:
        """What an import would do; nothing is saved.

        Raises:
            InvalidInput: the document cannot be read.
        """
        secret = None if passphrase is None else Secret(passphrase)
        return plan_import(read_document(raw, secret), self._registry, on_conflict)

    def apply(
        self, plan: ImportPlan, *, skip_refused: bool = False, store: StoreName = "keyring"
    ) -> ImportPlan:
        """Save what a preview showed: all of it, or nothing.

        Args:
            plan: of `preview`.
            skip_refused: import the others although some are refused.
            store: where keys go.

        Raises:
            InvalidInput: some providers are refused, and that was not agreed to.
            ProviderError, KeyStoreError: it cannot be saved; nothing is.
        """
        if plan.refused and not skip_refused:
            first = plan.refused[0]
            raise InvalidInput(
                f"{len(plan.refused)} of {len(plan.rows)} providers are refused; the first is "
                f"{ascii(first.name)[:80]}: {first.reason}",
                cause="import",
                hint="Correct the document, or import the others with `--skip-refused`.",
            )
        with self._keys.stores.together() as put:
            for key in plan.keys:
                put(key.provider, key.name, key.origin, key.secret, store)
            if plan.entries:
                self._registry.add_many(plan.entries, replacing=plan.replacing)
        return plan

    def _chosen(self, names: Iterable[str] | None) -> list[Provider]:
        if names is not None:
            return [self._registry.require(name) for name in names]
        providers: Any = self._registry.list()
        return [p for p in providers if p.is_active or not self._registry.is_untouched(p.name)]
