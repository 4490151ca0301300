"""Names of providers, models and variables."""

from __future__ import annotations

import pytest

from toolkit.errors import InvalidProvider
from toolkit.providers.naming import (
    check_model,
    check_name,
    check_text,
    check_variable,
    close_names,
    key_variables,
    short,
)
from toolkit.secret import Secret

BAD = [
    "", " ", "-a", "A", "Open", "a b", "a_b", "a.b", "a/b", "a\\b", "../a", "a\n", "a\0", "ä", "𝒶",
    "a" * 64, "a\u202eb", "%61", "a;rm", "'", None, 7, b"a",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_name_is_refused_and_shown_escaped(name):
    with pytest.raises(InvalidProvider) as refused:
        check_name(name)
    assert refused.value.message.replace("…", "").isascii()
    assert refused.value.message.isprintable()


@pytest.mark.parametrize("name", ["a", "0", "my-server", "a" * 63, "x--", "4o"])
def test_a_good_name_is_kept(name):
    assert check_name(name) == name


def test_a_key_given_as_a_variable_is_not_repeated():
    key = "sk-" + "x" * 40
    with pytest.raises(InvalidProvider) as refused:
        check_variable(key)
    assert key not in str(refused.value)


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A" * 129, "Ä", None])
def test_what_is_no_variable(name):
    with pytest.raises(InvalidProvider):
        check_variable(name)


@pytest.mark.parametrize(
    "text", ["", "  ", "a\nb", "a\x1b[31m", "a\u202eb", "x" * 101, "\ud800", 5]
)
def test_a_text_for_people_holds_no_control_characters(text):
    with pytest.raises(InvalidProvider):
        check_text(text, "display name")


def test_a_model_may_hold_slashes_and_colons():
    assert check_model("meta-llama/Llama-3.3-70B:free") == "meta-llama/Llama-3.3-70B:free"


def test_variables_of_a_custom_provider():
    assert key_variables("my-corp") == ("MY_CORP_API_KEY", "PROVIDER_MY_CORP_KEY")
    assert key_variables("4o") == ("PROVIDER_4O_KEY",)


def test_close_names_come_nearest_first():
    assert close_names("opnai", ["groq", "openai", "ollama"])[0] == "openai"
    assert close_names("zzzzzz", ["groq", "openai"]) == []


def test_foreign_values_are_cut_in_messages():
    assert len(short("x" * 10_000)) < 80


KEYS = [
    *("sk-proj-" + "a1B2" * 8, "sk-ant-api03-" + "x" * 30, "gsk_" + "A" * 30, "AIza" + "b" * 35),
    *("xai-" + "c" * 40, "hf_" + "d" * 34, "AKIA" + "E" * 16, "pplx-" + "f" * 40),
    "Zq8" * 11,  # Mistral's and others' have no beginning of their own
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_not_taken_for_the_name_of_a_model(registry, key):
    registry.add("corp", base_url="https://llm.corp.example/v1")
    for use in (
        lambda: registry.resolve(f"corp/{key}"),
        lambda: registry.resolve(f"corp/{key}:latest"),
        lambda: registry.resolve(key),
        lambda: registry.update("corp", default_model=key),
    ):
        with pytest.raises(InvalidProvider) as refused:
            use()
        assert refused.value.cause == "key"
        assert key not in str(refused.value) and "stored for its provider" in refused.value.hint


def test_a_key_in_use_without_any_shape_is_not_taken_for_a_model_either(registry):
    key = "a-key-of-words-that-has-no-shape"
    registry.add("corp", base_url="https://llm.corp.example/v1")
    assert registry.resolve(f"corp/{key}")
    assert Secret(key).reveal() == key
    with pytest.raises(InvalidProvider):
        registry.resolve(f"corp/{key}")


@pytest.mark.parametrize(
    "model",
    [
        *("gpt-5-mini", "claude-sonnet-4-5-20250929", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        *("accounts/fireworks/models/llama-v3p1-8b-instruct", "task-something-long-and-winding"),
        *(
            "ft:gpt-4o-mini-2024-07-18:my-org:custom:AbCdEf12",
            "hf.co/unsloth/gemma-3-4b-it-GGUF:Q4",
        ),
        *("us.anthropic.claude-3-7-sonnet-20250219-v1:0", "@cf/meta/llama-3.1-8b-instruct"),
        "owner/model:5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa",
    ],
)
def test_names_of_models_are_no_keys(registry, model):
    registry.add("corp", base_url="https://llm.corp.example/v1")
    assert registry.resolve(f"corp/{model}")[1] == model
