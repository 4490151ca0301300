"""The `tk.providers` service: the registry with testing, discovery, transfer and plugins.

The registry has no access to keys or the network; this service combines them. Changes are tested
first and saved atomically.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, Protocol, TypedDict, TypeVar, Unpack

from toolkit.display import Card, Shown
from toolkit.errors import InvalidInput, StoreError
from toolkit.keys.index import CURRENT, KeyEntry, StoreName
from toolkit.keys.service import Keys, KeyVerdict
from toolkit.keys.sources import LEEWAY_S, FetchToken, TokenSource, check_key, clean_key, header_key
from toolkit.providers.base_url import repair_base_url
from toolkit.providers.checks import (
    ConnectionTester,
    ProbeResult,
    refusal_of,
    require_accepted,
)
from toolkit.providers.discovery import Discovered, discover
from toolkit.providers.headers import check_headers, is_secret
from toolkit.providers.plugins.loader import Plugins
from toolkit.providers.provider import UNSAVED, ModelSettings, Provider, presets
from toolkit.providers.registry import Registry
from toolkit.providers.transfer_service import Transfer
from toolkit.providers.type_detection import is_known_local
from toolkit.secret import Secret, hides_arguments, hides_arguments_async
from toolkit.store.queries.health import read_headroom
from toolkit.store.store import Store

T = TypeVar("T")

# A change of one of these can break the connection, so it is tested before it is saved.
_CONNECTION_FIELDS: Final = frozenset(
    {"base_url", "type", "is_local", "headers", "secret_headers", "key_env"}
)

_log = logging.getLogger("toolkit.providers")


class RunAsync(Protocol):
    """Runs a coroutine on the background event loop and waits for its result."""

    def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it."""
        ...


class OtherFields(TypedDict, total=False):
    """Fields of a provider that `add` and `update` accept; see `Provider`."""

    display_name: str | None
    params: Mapping[str, Any] | None
    system_prompt: str | None
    prompt_template: str | None
    max_input_tokens: int | None
    model_settings: Mapping[str, ModelSettings | Mapping[str, Any]] | None
    timeout_s: float | None
    max_retries: int | None
    retry_initial_s: float | None
    retry_max_s: float | None
    retry_factor: float | None
    rpm: int | None
    tpm: int | None
    rate_window_s: float | None
    auto_sync: bool | None
    sync_interval_s: float | None
    is_active: bool | None
    needs_key: bool | None
    key_env: tuple[str, ...] | list[str] | None
    key_url: str | None


class ChangedFields(OtherFields, total=False):
    """The fields that `update` changes; None resets a field to its default."""

    base_url: str | None
    type: str | None
    is_local: bool | None
    default_model: str | None


class TestedFields(ChangedFields, total=False):
    """Fields of a provider for a test."""

    headers: Mapping[str, str] | None
    local: bool | None


@dataclass(slots=True)
class _Draft:
    """A provider before it is saved.

    Attributes:
        provider: as it would be saved.
        values: the fields to save.
        secret: values of secret headers.
        api_key: a key to store with it.
        notes: sentences for the user.
    """

    provider: Provider
    values: dict[str, Any]
    secret: Mapping[str, str]
    api_key: str | None
    notes: list[str] = field(default_factory=list)


class Providers(Shown):
    """The providers of one home folder.

    Args:
        registry: stores and resolves them.
        keys: their keys.
        store: gets a mirror of the registry, for joins.
        plugins: providers that are classes.
        tester: tests connections.
        run: runs asynchronous work for synchronous callers.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        keys: Keys,
        store: Store,
        plugins: Plugins,
        tester: ConnectionTester,
        run: RunAsync,
    ) -> None:
        self.registry = registry
        self.plugins = plugins
        self._keys = keys
        self._store = store
        self._tester = tester
        self._run = run

    @cached_property
    def transfer(self) -> Transfer:
        """Export and import, with and without keys."""
        return Transfer(self.registry, self._keys)

    # ---- reading ------------------------------------------------------------------------------

    def find(self, name: str) -> Provider | None:
        """The provider of that name, or None; see `Registry.find`."""
        return self.registry.find(name)

    def require(self, name: str) -> Provider:
        """The provider of that name; see `Registry.require`."""
        return self.registry.require(name)

    def presets(self) -> tuple[Provider, ...]:
        """The built-in presets."""
        return tuple(presets().values())

    # ---- changing -----------------------------------------------------------------------------

    @hides_arguments
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
        on_note: Callable[[str], None] | None = None,
        **fields: Unpack[OtherFields],
    ) -> Provider:
        """Add a provider or set up a preset: test it, then save it.

        Args:
            name: unique, `[a-z0-9][a-z0-9-]{0,62}`; the name of a preset uses its values.
            base_url: its address; None: that of the preset. A pasted endpoint or portal
                address is turned into the base URL.
            type: the API style; None detects it from the URL.
            api_key: its key; stored in the key store, bound to this address.
            local: whether it runs on this machine or network.
            headers: extra headers; values that look like secrets are stored in the key store.
            default_model: the model to use when none is given.
            test: whether to test it first; if a check fails, nothing is saved.
            key_store: `keyring` or `vault`.
            on_test: called with the result of the test.
            on_note: called with each note for the user (a repaired URL, a check that could not be
                made); None logs them as warnings.
            fields: other fields of `Provider`.

        Raises:
            ProviderExists, InvalidProvider: the name is taken, or a field is not valid.
            ToolkitError: a check failed (the class shows which); `test=False` saves without it.
            KeyStoreError: the key cannot be stored; nothing is saved.
        """
        plain, secret = split_headers(headers or {})
        given: dict[str, Any] = {
            "base_url": base_url,
            "type": type,
            "is_local": local or None,
            "headers": plain or None,
            "secret_headers": tuple(secret) or None,
            "default_model": default_model,
            **fields,
        }
        values = {field: value for field, value in given.items() if value is not None}
        notes = _repair(values)
        draft = _Draft(self.registry.check(name, values), values, secret, api_key, notes)
        tested_at = None
        if test:
            result = self._test_draft(
                draft, lambda fixed: self.registry.check(name, fixed), on_test
            )
            if result.refusals:
                raise refusal_of(result)
            draft.notes += result.doubts
            tested_at = _now() if result.is_good else None
        with self._stored_secrets(draft, key_store):
            added = self.registry.add(name, tested_at=tested_at, **draft.values)
        _report(draft.notes, on_note)
        return self._mirror(added)

    @hides_arguments
    def update(  # noqa: PLR0913 - an interface that scripts rely on
        self,
        name: str,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        header_changes: Mapping[str, str | None] | None = None,
        test: bool = True,
        key_store: StoreName = "keyring",
        on_test: Callable[[ProbeResult], None] | None = None,
        on_note: Callable[[str], None] | None = None,
        **changes: Unpack[ChangedFields],
    ) -> Provider:
        """Change fields of a provider; None resets a field to its default.

        Changes of address, type, headers or key are tested first.

        Args:
            name: of the provider.
            api_key: a new key for the new address.
            headers: replace all its headers.
            header_changes: changes single headers; None removes one.
            test: False saves without a test.
            key_store: where to store a key or secret header.
            on_test: called with the result of a test.
            on_note: as for `add`.
            changes: fields of `Provider`.

        Raises:
            ProviderNotFound, InvalidProvider, KeyStoreError: nothing is saved.
            ToolkitError: a check failed; nothing is saved.
        """
        values: dict[str, Any] = dict(changes)
        secret: dict[str, str] = {}
        if header_changes:
            headers = _changed_headers(self.require(name).headers, header_changes)
        if headers is not None:
            plain, secret = split_headers(headers)
            values |= {"headers": plain or None, "secret_headers": tuple(secret) or None}
        notes = _repair(values)
        draft = _Draft(self.registry.preview(name, values), values, secret, api_key, notes)
        may_break = api_key is not None or bool(_CONNECTION_FIELDS & values.keys())
        if test and (may_break or values.get("default_model") is not None):
            self._test_update(draft, name, may_break, on_test)
        with self._stored_secrets(draft, key_store):
            updated = self.registry.update(name, **draft.values) if draft.values else draft.provider
        _report(draft.notes, on_note)
        return self._mirror(updated)

    def remove(self, name: str) -> Provider:
        """Remove a provider softly; see `Registry.remove`."""
        return self._mirror(self.registry.remove(name))

    def restore(self, name: str) -> Provider:
        """Restore a removed provider; see `Registry.restore`."""
        return self._mirror(self.registry.restore(name))

    def enable(self, name: str) -> Provider:
        """Enable a provider; see `Registry.enable`."""
        return self._mirror(self.registry.enable(name))

    def disable(self, name: str) -> Provider:
        """Disable a provider; see `Registry.disable`."""
        return self._mirror(self.registry.disable(name))

    def set_default(self, name: str | None) -> Provider | None:
        """Set the default provider; see `Registry.set_default`."""
        before = self.registry.find_default()
        provider = self.registry.set_default(name)
        for changed in (before and self.registry.find(before.name), provider):
            if changed is not None:
                self._mirror(changed)
        return provider

    # ---- testing and discovery ----------------------------------------------------------------

    @hides_arguments
    def test(
        self,
        name: str | None = None,
        *,
        api_key: str | None = None,
        call: bool = False,
        model: str | None = None,
        **values: Unpack[TestedFields],
    ) -> ProbeResult:
        """Test a provider: address allowed, reachable, key accepted, model callable.

        See `atest` for arguments and result.
        """
        return self._run(self.atest(name, api_key=api_key, call=call, model=model, **values))

    @hides_arguments_async
    async def atest(
        self,
        name: str | None = None,
        *,
        api_key: str | None = None,
        call: bool = False,
        model: str | None = None,
        **values: Unpack[TestedFields],
    ) -> ProbeResult:
        """Test a saved provider by name, or an unsaved one by its fields.

        Args:
            name: of a saved provider; with `values`, the test includes these changes.
            api_key: the key to test; None: the active one. A stored key is only used
                at the origin that it was stored for.
            call: also call the model, which may cost money.
            model: the model to look for or to call; None: the default.
            values: fields of `Provider` (`base_url`, `type`, `headers`, `local`, ...).

        Returns:
            The results of the checks; failures are results, not exceptions. For an unsaved provider
            the repaired URL is tested.

        Raises:
            ProviderNotFound, InvalidProvider: the provider does not exist or is not valid.
        """
        provider, secret = self._to_test(name, dict(values))
        result = await self._tester.test(
            provider, api_key=api_key, headers=secret, call=call, model=model
        )
        if name is not None and not values and api_key is None and result.is_good:
            self._note_tested(name)
        return result

    def check_key(self, provider: Provider, secret: Secret) -> KeyVerdict:
        """Check a key at a provider with a free request."""
        result = self._run(self._tester.test(provider, api_key=secret.reveal()))
        return KeyVerdict(provider.name, result.key.answer, result.key.reason, result.key.hint)

    @hides_arguments
    def rotate_key(
        self, name: str, value: str, *, key_name: str = CURRENT, call: bool = False
    ) -> KeyEntry:
        """Replace a stored key; the old one is deleted after the provider accepted the new one.

        Args:
            name: of the provider.
            value: the new key.
            key_name: which of several keys.
            call: verify it with a call, if free requests cannot.

        Raises:
            AuthenticationFailed: the new key is refused, or could not be verified; the old one
                stays active.
            ConnectionFailed: it could not be reached; the old one stays.
            InvalidInput, KeyStoreError: as `Keys.rotate`.
        """
        provider = self.require(name)

        def works(secret: Secret) -> None:
            tested = self._tester.test(provider, api_key=secret.reveal(), call=call)
            require_accepted(self._run(tested))

        return self._keys.rotate(provider, value, works=works, name=key_name)

    def discover(self) -> list[Discovered]:
        """Find providers in the environment, `.env` and on local default ports.

        New ones are added; edited or removed providers are not changed.
        """
        found = self._run(discover(self.registry))
        for one in found:
            if one.outcome == "added" and (provider := self.registry.find(one.name)):
                self._mirror(provider)
        return found

    def headroom(self, name: str | None = None) -> dict[str, Any] | None:
        """Remaining requests and tokens, as last reported by the provider.

        Returns:
            Limits, what remains and when it is reset (seconds after `seen_at`, UTC), for
            requests and tokens; None if it never reported any. Without a name: a mapping by
            provider.
        """
        if name is None:
            return read_headroom(self._store, datetime.now(UTC))
        return read_headroom(self._store, datetime.now(UTC)).get(self.require(name).name)

    def list(self, **filters: Any) -> list[Provider]:
        """Presets and custom providers in one list; filters are those of `Registry.list`."""
        return self.registry.list(**filters)

    def _card(self) -> Card:
        return Card(
            title="Providers in use",
            rows=[
                {
                    "name": provider.name,
                    "type": provider.type,
                    "base URL": provider.base_url,
                    "default model": provider.default_model or "",
                    "local": provider.is_local,
                }
                for provider in self.list(active=True)
            ],
            notes=["Add one with tk.providers.add(name, base_url=...)."],
        )

    def register(
        self, plugin: object, *, name: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> Provider:
        """Register a custom provider in this process; see `Plugins.register`."""
        return self.plugins.register(plugin, name=name, settings=settings)

    def set_token_source(self, name: str, fetch: FetchToken, *, leeway_s: float = LEEWAY_S) -> None:
        """Get a provider's key from a function, in this process; keys may expire.

        Args:
            name: of the provider; the keys are sent to its current origin only.
            fetch: returns an `AccessToken`, or a key that does not expire.
            leeway_s: how long before its expiry a token is replaced, seconds.
        """
        provider = self.require(name)
        source = TokenSource(name, fetch, leeway_s=leeway_s)
        self._keys.tokens.register(name, provider.origin, source)

    def set_url_source(self, name: str, find_url: Callable[[], str | None]) -> None:
        """Get the base URL of a provider from a function before each call, in this process.

        Args:
            name: of the provider.
            find_url: returns its current base URL, or None for the saved one. Stored keys stay
                bound to their own origins.
        """
        self.registry.url_sources[self.require(name).name] = find_url

    # ---- internals ----------------------------------------------------------------------------

    def _test_draft(
        self,
        draft: _Draft,
        rebuild: Callable[[dict[str, Any]], Provider],
        on_test: Callable[[ProbeResult], None] | None,
    ) -> ProbeResult:
        """Test a draft; if the API answers at another path, use that base URL."""
        result = self._probe(draft)
        if result.suggested_url is not None:
            draft.values["base_url"] = result.suggested_url
            draft.provider = rebuild(draft.values)
            draft.notes.append(
                f"The API answers at {result.suggested_url}, so this is used as the base URL."
            )
            result = self._probe(draft)
        if on_test is not None:
            on_test(result)
        return result

    def _test_update(
        self,
        draft: _Draft,
        name: str,
        may_break: bool,
        on_test: Callable[[ProbeResult], None] | None,
    ) -> None:
        result = self._test_draft(draft, lambda fixed: self.registry.preview(name, fixed), on_test)
        if may_break:
            if result.refusals:
                raise refusal_of(result)
            draft.notes += result.doubts
            draft.values["tested_at"] = _now() if result.is_good else None
        elif result.missing_model is not None:
            draft.notes.append(f"The default model: {result.model.reason}.")

    def _probe(self, draft: _Draft) -> ProbeResult:
        return self._run(
            self._tester.test(draft.provider, api_key=draft.api_key, headers=draft.secret)
        )

    @contextmanager
    def _stored_secrets(self, draft: _Draft, store: StoreName) -> Iterator[None]:
        """Store a draft's key and secret headers; remove them if the block fails.

        Raises:
            InvalidInput, KeyStoreError: one of them cannot be stored; then none is stored.
        """
        provider = draft.provider
        if (draft.api_key is not None or draft.secret) and not provider.origin:
            raise InvalidInput(
                f"{provider.name} has no base URL yet, so a key cannot be bound to it",
                provider=provider.name,
                hint="Give its base URL as well.",
            )
        with self._keys.stores.together() as put:
            if draft.api_key is not None:
                secret = check_key(clean_key(draft.api_key))
                put(provider.name, CURRENT, provider.origin, secret, store)
            for header, value in draft.secret.items():
                put(provider.name, header_key(header), provider.origin, Secret(value), store)
            yield

    def _to_test(
        self, name: str | None, given: dict[str, Any]
    ) -> tuple[Provider, Mapping[str, str]]:
        values = {field: value for field, value in given.items() if value is not None}
        if values.pop("local", False):
            values["is_local"] = True
        headers = values.pop("headers", None)
        plain, secret = split_headers(headers or {})
        if headers is not None:
            values |= {"headers": plain, "secret_headers": tuple(secret)}
        _repair(values)
        if name is not None and (not values or self.registry.find(name) is not None):
            provider = self.registry.preview(name, values) if values else self.require(name)
        else:
            provider = self.registry.check(name or UNSAVED, values)
        return provider, secret

    def _note_tested(self, name: str) -> None:
        if not self.registry.is_untouched(name):
            self._mirror(self.registry.mark_tested(name, _now()))

    def _mirror(self, provider: Provider) -> Provider:
        """Keep the table `providers` current for joins; the registry stays the source of truth."""
        with contextlib.suppress(StoreError):
            self._store.append("providers", provider.as_row())
        return provider


def split_headers(headers: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Split headers into plain ones and those that are stored like keys.

    Raises:
        InvalidProvider: a header is not valid.
    """
    checked = check_headers(headers)
    secret = {name: value for name, value in checked.items() if is_secret(name, value)}
    return {name: value for name, value in checked.items() if name not in secret}, secret


def _changed_headers(
    headers: Mapping[str, str], changes: Mapping[str, str | None]
) -> dict[str, str]:
    """Headers after single changes; None removes one."""
    names = {name.lower() for name in changes}
    kept = {name: headers[name] for name in headers if name.lower() not in names}
    return kept | {name: value for name, value in changes.items() if value is not None}


def _repair(values: dict[str, Any]) -> list[str]:
    """Repair a given base URL in place, and mark default addresses of local servers as local."""
    if not isinstance(given := values.get("base_url"), str):
        return []
    repaired = repair_base_url(given)
    values["base_url"] = repaired.url
    if repaired.model is not None:
        values.setdefault("default_model", repaired.model)
    if values.get("is_local") is None and is_known_local(repaired.url):
        values["is_local"] = True
    return repaired.notes


def _report(notes: list[str], on_note: Callable[[str], None] | None) -> None:
    for note in notes:
        if on_note is None:
            _log.warning("%s", note)
        else:
            on_note(note)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
