"""Registers plugins, from installed packages or from Python."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from typing import Any, Final

from toolkit.errors import KeyRequired
from toolkit.extensions import find_entry_points
from toolkit.keys.service import Keys
from toolkit.keys.sources import TokenSource
from toolkit.providers.plugins.bridge import PluginBridge
from toolkit.providers.plugins.plugin import Plugin, load_plugin, make_plugin
from toolkit.providers.provider import Provider, origin_of
from toolkit.providers.registry import Registry
from toolkit.secret import Secret

_GROUP: Final = "toolkit.providers"
"""The entry point group for plugins."""


class Plugins:
    """The plugins of one toolkit.

    A plugin of a package is registered by name and imported on its first call.
    """

    def __init__(self, registry: Registry, keys: Keys) -> None:
        self._registry = registry
        self._keys = keys
        self._bridge = PluginBridge(self._key_for)
        self._ready: dict[str, Plugin] = {}
        self._lock = threading.RLock()

    def announce(self) -> None:
        """Register the plugins of installed packages."""
        for name, point in find_entry_points(_GROUP).items():
            provider = Provider(
                name=name,
                display_name=name,
                type="custom",
                source="plugin",
                is_local=True,
                needs_key=False,
                auto_sync=False,
            )
            self._registry.register(provider)
            self._registry.url_sources[name] = self._loader(name, point)

    def register(
        self, kind: Any, *, name: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> Provider:
        """Use a plugin in this process; nothing is saved.

        Args:
            kind: a class with `complete`, `acomplete` or `astream`, or an object of one.
            name: the provider's name; None: the `name` of the class.
            settings: for its `Settings`; None: `[plugins.NAME]` of providers.toml.

        Raises:
            InvalidProvider: the plugin is not valid.
        """
        found = settings
        if found is None and isinstance(kind, type):
            found = self._settings(name or str(getattr(kind, "name", "")))
        return self._take(make_plugin(kind, name=name, settings=found)).provider

    def load(self, name: str) -> Plugin:
        """Import the plugin of this name, if that has not been done.

        Raises:
            InvalidProvider: it cannot be loaded, or its settings are not valid.
            KeyError: there is no plugin of this name.
        """
        with self._lock:
            if name not in self._ready:
                self._take(load_plugin(find_entry_points(_GROUP)[name], self._settings(name)))
            return self._ready[name]

    def close(self) -> None:
        """Stop the server for plugins."""
        self._bridge.close()

    def _settings(self, name: str) -> Mapping[str, Any]:
        return self._registry.file.read().plugins.get(name, {})

    def _loader(self, name: str, point: EntryPoint) -> Callable[[], str | None]:
        def find_url() -> str | None:
            with self._lock:
                if name not in self._ready:
                    self._take(load_plugin(point, self._settings(name)))
            return self._url_of(self._ready[name])

        return find_url

    def _take(self, plugin: Plugin) -> Plugin:
        provider = plugin.provider
        name = provider.name
        self._ready[name] = plugin
        self._registry.register(provider)
        self._registry.url_sources[name] = lambda: self._url_of(plugin)
        if (fetch := getattr(plugin.target, "token", None)) is not None:
            supplies_url = callable(getattr(plugin.target, "url", None))
            origin = None if supplies_url and not plugin.answers else provider.origin
            self._keys.tokens.register(name, origin, TokenSource(name, fetch))
        return plugin

    def _url_of(self, plugin: Plugin) -> str | None:
        """The current base URL of the plugin, or None to use its own."""
        if not plugin.answers:
            url = getattr(plugin.target, "url", None)
            return None if url is None else str(url())
        url = self._bridge.url_of(plugin)
        name, token = plugin.provider.name, self._bridge.token
        self._keys.tokens.register(name, origin_of(url), TokenSource(name, lambda: token))
        return url

    def _key_for(self, plugin: Plugin) -> Secret | None:
        found = self._keys.resolve(plugin.provider)
        if found is None and plugin.provider.needs_key:
            raise KeyRequired(
                f"{plugin.provider.name} needs an API key and none was found",
                provider=plugin.provider.name,
                cause="no_key",
                hint=plugin.provider.key_hint,
            )
        return None if found is None else found.secret
