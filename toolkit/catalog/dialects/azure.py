"""Azure OpenAI's listing (of base models, not of the user's deployments)."""

from __future__ import annotations

from toolkit.catalog.listings.item import Item
from toolkit.catalog.listings.listed_model import Kind, ListedModel


def read_azure(item: Item) -> ListedModel | None:
    """Azure: flat truth values, `lifecycle_status`, deprecation as epoch seconds."""
    kind: Kind | None = None
    if item.truth("capabilities.chat_completion"):
        kind = "chat"
    elif item.truth("capabilities.embeddings"):
        kind = "embedding"
    elif item.truth("capabilities.completion"):
        kind = "completion"
    preview = item.text("lifecycle_status") == "preview"
    return item.model(
        item.at("id"),
        owner="azure",
        kind=kind,
        created_at=item.moment("created_at", "created_at"),
        status="preview" if preview else "active",
        retires_on=item.day("retires_on", "deprecation.inference"),
    )
