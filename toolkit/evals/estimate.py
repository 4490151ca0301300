"""The cost of a run, estimated before it begins from the lengths of recorded answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from toolkit.evals.scoring.judge import JudgeCalls, find_judge
from toolkit.pricing.receipts import charge
from toolkit.pricing.spend import read_answer_lengths
from toolkit.pricing.token_estimate import estimate_output_tokens, estimate_tokens
from toolkit.records import PriceClass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolkit.evals.running.dependencies import EvalDependencies
    from toolkit.evals.running.plan import Plan, Task
    from toolkit.evals.scoring.score import AnyScorer

_SAMPLED: Final = 200
_ENOUGH: Final = 20
# The instructions around a rubric, a question and an answer.
_QUESTION_TOKENS: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one model of a run will take, or one judge of its answers.

    Attributes:
        model: `provider/model_id`.
        role: `model`, or the name of the scorer that asks it as a judge.
        calls: how many.
        input_tokens: all of them together.
        low_usd, expected_usd, high_usd: by the 10th, 50th and 90th percentile of the lengths of
            its answers; None: it has no price.
        basis: where the lengths come from.
    """

    model: str
    calls: int
    input_tokens: int
    low_usd: Decimal | None
    expected_usd: Decimal | None
    high_usd: Decimal | None
    basis: str
    role: str = "model"


async def estimate(
    deps: EvalDependencies, plan: Plan, scorers: Mapping[str, AnyScorer]
) -> list[Estimate]:
    """One estimate per model and judge; a solver that is a function counts as one call per answer.

    The first 200 requests represent all; input is counted by its bytes.
    """
    found = []
    for model in plan.models:
        await deps.prices.prepare(model)
        found.append(await asyncio.to_thread(_estimate_one, deps, plan, model))
    for name, scorer in scorers.items():
        if (judge := find_judge(scorer)) is not None:
            await deps.prices.prepare(judge.model)
            found.append(await asyncio.to_thread(_estimate_judge, deps, plan, name, judge))
    return found


def _estimate_one(deps: EvalDependencies, plan: Plan, model: str) -> Estimate:
    calls = plan.total // len(plan.models)
    sampled = list(islice(plan.tasks(model), _SAMPLED))
    inputs = sum(map(_input_tokens, sampled)) * calls // max(len(sampled), 1)
    lengths, basis = _lengths(deps, model, [dict(s.params) for s in plan.solvers])
    return _priced(deps, model, calls, (inputs,) * 3, lengths, basis)


def _estimate_judge(deps: EvalDependencies, plan: Plan, name: str, judge: JudgeCalls) -> Estimate:
    """Estimate what a judge costs: it reads the rubric, the question and the answers each time."""
    calls = plan.total * judge.questions
    sampled = [task for model in plan.models for task in islice(plan.tasks(model), _SAMPLED)]
    prompts = sum(map(_input_tokens, sampled)) // max(len(sampled), 1)
    fixed = prompts + estimate_tokens([{"content": judge.rubric}]) + _QUESTION_TOKENS
    params = [dict(solver.params) for solver in plan.solvers]
    answered = [_lengths(deps, model, params)[0] for model in plan.models]
    low, expected, high = (sum(each) / len(answered) for each in zip(*answered, strict=True))
    inputs = tuple(
        round((fixed + judge.answers * length) * calls) for length in (low, expected, high)
    )
    lengths, basis = _lengths(deps, judge.model, [dict(judge.params)])
    priced = _priced(deps, judge.model, calls, (inputs[0], inputs[1], inputs[2]), lengths, basis)
    return replace(priced, role=name)


def _priced(
    deps: EvalDependencies,
    model: str,
    calls: int,
    inputs: tuple[int, int, int],
    lengths: tuple[float, float, float],
    basis: str,
) -> Estimate:
    """Price all calls of one model; `inputs` are their low, expected and high input tokens."""
    provider, model_id = deps.resolve(model)
    price = deps.prices.prices_for(provider.name, model_id, datetime.now(UTC)).in_force

    def cost(tokens: int, length: float) -> Decimal | None:
        if price is None:
            return None
        counts: dict[PriceClass, int] = {
            "input": tokens,
            "output": round(length * calls),
            "request": calls,
        }
        return charge(counts, price, input_tokens=tokens // max(calls, 1)).usd

    low, expected, high = (cost(*each) for each in zip(inputs, lengths, strict=True))
    return Estimate(
        model=model,
        calls=calls,
        input_tokens=inputs[1],
        low_usd=low,
        expected_usd=expected,
        high_usd=high,
        basis=basis,
    )


def _input_tokens(task: Task) -> int:
    if task.solver.function is not None:
        return estimate_tokens([{"content": str(task.sample.input)}])
    return estimate_tokens(task.solver.messages(task.sample)) * (1 + len(task.solver.turns))


def _lengths(
    deps: EvalDependencies, model: str, params: list[dict[str, Any]]
) -> tuple[tuple[float, float, float], str]:
    found = read_answer_lengths(deps.store, model)
    if found.count >= _ENOUGH:
        lengths = (found.low, found.expected, found.high)
        return lengths, f"{found.count:,} recorded answers of this model"
    most = max(estimate_output_tokens(p) for p in params)
    return (
        most * 0.1,
        most * 0.5,
        float(most),
    ), f"at most {most:,} tokens an answer, as {found.count or 'none'} of its answers are recorded"
