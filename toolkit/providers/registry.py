"""The registry: presets, custom and discovered providers in one list, kept in `providers.toml`.

An untouched preset has no entry in the file and can be called all the same. Removal is soft.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from toolkit.errors import InvalidProvider, ProviderExists, ProviderNotFound, ToolkitError
from toolkit.providers.entry import put_fields, refuse_unknown
from toolkit.providers.names import check_model, check_name, close_names, short
from toolkit.providers.presets import presets
from toolkit.providers.provider import Provider
from toolkit.providers.registry_file import Content, RegistryFile
from toolkit.providers.roster import FindHeader, FindUrl, Roster
from toolkit.settings import Settings

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

Place = Literal["cloud", "local"]


class Registry:
    """The providers of one home folder.

    Args:
        settings: where the home folder is.
        find_header: (provider, header) -> the secret value of a header, or None.
        find_local_url: the base URL of the built-in local server while it runs, or None.
    """

    def __init__(
        self,
        settings: Settings,
        find_header: FindHeader | None = None,
        find_local_url: FindUrl | None = None,
    ) -> None:
        self.file = RegistryFile(settings)
        self._roster = Roster(
            settings,
            self.file,
            find_header or (lambda provider, name: None),
            find_local_url or (lambda: None),
        )

    # ---- reading ----------------------------------------------------------------------------

    def list(
        self,
        *,
        type: str | None = None,
        place: Place | None = None,
        active: bool | None = None,
        search: str | None = None,
        removed: bool = False,
    ) -> list[Provider]:
        """Presets and custom providers in one list, presets first, each group in its own order.

        Args:
            type: only this type.
            place: only `cloud` or only `local` ones.
            active: only those in use, or only those not in use.
            search: text that the name, display name, type or base URL holds.
            removed: only those that were removed (they are left out otherwise).

        An entry that is not acceptable is left out; `problems` tells of it.
        """
        found = [p for p in self._roster.all() if p.is_removed == removed]
        if type is not None:
            found = [p for p in found if p.type == type]
        if place is not None:
            found = [p for p in found if p.is_local == (place == "local")]
        if active is not None:
            found = [p for p in found if p.is_active == active]
        if search:
            found = [p for p in found if _holds(p, search.casefold())]
        return found

    def problems(self) -> dict[str, ToolkitError]:
        """Providers whose entry or variable is not acceptable, by name, with what is wrong."""
        wrong: dict[str, ToolkitError] = {}
        for name in (*presets(), *self.file.read().providers):
            try:
                self._roster.find(name)
            except InvalidProvider as error:
                wrong[name] = error
        return wrong

    def find(self, name: str) -> Provider | None:
        """The provider of that name, removed ones included, or None.

        Raises:
            InvalidProvider: its entry or the whole file is not acceptable.
        """
        return self._roster.find(name)

    def require(self, name: str) -> Provider:
        """The provider of that name; removed ones do not count.

        Raises:
            ProviderNotFound: there is none; the hint names similar ones.
            InvalidProvider: its entry or the whole file is not acceptable.
        """
        provider = self.find(name)
        if provider is None:
            raise self._not_found(name)
        if provider.is_removed:
            raise ProviderNotFound(
                f"the provider {name} was removed",
                provider=name,
                hint=f"`toolkit providers restore {name}` brings it back.",
            )
        return provider

    def resolve(self, model: str) -> tuple[Provider, str]:
        """Take `provider/model_id` apart; the id may hold slashes itself.

        A provider's name alone, or with nothing after the slash, means its default model.

        Raises:
            InvalidProvider: no such form, disabled, or without a base URL or default model.
            ProviderNotFound: no provider of that name.
        """
        name, _, model_id = model.partition("/")
        provider = self.require(name)
        if not provider.is_active and not self._roster.is_untouched(name):
            raise InvalidProvider(
                f"the provider {name} is disabled",
                provider=name,
                cause="disabled",
                hint=f"`toolkit providers enable {name}` puts it back to work.",
            )
        if not provider.base_url:
            raise InvalidProvider(
                f"{provider.display_name} has no base URL yet",
                provider=name,
                cause="empty",
                hint=f"Give yours with `toolkit providers add {name} --url URL`"
                + (f" or {provider.url_env[0]}." if provider.url_env else "."),
            )
        model_id = model_id or provider.default_model or ""
        if not model_id:
            raise InvalidProvider(
                f"{short(model)} names no model",
                provider=name,
                cause="model",
                hint=f"Write {name}/MODEL, or set one with `toolkit providers update {name} "
                "--default-model MODEL`.",
            )
        return provider, model_id

    def find_default(self) -> Provider | None:
        """The provider that failover starts from, or None where none is set."""
        return next((p for p in self._roster.all() if p.is_default and not p.is_removed), None)

    def aliases(self) -> dict[str, tuple[str, ...]]:
        """Names of failover chains and the models each stands for."""
        return dict(self.file.read().aliases)

    def find_alias(self, name: str) -> tuple[str, ...]:
        """The models that a failover chain's name stands for; empty when it is no such name."""
        return self.file.read().aliases.get(name, ())

    # ---- changing ---------------------------------------------------------------------------

    def check(self, name: str, values: Mapping[str, Any]) -> Provider:
        """The provider that `add` would save, with everything checked and nothing saved.

        Raises:
            ProviderExists, InvalidProvider: as `add`.
        """
        check_name(name)
        self._refuse_taken(name, self.file.read())
        return self._roster.complete(self._roster.build(name, {"is_active": True, **values}))

    def add(self, name: str, *, tested_at: datetime | None = None, **values: Any) -> Provider:
        """Save a new provider, or the set-up of a preset.

        Args:
            name: unique.
            tested_at: when a test found nothing wrong, UTC; None marks it untested.
            values: fields of `Provider`; see `entry.FIELDS`.

        Raises:
            ProviderExists: the name is taken (a removed provider keeps its name).
            InvalidProvider: a field is not acceptable; nothing is saved.
        """
        self.add_many({name: {**values, "tested_at": tested_at}})
        return self.require(name)

    def add_many(
        self, entries: Mapping[str, Mapping[str, Any]], *, replacing: Iterable[str] = ()
    ) -> None:
        """Save several providers at once: all, or none.

        Args:
            entries: fields by name.
            replacing: names whose entry may be there already and is replaced.

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
                provider = self._roster.build(name, full)
                now = _now()
                preset = presets().get(name)
                if preset is None or not preset.base_url or "key_env" in values:
                    full.setdefault("key_origin", provider.key_origin or "")
                put_fields(document, name, {**full, "created_at": now, "updated_at": now})

        self.file.change(edit)

    def update(self, name: str, **changes: Any) -> Provider:
        """Change fields of a provider; None takes a field back to its default.

        A changed origin takes its variables' keys away from it, unless `key_env` says in the
        same change which may be sent there; stored keys stay bound to the old origin.

        Raises:
            ProviderNotFound, InvalidProvider: nothing is saved.
        """
        before = self.require(name)
        refuse_unknown(changes)

        def edit(document: TOMLDocument, content: Content) -> None:
            values = {**content.providers.get(name, {}), **changes}
            values = {field: value for field, value in values.items() if value is not None}
            after = self._roster.build(name, values)
            extra: dict[str, Any] = {"updated_at": _now()}
            if changes.get("key_env") or not before.origin:
                extra["key_origin"] = after.origin
            if after.origin != before.origin:
                extra["tested_at"] = changes.get("tested_at")
            if name not in content.providers:
                extra["created_at"] = _now()
            put_fields(document, name, {**changes, **extra})

        self.file.change(edit)
        return self.require(name)

    def remove(self, name: str) -> Provider:
        """Take a provider out of use, softly: its entry stays and `restore` brings it back.

        Raises:
            ProviderNotFound: there is none.
        """
        self.require(name)
        return self._mark(name, deactivated_at=_now())

    def restore(self, name: str) -> Provider:
        """Bring a removed provider back as it was.

        Raises:
            ProviderNotFound: no provider of that name was ever there.
            InvalidProvider: it was not removed.
        """
        provider = self.find(name)
        if provider is None:
            raise self._not_found(name)
        if not provider.is_removed:
            raise InvalidProvider(f"the provider {name} was not removed", provider=name)
        return self._mark(name, deactivated_at=None)

    def enable(self, name: str) -> Provider:
        """Put a provider to use (also a preset that has no entry yet).

        Raises:
            ProviderNotFound: there is none.
        """
        self.require(name)
        return self._mark(name, is_active=True)

    def disable(self, name: str) -> Provider:
        """Keep a provider but refuse to call it.

        Raises:
            ProviderNotFound: there is none.
        """
        self.require(name)
        return self._mark(name, is_active=False)

    def mark_tested(self, name: str, at: datetime) -> Provider:
        """Remember that a test found nothing wrong.

        Raises:
            ProviderNotFound: there is none.
        """
        self.require(name)
        return self._mark(name, tested_at=at)

    def set_default(self, name: str | None) -> Provider | None:
        """Make one provider the one that failover starts from; None makes it none.

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
        """Name a failover chain; no models take the name away.

        Raises:
            InvalidProvider: no such name, or an item is no `provider/model_id` of a known provider.
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
        self._roster.registered[provider.name] = provider

    # ---- how ----------------------------------------------------------------------------------

    def _refuse_taken(self, name: str, content: Content) -> None:
        values = content.providers.get(name)
        if values is None and name not in self._roster.registered:
            return
        removed = values is not None and values.get("deactivated_at") is not None
        raise ProviderExists(
            f"the name {name} is taken" + (" by a removed provider" if removed else ""),
            provider=name,
            hint=f"`toolkit providers {'restore' if removed else 'update'} {name}`, or another "
            "name.",
        )

    def _not_found(self, name: str) -> ProviderNotFound:
        names = [p.name for p in self._roster.all() if not p.is_removed]
        close = close_names(name, names) if name else []
        hint = f"Did you mean {' or '.join(close)}? " if close else ""
        return ProviderNotFound(
            f"there is no provider {short(name)}",
            hint=f"{hint}See `toolkit providers list` and `toolkit providers presets`.",
        )

    def _mark(self, name: str, **fields: Any) -> Provider:
        def edit(document: TOMLDocument, content: Content) -> None:
            created = {} if name in content.providers else {"created_at": _now()}
            put_fields(document, name, {**created, **fields, "updated_at": _now()})

        self.file.change(edit)
        provider = self.find(name)
        assert provider is not None
        return provider


def _holds(provider: Provider, text: str) -> bool:
    told = (provider.name, provider.display_name, provider.type, provider.base_url)
    return any(text in value.casefold() for value in told)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
