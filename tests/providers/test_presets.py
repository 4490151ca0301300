"""The presets as data: complete, valid, and each one found again by its own URL."""

from __future__ import annotations

import pytest

from toolkit.errors import InvalidProvider
from toolkit.providers.base_url import check_base_url
from toolkit.providers.naming import check_name, check_variable
from toolkit.providers.provider import find_address, find_base_url, has_key, presets
from toolkit.providers.type_detection import TYPES, complete_base_url, detect_type, find_preset

NAMES = [
    "openai", "anthropic", "gemini", "openrouter", "groq", "sambanova", "deepseek", "xai",
    "mistral", "fireworks", "together", "perplexity", "cohere", "azure", "bedrock", "vertex-ai",
    "azure-foundry", "huggingface", "databricks", "snowflake", "watsonx", "nvidia", "cerebras",
    "github", "cloudflare", "zai", "moonshot", "nebius", "deepinfra", "ollama", "lm-studio",
    "vllm", "llama-cpp", "local",
]  # fmt: skip
PRESETS = list(presets().values())


def test_every_provider_of_the_plan_is_there():
    assert list(presets()) == NAMES


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_is_valid_and_tells_where_to_get_a_key(preset):
    check_name(preset.name)
    assert preset.type in TYPES
    assert preset.display_name
    for variable in (*preset.key_env, *preset.url_env):
        check_variable(variable)
    if preset.base_url:
        assert preset.url_example is None
        assert check_base_url(preset.base_url, preset.is_local).url == preset.base_url
    else:
        assert check_base_url(preset.url_example, False).url.startswith("https://")
    if preset.name != "local":
        assert preset.key_url and preset.key_url.startswith("https://")
    assert preset.needs_key is not preset.is_local
    assert (preset.default_port is not None) is preset.is_local


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_the_type_of_every_preset_is_seen_in_its_url(preset):
    url = preset.base_url or preset.url_example
    assert detect_type(url) == preset.type
    found = find_preset(url)
    assert found is not None
    assert found.name == preset.name


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://api.openai.com", "openai"),
        ("https://api.anthropic.com", "anthropic"),
        ("https://api.deepseek.com/anthropic", "anthropic-compatible"),
        ("https://api.z.example/api/anthropic/v1", "anthropic-compatible"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "openai-compatible"),
        ("https://x.services.ai.azure.com/openai/v1", "azure"),
        ("http://192.168.1.5:11434", "ollama"),
        ("http://localhost:11434", "ollama"),
        ("https://llm.corp.example/v1", "openai-compatible"),
        ("https://notapi.openai.com.evil.example", "openai-compatible"),
        ("https://[bad", "openai-compatible"),
        ("", "openai-compatible"),
    ],
)
def test_the_type_is_detected_from_the_url(url, kind):
    assert detect_type(url) == kind


@pytest.mark.parametrize(
    ("url", "kind", "full"),
    [
        ("http://127.0.0.1:11434", "ollama", "http://127.0.0.1:11434/v1"),
        ("http://127.0.0.1:11434/", "ollama", "http://127.0.0.1:11434/v1"),
        ("https://r.openai.azure.com", "azure", "https://r.openai.azure.com/openai/v1"),
        ("https://api.x.example/v1/", "openai-compatible", "https://api.x.example/v1"),
        ("https://api.x.example", "openai-compatible", "https://api.x.example"),
    ],
)
def test_a_host_alone_gets_the_path_of_its_type(url, kind, full):
    assert complete_base_url(url, kind) == full


def test_variables_are_read_from_the_environment(monkeypatch, tmp_path):
    openai = presets()["openai"]
    assert find_base_url(openai) is None
    assert not has_key(openai)
    monkeypatch.setenv("OPENAI_BASE_URL", " https://proxy.example/v1 ")
    assert find_base_url(openai) == "https://proxy.example/v1"
    (tmp_path / ".env").write_text("OPENAI_API_KEY=abc\nGROQ_BASE_URL=https://evil.example\n")
    assert has_key(openai)
    assert find_base_url(presets()["groq"]) == "https://evil.example"


def test_a_dotenv_address_never_gets_a_key_of_the_environment(monkeypatch, tmp_path):
    groq = presets()["groq"]
    (tmp_path / ".env").write_text("GROQ_BASE_URL=https://evil.example\nGROQ_API_KEY=own-key\n")
    assert "key_origin" not in find_address(groq)  # address and key are from the same file
    monkeypatch.setenv("GROQ_API_KEY", "sk-of-the-environment")
    assert find_address(groq)["key_origin"] == ""
    monkeypatch.setenv("GROQ_BASE_URL", "https://mine.example")
    assert "key_origin" not in find_address(groq)


def test_a_preset_never_holds_what_could_not_be_saved():
    with pytest.raises(InvalidProvider):
        check_base_url(presets()["azure"].base_url, local=False)
