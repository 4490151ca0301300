"""Every real listing is read item by item, and each style field for field."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.catalog import corpus
from toolkit.catalog.dialects import read_item
from toolkit.catalog.listings.fetch import find_items
from toolkit.catalog.listings.listed_model import ListedModel
from toolkit.pricing.price import Rate

pytestmark = corpus.needs_corpus

ID_NAMES = ("id", "modelId", "name")


def read_all(name: str) -> dict[str, ListedModel]:
    models = [read_item(raw) for raw in find_items(corpus.payload(name)) or ()]
    assert all(model is not None for model in models)
    return {model.model_id: model for model in models if model is not None}


def prices(model: ListedModel) -> dict[str, str]:
    """Prices as `class`, or `class>threshold`, to USD per million."""
    return {
        p.token_class + (f">{p.above_tokens}" if p.above_tokens else ""): str(p.usd_per_million)
        for p in model.prices
    }


def said(model: ListedModel) -> dict[str, Any]:
    """The fields that hold something, without the raw item and the prose."""
    left_out = ("raw", "description", "prices")
    fields = {n: getattr(model, n) for n in model.__slots__ if n not in left_out}
    return {n: v for n, v in fields.items() if v not in (None, (), {})}


@pytest.mark.parametrize("name", corpus.names())
def test_every_item_of_every_real_listing_becomes_one_model_under_its_own_id(name: str) -> None:
    items = find_items(corpus.payload(name)) or []
    models = [read_item(raw) for raw in items]
    assert len(models) == int(re.findall(r"__n(\d+)", name)[0])
    for raw, model in zip(items, models, strict=True):
        assert model is not None
        written = next(str(raw[n]) for n in ID_NAMES if n in raw)
        assert written.endswith(model.model_id)
        assert model.raw is raw


@pytest.mark.parametrize("name", corpus.names())
def test_real_listings_leave_no_flag_but_the_known_oddities(name: str) -> None:
    known = {
        "context_window:zero",
        "price_input:varies",
        "price_output:varies",
        "price:differs_by_host",
        "context_window:differs_by_host",
    }
    assert {flag for model in read_all(name).values() for flag in model.flags} <= known


def test_openai_says_id_owner_and_time() -> None:
    model = read_all("openai__models__2026-02-19__n119")["gpt-4-0613"]
    assert said(model) == {
        "model_id": "gpt-4-0613",
        "owner": "openai",
        "created_at": datetime.fromtimestamp(1686588896, UTC),
        "status": "active",
    }


def test_anthropic_says_limits_and_nested_capabilities() -> None:
    model = read_all("anthropic__models__2026-08-02__n11")["claude-opus-4-1-20250805"]
    assert said(model) == {
        "model_id": "claude-opus-4-1-20250805",
        "display_name": "Claude Opus 4.1",
        "owner": "anthropic",
        "kind": "chat",
        "created_at": datetime(2025, 8, 5, tzinfo=UTC),
        "context_window_tokens": 200_000,
        "max_output_tokens": 32_000,
        "input_modalities": ("text", "image"),
        "output_modalities": ("text",),
        "capabilities": {
            "vision": True,
            "pdf_input": True,
            "reasoning": True,
            "json_schema": True,
        },
        "status": "active",
    }


def test_an_older_anthropic_listing_says_less_and_nothing_is_made_up() -> None:
    model = read_all("anthropic__models__2025-10-22__n11")["claude-3-opus-20240229"]
    assert model.context_window_tokens is None
    assert model.capabilities == {}


def test_gemini_has_a_name_instead_of_an_id_and_methods_instead_of_kinds() -> None:
    models = read_all("gemini__models__2026-08-05__n50")
    assert said(models["gemini-2.5-flash"]) == {
        "model_id": "gemini-2.5-flash",
        "display_name": "Gemini 2.5 Flash",
        "owner": "google",
        "kind": "chat",
        "context_window_tokens": 1_048_576,
        "max_output_tokens": 65_536,
        "capabilities": {"reasoning": True, "caching": True, "streaming": True},
        "status": "active",
    }
    assert models["gemini-2.5-flash-preview-tts"].kind == "speech"
    assert models["veo-3.1-generate-preview"].kind == "video"
    assert models["gemini-embedding-001"].kind == "embedding"
    live = read_all("gemini__models__2025-12-31__n4__page2")
    assert live["gemini-2.5-flash-native-audio-preview-12-2025"].kind == "live"


def test_vertex_has_publishers_versions_and_stages() -> None:
    model = read_all("vertex_ai__models__2026-01-09__n15")["chat-bison"]
    assert (model.owner, model.family, model.status) == ("google", "chat-bison@002", "active")
    newer = read_all("vertex_ai__models__2026-02-19__n10")
    assert newer["gemini-2.5-pro-exp-03-25"].status == "preview"


def test_openrouter_prices_are_texts_per_token_and_parameters_are_capabilities() -> None:
    models = read_all("openrouter__models__2026-02-19__n344")
    model = models["openai/gpt-3.5-turbo"]
    assert said(model) == {
        "model_id": "openai/gpt-3.5-turbo",
        "display_name": "OpenAI: GPT-3.5 Turbo",
        "owner": "openai",
        "family": "GPT",
        "kind": "chat",
        "created_at": datetime.fromtimestamp(1685232000, UTC),
        "context_window_tokens": 16_385,
        "max_output_tokens": 4_096,
        "input_modalities": ("text",),
        "output_modalities": ("text",),
        "capabilities": {
            "tools": True,
            "reasoning": False,
            "json_schema": True,
            "json_mode": True,
            "vision": False,
            "pdf_input": False,
            "audio_input": False,
            "video_input": False,
            "audio_output": False,
        },
        "status": "active",
    }
    assert prices(model) == {"input": "0.5", "output": "1.5"}


def test_openrouter_tells_the_day_a_model_expires() -> None:
    models = read_all("openrouter__models__2026-02-19__n344").values()
    days = sorted(m.retires_on for m in models if m.retires_on is not None)
    assert days[0] == date(2026, 2, 16) and days[-1] == date(2026, 3, 31) and len(days) == 6


def test_openrouter_writes_minus_one_for_a_price_that_depends_and_zero_for_one_not_charged() -> (
    None
):
    auto = read_all("openrouter__models__2026-02-19__n344")["openrouter/auto"]
    assert auto.prices == ()
    assert {"price_input:varies", "price_output:varies"} <= set(auto.flags)
    older = read_all("openrouter__models__2025-04-09__n113")["anthropic/claude-3.7-sonnet:beta"]
    assert prices(older) == {
        "input": "3",
        "output": "15",
        "cached_input": "0.3",
        "cache_write": "3.75",
        "image": "4800",
    }


def test_groq_adds_features_modalities_and_prices_to_openais_fields() -> None:
    models = read_all("groq__models__undated__n15")
    guard = models["meta-llama/llama-prompt-guard-2-22m"]
    assert (guard.owner, guard.display_name) == ("Meta", "Llama Prompt Guard 2 22M")
    assert (guard.context_window_tokens, guard.max_output_tokens) == (512, 512)
    assert prices(guard) == {"input": "0.03", "output": "0.03", "cached_input": "0.015"}
    assert guard.created_at is None
    assert models["whisper-large-v3"].kind == "transcription"
    tools = [name for name, model in models.items() if model.capabilities.get("tools")]
    assert len(tools) == 6


def test_perplexity_writes_its_unit_beside_the_price() -> None:
    model = read_all("perplexity__models__2026-08-10__n39")["anthropic/claude-haiku-4-5"]
    assert prices(model) == {
        "input": "1",
        "output": "5",
        "cached_input": "0.1",
        "cache_write": "1.25",
    }


def test_mistral_tells_retirement_successor_aliases_and_fine_tunes() -> None:
    models = read_all("mistral__models__undated__n55")
    assert said(models["mistral-medium-2505"]) == {
        "model_id": "mistral-medium-2505",
        "display_name": "mistral-medium-2505",
        "owner": "mistralai",
        "kind": "chat",
        "context_window_tokens": 131_072,
        "input_modalities": ("text", "image"),
        "capabilities": {
            "tools": True,
            "vision": True,
            "reasoning": False,
            "audio_input": False,
            "audio_output": False,
        },
        "status": "deprecated",
        "retires_on": date(2026, 8, 31),
        "successor": "mistral-medium-3-5",
    }
    assert models["voxtral-mini-tts-latest"].kind == "speech"
    assert models["voxtral-mini-tts-latest"].aliases == ("voxtral-mini-tts-2603",)
    tuned = read_all("mistral__models__2025-04-27__n61")
    name = "ft:codestral-latest:REDACTED:20250208:28344938"
    assert tuned[name].family == "codestral-latest"


def test_cohere_has_names_endpoints_and_features_and_a_zero_for_unknown() -> None:
    models = read_all("cohere__models__2025-07-07__n21")
    assert said(models["command"]) == {
        "model_id": "command",
        "owner": "cohere",
        "kind": "chat",
        "context_window_tokens": 4_096,
        "capabilities": {"vision": False},
        "status": "active",
    }
    assert models["embed-english-light-v3.0"].kind == "embedding"
    assert sum(m.capabilities.get("json_schema", False) for m in models.values()) == 7
    assert sum("context_window:zero" in m.flags for m in models.values()) == 4


def test_github_lists_bare_items_with_limits() -> None:
    model = read_all("github__models__2026-05-06__n43")["microsoft/phi-4-reasoning"]
    assert said(model) == {
        "model_id": "microsoft/phi-4-reasoning",
        "display_name": "Phi-4-reasoning",
        "owner": "Microsoft",
        "kind": "chat",
        "context_window_tokens": 32_768,
        "max_output_tokens": 4_096,
        "input_modalities": ("text",),
        "output_modalities": ("text",),
        "capabilities": {
            "tools": False,
            "reasoning": True,
            "streaming": True,
            "vision": False,
            "audio_input": False,
        },
        "status": "active",
    }


def test_huggingface_takes_what_every_live_host_can_do_and_says_where_they_differ() -> None:
    raw = {
        "id": "org/m",
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
        "providers": [
            {
                "provider": "a",
                "status": "live",
                "context_length": 32_768,
                "pricing": {"input": 0.1, "output": 0.2},
                "supports_tools": True,
            },
            {
                "provider": "b",
                "status": "live",
                "context_length": 131_072,
                "pricing": {"input": 0.3, "output": 0.4},
                "supports_tools": False,
            },
            {"provider": "c", "status": "staging", "context_length": 8},
        ],
    }
    model = read_item(raw)
    assert model is not None
    assert model.context_window_tokens == 32_768
    assert prices(model) == {"input": "0.3", "output": "0.4"}
    assert model.capabilities["tools"] is False
    assert set(model.flags) == {"context_window:differs_by_host", "price:differs_by_host"}
    real = read_all("huggingface__models__2025-12-31__n127")["MiniMaxAI/MiniMax-M2.1"]
    assert prices(real) == {"input": "0.3", "output": "1.2"}
    assert real.context_window_tokens == 204_800


def test_venice_charges_more_for_long_inputs() -> None:
    models = read_all("venice__models__undated__n108")
    tiered = [m for m in models.values() if any(p.above_tokens for p in m.prices)]
    assert len(tiered) == 14
    model = models["gemini-3-6-flash"]
    assert (model.context_window_tokens, model.max_output_tokens) == (1_000_000, 65_536)
    assert prices(model) == {"input": "1.875", "output": "9.375", "cached_input": "0.1875"}
    long_inputs = next(m for m in tiered if "output>256000" in prices(m))
    assert {"input", "input>256000", "output", "output>256000"} <= set(prices(long_inputs))


def test_bedrock_writes_modalities_in_capitals_and_legacy_for_deprecated() -> None:
    models = read_all("bedrock__models__2025-09-03__n97")
    model = models["twelvelabs.pegasus-1-2-v1:0"]
    assert (model.owner, model.display_name) == ("TwelveLabs", "Pegasus v1.2")
    assert model.input_modalities == ("text", "video")
    assert model.capabilities["video_input"] is True and model.capabilities["caching"] is False
    legacy = [m for m in models.values() if m.status == "deprecated"]
    raw = corpus.payload("bedrock__models__2025-09-03__n97")["modelSummaries"]
    assert len(legacy) == sum(r["modelLifecycle"]["status"] == "LEGACY" for r in raw) > 0


def test_ollama_tells_weights() -> None:
    model = read_all("ollama__tags__2025-03-27__n3")["llama3.1:8b"]
    assert said(model) == {
        "model_id": "llama3.1:8b",
        "family": "llama",
        "created_at": datetime(2025, 3, 27, 19, 29, 58, 416254, tzinfo=UTC),
        "status": "active",
        "size_bytes": 4_920_753_328,
        "parameters": "8.0B",
        "quantization": "Q4_K_M",
    }


def test_llamacpp_answers_twice_and_the_fuller_list_is_read() -> None:
    (model,) = read_all("llamacpp__models__undated__n1").values()
    assert model.context_window_tokens == 4_096  # in force; 40,960 is what it was trained for
    assert (model.parameters, model.quantization) == ("1.72B", "Q4_K - Medium")
    assert model.size_bytes == 1_101_457_408


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            {"id": "m", "object": "model", "owned_by": "vllm", "root": "r", "max_model_len": 8192},
            {"owner": "vllm", "context_window_tokens": 8192},
        ),
        (
            {
                "id": "q", "type": "vlm", "publisher": "lmstudio-community", "arch": "qwen2vl",
                "quantization": "4bit", "state": "loaded", "max_context_length": 32768,
                "loaded_context_length": 4096,
            },
            {"context_window_tokens": 4096, "family": "qwen2vl", "quantization": "4bit"},
        ),
        (
            {
                "type": "llm", "key": "google/gemma-3-270m", "architecture": "gemma3_text",
                "quantization": {"name": "F16", "bits_per_weight": 16}, "size_bytes": 5,
                "max_context_length": 32768, "params_string": "270M",
                "capabilities": {"vision": False, "trained_for_tool_use": True},
            },
            {"model_id": "google/gemma-3-270m", "quantization": "F16", "parameters": "270M"},
        ),
        (
            {
                "id": "t", "object": "model", "type": "chat", "display_name": "T",
                "organization": "Org", "context_length": 131072,
                "pricing": {"hourly": 0, "input": 0.88, "output": 0.88, "base": 0, "finetune": 0},
            },
            {
                "kind": "chat",
                "owner": "Org",
                "prices": (
                    Rate(token_class="input", usd_per_million=Decimal("0.88")),
                    Rate(token_class="output", usd_per_million=Decimal("0.88")),
                ),
            },
        ),
        (
            {"id": "g", "created": 1, "prompt_text_token_price": 20000,
             "completion_text_token_price": 100000, "input_modalities": ["text", "image"]},
            {
                "prices": (
                    Rate(token_class="input", usd_per_million=Decimal(2)),
                    Rate(token_class="output", usd_per_million=Decimal(10)),
                )
            },
        ),
        (
            {"id": "gpt-4o", "capabilities": {"chat_completion": True, "inference": True},
             "lifecycle_status": "preview", "deprecation": {"inference": 1798675200}},
            {"kind": "chat", "status": "preview", "retires_on": date(2026, 12, 31)},
        ),
        (
            {"id": "accounts/fireworks/models/x", "owned_by": "fireworks", "supports_tools": True,
             "supports_image_input": False, "context_length": 131072},
            {"capabilities": {"tools": True, "vision": False}},
        ),
        (
            {"id": "S", "context_length": 8, "max_completion_tokens": 4,
             "pricing": {"prompt": "0.00000300", "completion": "0.0000045"}},
            {"max_output_tokens": 4},
        ),
    ],
    ids=["vllm", "lmstudio-v0", "lmstudio-v1", "together", "xai", "azure", "fireworks", "samba"],
)  # fmt: skip
def test_styles_that_no_public_recording_shows(
    raw: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Shapes from the vendors' own documentation."""
    model = read_item(raw)
    assert model is not None
    assert {name: getattr(model, name) for name in expected} == expected
