"""Pacing under a simulated clock: never past the limit, in order, cancellable, never too late."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.calls.simulated import Clock
from toolkit.calls.policy.rate_limiter import MINUTE_S, RateLimiter, Window
from toolkit.errors import RateLimited

FAR = 1e9


def paced(clock, rpm=None, tpm=None):
    return RateLimiter(rpm, tpm, clock=clock, sleep=clock.sleep)


def busiest_minute(sent):
    """The most that any 60 seconds hold; `sent` is a list of (moment, amount)."""
    return max(
        sum(amount for at, amount in sent if start <= at < start + MINUTE_S) for start, _ in sent
    )


def test_requests_go_in_order_and_no_minute_holds_more_than_the_limit():
    clock = Clock()
    pace, order = paced(clock, rpm=60), []

    async def one(number):
        await pace.wait(0, deadline=FAR, provider="p")
        order.append((number, clock.now))
        await clock.sleep(0.25)

    async def go():
        await asyncio.gather(*(one(i) for i in range(200)))

    asyncio.run(go())
    assert [number for number, _ in order] == list(range(200))
    assert busiest_minute([(at, 1) for _, at in order]) == 60
    assert order[-1][1] - order[0][1] < 3 * MINUTE_S + 30, "and no slower than it must be"


@settings(max_examples=60)
@given(
    st.integers(1, 20),
    st.integers(50, 500),
    st.lists(st.tuples(st.floats(0, 30), st.integers(0, 700)), min_size=1, max_size=60),
)
def test_no_minute_ever_holds_more_than_either_limit(rpm, tpm, asks):
    clock = Clock()
    pace, sent = paced(clock, rpm, tpm), []

    async def go():
        for gap_s, tokens in asks:
            clock.now += gap_s
            await pace.wait(tokens, deadline=FAR, provider="p")
            sent.append((clock.now, tokens))

    asyncio.run(go())
    assert busiest_minute([(at, 1) for at, _ in sent]) <= rpm
    # One request may be larger than the limit; then it goes alone.
    assert busiest_minute([(at, min(tokens, tpm)) for at, tokens in sent]) <= tpm


def test_what_would_wait_past_its_deadline_is_refused_and_takes_nothing():
    clock = Clock()
    pace = paced(clock, tpm=100)

    async def go():
        await pace.wait(100, deadline=FAR, provider="p")
        with pytest.raises(RateLimited, match="the rate limit set for p") as refused:
            await pace.wait(100, deadline=clock.now + 30, provider="p")
        assert refused.value.retry_after == pytest.approx(60)
        assert (refused.value.cause, refused.value.blame) == ("own_limit", "policy")
        clock.now += 60
        place = await pace.wait(100, deadline=clock.now, provider="p")
        assert place.waited_ms == 0

    asyncio.run(go())


def test_whoever_stands_too_far_back_is_told_at_once():
    clock = Clock()
    pace = RateLimiter(2, None, clock=clock, sleep=lambda seconds: asyncio.sleep(3600))

    async def go():
        for _ in range(2):
            await pace.wait(0, deadline=FAR, provider="p")
        ahead = [asyncio.create_task(pace.wait(0, deadline=FAR, provider="p")) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(RateLimited, match=r"120\.0 s"):
            await pace.wait(0, deadline=clock.now + 100, provider="p")
        for task in ahead:
            task.cancel()
        await asyncio.wait(ahead)

    asyncio.run(go())


def test_a_waiter_that_is_cancelled_takes_nothing_and_the_next_one_moves_up():
    clock = Clock()
    gate = asyncio.Event()

    async def sleep(seconds):
        await gate.wait()
        clock.now += seconds

    pace = RateLimiter(1, None, clock=clock, sleep=sleep)

    async def go():
        await pace.wait(0, deadline=FAR, provider="p")
        first, second = (
            asyncio.create_task(pace.wait(0, deadline=FAR, provider="p")) for _ in range(2)
        )
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        gate.set()
        place = await second
        assert place.waited_ms == pytest.approx(60_000)

    asyncio.run(go())


def test_an_estimate_is_set_right_when_the_true_number_is_known():
    clock = Clock()
    pace = paced(clock, tpm=100)

    async def go():
        place = await pace.wait(100, deadline=FAR, provider="p")
        place.correct(10)
        assert (await pace.wait(90, deadline=clock.now, provider="p")).waited_ms == 0
        place.correct(10)
        with pytest.raises(RateLimited):
            await pace.wait(1, deadline=clock.now, provider="p")

    asyncio.run(go())


def test_a_correction_of_what_no_longer_counts_changes_nothing():
    window = Window(100)
    sent = window.take(100, 0)
    assert window.wait_s(50, 60) == 0
    window.correct(sent, 5)
    window.take(100, 60)
    assert window.wait_s(1, 61) == pytest.approx(59)


def test_a_corrected_estimate_lets_a_waiter_through_sooner():
    clock = Clock()
    pace = paced(clock, tpm=100)

    async def go():
        place = await pace.wait(100, deadline=FAR, provider="p")
        waiting = asyncio.create_task(pace.wait(50, deadline=FAR, provider="p"))
        await asyncio.sleep(0)
        place.correct(10)
        assert (await waiting).waited_ms <= 1000

    asyncio.run(go())


def test_without_limits_nobody_waits():
    clock = Clock()

    async def go():
        for _ in range(100):
            assert (await paced(clock).wait(10**9, deadline=0, provider="p")).waited_ms == 0

    asyncio.run(go())


def test_event_loops_in_several_threads_share_one_limit():
    clock = Clock()
    pace = RateLimiter(50, None, clock=clock, sleep=clock.sleep)
    through = []

    async def go():
        for _ in range(40):
            try:
                await pace.wait(0, deadline=clock.now, provider="p")
                through.append(1)
            except RateLimited:
                await asyncio.sleep(0)

    threads = [threading.Thread(target=lambda: asyncio.run(go())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(through) == 50
