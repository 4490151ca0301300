"""Provider types: the list, detection from a base URL, and the path that a type needs."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

from toolkit.errors import InvalidProvider
from toolkit.providers.naming import close_names, short
from toolkit.providers.provider import Provider, ProviderType, presets

_OWN_TYPES: Final = (
    "openai", "openai-compatible", "anthropic", "anthropic-compatible", "gemini", "ollama",
    "azure", "custom",
)  # fmt: skip

# The chat providers of litellm 1.106 (`ProviderConfigManager.get_provider_chat_config`), so that
# importing this module does not import litellm; tests/providers/test_types.py compares the two.
_LITELLM_TYPES: Final = (
    "a2a", "ai21", "ai21_chat", "aiohttp_openai", "amazon_nova", "anthropic_text", "apertis",
    "assemblyai", "azure_ai", "azure_text", "baseten", "bedrock", "bedrock_mantle", "bytez",
    "cerebras", "charity_engine", "chatgpt", "chutes", "clarifai", "cloudflare", "codestral",
    "cognition", "cohere", "cohere_chat", "cometapi", "compactifai", "cortecs", "custom_openai",
    "darkbloom", "dashscope", "databricks", "datarobot", "deepinfra", "deepseek",
    "docker_model_runner", "edenai", "empower", "fal_ai", "featherless_ai", "fireworks_ai",
    "friendliai", "galadriel", "gdc", "gigachat", "github", "github_copilot", "gradient_ai",
    "groq", "helicone", "heroku", "hosted_vllm", "huggingface", "hyperbolic", "inception",
    "lambda_ai", "langflow", "langgraph", "libertai", "litellm_proxy", "llamafile", "lm_studio",
    "maritalk", "meta", "meta_llama", "minimax", "mistral", "modelscope", "moonshot", "morph",
    "nadir", "nano-gpt", "nebius", "neosantara", "nlp_cloud", "novita", "nscale", "nvidia_nim",
    "oci", "ollama_chat", "oobabooga", "openai_like", "openrouter", "ovhcloud", "parasail",
    "perplexity", "petals", "pinstripes", "poe", "predibase", "prism", "publicai",
    "qwen_ai_platform", "qwencloud", "ragflow", "reka", "replicate", "sagemaker",
    "sagemaker_chat", "sagemaker_nova", "sail", "sambanova", "sap", "scaleway", "scx-ai",
    "snowflake", "synthetic", "tencent", "tensormesh", "text-completion-codestral",
    "text-completion-inception", "text-completion-openai", "together_ai", "triton", "v0",
    "vercel_ai_gateway", "vertex_ai", "vertex_ai_beta", "vllm", "volcengine", "wandb", "watsonx",
    "watsonx_text", "xai", "xiaomi_mimo", "zai",
)  # fmt: skip

TYPES: Final[tuple[ProviderType, ...]] = (*_OWN_TYPES, *_LITELLM_TYPES)
"""All provider types: the toolkit's own, then litellm's chat providers."""

_ALIASES: Final = {
    "google": "gemini",
    "vertex": "vertex_ai",
    "azure_openai": "azure",
    "azure_foundry": "azure_ai",
    "lmstudio": "lm_studio",
    "local": "openai-compatible",
    "x_ai": "xai",
    "z_ai": "zai",
    "together": "together_ai",
    "fireworks": "fireworks_ai",
    "nvidia": "nvidia_nim",
}

# Services whose address decides the API style more finely than a preset can: host pattern, what
# the path must match, type. The first match counts.
_RULES: Final[tuple[tuple[str, str, ProviderType], ...]] = (
    ("*aiplatform.googleapis.com", r"/endpoints/openapi(/|$)", "openai-compatible"),
    ("*aiplatform.googleapis.com", "", "vertex_ai"),
    ("*", r"/anthropic(/|$)", "anthropic-compatible"),
    ("generativelanguage.googleapis.com", r"/openai(/|$)", "openai-compatible"),
    ("*.services.ai.azure.com", r"/openai(/|$)", "azure"),
    ("*.services.ai.azure.com", "", "azure_ai"),
    ("*.models.ai.azure.com", "", "azure_ai"),
    ("*.inference.ml.azure.com", "", "azure_ai"),
    ("bedrock-runtime*.amazonaws.com", r"/openai(/|$)", "openai-compatible"),
    ("bedrock-runtime*.amazonaws.com", "", "bedrock"),
    ("runtime.sagemaker.*.amazonaws.com", "", "sagemaker_chat"),
    ("api.cohere.*", r"^/v[12](/|$)", "cohere_chat"),
    ("*.snowflakecomputing.com", r"/cortex/v1/?$", "openai-compatible"),
    ("gateway.ai.cloudflare.com", r"/google-ai-studio(/|$)", "gemini"),
    ("inference.generativeai.*.oci.oraclecloud.com", "", "oci"),
    ("api.replicate.com", "", "replicate"),
    ("api.nlpcloud.io", "", "nlp_cloud"),
    ("serving.app.predibase.com", "", "predibase"),
    ("gigachat.devices.sberbank.ru", "", "gigachat"),
)

# The path of a type's API if only the host is given.
_PATHS: Final = {
    "ollama": "/v1",
    "azure": "/openai/v1",
    "azure_ai": "/models",
    "gemini": "/v1beta",
    "databricks": "/serving-endpoints",
    "snowflake": "/api/v2",
}


# Websites of services beside the one where their keys are made, by preset.
_WEBSITES: Final = {
    "chat.openai.com": "openai", "chatgpt.com": "openai", "openai.com": "openai",
    "www.openai.com": "openai", "claude.ai": "anthropic", "platform.claude.com": "anthropic",
    "www.anthropic.com": "anthropic", "gemini.google.com": "gemini", "grok.com": "xai",
    "chat.deepseek.com": "deepseek", "www.deepseek.com": "deepseek", "chat.mistral.ai": "mistral",
    "groq.com": "groq", "www.together.ai": "together", "fireworks.ai": "fireworks",
    "oai.azure.com": "azure",
}  # fmt: skip


def check_type(value: object) -> ProviderType:
    """Normalize a provider type.

    Raises:
        InvalidProvider: there is no such type; the hint names similar ones.
    """
    text = value.strip().lower() if isinstance(value, str) else ""
    underscored = text.replace("-", "_")
    for name in (text, underscored, text.replace("_", "-"), _ALIASES.get(underscored)):
        if name in TYPES:
            return name
    close = close_names(text, TYPES) if text else []
    raise InvalidProvider(
        f"unknown provider type {short(value)}",
        cause="type",
        hint=(f"Did you mean {' or '.join(close)}? " if close else "")
        + f"Own types are {', '.join(_OWN_TYPES)}; every chat provider name of litellm is one too.",
    )


def detect_type(url: str) -> ProviderType:
    """The type suggested by a base URL; `openai-compatible` by default."""
    return find_type(url) or "openai-compatible"


def find_type(url: str, *, by_port: bool = True) -> ProviderType | None:
    """The type determined by the host or path of a base URL, or None.

    Args:
        url: a base URL.
        by_port: whether the default port of a local server counts.
    """
    host, port, path = _parts(url)
    if not host:
        return None
    for pattern, wanted, kind in _RULES:
        if fnmatchcase(host, pattern) and re.search(wanted, path.lower()):
            return kind
    preset = find_preset(url)
    if preset is not None and (by_port or not preset.is_local or not _is_this_machine(host)):
        return preset.type
    return "ollama" if by_port and port == 11434 else None


def settle_type(preset: Provider, url: str) -> ProviderType:
    """The type of a preset with another address.

    A preset keeps its type: behind a corporate proxy Anthropic's API is still Anthropic's. Only a
    host or path known for another API changes it.
    """
    found = find_type(url, by_port=False)
    is_both_anthropic = preset.type.startswith("anthropic") and (found or "").startswith(
        "anthropic"
    )
    return preset.type if found is None or is_both_anthropic else found


def find_preset(url: str) -> Provider | None:
    """The preset whose host serves this URL (for a local one: whose default port it is)."""
    host, port, _ = _parts(url)
    if not host:
        return None
    for preset in presets().values():
        preset_host, _, _ = _parts(preset.base_url)
        if preset.is_local:
            if _is_this_machine(host) and port == preset.default_port:
                return preset
        elif host == preset_host:
            return preset
    for preset in presets().values():
        if any(fnmatchcase(host, pattern) for pattern in preset.hosts):
            return preset
    return None


def is_known_local(url: str) -> bool:
    """Whether a URL is the default address of a known local server."""
    host, _, _ = _parts(url)
    preset = find_preset(url)
    return preset is not None and preset.is_local and _is_this_machine(host)


def complete_base_url(url: str, kind: ProviderType) -> str:
    """Complete the path of the service or type if the host or the first part of it is given.

    `http://127.0.0.1:11434` of Ollama becomes `.../v1`, `https://api.groq.com/openai` `.../v1`.
    """
    host, _, path = _parts(url)
    given = path.rstrip("/")
    preset = find_preset(url)
    if preset is not None and not preset.is_local and _parts(preset.base_url)[0] == host:
        whole = _parts(preset.base_url)[2]
        if whole.startswith(f"{given}/"):
            return url.rstrip("/") + whole.removeprefix(given)
    return url.rstrip("/") + ("" if given else _PATHS.get(kind, ""))


def refuse_website(url: str) -> None:
    """Refuse the address of a service's website, where people copy their key, as a base URL.

    Raises:
        InvalidProvider: the hint has the base URL of the service; `cause` is `website`.
    """
    host, _, _ = _parts(url)
    if find_preset(url) is not None:  # some services serve both from one host
        return
    for preset in presets().values():
        is_page = host == _parts(preset.key_url or "")[0]
        if not preset.is_local and (is_page or _WEBSITES.get(host) == preset.name):
            usual = preset.base_url or preset.url_example or ""
            raise InvalidProvider(
                f"{host} is the website of {preset.display_name}, not its API",
                cause="website",
                hint=f"The base URL is {usual}." if preset.base_url else f"It is like {usual}.",
            )


def _parts(url: str) -> tuple[str, int | None, str]:
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").lower(), parts.port, parts.path
    except ValueError:
        return "", None, ""


def _is_this_machine(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
