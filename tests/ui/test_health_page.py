"""The Health page: one dense row per provider, the worst first, and the chosen one below it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from uuid_utils import uuid7

from toolkit.charts.states import TROUBLE, provider_state, reason_words
from toolkit.records import Call
from toolkit.ui.components.pictures import strip
from toolkit.ui.health.health_labels import how_things_are, rate_words, what_was_lost


def failed_calls(provider, n=10):
    now = datetime.now(UTC)
    return [
        Call(
            call_id=str(uuid7()),
            request_id=str(uuid7()),
            attempt=1,
            attempt_kind="first",
            origin="api",
            started_at=now - timedelta(minutes=5, seconds=number),
            seq=number,
            provider=provider,
            model=f"{provider}/model",
            status="error",
            error_code="REQUEST_FAILED",
            blame="network",
            duration_ms=40.0,
        ).as_row()
        for number in range(n)
    ]


@pytest.fixture
def watched(toolkit):
    """Two providers: `down` refused ten calls in a row, `mock` was never called."""
    toolkit.providers.registry.add("down", base_url="http://127.0.0.1:8999/v1", is_local=True)
    toolkit.store.append_many("calls", failed_calls("down"))
    return toolkit


def table(page, key="health-table"):
    return next(frame.value for frame in page.dataframe if frame.proto.id.endswith(key))


def test_every_provider_in_use_is_one_row_and_the_worst_comes_first(watched, open_page):
    page = open_page("health")
    assert not page.exception
    rows = table(page)
    assert rows["Provider"].iloc[0] == "down"
    assert rows["State"].iloc[0] == "○ down"
    assert "REQUEST_FAILED" not in rows["Why"].iloc[0]  # words, not codes
    assert "mock" in list(rows["Provider"])
    assert rows["Failed %"].iloc[0] == 100.0


def test_the_head_says_who_needs_somebody(watched, open_page):
    page = open_page("health")
    text = " ".join(one.value for one in page.markdown)
    assert "need" in text and "down is down" in text


def test_the_address_names_the_provider_whose_details_are_shown(watched, open_page):
    page = open_page("health", provider="mock")
    assert next(one.value for one in page.header) == "mock"
    assert any("No data for mock" in one.value for one in page.markdown)


def test_a_paused_provider_can_be_resumed(watched, open_page):
    page = open_page("health", provider="down")
    page.button(key="hold").click().run()
    assert watched.health.status()[0]["state"] in ("paused", "unknown", "down")
    assert any(row["state"] == "paused" for row in watched.health.status())
    page.button(key="hold").click().run()
    assert not any(row["state"] == "paused" for row in watched.health.status())


def test_states_have_a_shape_a_word_and_a_colour_each():
    states = [provider_state(name) for name in ("healthy", "unknown", "paused", *TROUBLE)]
    assert len({state.symbol for state in states}) == len(states)
    assert provider_state("auth_error").label == "◆ key refused"
    assert provider_state("no such state").label == "? no such state"


def test_reasons_are_words_without_codes():
    assert reason_words("8 failures in a row, last: REQUEST_FAILED") == (
        "8 failures in a row, last: no connection"
    )
    assert reason_words(None) == ""


def test_how_things_are_in_one_sentence():
    def of(*states):
        return [{"provider": f"p{n}", "state": state} for n, state in enumerate(states)]

    assert how_things_are([]) == ""
    assert how_things_are(of("unknown")) == "No provider was called or checked recently."
    assert "**All 2 providers" in how_things_are(of("healthy", "healthy"))
    bad = how_things_are(of("down", "auth_error", "healthy", "unknown"))
    assert bad.startswith("**2 of 4 providers need attention:** p0 is down, p1 rejects its key.")
    assert "The state of 1 is unknown." in bad


def test_what_was_lost_counts_attempts_and_requests():
    assert what_was_lost({"attempts": 0, "failed": 0, "rescued": 0, "lost": 0}).startswith(
        "No call"
    )
    told = what_was_lost({"attempts": 9, "failed": 3, "rescued": 1, "lost": 2})
    assert told == (
        "3 attempts failed in the last 24 hours: 1 answered by a later attempt, 2 requests lost."
    )


def test_a_rate_is_never_a_bare_share():
    row = {"n_5m": 2, "errors_5m": 1, "error_low_5m": 0.1, "error_high_5m": 0.9}
    assert rate_words(row, "5m") == ("1 of 2", "too few")
    assert rate_words({**row, "n_5m": 0}, "5m") == ("–", "–")
    assert rate_words({**row, "n_5m": 50}, "5m") == ("2.0 %", "10–90 %")


def test_a_strip_draws_unknown_days_as_a_thin_line():
    svg = strip([(None, None, 0), (None, 1.0, 9), (None, 0.97, 9), (None, 0.2, 9)])
    heights = [part.split('"')[0] for part in svg.split('height="')[2:]]
    assert heights == ["2.0", "20.0", "20.0", "20.0"]
    assert len({part.split('"')[0] for part in svg.split('fill="')[1:]}) == 4
