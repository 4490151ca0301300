"""A model as its provider lists it, before it is merged with other sources.

Every value is the provider's own, brought to our words and units. What was odd about an item
is in `flags` as `field:problem`; the item itself is kept whole in `raw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, Literal

from toolkit.pricing.price import Rate

Kind = Literal[
    "chat", "completion", "embedding", "rerank", "moderation", "image", "video", "transcription",
    "speech", "live", "ocr", "other",
]  # fmt: skip
ListedStatus = Literal["active", "preview", "deprecated", "offline"]

CAPABILITIES: Final = (
    "tools", "vision", "reasoning", "json_schema", "json_mode", "audio_input", "audio_output",
    "video_input", "pdf_input", "caching", "web_search", "streaming",
)  # fmt: skip
"""Names of capabilities; each is present, absent or unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """One model as its provider lists it; None (or absent) where the provider does not say.

    Attributes:
        model_id: the id to call it by, exactly as listed.
        display_name, description, owner, family: words of the provider.
        kind: what it is for.
        created_at: when the provider says the model came to be, UTC.
        context_window_tokens: input window, tokens.
        max_output_tokens: longest answer, tokens.
        input_modalities, output_modalities: `text`, `image`, `audio`, `video`, `file`, ...
        capabilities: by name of `CAPABILITIES`; an absent name is unknown.
        prices: by class, tier and input length.
        status: what the provider says of its life.
        retires_on: last day it is served, as announced.
        successor: model id that the provider names as its replacement.
        aliases: other ids of the same model.
        size_bytes, parameters, quantization: weights of an open model.
        flags: oddities as `field:problem`.
        raw: the item as it came.
    """

    model_id: str
    display_name: str | None = None
    description: str | None = None
    owner: str | None = None
    family: str | None = None
    kind: Kind | None = None
    created_at: datetime | None = None
    context_window_tokens: int | None = None
    max_output_tokens: int | None = None
    input_modalities: tuple[str, ...] = ()
    output_modalities: tuple[str, ...] = ()
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    prices: tuple[Rate, ...] = ()
    status: ListedStatus = "active"
    retires_on: date | None = None
    successor: str | None = None
    aliases: tuple[str, ...] = ()
    size_bytes: int | None = None
    parameters: str | None = None
    quantization: str | None = None
    flags: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One provider's whole answer.

    Attributes:
        models: every readable model once, in the provider's order.
        complete: False when pages were missing (a loop, a limit): absence then proves nothing.
        notes: what was odd about the listing as a whole.
        pages: how many pages were read.
        url: the address that answered, without query.
    """

    models: tuple[ListedModel, ...]
    complete: bool = True
    notes: tuple[str, ...] = ()
    pages: int = 1
    url: str = ""
