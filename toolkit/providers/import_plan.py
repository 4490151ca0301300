"""What an import would do, provider by provider, before anything is saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from toolkit.errors import InvalidProvider
from toolkit.providers.entry import refuse_unknown
from toolkit.providers.provider import Provider
from toolkit.providers.registry import Registry
from toolkit.providers.transfer import SHARED, Document, SharedKey, share

OnConflict = Literal["skip", "replace", "rename"]
Finding = Literal["new", "changed", "same", "refused"]

_NOT_SHARED: Final = "belongs to one machine and is not imported"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedProvider:
    """One provider of a document.

    Attributes:
        name: in the document.
        finding: `new`, `changed` (here it is otherwise), `same`, or `refused`.
        action: what happens: `add`, `replace`, `add as NAME`, `skip`, `refuse`.
        reason: why it is refused, or which fields differ.
        warning: what a person should know before agreeing, or "".
    """

    name: str
    finding: Finding
    action: str
    reason: str = ""
    warning: str = ""


@dataclass(slots=True, kw_only=True)
class ImportPlan:
    """What an import would do.

    Attributes:
        rows: one per provider of the document.
        entries: what would be saved, by name.
        replacing: names whose entry would be replaced.
        keys: keys that would be stored; each provider will be where its key belongs.
        refused_keys: keys that would be left out, as `provider (origin)`.
    """

    rows: list[PlannedProvider] = field(default_factory=list)
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    replacing: set[str] = field(default_factory=set)
    keys: list[SharedKey] = field(default_factory=list)
    refused_keys: list[str] = field(default_factory=list)

    @property
    def refused(self) -> list[PlannedProvider]:
        """Providers that are not acceptable."""
        return [row for row in self.rows if row.finding == "refused"]


def plan_import(document: Document, registry: Registry, on_conflict: OnConflict) -> ImportPlan:
    """Compare a document with what is here.

    Args:
        document: what was read.
        registry: what is here.
        on_conflict: what to do where a provider of that name is otherwise here.

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
    """Take the entry in as the rule says, and tell what happens to it."""
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
    """The entry to save: keys of this machine stay with the addresses they were meant for."""
    bound = (
        here is not None
        and here.key_origin == coming.origin
        and set(coming.key_env) <= set(here.key_env)
    )
    return {**values, "key_origin": coming.origin if bound else ""}


def _warning(here: Provider | None, coming: Provider) -> str:
    if here is not None and here.origin and here.origin != coming.origin:
        return f"leads to {coming.origin} instead of {here.origin}; no key goes along"
    return ""


def _free_name(name: str, registry: Registry, plan: ImportPlan) -> str:
    for number in range(2, 1000):
        candidate = f"{name[:59]}-{number}"
        if candidate not in plan.entries and registry.find(candidate) is None:
            return candidate
    raise InvalidProvider(f"no free name for {name}", cause="name")


def _plan_key(plan: ImportPlan, registry: Registry, key: SharedKey) -> None:
    """A key is stored only where its provider will be at the key's own origin."""
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
