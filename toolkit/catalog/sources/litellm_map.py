"""litellm's bundled map of models, read from its data file without importing litellm."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from toolkit.catalog.listings.item import PER_TOKEN, Item, known
from toolkit.catalog.listings.listed_model import Kind
from toolkit.catalog.sources.facts import SourceFacts
from toolkit.catalog.sources.hosts_of_url import Host
from toolkit.pricing.price import Rate, normalize_tier
from toolkit.records import PriceClass

_FILE: Final = "model_prices_and_context_window_backup.json"

_KINDS: Final[Mapping[str, Kind]] = {
    "chat": "chat",
    "responses": "chat",
    "completion": "completion",
    "embedding": "embedding",
    "rerank": "rerank",
    "moderation": "moderation",
    "image_generation": "image",
    "image_edit": "image",
    "video_generation": "video",
    "audio_transcription": "transcription",
    "audio_speech": "speech",
    "realtime": "live",
    "ocr": "ocr",
}
_CLASSES: Final[Mapping[str, PriceClass]] = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_input",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_input",
    "cache_read_input_audio_token_cost": "cached_audio_input",
    "output_cost_per_audio_token": "audio_output",
    "input_cost_per_image_token": "image_input",
    "output_cost_per_image_token": "image_output",
    "input_cost_per_request": "request",
}
# The map's word for a tier ends a price's name.
_TIERS: Final = ("batches", "flex", "priority", "balanced", "ultrafast", "decisions")
_PRICE_NAME: Final = re.compile(
    f"({'|'.join(_CLASSES)})(?:_above_(\\d+)k_tokens)?(?:_({'|'.join(_TIERS)}))?"
)
_SEARCH: Final = "search_context_cost_per_query.search_context_size_"
# Perplexity searches for every request, with a small context unless another is asked for.
_SEARCHES_ALWAYS: Final = frozenset({"perplexity"})


@cache
def bundled_map() -> Mapping[str, Any]:
    """litellm's map of models as it was installed; empty where litellm is not.

    Prices are kept as they are written, as exact decimals.
    """
    spec = find_spec("litellm")
    if spec is None or not spec.submodule_search_locations:
        return {}
    path = Path(spec.submodule_search_locations[0]) / _FILE
    loaded = json.loads(path.read_bytes(), parse_float=Decimal)
    return {name: entry for name, entry in loaded.items() if name != "sample_spec"}


def find_key(host: Host, model_id: str) -> str | None:
    """The map's name of a model as this host serves it, or None."""
    if host.litellm is None:
        return None
    entries = bundled_map()
    short = model_id.removesuffix(":latest")
    for key in (f"{host.litellm}/{model_id}", f"{host.litellm}/{short}", model_id):
        entry = entries.get(key)
        if entry is not None and _serves(host.litellm, entry):
            return key
    return None


def _serves(litellm_name: str, entry: Mapping[str, Any]) -> bool:
    served_by = str(entry.get("litellm_provider", ""))
    alike = {served_by, served_by.removesuffix("_chat"), served_by.partition("-")[0]}
    return litellm_name in alike or served_by == f"text-completion-{litellm_name}"


def find_facts(host: Host, model_id: str) -> SourceFacts | None:
    """What the map says; None where it does not know the model.

    Where it knows the model but not at this host, only the facts of the model itself are
    given: no price and no retirement.
    """
    key = find_key(host, model_id)
    if key is not None:
        return _read(key, bundled_map()[key], serving=True)
    for name in (model_id, model_id.rpartition("/")[2]):
        if name in bundled_map():
            return _read(name, bundled_map()[name], serving=False)
    return None


@cache
def edition() -> str:
    """The version of litellm that the map came with."""
    return f"litellm {version('litellm')}"


def _read(key: str, entry: Mapping[str, Any], *, serving: bool) -> SourceFacts:
    item = Item(dict(entry))
    return SourceFacts(
        source="litellm",
        key=key,
        edition=edition(),
        kind=_KINDS.get(item.text("mode") or ""),
        context_window_tokens=item.count("context_window", "max_input_tokens"),
        max_output_tokens=item.count("max_output", "max_output_tokens"),
        input_modalities=item.words("supported_modalities"),
        output_modalities=item.words("supported_output_modalities"),
        capabilities=_capabilities(item),
        prices=_prices(item) if serving else (),
        retires_on=_day(item.text("deprecation_date")) if serving else None,
    )


def _capabilities(item: Item) -> dict[str, bool]:
    """The map writes only what a model has (rarely what it has not)."""
    return known(
        tools=item.truth("supports_function_calling"),
        vision=item.truth("supports_vision"),
        reasoning=item.truth("supports_reasoning"),
        json_schema=item.truth("supports_response_schema"),
        audio_input=item.truth("supports_audio_input"),
        audio_output=item.truth("supports_audio_output"),
        video_input=item.truth("supports_video_input"),
        pdf_input=item.truth("supports_pdf_input"),
        caching=item.truth("supports_prompt_caching"),
        web_search=item.truth("supports_web_search"),
        streaming=item.truth("supports_native_streaming"),
    )


def _prices(item: Item) -> tuple[Rate, ...]:
    """Prices of every class, tier and threshold; a zero in the map means unknown."""
    rows: list[Rate] = []
    for name in item.raw:
        match = _PRICE_NAME.fullmatch(name)
        if match is not None:
            written, above, tier = match.groups()
            rows += item.price(
                _CLASSES[written],
                name,
                PER_TOKEN,
                tier=normalize_tier(tier),
                above_tokens=int(above or 0) * 1000,
            )
    if item.text("litellm_provider") in _SEARCHES_ALWAYS:
        rows += item.price("request", f"{_SEARCH}low", PER_TOKEN)
    else:
        rows += item.price("web_search", f"{_SEARCH}medium", PER_TOKEN)
    return tuple(row for row in rows if row.usd_per_million > 0)


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        return None
