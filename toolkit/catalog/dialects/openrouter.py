"""OpenRouter's listing: the richest one, with prices as text in USD per token."""

from __future__ import annotations

from toolkit.catalog.dialects.listing_fields import among, kind_of_outputs, token_prices
from toolkit.catalog.listings.item import Item, known
from toolkit.catalog.listings.listed_model import ListedModel


def read_openrouter(item: Item) -> ListedModel | None:
    """OpenRouter: prices as text per token, `supported_parameters`, `expiration_date`."""
    inputs = item.words("architecture.input_modalities")
    outputs = item.words("architecture.output_modalities")
    params = item.words("supported_parameters")
    said = bool(params)
    return item.model(
        item.at("id"),
        display_name=item.text("name"),
        description=item.text("description"),
        owner=(item.text("id") or "").partition("/")[0] or None,
        family=item.text("architecture.tokenizer"),
        kind=kind_of_outputs(outputs),
        created_at=item.moment("created_at", "created"),
        context_window_tokens=item.count(
            "context_window", "context_length", "top_provider.context_length"
        ),
        max_output_tokens=item.count("max_output", "top_provider.max_completion_tokens"),
        input_modalities=inputs,
        output_modalities=outputs,
        capabilities=known(
            tools=among(said, params, "tools"),
            reasoning=among(said, params, "reasoning", "include_reasoning"),
            json_schema=among(said, params, "structured_outputs"),
            json_mode=among(said, params, "response_format"),
            web_search=among(said, params, "web_search_options") or None,
            vision=among(bool(inputs), inputs, "image"),
            pdf_input=among(bool(inputs), inputs, "file"),
            audio_input=among(bool(inputs), inputs, "audio"),
            video_input=among(bool(inputs), inputs, "video"),
            audio_output=among(bool(outputs), outputs, "audio"),
            caching=True if item.at("pricing.input_cache_read") else None,
        ),
        prices=token_prices(item),
        retires_on=item.day("retires_on", "expiration_date"),
    )
