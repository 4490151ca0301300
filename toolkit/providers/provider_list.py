"""The list of providers, built from presets, entries and the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from toolkit.errors import InvalidProvider, ProviderNotFound, ToolkitError
from toolkit.keys.index import KeyIndex
from toolkit.providers.base_url import check_base_url, looks_local, repair_base_url
from toolkit.providers.entry import read_entry
from toolkit.providers.headers import Headers
from toolkit.providers.naming import close_names, key_variables, require_no_key, short
from toolkit.providers.provider import LOCAL, Provider, find_address, has_key, origin_of, presets
from toolkit.providers.registry_file import RegistryFile
from toolkit.providers.type_detection import complete_base_url, detect_type
from toolkit.secret import Secret
from toolkit.settings import Settings, read_dotenv

_NOT_AN_ID: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]|(^|/)\.{1,2}(/|$)")
_NAMED: Final = re.compile(r"PROVIDER_([A-Z0-9][A-Z0-9_]{0,62})_URL")

FindHeader = Callable[[Provider, str], Secret | None]
FindUrl = Callable[[], str | None]
Place = Literal["cloud", "local"]


class ProviderList:
    """All current providers of one home folder.

    Args:
        settings: where the home folder is.
        find_header: (provider, header) -> the secret value of a header, or None.
        find_local_url: the base URL of the built-in local server while it runs, or None.

    Attributes:
        registered: providers of this process only (plugins).
        url_sources: functions that return the current address of a provider before a call.
    """

    def __init__(
        self,
        settings: Settings,
        find_header: FindHeader | None = None,
        find_local_url: FindUrl | None = None,
    ) -> None:
        self.settings = settings
        self.file: RegistryFile = RegistryFile(settings)
        self.registered: dict[str, Provider] = {}
        self._index = KeyIndex(settings)
        self._find_header = find_header or (lambda provider, name: None)
        self._find_local_url = find_local_url or (lambda: None)
        self.url_sources: dict[str, FindUrl] = {}

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
            search: text in the name, display name, type or base URL.
            removed: only removed ones (excluded by default).

        Entries that are not valid are left out; see `problems`.
        """
        found = [p for p in self.all() if p.is_removed == removed]
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
        """Errors of providers whose entry or variable is not valid, by name."""
        wrong: dict[str, ToolkitError] = {}
        for name in dict.fromkeys((*presets(), *find_named(), *self.file.read().providers)):
            try:
                self.find(name)
            except InvalidProvider as error:
                wrong[name] = error
        return wrong

    def require(self, name: str) -> Provider:
        """The provider of that name; removed ones do not count.

        Raises:
            ProviderNotFound: there is none; the hint names similar ones.
            InvalidProvider: its entry or the whole file is not valid.
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
        """Split `provider/model_id`; the id may contain slashes.

        A provider's name alone, or with nothing after the slash, means its default model.

        Raises:
            InvalidProvider: wrong format, disabled, or without a base URL or default model.
            ProviderNotFound: no provider of that name.
        """
        name, slash, model_id = model.partition("/")
        # The id of a model becomes part of the address with some providers.
        if _NOT_AN_ID.search(model_id):
            raise InvalidProvider(
                f"{short(model)} is not the name of a model: it has control characters or a path",
                cause="text",
            )
        require_no_key(model)
        if not slash and name and self.find(name) is None:
            raise self._not_found(name, is_model=True)
        provider = self.require(name)
        if not provider.is_active and not self.is_untouched(name):
            raise InvalidProvider(
                f"the provider {name} is disabled",
                provider=name,
                cause="disabled",
                hint=f"`toolkit providers enable {name}` enables it again.",
            )
        if not provider.base_url and name not in self.url_sources:
            raise InvalidProvider(
                f"{provider.display_name} has no base URL yet",
                provider=name,
                cause="empty",
                hint=f"Set it up with `toolkit providers add {name} --url "
                f"{provider.url_example or 'https://...'}`"
                + (f" or the variable {provider.url_env[0]}." if provider.url_env else "."),
            )
        model_id = model_id or provider.default_model or ""
        if not model_id:
            raise InvalidProvider(
                f"{short(model)} does not name a model",
                provider=name,
                cause="model",
                hint=f"Write {name}/MODEL, or set one with `toolkit providers update {name} "
                "--default-model MODEL`.",
            )
        return self.locate(provider), model_id

    def locate(self, provider: Provider) -> Provider:
        """The provider with its current address, from its address source if it has one.

        Raises:
            InvalidProvider: a source returned an address that is not allowed.
        """
        source = self.url_sources.get(provider.name)
        url = None if source is None else source()
        if url is None:
            return provider
        return replace(provider, base_url=check_base_url(url, provider.is_local).url)

    def find_default(self) -> Provider | None:
        """The default provider, or None."""
        return next((p for p in self.all() if p.is_default and not p.is_removed), None)

    def aliases(self) -> dict[str, tuple[str, ...]]:
        """Failover chains: names and their models."""
        return dict(self.file.read().aliases)

    def find_alias(self, name: str) -> tuple[str, ...]:
        """The models of a failover chain; empty if there is none of that name."""
        return self.file.read().aliases.get(name, ())

    def all(self) -> Sequence[Provider]:
        """Presets, plugins, those of the environment, custom ones; bad entries are left out."""
        content = self.file.read()
        names = dict.fromkeys((*presets(), *self.registered, *find_named(), *content.providers))
        built: list[Provider] = []
        for name in names:
            try:
                provider = self.find(name)
            except InvalidProvider:
                continue
            if provider is not None:
                built.append(provider)
        return built

    def find(self, name: str) -> Provider | None:
        """One provider, or None.

        Raises:
            InvalidProvider: its entry or the whole file is not valid.
        """
        content = self.file.read()
        if (values := content.providers.get(name)) is not None:
            provider = self.build(name, {**_given_address(name, values), **values})
        elif name in self.registered:
            provider = self.registered[name]
        elif name in presets():
            provider = self._from_environment(presets()[name])
        elif (named := find_named().get(name)) is not None:
            provider = self.build(name, named)
        else:
            return None
        return self.complete(replace(provider, is_default=content.default == name))

    def build(self, name: str, values: Mapping[str, Any]) -> Provider:
        """A provider from the fields of its entry.

        Raises:
            InvalidProvider: a field is not valid.
        """
        preset = presets().get(name) or self.registered.get(name)
        provider = read_entry(name, values, preset)
        return provider if provider.key_env else replace(provider, key_env=key_variables(name))

    def complete(self, provider: Provider) -> Provider:
        """Add runtime values: address of the local server, secret headers."""
        if self.is_built_in(provider.name) and (url := self._find_local_url()):
            provider = replace(provider, base_url=url, key_origin=origin_of(url))
        if not provider.secret_headers:
            return provider
        bare = provider

        def find(header: str) -> Secret | None:
            return self._find_header(bare, header)

        return replace(provider, headers=Headers(provider.headers, provider.secret_headers, find))

    def is_built_in(self, name: str) -> bool:
        """Whether `name` is the built-in local server, which a call starts.

        An entry or the environment may give the name another address; what answers there is the
        user's own server.
        """
        if name != LOCAL:
            return False
        preset = presets()[LOCAL]
        entry = self.file.read().providers.get(LOCAL, {})
        if "base_url" in entry:
            return bool(entry["base_url"] == preset.base_url)
        return not find_address(preset)

    def is_untouched(self, name: str) -> bool:
        """Whether it is a preset that has no entry of its own."""
        return name in presets() and name not in self.file.read().providers

    def _not_found(self, name: str, *, is_model: bool = False) -> ProviderNotFound:
        names = [p.name for p in self.all() if not p.is_removed]
        close = close_names(name, names) if name else []
        hint = f"Did you mean {' or '.join(close)}? " if close else ""
        kind = "provider"
        if is_model:
            # Without a slash it is usually the name of a model.
            kind = "provider or failover chain"
            hint = f"Name a model as PROVIDER/MODEL, for example openai/gpt-5-mini. {hint}"
        return ProviderNotFound(
            f"there is no {kind} {short(name)}",
            hint=f"{hint}See `toolkit providers list` and `toolkit providers presets`.",
        )

    def _from_environment(self, preset: Provider) -> Provider:
        """A preset without an entry; in use if the environment or a stored key provides its key."""
        if given := _given_address(preset.name, {}):
            return read_entry(preset.name, {**given, "source": "environment"}, preset)
        if preset.is_active:
            return preset
        if has_key(preset):
            return replace(preset, is_active=True, source="environment")
        return replace(preset, is_active=bool(self._index.names(preset.name, preset.origin)))


def _given_address(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The address of a preset from the environment, if its entry has none."""
    preset = presets().get(name)
    return {} if preset is None or "base_url" in values else find_address(preset)


def _holds(provider: Provider, text: str) -> bool:
    fields = (provider.name, provider.display_name, provider.type, provider.base_url)
    return any(text in value.casefold() for value in fields)


def find_named() -> dict[str, dict[str, Any]]:
    """Providers defined by `PROVIDER_<NAME>_URL` in the environment or `./.env`.

    Returns:
        Fields of an entry by name; presets are left out (they read that variable themselves).
        Their key is `PROVIDER_<NAME>_KEY` from the same place as the URL: a `.env` in a foreign
        folder must not lead a key of the environment elsewhere.
    """
    found: dict[str, dict[str, Any]] = {}
    for place in (read_dotenv(), os.environ):  # the environment has priority
        for variable, url in place.items():
            named = _NAMED.fullmatch(variable)
            if named and url.strip():
                name = named.group(1).lower().replace("_", "-")
                if name not in presets():
                    found[name] = _named_entry(named.group(1), url.strip(), place)
    return found


def _named_entry(upper: str, url: str, place: Mapping[str, str]) -> dict[str, Any]:
    key = f"PROVIDER_{upper}_KEY"
    is_ours = place is os.environ or key not in os.environ
    url = repair_base_url(url).url
    full = complete_base_url(url, detect_type(url))
    return {
        "base_url": url,
        "source": "environment",
        "is_local": looks_local(url),
        "key_env": (key,),
        "key_origin": origin_of(full) if is_ours else "",
    }
