"""Who is there: every provider, built from its preset, its entry and the environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from toolkit.errors import InvalidProvider
from toolkit.providers.address import looks_local
from toolkit.providers.entry import read_entry
from toolkit.providers.headers import Headers
from toolkit.providers.key_index import KeyIndex
from toolkit.providers.names import key_variables
from toolkit.providers.presets import LOCAL, find_base_url, has_key, presets
from toolkit.providers.provider import Provider, origin_of
from toolkit.providers.registry_file import RegistryFile
from toolkit.secret import Secret
from toolkit.settings import Settings

FindHeader = Callable[[Provider, str], Secret | None]
FindUrl = Callable[[], str | None]


class Roster:
    """All providers of one home folder as they stand now; reads, never writes.

    Args:
        settings: where the home folder is.
        file: `providers.toml`.
        find_header: (provider, header) -> the secret value of a header, or None.
        find_local_url: the base URL of the built-in local server while it runs, or None.
    """

    def __init__(
        self,
        settings: Settings,
        file: RegistryFile,
        find_header: FindHeader,
        find_local_url: FindUrl,
    ) -> None:
        self.registered: dict[str, Provider] = {}
        self._file = file
        self._index = KeyIndex(settings)
        self._find_header = find_header
        self._find_local_url = find_local_url

    def all(self) -> list[Provider]:
        """Presets, then those of plugins, then custom ones; bad entries are left out."""
        content = self._file.read()
        names = dict.fromkeys((*presets(), *self.registered, *content.providers))
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
            InvalidProvider: its entry or the whole file is not acceptable.
        """
        content = self._file.read()
        if (values := content.providers.get(name)) is not None:
            provider = self.build(name, {**_given_address(name, values), **values})
        elif name in self.registered:
            provider = self.registered[name]
        elif name in presets():
            provider = self._from_environment(presets()[name])
        else:
            return None
        return self.complete(replace(provider, is_default=content.default == name))

    def build(self, name: str, values: Mapping[str, Any]) -> Provider:
        """A provider from the fields of its entry.

        Raises:
            InvalidProvider: a field is not acceptable.
        """
        preset = presets().get(name) or self.registered.get(name)
        provider = read_entry(name, values, preset)
        return provider if provider.key_env else replace(provider, key_env=key_variables(name))

    def complete(self, provider: Provider) -> Provider:
        """Add what only the running process knows: where the local server is, secret headers."""
        if provider.name == LOCAL and (url := self._find_local_url()):
            provider = replace(provider, base_url=url, key_origin=origin_of(url))
        if not provider.secret_headers:
            return provider
        bare = provider

        def find(header: str) -> Secret | None:
            return self._find_header(bare, header)

        return replace(provider, headers=Headers(provider.headers, provider.secret_headers, find))

    def is_untouched(self, name: str) -> bool:
        """Whether it is a preset that has no entry of its own."""
        return name in presets() and name not in self._file.read().providers

    def _from_environment(self, preset: Provider) -> Provider:
        """A preset that nobody has touched: in use when the environment or a key says so."""
        if given := _given_address(preset.name, {}):
            return read_entry(preset.name, {**given, "source": "environment"}, preset)
        if preset.is_active:
            return preset
        if has_key(preset):
            return replace(preset, is_active=True, source="environment")
        return replace(preset, is_active=bool(self._index.names(preset.name, preset.origin)))


def _given_address(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What the environment says of a preset's address, where its entry says nothing."""
    preset = presets().get(name)
    if preset is None or "base_url" in values or (url := find_base_url(preset)) is None:
        return {}
    # Address and key come from the same hand, so that key may be sent there.
    return {"base_url": url, "key_env": preset.key_env, "is_local": looks_local(url)}
