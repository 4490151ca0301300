"""Types: real addresses are recognised, a preset keeps its type, litellm's names are types."""

from __future__ import annotations

import pytest

from toolkit.errors import InvalidProvider
from toolkit.providers.provider import presets
from toolkit.providers.type_detection import (
    TYPES,
    check_type,
    complete_base_url,
    detect_type,
    find_preset,
    refuse_website,
    settle_type,
)

ADDRESSES = [
    ("https://api.openai.com/v1", "openai"),
    ("https://eu.api.openai.com/v1", "openai"),
    ("https://us.api.openai.com", "openai"),
    ("https://api.anthropic.com", "anthropic"),
    ("https://api.anthropic.com/v1", "anthropic"),
    ("https://generativelanguage.googleapis.com", "gemini"),
    ("https://generativelanguage.googleapis.com/v1beta", "gemini"),
    ("https://generativelanguage.googleapis.com/v1beta/openai/", "openai-compatible"),
    ("https://openrouter.ai/api/v1", "openai-compatible"),
    ("https://api.groq.com/openai/v1", "openai-compatible"),
    ("https://api.sambanova.ai/v1", "openai-compatible"),
    ("https://api.deepseek.com", "openai-compatible"),
    ("https://api.deepseek.com/anthropic", "anthropic-compatible"),
    ("https://api.x.ai/v1", "openai-compatible"),
    ("https://us-east-1.api.x.ai/v1", "openai-compatible"),
    ("https://api.mistral.ai/v1", "openai-compatible"),
    ("https://codestral.mistral.ai/v1", "openai-compatible"),
    ("https://api.fireworks.ai/inference/v1", "openai-compatible"),
    ("https://api.together.xyz/v1", "openai-compatible"),
    ("https://api.perplexity.ai", "openai-compatible"),
    ("https://api.cohere.ai/compatibility/v1", "openai-compatible"),
    ("https://api.cohere.com/v2", "cohere_chat"),
    ("https://my-resource.openai.azure.com", "azure"),
    ("https://my-resource.openai.azure.com/openai/v1", "azure"),
    ("https://my-resource.cognitiveservices.azure.com/openai/v1", "azure"),
    ("https://my-resource.services.ai.azure.com/openai/v1", "azure"),
    ("https://my-resource.services.ai.azure.com/models", "azure_ai"),
    ("https://my-resource.services.ai.azure.com/anthropic", "anthropic-compatible"),
    ("https://my-resource.services.ai.azure.com/anthropic/v1", "anthropic-compatible"),
    ("https://llama-3.eastus2.models.ai.azure.com", "azure_ai"),
    ("https://phi-4.eastus.inference.ml.azure.com/v1", "azure_ai"),
    ("https://bedrock-runtime.us-east-1.amazonaws.com", "bedrock"),
    ("https://bedrock-runtime.eu-west-3.amazonaws.com", "bedrock"),
    ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "bedrock"),
    ("https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1", "openai-compatible"),
    ("https://bedrock-mantle.us-east-1.api.aws/v1", "openai-compatible"),
    ("https://runtime.sagemaker.us-east-1.amazonaws.com", "sagemaker_chat"),
    (
        "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1",
        "vertex_ai",
    ),
    ("https://aiplatform.googleapis.com/v1/projects/p/locations/global", "vertex_ai"),
    (
        "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic/models",
        "vertex_ai",
    ),
    (
        "https://aiplatform.googleapis.com/v1beta1/projects/p/locations/global/endpoints/openapi",
        "openai-compatible",
    ),
    ("https://dbc-a1b2.cloud.databricks.com/serving-endpoints", "databricks"),
    ("https://adb-123.4.azuredatabricks.net/serving-endpoints", "databricks"),
    ("https://1234.5.gcp.databricks.com", "databricks"),
    ("https://dbc-a1b2.cloud.databricks.com/serving-endpoints/anthropic", "anthropic-compatible"),
    ("https://myorg-account.snowflakecomputing.com/api/v2", "snowflake"),
    ("https://myorg-account.snowflakecomputing.com/api/v2/cortex/v1", "openai-compatible"),
    ("https://us-south.ml.cloud.ibm.com", "watsonx"),
    ("https://eu-de.ml.cloud.ibm.com", "watsonx"),
    ("https://router.huggingface.co/v1", "openai-compatible"),
    ("https://abc.us-east-1.aws.endpoints.huggingface.cloud/v1", "openai-compatible"),
    ("https://integrate.api.nvidia.com/v1", "openai-compatible"),
    ("https://api.cerebras.ai/v1", "openai-compatible"),
    ("https://models.github.ai/inference", "openai-compatible"),
    ("https://models.inference.ai.azure.com", "openai-compatible"),
    ("https://api.cloudflare.com/client/v4/accounts/a1/ai/v1", "openai-compatible"),
    ("https://gateway.ai.cloudflare.com/v1/a1/gw/anthropic", "anthropic-compatible"),
    ("https://gateway.ai.cloudflare.com/v1/a1/gw/google-ai-studio", "gemini"),
    ("https://gateway.ai.cloudflare.com/v1/a1/gw/compat", "openai-compatible"),
    ("https://api.z.ai/api/paas/v4", "openai-compatible"),
    ("https://api.z.ai/api/anthropic", "anthropic-compatible"),
    ("https://api.moonshot.ai/v1", "openai-compatible"),
    ("https://api.moonshot.ai/anthropic", "anthropic-compatible"),
    ("https://api.minimax.io/anthropic", "anthropic-compatible"),
    ("https://api.tokenfactory.nebius.com/v1", "openai-compatible"),
    ("https://api.deepinfra.com/v1/openai", "openai-compatible"),
    ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "openai-compatible"),
    ("https://ark.cn-beijing.volces.com/api/v3", "openai-compatible"),
    ("https://ai-gateway.vercel.sh/v1", "openai-compatible"),
    ("https://api.replicate.com/v1", "replicate"),
    ("https://ollama.com", "ollama"),
    ("https://ollama.example.com", "ollama"),
    ("http://localhost:11434", "ollama"),
    ("http://192.168.1.5:11434", "ollama"),
    ("http://localhost:1234/v1", "openai-compatible"),
    ("http://localhost:8000/v1", "openai-compatible"),
    ("http://127.0.0.1:8080", "openai-compatible"),
]


@pytest.mark.parametrize(("url", "kind"), ADDRESSES)
def test_real_addresses_are_recognised(url, kind):
    assert detect_type(url) == kind


def test_there_are_at_least_sixty_of_them():
    assert len({url for url, _ in ADDRESSES}) >= 60


@pytest.mark.parametrize("name", [name for name in presets() if name != "local"])
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:7105", "https://llm.corp.example/v1", "http://10.0.0.7:9000/proxy"]
)
def test_a_preset_keeps_its_type_at_an_address_that_says_nothing(name, url):
    assert settle_type(presets()[name], url) == presets()[name].type


@pytest.mark.parametrize(
    ("name", "url", "kind"),
    [
        ("openai", "https://my.openai.azure.com/openai/v1", "azure"),
        ("openai", "https://api.groq.com/openai/v1", "openai-compatible"),
        ("deepseek", "https://api.deepseek.com/anthropic", "anthropic-compatible"),
        ("anthropic", "https://my.services.ai.azure.com/anthropic", "anthropic"),
        ("anthropic", "https://openrouter.ai/api/v1", "openai-compatible"),
        ("gemini", "https://generativelanguage.googleapis.com/v1beta/openai", "openai-compatible"),
        ("lm-studio", "http://127.0.0.1:11434", "openai-compatible"),
        ("ollama", "https://ollama.com", "ollama"),
    ],
)
def test_a_known_host_or_path_says_more_than_the_preset(name, url, kind):
    assert settle_type(presets()[name], url) == kind


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("google", "gemini"),
        ("deepseek", "deepseek"),
        ("Vertex-AI", "vertex_ai"),
        ("openai_compatible", "openai-compatible"),
        ("nano_gpt", "nano-gpt"),
        ("lmstudio", "lm_studio"),
        (" bedrock ", "bedrock"),
    ],
)
def test_a_type_may_be_written_in_several_ways(given, kind):
    assert check_type(given) == kind


@pytest.mark.parametrize("given", ["", "gemni", None, 3])
def test_an_unknown_type_is_refused(given):
    with pytest.raises(InvalidProvider, match="unknown provider type"):
        check_type(given)


def test_every_chat_provider_of_litellm_is_a_type():
    from toolkit.calls.adapters import library  # sets litellm's environment before its import

    assert library.load()
    from litellm.types.utils import LlmProviders
    from litellm.utils import ProviderConfigManager

    found = set()
    for one in LlmProviders:
        if ProviderConfigManager.get_provider_chat_config(model="m", provider=one) is not None:
            found.add(one.value)
    assert len(found) > 100
    assert found <= set(TYPES)


@pytest.mark.parametrize(
    ("url", "full"),
    [
        ("https://api.groq.com", "https://api.groq.com/openai/v1"),
        ("https://api.openai.com/", "https://api.openai.com/v1"),
        ("https://api.deepinfra.com", "https://api.deepinfra.com/v1/openai"),
        (
            "https://generativelanguage.googleapis.com",
            "https://generativelanguage.googleapis.com/v1beta",
        ),
        (
            "https://dbc-1.cloud.databricks.com",
            "https://dbc-1.cloud.databricks.com/serving-endpoints",
        ),
        ("https://r.services.ai.azure.com", "https://r.services.ai.azure.com/models"),
        ("https://openrouter.ai/api", "https://openrouter.ai/api/v1"),
        ("https://api.groq.com/openai/", "https://api.groq.com/openai/v1"),
        ("https://api.groq.com/open", "https://api.groq.com/open"),
        ("http://127.0.0.1:7105", "http://127.0.0.1:7105"),
    ],
)
def test_a_known_host_without_its_path_is_completed(url, full):
    assert complete_base_url(url, detect_type(url)) == full


def test_a_service_is_found_by_its_host_patterns():
    assert find_preset("https://x.openai.azure.com").name == "azure"
    assert find_preset("https://adb-1.2.azuredatabricks.net").name == "databricks"
    assert find_preset("https://evil-api.openai.com.example") is None


@pytest.mark.parametrize(
    ("url", "usual"),
    [
        ("https://platform.openai.com/api-keys", "https://api.openai.com/v1"),
        ("https://chatgpt.com", "https://api.openai.com/v1"),
        ("https://claude.ai/chat", "https://api.anthropic.com/v1"),
        ("https://console.groq.com/keys", "https://api.groq.com/openai/v1"),
        ("https://portal.azure.com", "https://RESOURCE.openai.azure.com"),
    ],
)
def test_a_website_is_not_taken_for_an_api(url, usual):
    with pytest.raises(InvalidProvider) as caught:
        refuse_website(url)
    assert usual in (caught.value.hint or "")


def test_no_base_url_of_a_preset_is_taken_for_a_website():
    for preset in presets().values():
        refuse_website(preset.base_url)
    refuse_website("https://openrouter.ai")  # website and API on one host
    refuse_website("https://api.together.ai/v1")
