"""Mistral's listing: one model under several ids, with its retirement and successor."""

from __future__ import annotations

from typing import Final

from toolkit.catalog.dialects.listing_fields import kind_of_word, modalities, names
from toolkit.catalog.listings.item import Item, known
from toolkit.catalog.listings.listed_model import Kind, ListedModel

_KINDS: Final[tuple[tuple[str, Kind], ...]] = (
    ("completion_chat", "chat"),
    ("audio_speech", "speech"),
    ("audio_transcription", "transcription"),
    ("audio_transcription_realtime", "live"),
    ("ocr", "ocr"),
    ("moderation", "moderation"),
    ("completion_fim", "completion"),
)


def read_mistral(item: Item) -> ListedModel | None:
    """Mistral: flat truth values, aliases, deprecation with its successor."""
    can = "capabilities."
    vision, audio = item.truth(f"{can}vision"), item.truth(f"{can}audio")
    retires_on = item.day("retires_on", "deprecation")
    return item.model(
        item.at("id"),
        display_name=item.text("name"),
        description=item.text("description"),
        owner=item.text("owned_by"),
        family=item.text("root"),
        kind=_mistral_kind(item),
        created_at=item.moment("created_at", "created"),
        context_window_tokens=item.count("context_window", "max_context_length"),
        input_modalities=modalities(image=vision, audio=audio),
        capabilities=known(
            tools=item.truth(f"{can}function_calling"),
            vision=vision,
            reasoning=item.truth(f"{can}reasoning"),
            audio_input=audio,
            audio_output=item.truth(f"{can}audio_speech"),
        ),
        status="offline" if item.truth("archived") else "deprecated" if retires_on else "active",
        retires_on=retires_on,
        successor=item.text("deprecation_replacement_model"),
        aliases=names(item.at("aliases")),
    )


def _mistral_kind(item: Item) -> Kind | None:
    for name, kind in _KINDS:
        if item.truth(f"capabilities.{name}"):
            return kind
    return kind_of_word(item.text("id"))
