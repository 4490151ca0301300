"""Incidents: one per outage, where it sits, and the same again from the same evidence."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.health.analysis.incidents import find_incidents
from toolkit.health.analysis.outages import find_spans
from toolkit.health.analysis.state import Evidence
from toolkit.health.monitoring.incident_tracker import reconcile

START = datetime(2026, 1, 1, tzinfo=UTC)
BLAMES = {"bad": "provider", "auth": "client", "limited": "policy"}


def see(at_s, outcome, **more):
    more = {"blame": BLAMES.get(outcome), "reason": f"{outcome.upper()} why"} | more
    at = START + timedelta(seconds=at_s)
    return Evidence(evidence_id=f"e{at_s}{more.get('model', '')}", at=at, outcome=outcome, **more)


def every(seconds, outcomes, from_s=0, **more):
    return [see(from_s + i * seconds, outcome, **more) for i, outcome in enumerate(outcomes)]


def at(seconds):
    return START + timedelta(seconds=seconds)


def incidents(evidence, now_s=None, **seen):
    seen = {"acme": evidence, **seen}
    last = max(item.at for items in seen.values() for item in items)
    return find_incidents(seen, last if now_s is None else at(now_s))


def test_an_outage_begins_with_its_first_failure_and_ends_with_its_first_good_answer():
    seen = every(300, ["good"] * 5 + ["bad"] * 6 + ["good"] * 10)
    (one,) = incidents(seen)
    assert (one.opened_at, one.closed_at) == (at(5 * 300), at(11 * 300))
    assert one.noticed_at == at(7 * 300)  # the third probe
    assert (one.state, one.scope, one.failures, one.error_code) == ("down", "provider", 6, "BAD")
    assert one.evidence[0] == "e1500"


def test_what_goes_on_has_no_end():
    (one,) = incidents(every(300, ["good"] * 3 + ["bad"] * 4))
    assert one.closed_at is None


def test_single_failures_are_no_incident():
    assert incidents(every(300, (["good"] * 9 + ["bad"]) * 10)) == []


def test_a_relapse_belongs_to_the_same_incident():
    outcomes = ["good"] * 5 + (["bad"] * 4 + ["good"] * 3) * 5 + ["good"] * 30
    assert len(incidents(every(300, outcomes))) == 1


def test_a_refused_key_is_an_incident_of_the_key_and_ends_with_one_good_answer():
    (one,) = incidents(every(300, ["good", "auth", "auth", "good"]))
    assert (one.state, one.scope) == ("auth_error", "key")
    assert (one.opened_at, one.closed_at) == (at(300), at(900))


def test_a_key_that_is_refused_by_turns_is_a_few_incidents_not_many():
    assert len(incidents(every(300, ["good", "auth"] * 60))) <= 2


def test_a_key_that_expires_while_an_outage_calms_down_is_another_incident():
    outage, key = incidents(every(300, ["bad"] * 4 + ["good"] * 3 + ["auth"] * 3 + ["good"] * 5))
    assert (outage.scope, outage.closed_at) == ("provider", at(4 * 300))
    assert (key.scope, key.opened_at, key.closed_at) == ("key", at(7 * 300), at(10 * 300))


@pytest.mark.parametrize("outcome", ["limited", "neutral"])
def test_limits_and_the_callers_own_faults_are_no_incidents(outcome):
    assert incidents(every(300, ["good"] * 3 + [outcome] * 30)) == []


def test_silence_ends_an_incident_because_nobody_knows_any_more():
    (one,) = incidents(every(300, ["bad"] * 5), now_s=100_000)
    assert one.closed_at == at(4 * 300 + 3600)
    assert one.reason.endswith("no activity since")


def test_evidence_after_a_silence_opens_a_new_one():
    seen = every(300, ["bad"] * 5) + every(300, ["bad"] * 5, from_s=100_000)
    assert len(incidents(seen)) == 2


def test_one_broken_model_is_an_incident_of_that_model_alone():
    broken = every(300, ["bad"] * 8, model="acme/large")
    fine = every(300, ["good"] * 12, from_s=7, model="acme/small")
    (one,) = incidents(sorted([*broken, *fine], key=lambda item: item.at))
    assert (one.scope, one.model) == ("model", "acme/large")


def test_when_all_models_fail_it_is_the_provider():
    first = every(300, ["bad"] * 8, model="acme/large")
    second = every(300, ["bad"] * 8, from_s=7, model="acme/small")
    (one,) = incidents(sorted([*first, *second], key=lambda item: item.at))
    assert (one.scope, one.model) == ("provider", None)


def test_nobody_reached_and_nobody_else_to_compare_with_is_the_network():
    lost = every(300, ["bad"] * 5, blame="network")
    assert incidents(lost)[0].scope == "network"
    others = every(300, ["good"] * 5, from_s=3)
    assert incidents(lost, other=others)[0].scope == "provider"
    assert find_incidents({"acme": lost}, at(1500), local={"acme"})[0].scope == "provider"


@pytest.mark.parametrize("seed", range(20))
def test_thirty_percent_loss_for_a_day_alerts_a_few_times_at_most(seed):
    rng = random.Random(seed)
    seen = every(300, ["bad" if rng.random() < 0.3 else "good" for _ in range(288)])
    found = incidents(seen)
    assert len(found) <= 3
    assert len(found) <= len(ReferenceOutages(seen).begun) + 1


def test_ten_thousand_healthy_hours_with_two_percent_noise_hold_no_incident():
    """A probe asks once more before it counts as bad, so noise must strike twice each time."""
    rng = random.Random(7)

    def probe():
        return "bad" if rng.random() < 0.02 and rng.random() < 0.02 else "good"

    seen = [see(i * 300, probe()) for i in range(10_000 * 12)]
    assert sum(item.outcome == "bad" for item in seen) > 20
    assert find_spans(seen, seen[-1].at) == []


outcomes = st.sampled_from(["good", "good", "good", "bad", "bad", "auth", "limited", "neutral"])
traces = st.lists(st.tuples(outcomes, st.integers(1, 900)), max_size=60)


def trace_of(steps):
    at_s, seen = 0, []
    for outcome, wait_s in steps:
        at_s += wait_s
        seen.append(see(at_s, outcome))
    return seen


class ReferenceOutages:
    """Outages in the fewest words: three bad in a row begin one, unless one goes on."""

    def __init__(self, seen):
        self.begun, run, is_down, good, last = [], [], False, [], None
        for item in seen:
            if item.outcome == "neutral":
                continue
            if last is not None and (item.at - last).total_seconds() >= 3600:
                run, is_down, good = [], False, []
            last = item.at
            if item.outcome == "bad":
                run, good = [*run, item], []
                if len(run) >= 3 and not is_down:
                    self.begun.append(run[-3].at)
                    is_down = True
            elif item.outcome == "good":
                run, good = [], [*good, item.at]
                is_down = is_down and (len(good) < 2 or (good[-1] - good[0]).total_seconds() < 30)


@settings(max_examples=1000)
@given(traces)
def test_every_outage_of_the_reference_lies_in_exactly_one_incident(steps):
    seen = trace_of(steps)
    now = seen[-1].at if seen else START
    spans = find_spans(seen, now)
    for begun in ReferenceOutages(seen).begun:
        holding = [
            span
            for span in spans
            if span.first.at <= begun and (span.closed_at is None or begun < span.closed_at)
        ]
        assert len(holding) == 1
    for before, after in pairwise(spans):
        assert before.closed_at is not None
        assert before.closed_at <= after.first.at
    assert len(spans) <= sum(item.outcome in ("bad", "auth") for item in seen)


@settings(max_examples=200)
@given(traces)
def test_incidents_found_bit_by_bit_are_written_once_each(steps):
    """However often the evidence is looked at, each incident is one row with one end."""
    seen, table, ends = trace_of(steps), {}, {}
    for n in range(1, len(seen) + 1):
        now = seen[n - 1].at
        found = find_incidents({"acme": seen[:n]}, now)
        for row in reconcile(list(table.values()), found, now):
            ends.setdefault(row["incident_id"], set())
            if row["closed_at"] is not None:
                ends[row["incident_id"]].add(row["closed_at"])
            table[row["incident_id"]] = row
    final = find_incidents({"acme": seen}, seen[-1].at if seen else START)
    assert len(table) == len(final)
    assert all(len(moments) <= 1 for moments in ends.values())
    assert reconcile(list(table.values()), final, START) == []


def test_after_a_restart_with_less_evidence_the_row_is_the_same():
    seen = every(300, ["good"] * 5 + ["bad"] * 10)
    rows = reconcile([], find_incidents({"acme": seen}, seen[-1].at), seen[-1].at)
    later = every(300, ["bad"] * 5 + ["good"] * 10, from_s=3000)  # the begin is out of sight
    (closed,) = reconcile(rows, find_incidents({"acme": later}, later[-1].at), later[-1].at)
    assert closed["incident_id"] == rows[0]["incident_id"]
    assert closed["opened_at"] == rows[0]["opened_at"]
    assert closed["closed_at"] == at(3000 + 5 * 300)


def test_trouble_that_turns_out_to_be_of_one_model_keeps_its_row():
    broken = every(60, ["bad"] * 5, model="acme/large")
    rows = reconcile([], find_incidents({"acme": broken}, at(240)), at(240))
    assert rows[0]["scope"] == "provider"
    seen = sorted([*broken, *every(60, ["good"] * 8, from_s=7)], key=lambda item: item.at)
    (known,) = reconcile(rows, find_incidents({"acme": seen}, at(500)), at(500))
    assert (known["incident_id"], known["scope"], known["model"]) == (
        rows[0]["incident_id"],
        "model",
        "acme/large",
    )


def test_an_incident_that_later_evidence_does_not_bear_out_is_taken_back():
    lost = every(60, ["bad"] * 4, blame="network")
    rows = reconcile([], find_incidents({"acme": lost}, at(200)), at(200))
    (row,) = reconcile(rows, [], at(300))
    assert row["closed_at"] == at(300)
    assert "shows no incident" in row["reason"]
