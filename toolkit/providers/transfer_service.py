"""Exports and imports providers; keys only with a passphrase."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from toolkit.errors import InvalidInput, InvalidProvider
from toolkit.keys.index import StoreName
from toolkit.keys.service import Keys
from toolkit.providers.entry import refuse_unknown
from toolkit.providers.provider import Provider
from toolkit.providers.registry import Registry
from toolkit.providers.transfer import (
    SHARED,
    Document,
    Format,
    SharedKey,
    read_document,
    share,
    write_plain,
    write_sealed,
)
from toolkit.secret import Secret, hides_arguments

OnConflict = Literal["skip", "replace", "rename"]
Finding = Literal["new", "changed", "same", "refused"]

_NOT_SHARED: Final = "is specific to one machine and is not imported"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedProvider:
    """One provider of a document.

    Attributes:
        name: in the document.
        finding: `new`, `changed` (differs from the existing one), `same`, or `refused`.
        action: what an import does: `add`, `replace`, `add as NAME`, `skip`, `refuse`.
        reason: why it is refused, or which fields differ.
        warning: a warning for the user, or "".
    """

    name: str
    finding: Finding
    action: str
    reason: str = ""
    warning: str = ""


@dataclass(slots=True, kw_only=True)
class ImportPlan:
    """The plan of an import.

    Attributes:
        rows: one per provider of the document.
        entries: what would be saved, by name.
        replacing: names whose entry would be replaced.
        keys: keys that would be stored, for providers at the origin of their key.
        refused_keys: keys that would be left out, as `provider (origin)`.
    """

    rows: list[PlannedProvider] = field(default_factory=list)
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    replacing: set[str] = field(default_factory=set)
    keys: list[SharedKey] = field(default_factory=list)
    refused_keys: list[str] = field(default_factory=list)

    @property
    def refused(self) -> list[PlannedProvider]:
        """Refused providers."""
        return [row for row in self.rows if row.finding == "refused"]


def plan_import(document: Document, registry: Registry, on_conflict: OnConflict) -> ImportPlan:
    """Compare a document with the registry.

    Args:
        document: the document.
        registry: the existing providers.
        on_conflict: what to do if a provider of that name differs.

    Raises:
        InvalidProvider: the registry itself cannot be read.
    """
    plan = ImportPlan()
    for name, values in document.providers.items():
        try:
            _plan_one(plan, registry, name, values, on_conflict)
        except InvalidProvider as error:
            row = PlannedProvider(
                name=name, finding="refused", action="refuse", reason=error.message
            )
            plan.rows.append(row)
    for key in document.keys:
        _plan_key(plan, registry, key)
    return plan


def _plan_one(
    plan: ImportPlan,
    registry: Registry,
    name: str,
    values: Mapping[str, Any],
    on_conflict: OnConflict,
) -> None:
    refuse_unknown(values)
    if foreign := sorted(set(values) - set(SHARED)):
        raise InvalidProvider(f"the field {foreign[0]} {_NOT_SHARED}", cause="field")
    coming = registry.draft(name, values)
    here = registry.find(name)
    is_new = here is None or registry.is_untouched(name)
    if here is not None and not here.is_removed and share(coming) == share(here):
        plan.rows.append(PlannedProvider(name=name, finding="same", action="skip"))
        return
    reason, action = "", "add"
    if is_new:
        plan.entries[name] = _entry(values, here, coming)
    else:
        assert here is not None
        reason = f"differs in {', '.join(_differing(here, coming))}"
        action = _settle_conflict(plan, registry, name, values, on_conflict)
    plan.rows.append(
        PlannedProvider(
            name=name,
            finding="new" if is_new else "changed",
            action=action,
            reason=reason,
            warning=_warning(here, coming),
        )
    )


def _settle_conflict(
    plan: ImportPlan,
    registry: Registry,
    name: str,
    values: Mapping[str, Any],
    on_conflict: OnConflict,
) -> str:
    """Apply the rule for conflicts to an entry and return its row."""
    if on_conflict == "skip":
        return "skip"
    coming = registry.draft(name, values)
    if on_conflict == "replace":
        plan.entries[name] = _entry(values, registry.find(name), coming)
        plan.replacing.add(name)
        return "replace"
    new = _free_name(name, registry, plan)
    plan.entries[new] = _entry(values, None, coming)
    return f"add as {new}"


def _differing(here: Provider, coming: Provider) -> list[str]:
    mine, theirs = share(here), share(coming)
    names = [field for field in SHARED if mine.get(field) != theirs.get(field)]
    return ["its removal here", *names] if here.is_removed else names


def _entry(values: Mapping[str, Any], here: Provider | None, coming: Provider) -> dict[str, Any]:
    """The entry to save; keys of this machine stay bound to their addresses."""
    bound = (
        here is not None
        and here.key_origin == coming.origin
        and set(coming.key_env) <= set(here.key_env)
    )
    return {**values, "key_origin": coming.origin if bound else ""}


def _warning(here: Provider | None, coming: Provider) -> str:
    if here is not None and here.origin and here.origin != coming.origin:
        return f"uses {coming.origin} instead of {here.origin}; keys are not carried over"
    return ""


def _free_name(name: str, registry: Registry, plan: ImportPlan) -> str:
    for number in range(2, 1000):
        candidate = f"{name[:59]}-{number}"
        if candidate not in plan.entries and registry.find(candidate) is None:
            return candidate
    raise InvalidProvider(f"no free name for {name}", cause="name")


def _plan_key(plan: ImportPlan, registry: Registry, key: SharedKey) -> None:
    """Keep only keys whose provider will have the key's origin."""
    if key.provider in plan.entries:
        coming = registry.draft(key.provider, plan.entries[key.provider])
    else:
        found = registry.find(key.provider)
        if found is None:
            plan.refused_keys.append(f"{key.provider} ({key.origin})")
            return
        coming = found
    if coming.origin == key.origin:
        plan.keys.append(key)
    else:
        plan.refused_keys.append(f"{key.provider} ({key.origin})")


class Transfer:
    """Export and import of one toolkit's providers."""

    def __init__(self, registry: Registry, keys: Keys) -> None:
        self._registry = registry
        self._keys = keys

    def write(self, names: Iterable[str] | None = None, *, style: Format = "json") -> str:
        """Providers as JSON or TOML, without any key.

        Args:
            names: providers to export; None: all in use and all with an entry.

        Raises:
            ProviderNotFound: one of the names does not exist.
        """
        return write_plain(self._chosen(names), style)

    @hides_arguments
    def write_with_keys(self, passphrase: str, names: Iterable[str] | None = None) -> str:
        """Providers and their stored keys, encrypted; keys of the environment are not included.

        Raises:
            ProviderNotFound: one of the names does not exist.
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

    @hides_arguments
    def preview(
        self,
        raw: bytes,
        *,
        on_conflict: OnConflict = "skip",
        passphrase: str | None = None,
    ) -> ImportPlan:
        """Preview an import; nothing is saved.

        Raises:
            InvalidInput: the document cannot be read.
        """
        secret = None if passphrase is None else Secret(passphrase)
        return plan_import(read_document(raw, secret), self._registry, on_conflict)

    @hides_arguments
    def apply(
        self, plan: ImportPlan, *, skip_refused: bool = False, store: StoreName = "keyring"
    ) -> ImportPlan:
        """Save a previewed import atomically.

        Args:
            plan: the result of `preview`.
            skip_refused: import the others if some are refused.
            store: where to store keys.

        Raises:
            InvalidInput: some providers are refused and `skip_refused` is false.
            ProviderError, KeyStoreError: it cannot be saved; nothing is saved.
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
