"""Solvers that use tools, vote by self-consistency, or draw few-shot examples."""

from __future__ import annotations

import asyncio
import json

import pytest

from toolkit.errors import InvalidInput
from toolkit.evals.bounded import TookTooLong
from toolkit.evals.dataset import Dataset, Sample
from toolkit.evals.solvers import Solver, check_prompts, read_solvers, solve
from toolkit.evals.toolbox import TooManyRounds
from toolkit.records import Reply, ToolCall

SAMPLE = Sample(sample_id="s", input="What is 6 times 7?", target="42")


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


class Model:
    """Answers from a list: texts, or tool calls as (name, arguments)."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.conversations = []

    async def __call__(self, messages, **params):
        self.conversations.append(([dict(m) for m in messages], params))
        given = self.answers.pop(0)
        calls = ()
        if isinstance(given, tuple):
            calls = (ToolCall(id="c1", name=given[0], arguments=json.dumps(given[1])),)
        text = "" if calls else given
        return Reply(text=text, tool_calls=calls, call_id="c", request_id="r", model="p/m")


def run(solver, model, sample=SAMPLE):
    return asyncio.run(solve(solver, sample, model))


def test_a_tool_is_called_and_its_result_goes_back():
    model = Model(("multiply", {"a": 6, "b": 7}), "It is 42.")
    solved = run(Solver(name="tools", tools=[multiply]), model)
    assert solved.text == "It is 42." and len(solved.replies) == 2
    messages, params = model.conversations[1]
    assert params["tools"] == [multiply]
    assert [m["role"] for m in messages] == ["user", "assistant", "tool"]
    assert messages[2]["content"] == "42"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("multiply", {"a": "six", "b": 7}), "Error: Input should be a valid integer"),
        (("divide", {}), "Error: there is no tool 'divide'."),
        (("fail", {}), "Error: RuntimeError: boom"),
    ],
)
def test_a_tool_that_fails_says_so_to_the_model(call, words):
    def fail() -> str:
        raise RuntimeError("boom")

    model = Model(call, "sorry")
    run(Solver(name="tools", tools=[multiply, fail]), model)
    assert model.conversations[1][0][2]["content"].startswith(words)


def test_rounds_of_tools_are_bounded():
    model = Model(*[("multiply", {"a": 1, "b": 1})] * 9)
    with pytest.raises(TooManyRounds, match="more than 3 rounds"):
        run(Solver(name="tools", tools=[multiply], max_tool_rounds=3), model)
    assert len(model.conversations) == 4


def test_tools_without_types_are_refused_before_a_run():
    def untyped(x: object.__class__.__mro__) -> str:  # not a type that a schema can describe
        return str(x)

    with pytest.raises((InvalidInput, TypeError)):
        check_prompts([Solver(name="t", tools=[untyped])], Dataset([SAMPLE]))
    with pytest.raises(InvalidInput, match="two tools"):
        check_prompts([Solver(name="t", tools=[multiply, multiply])], Dataset([SAMPLE]))


@pytest.mark.parametrize(
    ("vote_by", "answers", "text"),
    [
        ("number", ["So 41.", "The answer is 42.", "42 apples"], "The answer is 42."),
        ("choice", ["The answer is B", "A", "(b)"], "The answer is B"),
        ("text", ["Paris", "Rome", "paris."], "Paris"),
        ("number", ["unsure", "unsure", "42"], "42"),
    ],
)
def test_self_consistency_takes_the_most_frequent_answer(vote_by, answers, text):
    solved = run(Solver(name="sc", self_consistency=3, vote_by=vote_by), Model(*answers))
    assert solved.text == text == solved.replies[-1].text
    assert len(solved.replies) == 3


def test_examples_may_come_from_a_dataset(tmp_path):
    path = tmp_path / "dev.jsonl"
    path.write_text(
        '{"input": "1+1?", "target": "2"}\n{"input": "2+2?", "target": ["4", "four"]}\n'
    )
    (solver,) = read_solvers({"examples": {"dataset": str(path), "count": 2}}, {})
    contents = [m["content"] for m in solver.messages(SAMPLE)]
    assert contents == ["1+1?", "2", "2+2?", "4", "What is 6 times 7?"]
    with pytest.raises(InvalidInput, match="not a pair"):
        read_solvers({"examples": ["2+2?"]}, {})


def test_a_function_is_bounded_in_time():
    async def endless(sample, ask):
        await asyncio.sleep(60)

    with pytest.raises(TookTooLong):
        run(Solver(name="f", function=endless, timeout_s=0.05), Model())


def test_every_template_is_filled_before_the_first_call():
    solvers = [Solver(name="p", prompt="{{ input }}", turns=["And {{ colour }}?"])]
    with pytest.raises(InvalidInput, match="'s' has no value for the variable 'colour'"):
        check_prompts(solvers, Dataset([SAMPLE]))
