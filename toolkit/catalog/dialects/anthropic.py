"""Anthropic's listing, paged by `after_id`."""

from __future__ import annotations

from toolkit.catalog.listings.item import Item, known
from toolkit.catalog.listings.listed_model import ListedModel


def read_anthropic(item: Item) -> ListedModel | None:
    """Anthropic: `created_at` as text and, since 2026, limits and nested capabilities."""
    vision = item.truth("capabilities.image_input")
    return item.model(
        item.at("id"),
        display_name=item.text("display_name"),
        owner="anthropic",
        kind="chat",
        created_at=item.moment("created_at", "created_at"),
        context_window_tokens=item.count("context_window", "max_input_tokens"),
        max_output_tokens=item.count("max_output", "max_tokens"),
        input_modalities=("text", "image") if vision else ("text",) if vision is False else (),
        output_modalities=("text",),
        capabilities=known(
            vision=vision,
            pdf_input=item.truth("capabilities.pdf_input"),
            reasoning=item.truth("capabilities.thinking"),
            json_schema=item.truth("capabilities.structured_outputs"),
        ),
    )
