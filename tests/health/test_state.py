"""States follow from evidence alone: against a small reference model, and by cases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.health.analysis.state import (
    Evidence,
    Health,
    Rules,
    derive,
    judge_row,
    pause,
    resume,
    settle,
    step,
)

START = datetime(2026, 1, 1, tzinfo=UTC)


def see(outcome, at_s, **more):
    at = START + timedelta(seconds=at_s)
    return Evidence(evidence_id=f"e{at_s}", at=at, outcome=outcome, **more)


def after(*outcomes, every_s=300):
    health = Health()
    for i, outcome in enumerate(outcomes):
        health = step(health, see(outcome, i * every_s))
    return health


class ReferenceDown:
    """Down and up in the fewest words: three bad in a row, the first and the last at least 2 s
    apart; two good at least 30 s apart.

    After an hour without anything that counts all is forgotten.
    """

    def __init__(self):
        self.bad, self.good, self.is_down, self.last_s = [], [], False, 0

    def see(self, outcome, at_s):
        if outcome != "neutral":
            if at_s - self.last_s >= 3600:
                self.bad, self.good, self.is_down = [], [], False
            self.last_s = at_s
        if outcome == "bad":
            self.bad, self.good = [*self.bad, at_s], []
            at_once = self.bad[-1] - self.bad[0] < 2
            self.is_down = self.is_down or (len(self.bad) >= 3 and not at_once)
        elif outcome in ("good", "slow"):
            self.bad, self.good = [], [*self.good, at_s]
            if len(self.good) >= 2 and self.good[-1] - self.good[0] >= 30:
                self.is_down = False


outcomes = st.sampled_from(["good", "good", "good", "slow", "bad", "bad", "neutral"])
traces = st.lists(st.tuples(outcomes, st.integers(0, 3) | st.integers(1, 600)), max_size=80)


@settings(max_examples=1000)
@given(traces)
def test_down_is_what_the_reference_says(trace):
    health, reference, at_s = Health(), ReferenceDown(), 0
    for outcome, wait_s in trace:
        at_s += wait_s
        health = step(health, see(outcome, at_s))
        reference.see(outcome, at_s)
        assert (health.state == "down") == reference.is_down


@given(traces)
def test_no_state_changes_without_evidence_or_the_end_of_a_limit(trace):
    health, at_s = Health(), 0
    for outcome, wait_s in trace:
        at_s += wait_s
        later = step(health, see(outcome, at_s))
        if outcome == "neutral":
            assert later == health
        elif later.state != health.state:
            assert later.evidence
            assert later.since == START + timedelta(seconds=at_s)
        health = later


@pytest.mark.parametrize("outcome", ["auth", "limited", "neutral"])
def test_a_fault_of_the_key_the_account_or_the_client_never_means_down(outcome):
    assert after(*[outcome] * 50).state != "down"


def test_a_single_failure_is_no_outage():
    assert after("good", "good", "bad", "good").state == "healthy"


def test_down_says_how_many_failed_and_why():
    health = Health()
    for i in range(3):
        health = step(health, see("bad", i, reason="SERVER_ERROR"))
    assert health.state == "down"
    assert health.reason == "3 failures in a row, last: SERVER_ERROR"


def test_one_lucky_answer_is_no_recovery():
    assert after("bad", "bad", "bad", "good").state == "down"
    quick = after("bad", "bad", "bad", "good", "good", every_s=10)
    assert quick.state == "down"
    assert after("bad", "bad", "bad", "good", "good").state in ("healthy", "degraded")


def test_a_refused_key_shows_until_a_good_answer():
    assert after("good", "auth").state == "auth_error"
    assert after("good", "auth", "bad").state == "auth_error"
    assert after("good", "auth", "good").state == "healthy"


def test_a_rate_limit_ends_when_the_provider_said():
    until = START + timedelta(seconds=90)
    health = step(after("good"), see("limited", 1, until=until))
    assert health.state == "rate_limited"
    assert settle(health, START + timedelta(seconds=89)).state == "rate_limited"
    ended = settle(health, until)
    assert (ended.state, ended.since) == ("healthy", until)


def test_a_shorter_limit_never_shortens_a_longer_one():
    long_until = START + timedelta(seconds=600)
    health = step(Health(), see("limited", 0, until=long_until))
    health = step(health, see("limited", 1, until=START + timedelta(seconds=5)))
    assert health.until == long_until


def test_many_failures_between_good_answers_are_degraded_not_down():
    assert after(*["good", "bad", "bad"] * 6).state == "degraded"


def test_slow_answers_are_degraded():
    health = after(*["slow"] * 6)
    assert (health.state, health.reason) == ("degraded", "6 of the last 6 were slow")


def test_good_and_bad_by_turns_is_flapping():
    health = after(*["good", "bad"] * 12)
    assert health.is_flapping
    assert health.reason == "flapping: successes and failures alternate"
    calm = health
    for i in range(25):
        calm = step(calm, see("good", 10_000 + i * 300))
    assert not calm.is_flapping
    assert calm.state == "healthy"


def test_calls_that_fail_in_the_same_moment_are_one_bad_moment():
    """With 100 calls a second and 2 % noise three failures in a row come by every few hours."""
    health = after("good", "good")
    for i in range(20):
        health = step(health, see("bad", 600 + i * 0.05))
    assert health.state != "down"
    assert step(health, see("bad", 602)).state == "down"


def test_old_evidence_proves_nothing():
    health = derive([see("good", 0)], START + timedelta(hours=2))
    assert health.state == "unknown"
    assert health.last_success_at == START


def test_a_pause_holds_the_state_and_gives_it_back():
    health = after("good", "good")
    held = pause(health, START + timedelta(minutes=9), "this machine is offline")
    assert held.state == "paused"
    assert resume(held, START + timedelta(minutes=12)).state == "healthy"


def test_a_clock_that_jumps_back_changes_nothing():
    health = after("good", "bad", "bad")
    late = step(health, see("bad", -3600))
    assert late.state == "down"
    assert late.last_at == health.last_at


def test_rows_are_judged_by_code_and_blame():
    def judge(**row):
        return judge_row(row, slow_ms=1000)

    assert judge(status="ok", ttft_ms=200) == "good"
    assert judge(status="ok", ttft_ms=2000) == "slow"
    assert judge(status="ok", ttft_ms=None, duration_ms=2000) == "slow"
    assert judge(status="cancelled") == "neutral"
    assert judge(status="error", error_code="SERVER_ERROR", blame="provider") == "bad"
    assert judge(status="error", error_code="REQUEST_FAILED", blame="network") == "bad"
    assert judge(status="error", error_code="CLIENT_ERROR", blame="client") == "neutral"
    assert judge(status="error", error_code="AUTHENTICATION_FAILED", blame="client") == "auth"
    assert judge(status="error", error_code="RATE_LIMIT_EXCEEDED", blame="policy") == "limited"
    assert judge(status="error", error_code="QUOTA_EXCEEDED", blame="policy") == "limited"


def test_the_rules_can_be_changed():
    strict = Rules(down_after=1, down_apart_s=0)
    assert step(Health(), see("bad", 0), strict).state == "down"


def _call(second, outcome, reason="STREAM_ERROR cut"):
    return Evidence(
        evidence_id=f"c{second}",
        at=START + timedelta(seconds=second),
        outcome=outcome,
        reason=reason if outcome == "bad" else "",
        model="flaky/m",
    )


def _listing(second):
    return Evidence(
        evidence_id=f"l{second}",
        at=START + timedelta(seconds=second),
        outcome="good",
        is_probe=True,
    )


def test_a_good_listing_does_not_outvote_calls_that_all_failed():
    calls = [_call(n, "bad") for n in range(4)]
    listings = [_listing(60 + 60 * n) for n in range(40)]
    for end in (60, 300, 2_400):
        seen = [*calls, *(item for item in listings if item.at <= START + timedelta(seconds=end))]
        health = derive(seen, START + timedelta(seconds=end))
        assert health.state in ("degraded", "down"), health
        assert "4" in health.reason
    answered = [*calls, *listings, _call(2_500, "good"), _call(2_540, "good")]
    assert derive(answered, START + timedelta(seconds=2_541)).state == "healthy"


def test_failed_calls_that_never_arrived_are_over_when_the_listing_answers():
    calls = [_call(n * 10, "bad", "REQUEST_FAILED connect") for n in range(4)]
    seen = [*calls, *(_listing(100 + 40 * n) for n in range(6))]
    assert derive(seen, START + timedelta(seconds=301)).state == "healthy"


def test_old_failed_calls_do_not_hold_for_ever():
    calls = [_call(n, "bad") for n in range(4)]
    listings = [_listing(600 * n) for n in range(1, 40)]
    assert derive([*calls, *listings], START + timedelta(seconds=600 * 39)).state == "healthy"


def test_one_failed_call_among_good_ones_is_a_single_failure():
    seen = [_call(0, "good"), _call(10, "bad"), _listing(60)]
    health = derive(seen, START + timedelta(seconds=61))
    assert (health.state, health.reason) == ("healthy", "answers, with occasional failures")
