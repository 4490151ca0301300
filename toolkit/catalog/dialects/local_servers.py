"""Servers on the user's own machine: Ollama, LM Studio and llama.cpp."""

from __future__ import annotations

from typing import Any

from toolkit.catalog.dialects.listing_fields import kind_of_word, names
from toolkit.catalog.listings.item import Item, known
from toolkit.catalog.listings.listed_model import Kind, ListedModel


def read_ollama(item: Item) -> ListedModel | None:
    """Ollama's `/api/tags`, with `/api/show` of the same model under `show` where it was asked.

    `show` alone knows the capabilities and the window the weights were trained for; what the
    server really allots is its own setting (`num_ctx`).
    """
    can = item.words("show.capabilities", "capabilities")
    info = item.at("show.model_info")
    window = _trained_window(info) if isinstance(info, dict) else None
    item_kind: Kind | None = "embedding" if "embedding" in can else "chat" if can else None
    families = item.words("details.families", "details.family")
    if item_kind is None and ("bert" in families or "embed" in str(item.at("name"))):
        item_kind = "embedding"
    return item.model(
        item.at("name") or item.at("model"),
        family=item.text("details.family"),
        kind=item_kind,
        created_at=item.moment("created_at", "modified_at"),
        context_window_tokens=Item({"n": window}).count("context_window", "n"),
        input_modalities=("text", "image") if "vision" in can else (),
        capabilities=known(
            tools="tools" in can if can else None,
            vision="vision" in can if can else None,
            reasoning="thinking" in can if can else None,
        ),
        size_bytes=item.count("size", "size"),
        parameters=item.text("details.parameter_size"),
        quantization=item.text("details.quantization_level"),
    )


def _trained_window(info: dict[str, Any]) -> object:
    """`<architecture>.context_length` of the weights' own header."""
    return next((v for name, v in info.items() if str(name).endswith(".context_length")), None)


def read_lmstudio(item: Item) -> ListedModel | None:
    """LM Studio's own listing, `/api/v0/models` (`id`, `type`) or `/api/v1/models` (`key`)."""
    kind = kind_of_word(item.text("type"))
    can = item.words("capabilities")
    vision = item.truth("capabilities.vision")
    if vision is None and item.text("type") == "vlm":
        vision = True
    tools = item.truth("capabilities.trained_for_tool_use")
    return item.model(
        item.at("id") or item.at("key"),
        display_name=item.text("display_name"),
        description=item.text("description"),
        owner=item.text("publisher"),
        family=item.text("arch", "architecture"),
        kind=kind,
        context_window_tokens=item.count(
            "context_window", "loaded_context_length", "max_context_length"
        ),
        capabilities=known(tools="tool_use" in can if can else tools, vision=vision),
        size_bytes=item.count("size", "size_bytes"),
        parameters=item.text("params_string"),
        quantization=item.text("quantization.name", "quantization"),
    )


def read_llamacpp(item: Item) -> ListedModel | None:
    """llama.cpp: `meta` has the active window (`n_ctx`) and the trained one."""
    parameters = item.count("parameters", "meta.n_params")
    return item.model(
        item.at("id"),
        owner=item.text("owned_by"),
        created_at=item.moment("created_at", "created"),
        kind="chat",
        context_window_tokens=item.count("context_window", "meta.n_ctx", "meta.n_ctx_train"),
        size_bytes=item.count("size", "meta.size"),
        parameters=None if parameters is None else f"{parameters / 1e9:.3g}B",
        quantization=item.text("meta.ftype"),
        aliases=tuple(name for name in names(item.at("aliases")) if name != item.at("id")),
    )
