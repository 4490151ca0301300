"""What one listing makes of the rows known before: pure, so that it can be tested to the bone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from toolkit.catalog.changes import Change, find_changes
from toolkit.catalog.listings.listed_model import ListedModel, Listing
from toolkit.catalog.model_row import ObservedModel, build_row, mark_gone
from toolkit.catalog.price_rows import build_price_rows, find_input_price_id
from toolkit.catalog.sources import genai_map, litellm_map
from toolkit.catalog.sources.facts import SourceFacts, facts_of_listing, merge_facts
from toolkit.catalog.sources.hosts_of_url import Host, host_of
from toolkit.catalog.sources.sourced_values import Row, read_override, read_probe

if TYPE_CHECKING:
    from toolkit.providers.provider import Provider

FLAPS_FROM: Final = 3
"""A model that came or went so often within `RECENT_SYNCS` is flapping."""


@dataclass(frozen=True, slots=True)
class SyncInput:
    """One provider's listing on its way into the catalog."""

    provider: Provider
    listing: Listing
    at: datetime
    sync_id: str


@dataclass(slots=True)
class SyncDiff:
    """Rows to write: of the models, of what changed (by model id), and of new prices."""

    known_before: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    changes: list[tuple[str, Change]] = field(default_factory=list)
    prices: list[dict[str, Any]] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many models are `new`, `gone`, `back`, and otherwise `changed`."""
        ids: dict[str, set[str]] = {"new": set(), "gone": set(), "back": set(), "changed": set()}
        for model_id, change in self.changes:
            ids[change.kind if change.kind in ids else "changed"].add(model_id)
        ids["changed"] -= ids["back"]
        return {kind: len(found) for kind, found in ids.items()}


def compare_listing(
    step: SyncInput, known: Mapping[str, Row], flips: Mapping[str, int]
) -> SyncDiff:
    """Bring a listing and the rows known before together.

    Args:
        step: the listing and where it came from.
        known: rows of this provider by model id, gone ones included.
        flips: by model id, how often it came or went in the last syncs.

    Returns:
        Every row to write. A model that is not listed is gone, unless the listing is
        incomplete: then its row is left alone.
    """
    outcome = SyncDiff(known_before=sum(row.get("gone_at") is None for row in known.values()))
    host = host_of(step.provider)
    for listed in step.listing.models:
        before = known.get(listed.model_id)
        row = _sight(step, host, listed, before, _flaps(before, flips, listed.model_id, True))
        _add(outcome, step, before, row)
    if step.listing.complete:
        for before in _newly_missing(step.listing, known):
            flapping = _flaps(before, flips, before["model_id"], False)
            _add(outcome, step, before, mark_gone(before, step.at, is_flapping=flapping))
    return outcome


def _newly_missing(listing: Listing, known: Mapping[str, Row]) -> Iterator[Row]:
    """Rows that the listing lacks and that do not say so yet."""
    listed = {model.model_id for model in listing.models}
    for model_id, row in known.items():
        is_settled = row.get("gone_at") is not None and row.get("sync_status") == "ok"
        if model_id not in listed and not is_settled:
            yield row


def _flaps(before: Row | None, flips: Mapping[str, int], model_id: str, is_here: bool) -> bool:
    flipped_now = before is not None and (before.get("gone_at") is None) != is_here
    return flips.get(model_id, 0) + flipped_now >= FLAPS_FROM


def _add(outcome: SyncDiff, step: SyncInput, before: Row | None, row: dict[str, Any]) -> None:
    if row["gone_at"] is None:
        prices = build_price_rows(before, row, step.at)
        outcome.prices += prices
        row["price_id"] = find_input_price_id(prices) or row["price_id"]
    outcome.changes += [(row["model_id"], change) for change in find_changes(before, row)]
    outcome.rows.append(row)


def _sight(
    step: SyncInput, host: Host, listed: ListedModel, before: Row | None, flapping: bool
) -> dict[str, Any]:
    sources = tuple(find_sources(host, listed, step.at, before))
    seen = ObservedModel(
        provider=step.provider,
        listed=listed,
        facts=merge_facts(sources),
        sources=sources,
        previous=before,
        at=step.at,
        is_flapping=flapping,
    )
    return build_row(seen)


def find_sources(
    host: Host, listed: ListedModel, at: datetime, before: Row | None
) -> Iterator[SourceFacts]:
    """Every source that has something to say about a listed model."""
    if before is not None and (override := read_override(before)) is not None:
        yield override
    if before is not None and (probe := read_probe(before)) is not None:
        yield probe
    yield facts_of_listing(listed, at.date())
    if (facts := litellm_map.find_facts(host, listed.model_id)) is not None:
        yield facts
    if (facts := genai_map.find_facts(host, listed.model_id, at.date())) is not None:
        yield facts
