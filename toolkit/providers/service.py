"""What `tk.providers` is: the registry, with testing, discovery, transfer and plugins.

The registry knows nothing of keys and of the network; here they come together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from toolkit.errors import StoreError
from toolkit.keys.index import CURRENT, KeyEntry, StoreName
from toolkit.keys.token_sources import LEEWAY_S, FetchToken, TokenSource
from toolkit.providers.connection_test import refusal_of, require_accepted, try_provider
from toolkit.providers.discovery_service import Discovered, discover
from toolkit.providers.headroom_report import read_headroom
from toolkit.providers.plugin_loader import Plugins
from toolkit.providers.provider import Provider
from toolkit.providers.registry import Registry
from toolkit.providers.stored_secrets import changed_headers, split_headers, stored_secrets
from toolkit.providers.transfer_service import Transfer
from toolkit.secret import Secret

if TYPE_CHECKING:
    from toolkit.health.checks import ProbeResult
    from toolkit.toolkit import Toolkit


class Providers:
    """The providers of one toolkit.

    `registry` keeps and resolves them; `transfer` exports and imports them.
    """

    def __init__(self, toolkit: Toolkit) -> None:
        self._toolkit = toolkit

    @cached_property
    def registry(self) -> Registry:
        """Where providers are kept and resolved."""
        registry = Registry(
            self._toolkit.settings,
            find_header=self._toolkit.keys.find_header,
            find_local_url=self._find_local_url,
        )
        self._plugins = Plugins(registry, self._toolkit.keys)
        self._plugins.announce()
        return registry

    @property
    def plugins(self) -> Plugins:
        """Providers that are classes: of installed packages, or of this notebook."""
        _ = self.registry
        return self._plugins

    @cached_property
    def transfer(self) -> Transfer:
        """Export and import, with and without keys."""
        return Transfer(self.registry, self._toolkit.keys)

    # ---- looking ------------------------------------------------------------------------------

    def find(self, name: str) -> Provider | None:
        """The provider of that name, or None; see `Registry.find`."""
        return self.registry.find(name)

    def require(self, name: str) -> Provider:
        """The provider of that name; see `Registry.require`."""
        return self.registry.require(name)

    def presets(self) -> tuple[Provider, ...]:
        """The built-in presets as they are delivered."""
        from toolkit.providers.presets import presets

        return tuple(presets().values())

    # ---- changing -----------------------------------------------------------------------------

    def add(  # noqa: PLR0913 - an interface that scripts rely on
        self,
        name: str,
        *,
        base_url: str | None = None,
        type: str | None = None,
        api_key: str | None = None,
        local: bool = False,
        headers: Mapping[str, str] | None = None,
        default_model: str | None = None,
        test: bool = True,
        key_store: StoreName = "keyring",
        on_test: Callable[[ProbeResult], None] | None = None,
        **fields: Any,
    ) -> Provider:
        """Add a provider, or set a preset up: it is tested first, then saved, whole or not at all.

        Args:
            name: unique, `[a-z0-9][a-z0-9-]{0,62}`; a preset's name takes over its facts.
            base_url: where it is; None where the preset knows.
            type: the API style; None detects it from the URL.
            api_key: its key; it goes into the key store, bound to this address.
            local: it runs on this machine or network.
            headers: extra headers; values that look secret go into the key store.
            default_model: the model when none is named.
            test: test it first, and save nothing when a test says no. False saves it untested.
            key_store: `keyring`, or `vault` where that was chosen.
            on_test: is shown the four answers of the test, whatever they are.
            fields: other fields of `Provider` (`display_name`, `rpm`, `params`, ...).

        Raises:
            ProviderExists, InvalidProvider: the name is taken, or a field is not acceptable.
            ToolkitError: a test said no (its class says which); `test=False` saves all the same.
            KeyStoreError: the key cannot be stored; nothing is saved.
        """
        plain, secret = split_headers(headers or {})
        values = {
            "base_url": base_url,
            "type": type,
            "is_local": local or None,
            "headers": plain or None,
            "secret_headers": tuple(secret) or None,
            "default_model": default_model,
            **fields,
        }
        values = {field: value for field, value in values.items() if value is not None}
        provider = self.registry.check(name, values)
        tested_at = self._require_good(provider, api_key, secret, on_test) if test else None
        with stored_secrets(self._toolkit.keys, provider, api_key, secret, key_store):
            added = self.registry.add(name, tested_at=tested_at, **values)
        return self._mirror(added)

    def update(
        self,
        name: str,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        header_changes: Mapping[str, str | None] | None = None,
        key_store: StoreName = "keyring",
        **changes: Any,
    ) -> Provider:
        """Change fields of a provider; None takes a field back to its default.

        Args:
            name: of the provider.
            api_key: a new key for its address after the change.
            headers: replace all its headers.
            header_changes: change single headers and leave the others; None takes one away.
            key_store: where a key or secret header goes.
            changes: fields of `Provider`.

        Raises:
            ProviderNotFound, InvalidProvider, KeyStoreError: nothing is saved.
        """
        secret: dict[str, str] = {}
        if header_changes:
            headers = changed_headers(self.require(name).headers, header_changes)
        if headers is not None:
            plain, secret = split_headers(headers)
            changes |= {"headers": plain or None, "secret_headers": tuple(secret) or None}
        after = self.registry.preview(name, changes)
        with stored_secrets(self._toolkit.keys, after, api_key, secret, key_store):
            updated = self.registry.update(name, **changes) if changes else after
        return self._mirror(updated)

    def remove(self, name: str) -> Provider:
        """Take a provider out of use, softly; see `Registry.remove`."""
        return self._mirror(self.registry.remove(name))

    def restore(self, name: str) -> Provider:
        """Bring a removed provider back; see `Registry.restore`."""
        return self._mirror(self.registry.restore(name))

    def enable(self, name: str) -> Provider:
        """Put a provider to use; see `Registry.enable`."""
        return self._mirror(self.registry.enable(name))

    def disable(self, name: str) -> Provider:
        """Keep a provider but refuse to call it; see `Registry.disable`."""
        return self._mirror(self.registry.disable(name))

    def set_default(self, name: str | None) -> Provider | None:
        """Choose the provider that failover starts from; see `Registry.set_default`."""
        before = self.registry.find_default()
        provider = self.registry.set_default(name)
        for changed in (before and self.registry.find(before.name), provider):
            if changed is not None:
                self._mirror(changed)
        return provider

    # ---- testing and discovery ----------------------------------------------------------------

    def test(self, name: str | None = None, **options: Any) -> ProbeResult:
        """Test a provider: address allowed, reachable, key accepted, model callable.

        See `atest` for arguments and result.
        """
        return self._toolkit.portal.run(self.atest(name, **options))

    async def atest(
        self,
        name: str | None = None,
        *,
        api_key: str | None = None,
        call: bool = False,
        model: str | None = None,
        **values: Any,
    ) -> ProbeResult:
        """Test a saved provider by its name, or one that is not saved by its fields.

        Args:
            name: of a saved provider; with `values` a saved provider is tested as it would be
                after that change.
            api_key: the key to test; None takes the one in force. A stored key is only used
                at the origin that it was stored for.
            call: also call the model, which may cost money.
            model: the model to look for or to call; None takes the default.
            values: fields of `Provider` (`base_url`, `type`, `headers`, `local`, ...).

        Returns:
            Four answers; what a test finds wrong is an answer, not an exception.

        Raises:
            ProviderNotFound, InvalidProvider: there is nothing that could be tested.
        """
        provider, secret = self._to_test(name, values)
        result = await try_provider(
            self._toolkit, provider, api_key=api_key, headers=secret, call=call, model=model
        )
        if name is not None and not values and api_key is None and result.is_good:
            self._note_tested(name)
        return result

    def rotate_key(
        self, name: str, value: str, *, key_name: str = CURRENT, call: bool = False
    ) -> KeyEntry:
        """Replace a stored key; the old one goes only when the provider has taken the new one.

        Args:
            name: of the provider.
            value: the new key.
            key_name: which of several keys.
            call: try it with a call, where a free listing says nothing about keys.

        Raises:
            AuthenticationFailed: the new key is refused, or nothing free could tell; the old
                one stays in force.
            ConnectionFailed: nobody could be asked; the old one stays.
            InvalidInput, KeyStoreError: as `Keys.rotate`.
        """
        provider = self.require(name)

        def works(secret: Secret) -> None:
            trial = try_provider(self._toolkit, provider, api_key=secret.reveal(), call=call)
            require_accepted(self._toolkit.portal.run(trial))

        return self._toolkit.keys.rotate(provider, value, works=works, name=key_name)

    def discover(self) -> list[Discovered]:
        """Look at the environment, `.env` and the usual local ports for providers.

        Servers that answer are added, once; what a person edited or removed stays as it is.
        """
        found = self._toolkit.portal.run(discover(self.registry))
        for one in found:
            if one.outcome == "added" and (provider := self.registry.find(one.name)):
                self._mirror(provider)
        return found

    def headroom(self, name: str | None = None) -> dict[str, Any] | None:
        """How much the provider said may still be used, from its newest answer that said so.

        Returns:
            Limits, what remains and when it is reset (seconds after `seen_at`, UTC), for
            requests and tokens; None where no answer ever said. Without a name: the same by
            name, for every provider that ever said.
        """
        if name is None:
            return read_headroom(self._toolkit.store)
        return read_headroom(self._toolkit.store).get(self.require(name).name)

    def list(self, **filters: Any) -> list[Provider]:
        """Presets and custom providers in one list; filters are those of `Registry.list`."""
        return self.registry.list(**filters)

    def register(
        self, plugin: object, *, name: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> Provider:
        """Use a provider of your own in this process; see `Plugins.register`."""
        return self.plugins.register(plugin, name=name, settings=settings)

    def set_token_source(self, name: str, fetch: FetchToken, *, leeway_s: float = LEEWAY_S) -> None:
        """Take a provider's key from a function, in this process; it may give keys that expire.

        Args:
            name: of the provider; the keys go to its present origin only.
            fetch: returns a `Token` (or a key that does not expire).
            leeway_s: how long before its end a token is replaced, seconds.
        """
        provider = self.require(name)
        source = TokenSource(name, fetch, leeway_s=leeway_s)
        self._toolkit.keys.tokens.register(name, provider.origin, source)

    def set_url_source(self, name: str, find_url: Callable[[], str | None]) -> None:
        """Ask a function where a provider is, before each call, in this process.

        Args:
            name: of the provider.
            find_url: its base URL now; None where the saved one stands. Stored keys stay bound
                to their own origins.
        """
        self.registry.url_sources[self.require(name).name] = find_url

    # ---- how ----------------------------------------------------------------------------------

    def _to_test(
        self, name: str | None, values: dict[str, Any]
    ) -> tuple[Provider, Mapping[str, str]]:
        values = {field: value for field, value in values.items() if value is not None}
        if values.pop("local", False):
            values["is_local"] = True
        headers = values.pop("headers", None)
        plain, secret = split_headers(headers or {})
        if headers is not None:
            values |= {"headers": plain, "secret_headers": tuple(secret)}
        if name is not None and (not values or self.registry.find(name) is not None):
            provider = self.registry.preview(name, values) if values else self.require(name)
        else:
            provider = self.registry.check(name or "unsaved", values)
        return provider, secret

    def _probe(
        self, provider: Provider, api_key: str | None, headers: Mapping[str, str]
    ) -> ProbeResult:
        return self._toolkit.portal.run(
            try_provider(self._toolkit, provider, api_key=api_key, headers=headers)
        )

    def _require_good(
        self,
        provider: Provider,
        api_key: str | None,
        headers: Mapping[str, str],
        on_test: Callable[[ProbeResult], None] | None,
    ) -> datetime | None:
        """When everything was seen to work; None where something could not be checked."""
        result = self._probe(provider, api_key, headers)
        if on_test is not None:
            on_test(result)
        if result.refusals:
            raise refusal_of(result)
        return _now() if result.is_good else None

    def _note_tested(self, name: str) -> None:
        if not self.registry.is_untouched(name):
            self._mirror(self.registry.mark_tested(name, _now()))

    def _mirror(self, provider: Provider) -> Provider:
        """Keep the store's table for joins up; the registry stays the truth."""
        with contextlib.suppress(StoreError):
            self._toolkit.store.append("providers", provider.as_row())
        return provider

    def _find_local_url(self) -> str | None:
        from toolkit.local.local_server import find_base_url

        return find_base_url(self._toolkit.settings)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
