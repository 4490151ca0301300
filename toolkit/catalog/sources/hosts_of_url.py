"""Who really serves behind a base URL: the names under which the price maps know that host.

A price belongs to the host, not to the model: the same weights cost something else elsewhere,
so a provider whose host is unknown has no price from any map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from toolkit.providers.provider import Provider


@dataclass(frozen=True, slots=True)
class Host:
    """A serving host: its name in litellm's map and in genai-prices; None where it is missing."""

    litellm: str | None
    genai: str | None


UNKNOWN: Final = Host(None, None)

_HOSTS: Final[dict[str, Host]] = {
    "api.openai.com": Host("openai", "openai"),
    "api.anthropic.com": Host("anthropic", "anthropic"),
    "generativelanguage.googleapis.com": Host("gemini", "google"),
    "aiplatform.googleapis.com": Host("vertex_ai", "google"),
    "openrouter.ai": Host("openrouter", "openrouter"),
    "api.groq.com": Host("groq", "groq"),
    "api.sambanova.ai": Host("sambanova", None),
    "api.deepseek.com": Host("deepseek", "deepseek"),
    "api.x.ai": Host("xai", "x-ai"),
    "api.mistral.ai": Host("mistral", "mistral"),
    "api.fireworks.ai": Host("fireworks_ai", "fireworks"),
    "api.together.xyz": Host("together_ai", "together"),
    "api.together.ai": Host("together_ai", "together"),
    "api.perplexity.ai": Host("perplexity", "perplexity"),
    "api.cohere.ai": Host("cohere", "cohere"),
    "api.cohere.com": Host("cohere", "cohere"),
    "api.cerebras.ai": Host("cerebras", "cerebras"),
    "api.novita.ai": Host("novita", "novita"),
    "api.deepinfra.com": Host("deepinfra", None),
    "api.moonshot.ai": Host("moonshot", "moonshotai"),
    "api.z.ai": Host("zai", "zai"),
    "openai.azure.com": Host("azure", "azure"),
    "services.ai.azure.com": Host("azure_ai", "azure"),
    "cognitiveservices.azure.com": Host("azure", "azure"),
    "amazonaws.com": Host("bedrock", "aws"),
}


def host_of(provider: Provider) -> Host:
    """The host that serves a provider, by its base URL."""
    name = (urlsplit(provider.base_url).hostname or "").lower()
    if provider.type == "ollama":
        return Host("ollama", None)
    while name:
        if name in _HOSTS:
            return _HOSTS[name]
        name = name.partition(".")[2]
    return UNKNOWN
