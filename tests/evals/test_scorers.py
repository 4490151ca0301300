"""Scorers: what is right, what is wrong, and what cannot be told."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import InvalidInput
from toolkit.evals import scorers
from toolkit.evals.dataset import Sample
from toolkit.evals.extract.letters import find_choice
from toolkit.evals.extract.stated_numbers import find_numbers
from toolkit.evals.scorers import Answer, Score, score
from toolkit.records import Receipt, Reply, Timing, ToolCall


def answer(text, target=None, **reply):
    sample = Sample(sample_id="s", input="q", target=target)
    whole = Reply(text=text, call_id="c", request_id="r", model="p/m", **reply)
    return Answer(sample=sample, text=text, reply=whole)


@pytest.mark.parametrize(
    ("scorer", "text", "target", "value"),
    [
        (scorers.exact(), " Paris ", "Paris", 1),
        (scorers.exact(), "paris", "Paris", 0),
        (scorers.exact(ignore_case=True), "paris", ("Lyon", "Paris"), 1),
        (scorers.exact(normalize=True), "The  Seine.", "seine", 1),
        (scorers.contains(), "It is PARIS.", "paris", 1),
        (scorers.contains(ignore_case=False), "PARIS", "paris", 0),
        (scorers.regex(r"^\d+$"), "42", None, 1),
        (scorers.regex(), "abc", r"b.", 1),
        (scorers.numeric(), "so 1,234.50", "1234.5", 1),
        (scorers.numeric(tolerance=0.1), "about 3.2", "3.14", 1),
        (scorers.numeric(relative=0.01), "102", "100", 0),
        (scorers.numeric(take="first"), "4, not 5", "4", 1),
        (scorers.numeric(), "none", "4", 0),
        (scorers.choice(), "The answer is (B).", "B", 1),
        (scorers.choice(), "b", "B", 1),
        (scorers.choice(), "I cannot say", "C", 0),
        (
            scorers.json_schema({"type": "object", "required": ["a"]}),
            '```json\n{"a": 1}\n```',
            None,
            1,
        ),
        (scorers.json_schema({"type": "object", "required": ["a"]}), "{}", None, 0),
        (scorers.json_schema({}), "{", None, 0),
        (scorers.fuzzy(at_least=0.8), "colour", "color", 1),
        (scorers.rouge_l(), "the cat sat", "the cat sat", 1),
        (scorers.rouge_l(), "dog", "the cat", 0),
        (scorers.bleu(), "the cat sat on the mat", "the cat sat on the mat", 1),
        (scorers.chrf(), "the cat", "the cat", 1),
    ],
)
def test_what_is_right_and_what_is_wrong(scorer, text, target, value):
    result = score(scorer, answer(text, target))
    assert result.error is None
    assert result.value == pytest.approx(value)


def test_rouge_l_of_lins_own_example():
    """Lin 2004, section 3.1: "police kill the gunman" against "police killed the gunman"."""
    result = score(scorers.rouge_l(), answer("police kill the gunman", "police killed the gunman"))
    assert result.value == pytest.approx(0.75)


def test_facts_of_the_call_can_be_scored():
    fast = answer("x", timing=Timing(ttft_ms=90.0, duration_ms=200.0))
    assert score(scorers.latency(ttft_ms=100), fast).value == 1
    assert score(scorers.latency(ttft_ms=100, duration_ms=150), fast).value == 0
    assert score(scorers.latency(ttft_ms=1), answer("x")).error == "the call has no such timing"
    paid = answer("x", receipt=Receipt(cost_usd=Decimal("0.002")))
    assert score(scorers.cost(at_most_usd=0.01), paid).value == 1
    assert score(scorers.cost(at_most_usd=0.01), answer("x")).error == "the call is unpriced"


def test_tool_calls_are_matched_by_name_and_arguments():
    call = ToolCall(id="1", name="weather", arguments='{"city": "Bonn", "days": 3}')
    asked = answer("", tool_calls=(call,))
    assert score(scorers.tool_call("weather"), asked).value == 1
    assert score(scorers.tool_call("weather", {"city": "Bonn"}), asked).value == 1
    assert score(scorers.tool_call("weather", {"city": "Rome"}), asked).value == 0
    assert score(scorers.tool_call("news"), asked).value == 0
    broken = ToolCall(id="1", name="weather", arguments="{")
    assert (
        score(scorers.tool_call("weather", {"a": 1}), answer("", tool_calls=(broken,))).value == 0
    )


def _raise(_):
    raise RuntimeError("boom")


@pytest.mark.parametrize(
    ("scorer", "words"),
    [
        (_raise, "RuntimeError: boom"),
        (lambda a: math.nan, "not a number"),
        (lambda a: "good", "not a number"),
        (lambda a: None, "no score"),
        (lambda a: Score(value=None, error="judge was silent"), "judge was silent"),
        (scorers.exact(), "has no target"),
    ],
)
def test_a_scorer_that_fails_says_so_and_stops_nothing(scorer, words):
    result = score(scorer, answer("x"))
    assert result.value is None
    assert words in result.error


def test_bad_patterns_and_schemas_are_refused_at_once():
    with pytest.raises(InvalidInput, match="regular expression"):
        scorers.regex("(")
    with pytest.raises(InvalidInput, match="JSON schema"):
        scorers.json_schema({"type": "nonsense"})


@given(st.integers(-(10**12), 10**12))
def test_numbers_are_found_as_people_write_them(number):
    assert [n.value for n in find_numbers(f"It is {number:,}.")] == [float(number)]


@given(st.text(max_size=60))
def test_a_choice_is_one_of_the_letters_or_nothing(text):
    assert find_choice(text) in {"A", "B", "C", "D", None}


def test_a_word_is_no_choice():
    assert find_choice("A good question. The answer is: C") == "C"
    assert find_choice("I'd say Don't know") is None
