"""The registry of presets, custom and discovered providers, stored in `providers.toml`.

A preset can be called without an entry in the file. Removal is soft.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from toolkit.errors import InvalidProvider, ProviderExists
from toolkit.providers.base_url import repair_base_url
from toolkit.providers.entry import drop_entry, put_fields, refuse_unknown
from toolkit.providers.naming import check_model, check_name
from toolkit.providers.provider import LOCAL, Provider, find_base_url, presets
from toolkit.providers.provider_list import ProviderList, find_named
from toolkit.providers.registry_file import Content
from toolkit.providers.type_detection import settle_type

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


class Registry(ProviderList):
    """Reads and changes the providers of one home folder.

    Every change is atomic, under a lock of the file.
    """

    def check(self, name: str, values: Mapping[str, Any]) -> Provider:
        """The provider that `add` would save, validated but not saved.

        Raises:
            ProviderExists, InvalidProvider: as `add`.
        """
        check_name(name)
        self._refuse_taken(name, self.file.read())
        return self.complete(self.build(name, {"is_active": True, **values}))

    def add(self, name: str, *, tested_at: datetime | None = None, **values: Any) -> Provider:
        """Save a new provider, or the settings of a preset.

        Args:
            name: unique.
            tested_at: time of a successful test, UTC; None: untested.
            values: fields of `Provider`; see `entry.FIELDS`.

        Raises:
            ProviderExists: the name is taken (a removed provider keeps its name).
            InvalidProvider: a field is not valid; nothing is saved.
        """
        self.add_many({name: {**values, "tested_at": tested_at}})
        return self.require(name)

    def add_many(
        self, entries: Mapping[str, Mapping[str, Any]], *, replacing: Iterable[str] = ()
    ) -> None:
        """Save several providers atomically.

        Args:
            entries: fields by name.
            replacing: names whose existing entries are replaced.

        Raises:
            ProviderExists, InvalidProvider: as `add`.
        """
        replaced = set(replacing)

        def edit(document: TOMLDocument, content: Content) -> None:
            for name, values in entries.items():
                check_name(name)
                if name not in replaced:
                    self._refuse_taken(name, content)
                refuse_unknown(values)
                full = {"is_active": True, **values}
                provider = self.build(name, full)
                now = _now()
                preset = presets().get(name)
                if preset is None or not preset.base_url or "key_env" in values:
                    full.setdefault("key_origin", provider.key_origin or "")
                if name in replaced:
                    created = content.providers.get(name, {}).get("created_at", now)
                    full["created_at"] = created
                    drop_entry(document, name)
                put_fields(document, name, {"created_at": now, **full, "updated_at": now})

        self.file.change(edit)

    def preview(self, name: str, changes: Mapping[str, Any]) -> Provider:
        """The provider as it would be after `update`; nothing is saved.

        Raises:
            ProviderNotFound, InvalidProvider: as `update`.
        """
        before = self.require(name)
        refuse_unknown(changes)
        after = self._after(before, self.file.read(), changes)
        if changes.get("key_env") or not before.origin:
            after = replace(after, key_origin=after.origin)
        return self.complete(after)

    def _after(self, before: Provider, content: Content, changes: Mapping[str, Any]) -> Provider:
        """Apply changes; with another address it keeps its type unless the URL determines one.

        A guess from the URL must not override a known type: behind a proxy the API is the same.
        """
        values = {**_entry_of(before.name, content), **changes}
        is_moved = changes.get("base_url") is not None and values.get("type") is None
        if is_moved and before.name not in presets():
            values["type"] = settle_type(before, repair_base_url(changes["base_url"]).url)
        return self.build(before.name, values)

    def draft(self, name: str, values: Mapping[str, Any]) -> Provider:
        """Build a provider from these fields without saving it.

        Raises:
            InvalidProvider: a field is not acceptable.
        """
        check_name(name)
        return self.build(name, values)

    def update(self, name: str, **changes: Any) -> Provider:
        """Change fields of a provider; None resets a field to its default.

        If the origin changes, keys of its variables are no longer used unless `key_env` is set in
        the same change; stored keys stay bound to the old origin.

        Raises:
            ProviderNotFound, InvalidProvider: nothing is saved.
        """
        before = self.require(name)
        self.preview(name, changes)

        def edit(document: TOMLDocument, content: Content) -> None:
            after = self._after(before, content, changes)
            extra: dict[str, Any] = {"updated_at": _now()}
            if self.build(name, {**_entry_of(name, content), **changes}).type != after.type:
                extra["type"] = after.type
            if changes.get("key_env") or not before.origin:
                extra["key_origin"] = after.origin
            if after.origin != before.origin:
                extra["tested_at"] = changes.get("tested_at")
            put_fields(document, name, {**_first_fields(name, content), **changes, **extra})

        self.file.change(edit)
        return self.require(name)

    def remove(self, name: str) -> Provider:
        """Remove a provider softly: its entry is kept for `restore`.

        Raises:
            ProviderNotFound: there is none.
        """
        self.require(name)
        return self._mark(name, deactivated_at=_now())

    def restore(self, name: str) -> Provider:
        """Restore a removed provider.

        Raises:
            ProviderNotFound: there was never a provider of that name.
            InvalidProvider: it was not removed.
        """
        provider = self.find(name)
        if provider is None:
            raise self._not_found(name)
        if not provider.is_removed:
            raise InvalidProvider(f"the provider {name} was not removed", provider=name)
        return self._mark(name, deactivated_at=None)

    def enable(self, name: str) -> Provider:
        """Enable a provider, or a preset without an entry.

        Raises:
            ProviderNotFound: there is none.
        """
        self.require(name)
        return self._mark(name, is_active=True)

    def disable(self, name: str) -> Provider:
        """Disable a provider: it is kept but not called.

        Raises:
            ProviderNotFound: there is none.
        """
        self.require(name)
        return self._mark(name, is_active=False)

    def mark_tested(self, name: str, at: datetime) -> Provider:
        """Record a successful test.

        Raises:
            ProviderNotFound: there is none.
        """
        self.require(name)
        return self._mark(name, tested_at=at)

    def set_default(self, name: str | None) -> Provider | None:
        """Set the default provider; None unsets it.

        Raises:
            ProviderNotFound: there is none of that name.
        """
        provider = None if name is None else self.require(name)

        def edit(document: TOMLDocument, _: Content) -> None:
            import tomlkit

            defaults: Any = document.setdefault("defaults", tomlkit.table())
            if name is None:
                defaults.pop("provider", None)
            else:
                defaults["provider"] = name

        self.file.change(edit)
        return None if provider is None else self.require(provider.name)

    def set_alias(self, name: str, models: Sequence[str]) -> None:
        """Set a failover chain; without models it is removed.

        Raises:
            InvalidProvider: an invalid name, or an item is not `provider/model_id` of a known
                provider.
        """
        check_name(name, "alias")
        for model in models:
            self.require(model.partition("/")[0])
            check_model(model)

        def edit(document: TOMLDocument, _: Content) -> None:
            import tomlkit

            table = document.setdefault("aliases", tomlkit.table())
            if models:
                table[name] = list(models)
            else:
                table.pop(name, None)

        self.file.change(edit)

    def register(self, provider: Provider) -> None:
        """Add a provider for this process only (a plugin in a notebook); nothing is saved."""
        check_name(provider.name)
        self.registered[provider.name] = provider

    def _refuse_taken(self, name: str, content: Content) -> None:
        values = content.providers.get(name)
        if values is None and name not in self.registered:
            return
        removed = values is not None and values.get("deactivated_at") is not None
        raise ProviderExists(
            f"the name {name} is taken" + (" by a removed provider" if removed else ""),
            provider=name,
            hint=f"Restore it with `toolkit providers restore {name}`, or use another name."
            if removed
            else f"Change it with `toolkit providers update {name}`, or use another name.",
        )

    def _mark(self, name: str, **fields: Any) -> Provider:
        def edit(document: TOMLDocument, content: Content) -> None:
            first = _first_fields(name, content)
            put_fields(document, name, {**first, **fields, "updated_at": _now()})

        self.file.change(edit)
        provider = self.find(name)
        assert provider is not None
        return provider


class Resolver:
    """`Registry.resolve` with a cache, except for the built-in server, whose port may change."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, tuple[object, str | None, tuple[Provider, str]]] = {}

    def resolve(self, model: str) -> tuple[Provider, str]:
        """See `Registry.resolve`.

        Raises:
            InvalidProvider, ProviderNotFound: as there.
        """
        stamp = self._registry.file.stamp()
        known = self._known.get(model)
        moves = model.partition("/")[0] in self._registry.url_sources  # not cached
        if known is not None and not moves:
            then, url, found = known
            if then == stamp and url == find_base_url(found[0]):
                return found
        found = self._registry.resolve(model)
        if found[0].name != LOCAL:
            self._known[model] = (stamp, find_base_url(found[0]), found)
        return found


def _entry_of(name: str, content: Content) -> Mapping[str, Any]:
    """The entry of a provider, or its values from the environment."""
    known = content.providers.get(name)
    return find_named().get(name, {}) if known is None else known


def _first_fields(name: str, content: Content) -> dict[str, Any]:
    """Initial fields of a new entry; empty if there is one."""
    if name in content.providers:
        return {}
    return {**find_named().get(name, {}), "created_at": _now()}


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
