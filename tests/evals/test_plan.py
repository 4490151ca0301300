"""The bookkeeping of a run: nothing is asked twice, nothing is left out, places follow the 429s."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from toolkit.evals.dataset import Dataset, Sample
from toolkit.evals.running.plan import Plan, hash_id
from toolkit.evals.running.retrying_client import AdaptiveLimit
from toolkit.evals.solvers import Solver

COUNTS = st.integers(1, 4)


@given(COUNTS, COUNTS, COUNTS, COUNTS, st.data())
def test_whatever_was_done_the_rest_is_asked_exactly_once(
    models: int, variants: int, samples: int, epochs: int, data: st.DataObject
) -> None:
    plan = Plan(
        dataset=Dataset(Sample(sample_id=str(i), input="?") for i in range(samples)),
        models=[f"m/{i}" for i in range(models)],
        solvers=[Solver(name=str(i)) for i in range(variants)],
        epochs=epochs,
    )
    keys = list(plan.keys())
    assert len(set(keys)) == len(keys) == plan.total
    done = frozenset(data.draw(st.sets(st.sampled_from(keys))))
    left = [task.key for model in plan.models for task in plan.tasks(model, done)]
    assert len(left) == len(set(left)) and set(left) == set(keys) - done
    assert len({hash_id("run", key) for key in keys}) == plan.total


def test_every_sample_is_asked_once_before_any_is_repeated() -> None:
    data = Dataset(Sample(sample_id=str(i), input="?") for i in range(3))
    plan = Plan(dataset=data, models=["m/m"], solvers=[Solver(name="s")], epochs=2)
    assert [task.epoch for task in plan.tasks("m/m")] == [1, 1, 1, 2, 2, 2]


def test_a_seed_draws_the_order_of_the_samples_and_nothing_else() -> None:
    data = Dataset(Sample(sample_id=str(i), input="?") for i in range(50))
    by_seed = {
        seed: [
            task.key
            for task in Plan(
                dataset=data, models=["m/m"], solvers=[Solver(name="s")], epochs=2, seed=seed
            ).tasks("m/m")
        ]
        for seed in (None, 1, 2)
    }
    assert [key.sample_id for key in by_seed[None][:50]] == [str(i) for i in range(50)]
    assert len({tuple(keys) for keys in by_seed.values()}) == 3
    assert len({frozenset(keys) for keys in by_seed.values()}) == 1
    assert [key.epoch for key in by_seed[1]] == [1] * 50 + [2] * 50


async def _take_all(limit: AdaptiveLimit) -> None:
    while limit.is_open:
        await limit.enter()


async def _answer_all(limit: AdaptiveLimit) -> int:
    """A round: every place is taken, then every call is answered without complaint."""
    await _take_all(limit)
    for _ in range(limit.width):
        limit.note(was_limited=False)
        limit.leave()
        await _take_all(limit)
    return limit.width


def test_places_double_with_each_round_until_the_first_429_and_never_pass_the_most() -> None:
    async def follow() -> list[int]:
        limit = AdaptiveLimit(50, start=8)
        return [await _answer_all(limit) for _ in range(4)]

    assert asyncio.run(follow()) == [16, 32, 50, 50]


def test_after_a_429_half_the_places_are_left_and_one_more_comes_with_each_round() -> None:
    async def follow() -> tuple[int, list[int]]:
        limit = AdaptiveLimit(64, start=16)
        await _take_all(limit)
        limit.note(was_limited=True)
        limit.note(was_limited=True)  # of the same round: says nothing new
        halved = limit.width
        while not limit.is_open:
            limit.leave()
        return halved, [await _answer_all(limit) for _ in range(3)]

    assert asyncio.run(follow()) == (8, [9, 10, 11])


def test_places_that_were_not_all_taken_show_nothing() -> None:
    limit = AdaptiveLimit(64, start=4)
    for _ in range(40):
        limit.note(was_limited=False)
    assert limit.width == 4


@given(st.lists(st.booleans(), max_size=60))
def test_there_is_always_a_place_and_never_too_many(limited: list[bool]) -> None:
    async def follow() -> None:
        limit = AdaptiveLimit(6)
        inside = 0

        async def call(was_limited: bool) -> None:
            nonlocal inside
            async with limit:
                inside += 1
                assert inside <= 6
                await asyncio.sleep(0)
                limit.note(was_limited=was_limited)
                inside -= 1

        await asyncio.gather(*map(call, limited))
        assert 1 <= limit.width <= 6

    asyncio.run(follow())
