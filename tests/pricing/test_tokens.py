"""Estimates of tokens: near enough for pacing and budgets, cheap, and never zero for a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.calls.chat_request import build_request
from toolkit.pricing.token_estimate import (
    estimate_output_tokens,
    estimate_request_tokens,
    estimate_tokens,
)


def test_english_prose_is_within_a_third_of_what_tokenizers_count():
    """OpenAI's o200k tokenizer counts 59 tokens in this text."""
    text = (
        "It was the best of times, it was the worst of times, it was the age of wisdom, it was "
        "the age of foolishness, it was the epoch of belief, it was the epoch of incredulity, "
        "it was the season of Light, it was the season of Darkness."
    )
    estimate = estimate_tokens([{"role": "user", "content": text}])
    assert 59 * 2 / 3 <= estimate <= 59 * 4 / 3


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("这是最好的时代，这是最坏的时代，这是智慧的时代，这是愚蠢的时代。", 22),
        ("Это было лучшее из времён, это было худшее из времён; это был век мудрости.", 23),
        ("def f(x):\n    return [i**2 for i in range(x) if i % 2]\n" * 3, 66),
    ],
)
def test_other_scripts_and_code_are_within_a_factor_of_two(text, tokens):
    estimate = estimate_tokens([{"role": "user", "content": text}])
    assert tokens / 2 <= estimate <= tokens * 2


@given(st.text(min_size=1, max_size=200), st.text(max_size=200))
def test_more_text_is_never_fewer_tokens_and_a_text_is_never_none(text, more):
    short = estimate_tokens([{"content": text}])
    assert 0 < short <= estimate_tokens([{"content": text + more}])


def test_parts_count_by_their_kind():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10**6}}
    text = {"type": "text", "text": "x" * 400}
    one = estimate_tokens([{"role": "user", "content": [text]}])
    both = estimate_tokens([{"role": "user", "content": [text, picture]}])
    assert 100 <= one < 110
    assert 100 < both - one < 2000, "a picture counts as one, not by the letters of its file"


def test_the_output_is_what_the_request_allows_or_a_usual_length():
    assert estimate_output_tokens({"max_tokens": 7}) == 7
    assert estimate_output_tokens({"max_completion_tokens": 9, "max_tokens": 7}) == 9
    assert estimate_output_tokens({"max_tokens": "many"}) == estimate_output_tokens({}) > 0


def test_a_request_is_input_and_output_together():
    request = build_request("p/m", "x" * 400, {"max_tokens": 50})
    assert estimate_request_tokens(request) == 104 + 50
