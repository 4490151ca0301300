"""What came: items of every listing style read into `ListedModel`, recognised by their shape.

A provider's type says how to ask (`listing.py`); what it answers is judged by the answer itself,
since a gateway of one type serves lists in the style of another. Whatever no dialect recognises
is read as OpenAI's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from toolkit.catalog.dialects.amazon import read_bedrock
from toolkit.catalog.dialects.anthropic import read_anthropic
from toolkit.catalog.dialects.azure import read_azure
from toolkit.catalog.dialects.cohere import read_cohere
from toolkit.catalog.dialects.google import read_gemini, read_vertex
from toolkit.catalog.dialects.hosts import (
    read_github,
    read_huggingface,
    read_together,
    read_venice,
)
from toolkit.catalog.dialects.ibm import read_watsonx
from toolkit.catalog.dialects.local_servers import read_llamacpp, read_lmstudio, read_ollama
from toolkit.catalog.dialects.mistral import read_mistral
from toolkit.catalog.dialects.openai import read_openai
from toolkit.catalog.dialects.openrouter import read_openrouter
from toolkit.catalog.dialects.xai import read_xai
from toolkit.catalog.listings.item import Item
from toolkit.catalog.listings.listed_model import ListedModel

Raw = dict[str, Any]


def _holds(raw: Raw, name: str, *inner: str) -> bool:
    """Whether `raw[name]` is a mapping that has one of `inner`."""
    value = raw.get(name)
    return isinstance(value, dict) and any(key in value for key in inner)


_DIALECTS: Final[tuple[tuple[Callable[[Raw], bool], Callable[[Item], ListedModel | None]], ...]] = (
    (lambda raw: "modelId" in raw, read_bedrock),
    (lambda raw: "model_id" in raw and "functions" in raw, read_watsonx),
    (lambda raw: str(raw.get("name", "")).startswith("publishers/"), read_vertex),
    (lambda raw: "supportedGenerationMethods" in raw, read_gemini),
    (lambda raw: str(raw.get("name", "")).startswith("models/"), read_gemini),
    (lambda raw: isinstance(raw.get("model_spec"), dict), read_venice),
    (lambda raw: isinstance(raw.get("providers"), list), read_huggingface),
    (lambda raw: "architecture" in raw and "top_provider" in raw, read_openrouter),
    (lambda raw: _holds(raw, "capabilities", "completion_chat"), read_mistral),
    (lambda raw: _holds(raw, "capabilities", "chat_completion", "inference"), read_azure),
    (lambda raw: "endpoints" in raw and "name" in raw and "id" not in raw, read_cohere),
    (lambda raw: "digest" in raw and "modified_at" in raw, read_ollama),
    (lambda raw: isinstance(raw.get("show"), dict), read_ollama),
    (lambda raw: "max_context_length" in raw and ("arch" in raw or "key" in raw), read_lmstudio),
    (lambda raw: _holds(raw, "meta", "n_ctx_train", "n_vocab"), read_llamacpp),
    (lambda raw: "prompt_text_token_price" in raw, read_xai),
    (lambda raw: "rate_limit_tier" in raw and "publisher" in raw, read_github),
    (lambda raw: _holds(raw, "pricing", "hourly", "finetune"), read_together),
    (lambda raw: raw.get("type") == "model" and "display_name" in raw, read_anthropic),
)


def read_item(raw: object) -> ListedModel | None:
    """Read one item of any listing; None where there is no id to call a model by."""
    if isinstance(raw, str):
        item = Item({"id": raw})
        item.flag("item", "bare_name")
        return item.model(raw)
    if not isinstance(raw, dict):
        return None
    item = Item(raw)
    for recognises, read in _DIALECTS:
        if recognises(raw):
            return read(item)
    return read_openai(item)
