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
