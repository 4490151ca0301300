"""OpenAI's listing and the extras that hosts of OpenAI-compatible APIs add to it."""

from __future__ import annotations

from toolkit.catalog.dialects.listing_fields import (
    among,
    kind_of_outputs,
    kind_of_word,
    million_prices,
    token_prices,
)
from toolkit.catalog.listings.item import Item, known
from toolkit.catalog.listings.listed_model import ListedModel, ListedStatus


def read_openai(item: Item) -> ListedModel | None:
    """OpenAI's four fields and whatever extras the host adds (Groq, SambaNova, Fireworks, vLLM)."""
    inputs = item.words("input_modalities", "architecture.input_modalities")
    outputs = item.words("output_modalities", "architecture.output_modalities")
    return item.model(
        item.at("id") or item.at("name"),
        display_name=item.text("display_name", "name"),
        description=item.text("description"),
        owner=item.text("owned_by", "organization", "publisher"),
        kind=kind_of_outputs(outputs) or kind_of_word(item.text("type", "kind", "model_type")),
        created_at=item.moment("created_at", "created", "created_at"),
        context_window_tokens=item.count(
            "context_window", "context_length", "context_window", "max_model_len",
            "max_context_length", "max_input_tokens", "max_context_window_tokens",
        ),
        max_output_tokens=item.count(
            "max_output", "max_completion_tokens", "max_output_length", "max_output_tokens"
        ),
        input_modalities=inputs,
        output_modalities=outputs,
        capabilities=_openai_capabilities(item, inputs),
        prices=token_prices(item) or million_prices(item),
        status=_openai_status(item),
    )  # fmt: skip


def _openai_capabilities(item: Item, inputs: tuple[str, ...]) -> dict[str, bool]:
    features = item.words("supported_features", "features")
    said = bool(features)
    return known(
        tools=_either(item.truth("supports_tools"), among(said, features, "tools")),
        vision=_either(item.truth("supports_image_input"), among(bool(inputs), inputs, "image")),
        audio_input=among(bool(inputs), inputs, "audio"),
        reasoning=among(said, features, "reasoning"),
        json_mode=among(said, features, "json_mode"),
        json_schema=among(said, features, "structured_outputs", "json_schema"),
    )


def _openai_status(item: Item) -> ListedStatus:
    word = (item.text("status") or "").lower()
    if item.truth("active") is False or word in ("offline", "unavailable", "disabled"):
        return "offline"
    return "deprecated" if word in ("deprecated", "legacy") else "active"


def _either(first: bool | None, second: bool | None) -> bool | None:
    return second if first is None else first
