"""What the Providers page shows of each provider, read at once: state, key in force, models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from toolkit.charts.states import State, provider_state
from toolkit.errors import ToolkitError
from toolkit.keys.sources import KeyLocation
from toolkit.providers.provider import Provider
from toolkit.store.queries.app_pages import provider_counts
from toolkit.toolkit import Toolkit


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRow:
    """One provider as its row shows it.

    Attributes:
        provider: the provider.
        keys: every place that holds a key of it.
        listed, enabled: how many models it lists, and how many may be called.
        synced_at: when its listing was last read.
    """

    provider: Provider
    keys: tuple[KeyLocation, ...] = ()
    listed: int = 0
    enabled: int = 0
    synced_at: datetime | None = None

    @property
    def key(self) -> KeyLocation | None:
        """The key in force."""
        return next((place for place in self.keys if place.in_force), None)

    @property
    def is_set_up(self) -> bool:
        """Whether it is set up: active with what it needs, or with an entry of its own."""
        known = self.provider.created_at is not None or self.provider.source != "preset"
        return known or self.key is not None

    def state(self, health: Mapping[str, str]) -> State:
        """Its state: what its key says first, then what your calls and checks say."""
        if self.provider.needs_key and self.key is None:
            return State("◆", "no key", "violet")
        if not self.provider.is_active:
            return State("‖", "off", "gray")
        check = self.key.last_check if self.key else None
        if check is not None and check.answer == "refused":
            return provider_state("auth_error")
        known = health.get(self.provider.name, "unknown")
        if known == "unknown" and not self.provider.tested_at:
            return State("◌", "untested", "gray")
        return provider_state(known)

    @property
    def key_words(self) -> str:
        """`…3f2a from environment OPENAI_API_KEY, over keyring`."""
        if self.key is None:
            return "no key" if self.provider.needs_key else "needs no key"
        variable = f" {self.key.name}" if self.key.source in ("environment", "dotenv") else ""
        shadowed = [place.source for place in self.keys if place.shadowed_by]
        hides = f", over {', '.join(shadowed)}" if shadowed else ""
        return f"{self.key.fingerprint} from {self.key.source}{variable}{hides}"

    @property
    def model_words(self) -> str:
        """`12 of 40`; nothing listed yet is not zero models."""
        return f"{self.enabled} of {self.listed}" if self.listed else "not listed"


def read_rows(
    toolkit: Toolkit, *, removed: bool = False
) -> tuple[list[ProviderRow], list[ToolkitError]]:
    """All providers, those in use first, and what could not be read."""
    trouble: list[ToolkitError] = []
    found = toolkit.providers.list(removed=removed)
    counted: dict[str, dict[str, Any]] = {}
    try:
        with toolkit.store.reading() as reader:
            counted = {row["provider"]: row for row in provider_counts().rows(reader)}
    except ToolkitError as error:
        trouble.append(error)
    rows = [_row(provider, _keys(toolkit, provider, trouble), counted) for provider in found]
    return sorted(rows, key=lambda row: not row.is_set_up), trouble


def suggest_name(wanted: str, taken: Iterable[str]) -> str:
    """A free name near the wanted one: `groq`, `groq-2`, ..."""
    letters = [c if c.isalnum() and c.isascii() else "-" for c in wanted.lower()]
    base = "-".join(filter(None, "".join(letters).split("-")))[:50] or "provider"
    names = set(taken)
    number = 2
    name = base
    while name in names:
        name, number = f"{base}-{number}", number + 1
    return name


def _row(
    provider: Provider, keys: Sequence[KeyLocation], counted: dict[str, dict[str, Any]]
) -> ProviderRow:
    known = counted.get(provider.name, {})
    return ProviderRow(
        provider=provider,
        keys=tuple(keys),
        listed=known.get("listed", 0),
        enabled=known.get("enabled", 0),
        synced_at=known.get("synced_at"),
    )


def _keys(toolkit: Toolkit, provider: Provider, trouble: list[ToolkitError]) -> list[KeyLocation]:
    try:
        return list(toolkit.keys.list(provider))
    except ToolkitError as error:
        trouble.append(error)
        return []
