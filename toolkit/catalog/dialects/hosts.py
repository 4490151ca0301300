"""Hosts of many makers' models: Together, GitHub Models, Hugging Face's router, Venice."""

from __future__ import annotations

from toolkit.catalog.dialects.listing_fields import (
    among,
    kind_of_outputs,
    kind_of_word,
    million_prices,
    modalities,
)
from toolkit.catalog.listings.item import PER_MILLION, Item, known
from toolkit.catalog.listings.listed_model import ListedModel
from toolkit.pricing.price import Rate
from toolkit.records import PriceClass


def read_together(item: Item) -> ListedModel | None:
    """Together: `pricing.input`/`output` in USD per million, `type`, `organization`."""
    return item.model(
        item.at("id"),
        display_name=item.text("display_name"),
        owner=item.text("organization"),
        kind=kind_of_word(item.text("type")),
        created_at=item.moment("created_at", "created"),
        context_window_tokens=item.count("context_window", "context_length"),
        prices=million_prices(item),
    )


def read_github(item: Item) -> ListedModel | None:
    """GitHub Models: a bare list with `limits`, `publisher` and word lists."""
    words = item.words("capabilities")
    said = bool(words)
    inputs = item.words("supported_input_modalities")
    outputs = item.words("supported_output_modalities")
    return item.model(
        item.at("id"),
        display_name=item.text("name"),
        description=item.text("summary"),
        owner=item.text("publisher"),
        kind=kind_of_outputs(outputs),
        context_window_tokens=item.count("context_window", "limits.max_input_tokens"),
        max_output_tokens=item.count("max_output", "limits.max_output_tokens"),
        input_modalities=inputs,
        output_modalities=outputs,
        capabilities=known(
            tools=among(said, words, "tool-calling"),
            reasoning=among(said, words, "reasoning"),
            streaming=among(said, words, "streaming"),
            vision=among(bool(inputs), inputs, "image"),
            audio_input=among(bool(inputs), inputs, "audio"),
        ),
    )


def read_huggingface(item: Item) -> ListedModel | None:
    """Hugging Face's router: one model with the hosts that serve it.

    The router picks a host by itself, so the smallest window and the dearest price of the live
    hosts are what a caller can count on; hosts that differ are flagged.
    """
    hosts = [Item(host) for host in item.at("providers") or () if isinstance(host, dict)]
    live = [host for host in hosts if host.at("status") == "live"] or hosts
    windows = [w for h in live if (w := h.count("context_window", "context_length"))]
    prices = [
        {price.token_class: price for price in found} for h in live if (found := million_prices(h))
    ]
    if len(set(windows)) > 1:
        item.flag("context_window", "differs_by_host")
    if any(price != prices[0] for price in prices):
        item.flag("price", "differs_by_host")
    inputs = item.words("architecture.input_modalities")
    return item.model(
        item.at("id"),
        owner=item.text("owned_by"),
        kind=kind_of_outputs(item.words("architecture.output_modalities")),
        created_at=item.moment("created_at", "created"),
        context_window_tokens=min(windows, default=None),
        input_modalities=inputs,
        output_modalities=item.words("architecture.output_modalities"),
        capabilities=known(
            tools=_all_say(live, "supports_tools"),
            json_schema=_all_say(live, "supports_structured_output"),
            vision=among(bool(inputs), inputs, "image"),
        ),
        prices=_dearest(prices),
        status="active" if any(h.at("status") == "live" for h in hosts) else "preview",
    )


def _all_say(hosts: list[Item], path: str) -> bool | None:
    said = [value for host in hosts if (value := host.truth(path)) is not None]
    return all(said) if said else None


def _dearest(prices: list[dict[PriceClass, Rate]]) -> tuple[Rate, ...]:
    if not prices:
        return ()
    by_output = max(prices, key=lambda row: sum(p.usd_per_million for p in row.values()))
    return tuple(by_output.values())


def read_venice(item: Item) -> ListedModel | None:
    """Venice: everything under `model_spec`; prices per million, dearer for long inputs."""
    spec, can = "model_spec", "model_spec.capabilities"
    vision = item.truth(f"{can}.supportsVision")
    audio = item.truth(f"{can}.supportsAudioInput")
    video = item.truth(f"{can}.supportsVideoInput")
    offline, beta = item.truth(f"{spec}.offline"), item.truth(f"{spec}.betaModel")
    return item.model(
        item.at("id"),
        display_name=item.text(f"{spec}.name"),
        description=item.text(f"{spec}.description"),
        owner=item.text("owned_by"),
        kind=kind_of_word(item.text("type")),
        created_at=item.moment("created_at", "created"),
        context_window_tokens=item.count(
            "context_window", f"{spec}.availableContextTokens", "context_length"
        ),
        max_output_tokens=item.count("max_output", f"{spec}.maxCompletionTokens"),
        input_modalities=modalities(image=vision, audio=audio, video=video),
        capabilities=known(
            tools=item.truth(f"{can}.supportsFunctionCalling"),
            vision=vision,
            audio_input=audio,
            video_input=video,
            reasoning=item.truth(f"{can}.supportsReasoning"),
            json_schema=item.truth(f"{can}.supportsResponseSchema"),
            web_search=item.truth(f"{can}.supportsWebSearch"),
        ),
        prices=_venice_prices(item),
        status="offline" if offline else "preview" if beta else "active",
        retires_on=item.day("retires_on", f"{spec}.deprecation.date"),
        quantization=_quantization(item.text(f"{can}.quantization")),
    )


def _venice_prices(item: Item) -> tuple[Rate, ...]:
    classes: tuple[tuple[PriceClass, str], ...] = (
        ("input", "input"),
        ("output", "output"),
        ("cached_input", "cache_input"),
        ("cache_write", "cache_write"),
    )
    pricing = "model_spec.pricing"
    above = item.count("price_threshold", f"{pricing}.extended.context_token_threshold")
    rows: list[Rate] = []
    for token_class, name in classes:
        rows += item.price(token_class, f"{pricing}.{name}.usd", PER_MILLION)
        if above:
            path = f"{pricing}.extended.{name}.usd"
            rows += item.price(token_class, path, PER_MILLION, above_tokens=above)
    return tuple(rows)


def _quantization(word: str | None) -> str | None:
    return None if word in (None, "not-available") else word
