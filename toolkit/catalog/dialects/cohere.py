"""Cohere's listing, paged by `page_token`, which is there even on the last page."""

from __future__ import annotations

from toolkit.catalog.dialects.listing_fields import among, kind_of_words
from toolkit.catalog.listings.item import Item, known
from toolkit.catalog.listings.listed_model import Kind, ListedModel


def read_cohere(item: Item) -> ListedModel | None:
    """Cohere: no id but `name`; `endpoints` and `features`; a context of 0 means unknown."""
    endpoints = item.words("endpoints")
    features = item.words("features")
    said = bool(features)
    kind: Kind | None = "chat" if "chat" in endpoints else None
    return item.model(
        item.at("name"),
        owner="cohere",
        kind=kind or ("completion" if "generate" in endpoints else kind_of_words(endpoints)),
        context_window_tokens=item.count("context_window", "context_length"),
        capabilities=known(
            vision=item.truth("supports_vision"),
            tools=among(said, features, "tools"),
            json_mode=among(said, features, "json_mode"),
            json_schema=among(said, features, "json_schema"),
        ),
        status="deprecated" if item.truth("is_deprecated") else "active",
    )
