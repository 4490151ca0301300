"""What this machine lost while offline counts against nobody; what one provider lost does."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from toolkit.health.analysis.offline import discount_offline, has_route
from toolkit.health.analysis.state import Evidence, derive

START = datetime(2026, 1, 1, tzinfo=UTC)
ORIGINS = {name: f"https://{name}" for name in ("one", "two", "near")}


def see(at_s, outcome, blame=None):
    blame = blame or {"bad": "network"}.get(outcome)
    at = START + timedelta(seconds=at_s)
    return Evidence(evidence_id=f"e{at_s}", at=at, outcome=outcome, blame=blame)


def outcomes(items):
    return [item.outcome for item in items]


def test_two_unrelated_providers_lost_at_once_are_this_machine():
    seen = {"one": [see(0, "bad")], "two": [see(10, "bad")]}
    judged = discount_offline(seen, ORIGINS)
    assert outcomes(judged["one"]) == outcomes(judged["two"]) == ["neutral"]


def test_one_that_is_lost_while_another_answers_is_that_one():
    seen = {"one": [see(0, "bad")], "two": [see(10, "good")]}
    assert outcomes(discount_offline(seen, ORIGINS)["one"]) == ["bad"]


def test_any_answer_from_afar_proves_the_network_even_a_refusal():
    seen = {
        "one": [see(0, "bad")],
        "two": [see(5, "bad")],
        "three": [see(9, "bad", "provider")],
    }
    assert outcomes(discount_offline(seen, ORIGINS)["one"]) == ["bad"]


def test_a_provider_of_this_machine_is_no_witness_and_is_judged_as_before():
    seen = {"one": [see(0, "bad")], "near": [see(1, "good"), see(2, "bad")]}
    judged = discount_offline(seen, ORIGINS, local={"near"})
    assert outcomes(judged["near"]) == ["good", "bad"]
    assert outcomes(judged["one"]) == ["bad"]


def test_two_names_of_one_origin_are_one_witness():
    seen = {"one": [see(0, "bad")], "two": [see(1, "bad")]}
    judged = discount_offline(seen, {"one": "https://same", "two": "https://same"})
    assert outcomes(judged["one"]) == ["bad"]


@given(st.lists(st.integers(0, 3600), min_size=3, max_size=40))
def test_nobody_is_down_after_an_hour_offline(moments):
    seen = {name: [see(at_s, "bad") for at_s in sorted(moments)] for name in ("one", "two")}
    for items in discount_offline(seen, ORIGINS).values():
        assert derive(items, START + timedelta(hours=1)).state == "unknown"


def test_a_way_out_is_asked_of_the_system_without_sending_anything():
    assert has_route([(socket.AF_INET, "127.0.0.1")])
    assert not has_route([])
