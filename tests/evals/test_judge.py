"""Judges: structured verdicts, tolerant reading, one retry, swapped positions."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from toolkit.errors import InvalidInput, InvalidRequest
from toolkit.evals.dataset import Sample
from toolkit.evals.scoring.judge import judge, judge_pair
from toolkit.evals.scoring.run_client import current_client
from toolkit.evals.scoring.score import Answer
from toolkit.evals.scoring.scoring import score_answer
from toolkit.records import Receipt, Reply


class Scripted:
    """A client that answers from a list and keeps what it was asked."""

    def __init__(self, *texts, has_schema=False, refuses_schema=False):
        self.texts = list(texts)
        self.has_schema, self.refuses_schema = has_schema, refuses_schema
        self.requests = []

    def supports_schema(self, model):
        return self.has_schema

    async def embed(self, model, texts):
        return [[1.0] for _ in texts]

    async def complete(self, model, messages, **params):
        self.requests.append((messages, params))
        if self.refuses_schema and "response_format" in params:
            raise InvalidRequest("response_format is not supported", model=model)
        return Reply(
            text=self.texts.pop(0),
            call_id=f"c{len(self.requests)}",
            request_id="r",
            model=model,
            receipt=Receipt(cost_usd=Decimal("0.01")),
        )


def grade(scorer, client, text="Paris", target="Paris"):
    async def run():
        current_client.set(client)
        sample = Sample(sample_id="s", input="Capital of France?", target=target)
        return await score_answer(scorer, Answer(sample=sample, text=text))

    return asyncio.run(run())


def test_a_judge_that_accepts_a_schema_is_asked_by_one():
    client = Scripted('{"reason": "right", "score": 4}', has_schema=True)
    found = grade(judge("p/m", "Is it right?"), client)
    assert found.value == 0.8
    (messages, params) = client.requests[0]
    schema = params["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["reason", "score"]
    assert "as JSON" in messages[0]["content"] and "SCORE:" not in messages[0]["content"]


def test_a_schema_that_is_refused_is_left_out_and_costs_no_try():
    client = Scripted("SCORE: 5", has_schema=True, refuses_schema=True)
    found = grade(judge("p/m", "Right?"), client)
    assert found.value == 1.0 and found.details["judge_tries"] == 1
    assert "response_format" not in client.requests[-1][1]


def test_bold_verdicts_are_read_at_once():
    client = Scripted("Good.\n\n**SCORE:** 4")
    assert grade(judge("p/m", "Right?"), client).value == 0.8
    assert len(client.requests) == 1


def test_an_unreadable_verdict_is_asked_for_once_more_and_both_are_recorded():
    client = Scripted("It is fine.", "SCORE: 3")
    found = grade(judge("p/m", "Right?"), client)
    assert found.value == 0.6 and found.details["judge_tries"] == 2
    assert found.reason == "It is fine. | SCORE: 3"
    assert found.details["judge_cost_usd"] == Decimal("0.02")
    roles = [message["role"] for message in client.requests[1][0]]
    assert roles == ["user", "assistant", "user"]


@pytest.mark.parametrize("text", ["SCORE: 3-4", "SCORE: -2", "SCORE: 9", "fine"])
def test_a_verdict_off_the_scale_is_an_error_and_never_a_guess(text):
    found = grade(judge("p/m", "Right?"), Scripted(text, text))
    assert found.value is None and found.details["code"] == "UNREADABLE"
    assert "2 tries" in found.error


@pytest.mark.parametrize(
    ("texts", "value", "is_biased"),
    [
        (("WINNER: A", "WINNER: B"), 1.0, False),
        (("WINNER: B", "WINNER: **A**"), 0.0, False),
        (("WINNER: A", "[[A]]"), 0.5, True),
        (("WINNER: TIE", "WINNER: B"), 0.75, False),
    ],
)
def test_positions_are_swapped(texts, value, is_biased):
    client = Scripted(*texts)
    found = grade(judge_pair("p/m", "Which?"), client, text="mine", target="other")
    assert found.value == value and found.details["is_position_biased"] is is_biased
    first, second = (request[0][0]["content"] for request in client.requests)
    assert first.index("mine") < first.index("other") and second.index("other") < second.index(
        "mine"
    )


def test_braces_in_an_answer_are_not_a_template():
    client = Scripted("SCORE: 5")
    assert grade(judge("p/m", "Right?"), client, text="{form} {0} {x}").value == 1.0


def test_a_judge_that_makes_no_sense_is_refused_before_the_run():
    for make in (
        lambda: judge("gpt", "?"),
        lambda: judge("p/m", " "),
        lambda: judge("p/m", "?", top=0),
    ):
        with pytest.raises(InvalidInput):
            make()
