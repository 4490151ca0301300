"""The schedule: spread, one at a time per origin, soon after doubt, seldom in trouble."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.health.monitoring.schedule import Pace, Schedule


def schedule_of(count, *, origins=None, seed=1, **pace):
    schedule = Schedule(Pace(**pace), random.Random(seed).random)
    names = [f"p{i}" for i in range(count)]
    schedule.follow({name: origins or f"https://{name}" for name in names}, 0.0)
    return schedule


def play(schedule, until_s, *, tick_s=0.25, finding="fine", from_s=0.0, takes_s=0.0):
    """Starts as (moment, name), every probe taking `takes_s`."""
    starts, flying, now = [], [], from_s
    while now < until_s:
        for end, name in [one for one in flying if one[0] <= now]:
            schedule.done(name, now, finding)
            flying.remove((end, name))
        for name in schedule.take_due(now):
            starts.append((now, name))
            flying.append((now + takes_s, name))
        now += tick_s
    return starts


def most_in_a_second(starts):
    return max(Counter(int(at) for at, _ in starts).values())


def test_five_hundred_providers_start_without_a_burst():
    starts = play(schedule_of(500), 400.0)
    assert most_in_a_second(starts) <= 25  # 5 % a second
    assert len({name for _, name in starts}) == 500


def test_after_a_sleep_of_the_machine_there_is_no_burst_either():
    schedule = schedule_of(500)
    play(schedule, 400.0)
    starts = play(schedule, 50_400.0, from_s=50_000.0)
    assert most_in_a_second(starts) <= 25
    assert len({name for _, name in starts}) == 500


def test_a_few_providers_are_looked_at_within_seconds():
    assert len(play(schedule_of(3), 5.0)) == 3


def test_all_are_asked_about_once_an_interval():
    starts = Counter(name for _, name in play(schedule_of(20), 3000.0, tick_s=1.0))
    assert all(8 <= n <= 13 for n in starts.values())


def test_one_probe_at_a_time_goes_to_an_origin():
    schedule = schedule_of(5, origins="https://same")
    assert len(schedule.take_due(1000.0)) == 1
    assert schedule.take_due(1100.0) == []
    schedule.done("p0", 1100.0, "fine")
    assert len(schedule.take_due(1200.0)) == 1


def test_probes_that_hang_do_not_pile_up():
    starts = play(schedule_of(500), 900.0, takes_s=1e9)
    assert len(starts) == Pace().most_at_once


@given(st.integers(0, 10_000))
def test_jitter_stays_within_its_share(seed):
    schedule = schedule_of(1, seed=seed)
    schedule.take_due(10.0)
    schedule.done("p0", 10.0, "fine")
    assert 240.0 <= schedule.next_times()["p0"] - 10.0 <= 360.0


def test_doubt_is_settled_soon_and_trouble_is_asked_ever_more_seldom():
    schedule = schedule_of(1, jitter=0.0)

    def wait_after(finding):
        schedule.done("p0", 0.0, finding)
        return schedule.next_times()["p0"]

    assert wait_after("unsettled") == 60.0
    assert [wait_after("trouble") for _ in range(5)] == [300.0, 600.0, 900.0, 900.0, 900.0]
    assert wait_after("fine") == 300.0
    assert wait_after("trouble") == 300.0


@pytest.mark.parametrize(("asked_s", "waits_s"), [(1000, 1000), (10, 300), (1e9, 3600)])
def test_a_stated_wait_is_honoured_within_an_hour(asked_s, waits_s):
    schedule = schedule_of(1, jitter=0.0)
    schedule.done("p0", 0.0, "fine", asked_s)
    assert schedule.next_times()["p0"] == waits_s


def test_who_is_gone_is_forgotten_and_who_is_new_is_taken_up():
    schedule = schedule_of(2)
    schedule.take_due(100.0)
    schedule.follow({"p1": "https://p1", "new": "https://new"}, 100.0)
    assert set(schedule.next_times()) == {"p1", "new"}
    schedule.done("p0", 100.0, "fine")


def test_back_online_all_are_asked_again_soon_and_spread():
    schedule = schedule_of(100)
    play(schedule, 200.0)
    schedule.restart(1000.0)
    starts = play(schedule, 1310.0, from_s=1000.0)
    assert most_in_a_second(starts) <= 5
    assert len({name for _, name in starts}) == 100


def test_only_those_that_may_be_asked_are():
    schedule = schedule_of(3)
    assert schedule.take_due(1000.0, only={"p1"}) == ["p1"]
