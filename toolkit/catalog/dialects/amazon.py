"""Amazon Bedrock's listing of foundation models (its OpenAI-style one reads as any other)."""

from __future__ import annotations

from toolkit.catalog.dialects.listing_fields import kind_of_words
from toolkit.catalog.listings.item import Item, known
from toolkit.catalog.listings.listed_model import Kind, ListedModel


def read_bedrock(item: Item) -> ListedModel | None:
    """Bedrock: `modelId`, modalities in capitals, life as `modelLifecycle.status`."""
    inputs = item.words("inputModalities")
    outputs = item.words("outputModalities")
    legacy = item.text("modelLifecycle.status") == "LEGACY"
    caching = item.at("explicitPromptCaching.isSupported")
    return item.model(
        item.at("modelId"),
        display_name=item.text("modelName"),
        description=item.text("description"),
        owner=item.text("providerName"),
        family=item.text("modelFamily"),
        kind=_kind(outputs),
        max_output_tokens=item.count("max_output", "converse.maxTokensMaximum"),
        input_modalities=inputs,
        output_modalities=outputs,
        capabilities=known(
            vision="image" in inputs if inputs else None,
            audio_input="speech" in inputs or "audio" in inputs if inputs else None,
            video_input="video" in inputs if inputs else None,
            streaming=item.truth("responseStreamingSupported"),
            caching=caching if isinstance(caching, bool) else None,
            reasoning=True if item.at("converse.reasoningSupported") else None,
        ),
        status="deprecated" if legacy else "active",
        retires_on=item.day("retires_on", "modelLifecycle.endOfLifeTime"),
    )


def _kind(outputs: tuple[str, ...]) -> Kind | None:
    return "chat" if "text" in outputs else kind_of_words(outputs)
