"""xAI's own listing, `/v1/language-models` (its `/v1/models` is OpenAI's)."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from toolkit.catalog.dialects.listing_fields import names
from toolkit.catalog.listings.item import Item, known
from toolkit.catalog.listings.listed_model import ListedModel

# Written in USD cents per 100 million tokens.
_UNIT: Final = Decimal("0.0001")


def read_xai(item: Item) -> ListedModel | None:
    """xAI: prices in cents per 100 million tokens, modalities, aliases."""
    inputs = item.words("input_modalities")
    return item.model(
        item.at("id"),
        owner=item.text("owned_by"),
        kind="chat",
        created_at=item.moment("created_at", "created"),
        input_modalities=inputs,
        output_modalities=item.words("output_modalities"),
        capabilities=known(vision="image" in inputs if inputs else None),
        prices=(
            *item.price("input", "prompt_text_token_price", _UNIT),
            *item.price("cached_input", "cached_prompt_text_token_price", _UNIT),
            *item.price("output", "completion_text_token_price", _UNIT),
        ),
        aliases=names(item.at("aliases")),
    )
