"""One row of the catalog: how a listed model and what other sources say become columns.

Rows are plain mappings with the columns of the table `models`; `migrations/` says what each
means. Building one is pure: the same inputs give the same row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from toolkit.catalog.listings.listed_model import CAPABILITIES, ListedModel
from toolkit.catalog.sources.facts import Facts, SourceFacts
from toolkit.catalog.sources.sourced_values import Row, write_facts

if TYPE_CHECKING:
    from toolkit.providers.provider import Provider


# A provider's own item, bounded in size and depth, for the column `raw`.


_MOST_CHARS: Final = 20_000
_DEEPEST: Final = 24


def bounded(raw: dict[str, Any]) -> dict[str, Any]:
    """The item itself, or what was left out of it where it is too large to keep."""
    kept = {name: _cut(value, 1) for name, value in raw.items()}
    size = len(json.dumps(kept))
    if size <= _MOST_CHARS:
        return kept
    return {"left_out": f"{size:,} characters", "names": sorted(map(str, raw))[:100]}


def _cut(value: Any, depth: int) -> Any:
    if not isinstance(value, dict | list):
        return value
    if depth > _DEEPEST:
        return None
    if isinstance(value, dict):
        return {name: _cut(item, depth + 1) for name, item in value.items()}
    return [_cut(item, depth + 1) for item in value]


PRICE_COLUMNS: Final[Mapping[str, str]] = {
    "price:input": "input_usd_per_mtok",
    "price:output": "output_usd_per_mtok",
    "price:cached_input": "cached_input_usd_per_mtok",
    "price:cache_write": "cache_write_usd_per_mtok",
    "price:reasoning": "reasoning_usd_per_mtok",
}
FLAPPING: Final = "presence:flapping"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedModel:
    """One model seen in one listing, with all that is known about it.

    Attributes:
        provider: who lists it.
        listed: the provider's own words.
        facts: every source's words and the ones in force.
        sources: the sources themselves, for their keys and editions.
        previous: the row before this listing, or None.
        at: when the listing was read, UTC.
        is_flapping: the model keeps appearing and vanishing.
    """

    provider: Provider
    listed: ListedModel
    facts: Facts
    sources: tuple[SourceFacts, ...]
    previous: Row | None
    at: datetime
    is_flapping: bool = False


def build_row(seen: ObservedModel) -> dict[str, Any]:
    """The row of a model that the listing holds; the enabled flag and `first_seen_at` are kept."""
    listed, values, before = seen.listed, seen.facts.values, seen.previous or {}
    flags = (*listed.flags, FLAPPING) if seen.is_flapping else listed.flags
    return {
        "provider": seen.provider.name,
        "model_id": listed.model_id,
        "model": f"{seen.provider.name}/{listed.model_id}",
        "display_name": listed.display_name,
        "description": listed.description,
        "owner": listed.owner,
        "family": listed.family,
        "kind": values.get("kind") or guess_kind(listed.model_id),
        "context_window": values.get("context_window_tokens"),
        "max_output_tokens": values.get("max_output_tokens"),
        **{column: _in_usd(values.get(name)) for name, column in PRICE_COLUMNS.items()},
        "price_id": before.get("price_id"),
        **_price_origin(seen.facts),
        "input_modalities": list(values.get("input_modalities", ())),
        "output_modalities": list(values.get("output_modalities", ())),
        "capabilities": [c for c in CAPABILITIES if values.get(f"capability:{c}")],
        "status": listed.status,
        "is_enabled": before.get("is_enabled", True),
        "is_local": seen.provider.is_local,
        "sync_status": "ok",
        "sync_error": None,
        "synced_at": seen.at,
        "first_seen_at": before.get("first_seen_at") or seen.at,
        "last_seen_at": seen.at,
        "gone_at": None,
        "released_at": listed.created_at,
        "deprecation_date": values.get("retires_on"),
        "successor": values.get("successor"),
        "size_bytes": listed.size_bytes,
        "parameters": listed.parameters,
        "quantization": listed.quantization,
        "aliases": list(listed.aliases),
        "flags": list(flags),
        "facts": write_facts(seen.facts, seen.sources),
        "raw": bounded(dict(listed.raw)),
    }


def mark_gone(previous: Row, at: datetime, *, is_flapping: bool = False) -> dict[str, Any]:
    """The row of a model that the listing no longer has: kept whole, marked as removed."""
    flags = [flag for flag in previous.get("flags") or () if flag != FLAPPING]
    if is_flapping:
        flags.append(FLAPPING)
    gone_at = previous.get("gone_at") or at
    now = {"status": "gone", "gone_at": gone_at, "synced_at": at, "flags": flags}
    return {**previous, **now, "sync_status": "ok", "sync_error": None}


def mark_failed(previous: Row, message: str) -> dict[str, Any]:
    """The row of a model whose provider could not be read: as it was, with the reason."""
    return {**previous, "sync_status": "error", "sync_error": message}


def guess_kind(model_id: str) -> str | None:
    """Guess the kind from the name: OpenAI's own listing has nothing else."""
    name = model_id.lower()
    words = (
        ("embed", "embedding"), ("rerank", "rerank"), ("moderation", "moderation"),
        ("whisper", "transcription"), ("transcribe", "transcription"), ("tts", "speech"),
        ("dall-e", "image"), ("image", "image"), ("sora", "video"), ("video", "video"),
        ("realtime", "live"),
    )  # fmt: skip
    return next((kind for word, kind in words if word in name), None)


def _in_usd(amount: Any) -> Decimal | None:
    """A price for a column in USD; None for one in another currency, which is written as text."""
    return amount if isinstance(amount, Decimal) else None


def _price_origin(facts: Facts) -> dict[str, Any]:
    claims = facts.claims.get("price:input") or facts.claims.get("price:output")
    if not claims:
        return {"price_source": None, "price_date": None}
    return {"price_source": claims[0].source, "price_date": claims[0].as_of}
