"""Solvers: what is sent for a sample, and what a person's own function may do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from toolkit.errors import InvalidInput
from toolkit.evals.dataset import Sample
from toolkit.evals.solvers import Solver, read_solvers, solve
from toolkit.records import Reply

SAMPLE = Sample(sample_id="s", input="2 + 2?", target="4", metadata={"hint": "count"})


def answer(solver: Solver, sample: Sample = SAMPLE) -> tuple[str, list[Any]]:
    asked: list[Any] = []

    async def ask(messages: Any, **params: Any) -> Reply:
        asked.append([dict(m) for m in messages])
        return Reply(text=f"answer {len(asked)}", call_id="c", request_id="r", model="m/m")

    return asyncio.run(solve(solver, sample, ask)).text, asked


def test_system_examples_prompt_and_turns_are_sent_in_this_order() -> None:
    solver = Solver(
        name="s",
        system="Use {{ hint }}.",
        prompt="Q: {{ input }}",
        examples=[("1 + 1?", "2")],
        turns=["Sure?"],
    )
    text, asked = answer(solver)
    said = [(m["role"], m["content"]) for m in asked[1]]
    assert text == "answer 2"
    assert said == [
        ("system", "Use count."),
        ("user", "1 + 1?"),
        ("assistant", "2"),
        ("user", "Q: 2 + 2?"),
        ("assistant", "answer 1"),
        ("user", "Sure?"),
    ]


def test_a_conversation_of_the_data_is_no_template() -> None:
    talk = [{"role": "user", "content": "Explain {{ braces }}"}]
    _, asked = answer(Solver(name="s"), Sample(sample_id="s", input=talk))
    assert asked == [talk]


def test_a_function_asks_by_itself_in_a_thread_or_awaiting() -> None:
    def plain(sample: Sample, ask: Any) -> str:
        return f"{ask([{'role': 'user', 'content': 'a'}]).text}!"

    async def awaiting(sample: Sample, ask: Any) -> Reply:
        reply: Reply = await ask([{"role": "user", "content": "b"}])
        return reply

    assert answer(Solver(name="p", function=plain))[0] == "answer 1!"
    assert answer(Solver(name="a", function=awaiting))[0] == "answer 1"


def test_variables_without_a_prompt_are_refused_by_row_and_name() -> None:
    with pytest.raises(InvalidInput, match="'s' has variables and the solver 'bare'"):
        answer(Solver(name="bare"), Sample(sample_id="s", input={"a": 1}))


def test_two_variants_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match="same name"):
        read_solvers([Solver(name="a"), Solver(name="a")], {})


def test_what_a_solver_is_survives_being_kept() -> None:
    solver = Solver(name="x", prompt="{{ input }}", examples=[("a", "b")], params={"top_p": 1})
    assert read_solvers([solver.describe()], {}) == (solver,)
