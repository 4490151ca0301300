"""The breaker against a small reference model: opens, waits, lets exactly one call try."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from toolkit.calls.policy.admission import Breaker, BreakerRules, Entry, Refusal

RULES = BreakerRules(window=100, min_calls=1000, trial_timeout_s=5)


class AgainstReference(RuleBasedStateMachine):
    """Calls overlap in any order; the reference knows rows of failures only.

    Three in a row open it, for 15 s doubling to 300 s. Each call carries the reference's own
    number of the span in which it was let in; from another span it must change nothing.
    """

    calls = Bundle("calls")

    def __init__(self):
        super().__init__()
        self.breaker = Breaker(RULES)
        self.now = 0.0
        self.span = 0
        self.in_row = self.times_opened = self.good_trials = 0
        self.open_until = None
        self.trial_until = None

    @property
    def state(self):
        if self.open_until is None:
            return "closed"
        return "open" if self.now < self.open_until else "half_open"

    def open(self):
        self.open_until = self.now + min(300.0, 15.0 * 2**self.times_opened)
        self.times_opened += 1
        self.span += 1
        self.trial_until, self.good_trials = None, 0

    def close(self):
        self.open_until, self.times_opened, self.in_row = None, 0, 0
        self.span += 1
        self.trial_until, self.good_trials = None, 0

    @rule(seconds=st.floats(0.1, 400))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(target=calls)
    def a_call_asks(self):
        answer = self.breaker.enter(self.now)
        state = self.state
        busy = self.trial_until is not None and self.now < self.trial_until
        if state == "open" or (state == "half_open" and busy):
            assert isinstance(answer, Refusal)
            assert answer.wait_s > 0
            return multiple()
        assert isinstance(answer, Entry)
        if state == "half_open":
            self.span += 1
            self.trial_until = self.now + 5
        return (answer, self.span)

    @rule(call=consumes(calls))
    def a_call_fails(self, call):
        entry, span = call
        self.breaker.fail(entry, self.now)
        if span != self.span:
            return
        self.in_row += 1
        if self.open_until is not None or self.in_row >= 3:
            self.open()

    @rule(call=consumes(calls))
    def a_call_succeeds(self, call):
        entry, span = call
        self.breaker.succeed(entry, self.now)
        if span != self.span:
            return
        self.in_row = 0
        if self.open_until is not None:
            self.trial_until = None
            self.good_trials += 1
            if self.good_trials >= 2:
                self.close()

    @rule(call=consumes(calls))
    def a_call_says_nothing(self, call):
        entry, span = call
        self.breaker.forget(entry)
        if span == self.span and self.open_until is not None:
            self.trial_until = None

    @invariant()
    def the_states_agree(self):
        assert self.breaker.state(self.now) == self.state


TestBreaker = AgainstReference.TestCase
TestBreaker.settings = settings(max_examples=200, stateful_step_count=40)


def opened(breaker, at=0.0, **stated):
    for _ in range(3):
        breaker.fail(breaker.enter(at), at, **stated)
    return breaker


def test_half_of_the_calls_failing_opens_it_without_a_row():
    breaker = Breaker()
    entry = breaker.enter(0)
    for i in range(2):
        breaker.fail(entry, i)
        breaker.succeed(entry, i)
    assert breaker.state(3) == "closed"
    breaker.fail(entry, 3)
    assert breaker.state(4) == "open"


def test_old_failures_do_not_count():
    breaker = Breaker(BreakerRules(failures_in_row=99))
    entry = breaker.enter(0)
    for i in range(4):
        breaker.fail(entry, i)
    breaker.fail(entry, 1000)
    assert breaker.state(1000) == "closed"


def test_a_longer_wait_of_the_provider_wins():
    breaker = opened(Breaker(), retry_after_s=200)
    assert breaker.enter(100) == Refusal(100)
    assert breaker.state(201) == "half_open"


def test_a_shorter_wait_of_the_provider_does_not():
    assert opened(Breaker(), retry_after_s=1).enter(5) == Refusal(10)


def test_a_trial_that_is_cancelled_lets_the_next_one_in():
    breaker = opened(Breaker())
    trial = breaker.enter(30)
    assert isinstance(trial, Entry)
    assert isinstance(breaker.enter(30), Refusal)
    breaker.forget(trial)
    assert isinstance(breaker.enter(31), Entry)


def test_a_trial_that_hangs_keeps_it_half_open_for_its_timeout_only():
    breaker = opened(Breaker())
    hanging = breaker.enter(30)
    assert breaker.enter(31) == Refusal(59)
    assert isinstance(breaker.enter(90), Entry)
    breaker.fail(hanging, 91)
    assert breaker.state(91) == "half_open", "the one that was given up decides nothing any more"


def test_a_slow_success_from_before_the_outage_does_not_end_it():
    breaker = Breaker()
    slow = breaker.enter(0)
    opened(breaker)
    breaker.succeed(slow, 30)
    breaker.succeed(slow, 31)
    assert breaker.state(31) == "half_open"


def test_the_time_it_stays_open_doubles_and_is_jittered():
    for rng, factor in ((0.0, 0.8), (0.5, 1.0), (0.999, 1.2)):
        breaker = opened(Breaker(random=lambda rng=rng: rng))
        waits, now = [], 0.0
        for _ in range(7):
            waits.append(breaker.enter(now).wait_s / factor)
            now += breaker.enter(now).wait_s
            breaker.fail(breaker.enter(now), now)
        assert [round(wait) for wait in waits] == [15, 30, 60, 120, 240, 300, 300]


def test_what_an_older_call_came_to_does_not_disturb_the_trial_that_runs():
    for outcome in ("fail", "succeed", "forget"):
        breaker = Breaker()
        older = breaker.enter(0)
        opened(breaker)
        assert isinstance(breaker.enter(30), Entry)
        args = (older,) if outcome == "forget" else (older, 31)
        getattr(breaker, outcome)(*args)
        assert isinstance(breaker.enter(32), Refusal), outcome
