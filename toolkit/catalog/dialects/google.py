"""Google's listings: Gemini, paged by `pageToken`, and Vertex AI's publisher models."""

from __future__ import annotations

from typing import Any, Final

from toolkit.catalog.listings.item import Item, known
from toolkit.catalog.listings.listed_model import Kind, ListedModel, ListedStatus

_KINDS: Final[tuple[tuple[str, Kind], ...]] = (
    ("generateContent", "chat"),
    ("generateMessage", "chat"),
    ("embedContent", "embedding"),
    ("embedText", "embedding"),
    ("bidiGenerateContent", "live"),
    ("predictLongRunning", "video"),
    ("generateText", "completion"),
    ("predict", "image"),
)
_STAGES: Final[dict[str, ListedStatus]] = {
    "PUBLIC_PREVIEW": "preview",
    "PRIVATE_PREVIEW": "preview",
    "EXPERIMENTAL": "preview",
    "DEPRECATED": "deprecated",
}


def read_gemini(item: Item) -> ListedModel | None:
    """Gemini: no id but `name` as `models/x`; its methods say what it can do."""
    methods = item.at("supportedGenerationMethods")
    methods = methods if isinstance(methods, list) else []
    name = item.at("name")
    return item.model(
        name.removeprefix("models/") if isinstance(name, str) else name,
        display_name=item.text("displayName"),
        description=item.text("description"),
        owner="google",
        kind=_gemini_kind(methods, str(name)),
        context_window_tokens=item.count("context_window", "inputTokenLimit"),
        max_output_tokens=item.count("max_output", "outputTokenLimit"),
        capabilities=known(
            reasoning=item.truth("thinking"),
            caching=True if "createCachedContent" in methods else None,
            streaming=True if "generateContent" in methods else None,
        ),
        status="preview" if "-preview" in str(name) or "-exp" in str(name) else "active",
    )


def _gemini_kind(methods: list[Any], name: str) -> Kind | None:
    if "generateContent" in methods and "-tts" in name:
        return "speech"
    if "generateContent" in methods and name.endswith(("-image", "-image-preview")):
        return "image"
    if not methods:
        return None
    return next((kind for method, kind in _KINDS if method in methods), "other")


def read_vertex(item: Item) -> ListedModel | None:
    """Vertex AI: `name` as `publishers/google/models/x`, versions and launch stages."""
    name = item.at("name")
    publisher, _, model_id = name.partition("/models/") if isinstance(name, str) else ("", "", "")
    version = item.text("versionId")
    return item.model(
        model_id or name,
        owner=publisher.removeprefix("publishers/") or None,
        family=None if version in (None, "default") else f"{model_id}@{version}",
        status=_STAGES.get(item.text("launchStage") or "", "active"),
    )
