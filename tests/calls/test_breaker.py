"""The breaker against a small reference model: opens, waits, lets exactly one call try."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from toolkit.calls.breaker import Breaker, BreakerRules

RULES = BreakerRules(window=100, min_calls=1000, trial_timeout_s=5)


class AgainstReference(RuleBasedStateMachine):
    """The reference knows rows of failures only: three open it, for 15 s doubling to 300 s."""

    def __init__(self):
        super().__init__()
        self.breaker = Breaker(RULES)
        self.now = 0.0
        self.in_row = 0
        self.opened = 0
        self.open_until = None
        self.trial_until = None
        self.good_trials = 0

    def is_open(self):
        return self.open_until is not None and self.now < self.open_until

    def is_half_open(self):
        return self.open_until is not None and self.now >= self.open_until

    def reference_open(self):
        self.open_until = self.now + min(300.0, 15.0 * 2**self.opened)
        self.opened += 1
        self.trial_until, self.good_trials = None, 0

    @rule(seconds=st.floats(0.1, 400))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def ask(self):
        admitted = self.breaker.enter(self.now) is None
        if self.is_open():
            assert not admitted
        elif self.is_half_open():
            busy = self.trial_until is not None and self.now < self.trial_until
            assert admitted != busy
            if admitted:
                self.trial_until = self.now + 5
        else:
            assert admitted

    @precondition(lambda self: not self.is_open())
    @rule()
    def a_call_fails(self):
        self.breaker.fail(self.now)
        self.in_row += 1
        if self.is_half_open() or self.in_row >= 3:
            self.reference_open()

    @precondition(lambda self: not self.is_open())
    @rule()
    def a_call_succeeds(self):
        self.breaker.succeed(self.now)
        self.in_row = 0
        if self.is_half_open():
            self.trial_until = None
            self.good_trials += 1
            if self.good_trials >= 2:
                self.open_until, self.opened, self.good_trials = None, 0, 0

    @invariant()
    def the_states_agree(self):
        expected = "open" if self.is_open() else "half_open" if self.is_half_open() else "closed"
        assert self.breaker.state(self.now) == expected


TestBreaker = AgainstReference.TestCase
TestBreaker.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_half_of_the_calls_failing_opens_it_without_a_row():
    breaker = Breaker()
    for i in range(2):
        breaker.fail(i)
        breaker.succeed(i)
    assert breaker.state(3) == "closed"
    breaker.fail(3)
    assert breaker.state(4) == "open"


def test_old_failures_do_not_count():
    breaker = Breaker(BreakerRules(failures_in_row=99))
    for i in range(4):
        breaker.fail(i)
    breaker.fail(1000)
    assert breaker.state(1000) == "closed"


def test_a_longer_wait_of_the_provider_wins():
    breaker = Breaker()
    for _ in range(3):
        breaker.fail(0, retry_after_s=200)
    assert breaker.enter(100) == 100
    assert breaker.state(201) == "half_open"


def test_a_trial_that_is_cancelled_lets_the_next_one_in():
    breaker = Breaker()
    for _ in range(3):
        breaker.fail(0)
    assert breaker.enter(30) is None
    assert breaker.enter(30) is not None
    breaker.forget(31)
    assert breaker.enter(31) is None
