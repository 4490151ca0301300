"""The listing of IBM's watsonx.ai: the specifications of its foundation models."""

from __future__ import annotations

from toolkit.catalog.listings.item import Item, known
from toolkit.catalog.listings.listed_model import Kind, ListedModel

_KINDS: tuple[tuple[str, Kind], ...] = (
    ("text_chat", "chat"),
    ("text_generation", "chat"),
    ("embedding", "embedding"),
    ("rerank", "rerank"),
)


def read_watsonx(item: Item) -> ListedModel | None:
    """Watsonx: `model_id`, limits in `model_limits`, what it does in `functions`, its life."""
    functions = {str(one.get("id")) for one in item.at("functions") or () if isinstance(one, dict)}
    stages = {str(one.get("id")) for one in item.at("lifecycle") or () if isinstance(one, dict)}
    return item.model(
        item.at("model_id"),
        display_name=item.text("label"),
        description=item.text("short_description"),
        owner=item.text("provider"),
        kind=next((kind for name, kind in _KINDS if name in functions), None),
        context_window_tokens=item.count("context_window", "model_limits.max_sequence_length"),
        max_output_tokens=item.count("max_output", "model_limits.max_output_tokens"),
        capabilities=known(
            tools=True if "text_chat_with_tools" in functions else None,
            vision=True if "image_chat" in functions else None,
        ),
        status="deprecated" if stages & {"deprecated", "constricted"} else "active",
    )
