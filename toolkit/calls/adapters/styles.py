"""Which API a provider type speaks, and with it how its answers are read.

`api_style` is the one place that decides it; a parser for a new style is registered in
`parsers.stream_parser.choose_reader` under its name here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from toolkit.calls.parsers.parsed_response import Style as ApiStyle

__all__ = ["ApiStyle", "api_style", "is_plain", "needs_responses_api"]

RESPONSES_PREFIX: Final = "responses/"
"""Before a model id it requests the Responses API, as in litellm."""

# Types whose messages and parameters are sent as they are, to `/chat/completions`. litellm's own
# classes for Groq, Mistral and others rename or drop parameters, so a preset uses the plain type.
_PLAIN_TYPES: Final = frozenset(
    (
        *("openai", "openai-compatible", "ollama", "azure", "custom"),
        # These have no configuration class in litellm; they are OpenAI-compatible servers.
        *("aiml", "anyscale", "custom_openai", "lemonade", "openai_like", "xinference"),
    )
)
_RESPONSES_TYPES: Final = frozenset({"openai", "azure"})

# Models that exist only on the Responses API (platform.openai.com/docs/models, 2026-11).
_RESPONSES_ONLY: Final = re.compile(
    r"^(?:o1-pro|o3-pro|gpt-5(?:\.\d+)?-pro|(?:gpt-5(?:\.\d+)?-)?codex(?!.*-chat)|"
    r"gpt-5(?:\.\d+)?-codex|codex-mini|o[34](?:-mini)?-deep-research|computer-use-preview)"
)

_STYLES: Final[Mapping[str, ApiStyle]] = {
    "anthropic": "anthropic",
    "anthropic-compatible": "anthropic",
    "bedrock": "converse",
    "bedrock_converse": "converse",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "gemini": "gemini",
    "ollama_chat": "ollama",
    "vertex_ai": "gemini",
    "vertex_ai_beta": "gemini",
}

# Types whose answers have a form of their own, which only litellm reads.
_READ_BY_LITELLM: Final = frozenset(
    (
        *("a2a", "amazon_nova", "anthropic_text", "azure_text", "bytez", "fal_ai"),
        *("gigachat", "langflow", "langgraph", "nlp_cloud", "oci", "oobabooga", "petals"),
        *("predibase", "replicate", "sagemaker", "sap", "text-completion-codestral"),
        *("text-completion-inception", "text-completion-openai", "triton"),
    )
)


def api_style(provider_type: str, model_id: str = "") -> ApiStyle:
    """Return the API style in which a provider type serves a model.

    Args:
        provider_type: one of ours, or a chat provider name of litellm.
        model_id: the provider's own name of the model.
    """
    if provider_type in _PLAIN_TYPES:
        is_responses = provider_type in _RESPONSES_TYPES and needs_responses_api(model_id)
        return "responses" if is_responses else "openai"
    if provider_type in ("vertex_ai", "vertex_ai_beta", "azure_ai"):
        return _style_on_cloud(provider_type, model_id)
    if provider_type in _STYLES:
        return _STYLES[provider_type]
    return "litellm" if provider_type in _READ_BY_LITELLM else "openai"


def is_plain(provider_type: str) -> bool:
    """Return whether messages and parameters go to this type as they are."""
    return provider_type in _PLAIN_TYPES


def needs_responses_api(model_id: str) -> bool:
    """Return whether a model of OpenAI is served by the Responses API only."""
    if model_id.startswith(RESPONSES_PREFIX):
        return True
    return _RESPONSES_ONLY.match(model_id.rpartition("/")[2]) is not None


def _style_on_cloud(provider_type: str, model_id: str) -> ApiStyle:
    """Return the style of a cloud that serves models of several makers in their own APIs."""
    if "claude" in model_id:
        return "anthropic"
    if provider_type == "azure_ai":
        return "openai"
    is_google = "gemini" in model_id or model_id.isdigit() or "gemma" not in model_id
    return "gemini" if is_google and "/" not in model_id else "openai"
