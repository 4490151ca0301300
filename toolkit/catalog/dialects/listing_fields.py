"""Words that several listings share: kinds, modalities, features, and how prices are written."""

from __future__ import annotations

from typing import Final

from toolkit.catalog.listings.item import PER_MILLION, PER_TOKEN, Item
from toolkit.catalog.listings.listed_model import Kind
from toolkit.pricing.price import Rate

KIND_WORDS: Final[tuple[tuple[str, Kind], ...]] = (
    ("embed", "embedding"),
    ("rerank", "rerank"),
    ("moderation", "moderation"),
    ("transcri", "transcription"),
    ("whisper", "transcription"),
    ("speech", "speech"),
    ("tts", "speech"),
    ("ocr", "ocr"),
    ("video", "video"),
    ("image", "image"),
)


def token_prices(item: Item) -> tuple[Rate, ...]:
    """Prices in OpenRouter's words, USD per token (or per piece)."""
    rows = [
        *item.price("input", "pricing.prompt", PER_TOKEN),
        *item.price("output", "pricing.completion", PER_TOKEN),
        *item.price("cached_input", "pricing.input_cache_read", PER_TOKEN),
        *item.price("cache_write", "pricing.input_cache_write", PER_TOKEN),
        *item.price("reasoning", "pricing.internal_reasoning", PER_TOKEN),
        *item.price("audio_input", "pricing.audio", PER_TOKEN),
        *item.price("request", "pricing.request", PER_TOKEN),
        *item.price("image", "pricing.image", PER_TOKEN),
        *item.price("web_search", "pricing.web_search", PER_TOKEN),
    ]
    return tuple(rows)


def million_prices(item: Item) -> tuple[Rate, ...]:
    """Prices in Together's and Perplexity's words, USD per million tokens."""
    unit = item.text("pricing.unit")
    if unit is not None and unit != "usd_per_1m_tokens":
        item.flag("price", "unknown_unit")
        return ()
    rows = [
        *item.price("input", "pricing.input", PER_MILLION),
        *item.price("output", "pricing.output", PER_MILLION),
        *item.price("cached_input", "pricing.cache_read", PER_MILLION),
        *item.price("cached_input", "pricing.cached_input", PER_MILLION),
        *item.price("cache_write", "pricing.cache_write", PER_MILLION),
    ]
    return tuple(rows)


def among(said: bool, words: tuple[str, ...], *wanted: str) -> bool | None:
    """Whether one of `wanted` is among `words`; None where the list said nothing at all."""
    return any(word in words for word in wanted) if said else None


def names(value: object) -> tuple[str, ...]:
    """The texts of a list as they are, () for anything else."""
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def kind_of_outputs(outputs: tuple[str, ...]) -> Kind | None:
    """What a model is for, from what it gives back."""
    if not outputs:
        return None
    return "chat" if "text" in outputs else kind_of_words(outputs)


def kind_of_words(words: tuple[str, ...]) -> Kind | None:
    """The first kind that one of `words` names."""
    return next((kind for word in words if (kind := kind_of_word(word))), None)


def kind_of_word(word: str | None) -> Kind | None:
    """The kind that a word names or contains, or None."""
    if word is None:
        return None
    word = word.lower()
    if word in ("chat", "language", "llm", "vlm", "text"):
        return "chat"
    if word in ("code", "completion"):
        return "completion"
    return next((kind for part, kind in KIND_WORDS if part in word), None)


def modalities(**extra: bool | None) -> tuple[str, ...]:
    """Text and whatever else is true."""
    return ("text", *(name for name, value in extra.items() if value))
