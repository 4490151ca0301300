"""The cost of a run, estimated before it begins from the lengths of recorded answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from toolkit.pricing.receipts import charge
from toolkit.pricing.spend import read_answer_lengths
from toolkit.pricing.token_estimate import estimate_output_tokens, estimate_tokens
from toolkit.records import PriceClass

if TYPE_CHECKING:
    from toolkit.evals.running.dependencies import EvalDependencies
    from toolkit.evals.running.plan import Plan, Task

_SAMPLED: Final = 200
_ENOUGH: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one model of a run will take.

    Attributes:
        model: `provider/model_id`.
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


async def estimate(deps: EvalDependencies, plan: Plan) -> list[Estimate]:
    """One estimate per model; a solver that is a function is counted as one call per answer.

    The first 200 requests represent all; input is counted by its bytes.
    """
    found = []
    for model in plan.models:
        await deps.prices.prepare(model)
        found.append(await asyncio.to_thread(_estimate_one, deps, plan, model))
    return found


def _estimate_one(deps: EvalDependencies, plan: Plan, model: str) -> Estimate:
    calls = plan.total // len(plan.models)
    sampled = list(islice(plan.tasks(model), _SAMPLED))
    inputs = sum(map(_input_tokens, sampled)) * calls // max(len(sampled), 1)
    lengths, basis = _lengths(deps, model, [dict(s.params) for s in plan.solvers])
    provider, model_id = deps.resolve(model)
    price = deps.prices.prices_for(provider.name, model_id, datetime.now(UTC)).in_force
    mean_input = inputs // max(calls, 1)

    def cost(length: float) -> Decimal | None:
        if price is None:
            return None
        counts: dict[PriceClass, int] = {
            "input": inputs,
            "output": round(length * calls),
            "request": calls,
        }
        return charge(counts, price, input_tokens=mean_input).usd

    low, expected, high = map(cost, lengths)
    return Estimate(
        model=model,
        calls=calls,
        input_tokens=inputs,
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
