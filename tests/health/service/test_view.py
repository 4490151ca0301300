"""Health as one table: what the SQL says equals a plain reading of the same rows."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from typer.testing import CliRunner
from uuid_utils import uuid7

import toolkit as tk
from toolkit.catalog.changes import KINDS
from toolkit.cli.commands.health import app
from toolkit.health.analysis.state import judge_row
from toolkit.health.view import EMPTY, read_overview, uptime_days
from toolkit.stats.proportion import wilson_interval
from toolkit.store.queries import COUNTS_AGAINST_PROVIDER, GOOD
from toolkit.store.queries import health as ask
from toolkit.toolkit import Toolkit, current

NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
CODES = (
    *(None, "SERVER_ERROR", "TIMEOUT", "REQUEST_FAILED", "CLIENT_ERROR"),
    *("AUTHENTICATION_FAILED", "RATE_LIMIT_EXCEEDED", "QUOTA_EXCEEDED"),
)
BLAMES = (None, "provider", "network", "client", "local", "policy")


def call(provider: str = "acme", **fields: Any) -> dict[str, Any]:
    made = {
        "call_id": str(uuid7()),
        "request_id": str(uuid7()),
        "attempt": 1,
        "origin": "api",
        "started_at": NOW - timedelta(minutes=1),
        "provider": provider,
        "model": f"{provider}/m",
        "source": "live",
        "status": "ok",
    }
    return made | fields


def failed(provider: str = "acme", **fields: Any) -> dict[str, Any]:
    told = {"status": "error", "error_code": "SERVER_ERROR", "blame": "provider"}
    return call(provider, **told | fields)


def probe(provider: str = "acme", **fields: Any) -> dict[str, Any]:
    made = {"probe_id": str(uuid7()), "probed_at": NOW - timedelta(minutes=1), "status": "ok"}
    return made | {"provider": provider} | fields


@pytest.fixture
def toolkit(home: Any) -> Toolkit:
    """A toolkit with one provider, `acme`, of which nothing was seen."""
    toolkit = current()
    add(toolkit, "acme")
    return toolkit


def add(toolkit: Toolkit, name: str) -> None:
    toolkit.providers.registry.add(
        name, base_url="http://127.0.0.1:8999/v1", is_local=True, needs_key=False
    )


def row_of(toolkit: Toolkit, name: str = "acme") -> dict[str, Any]:
    return next(row for row in read_overview(toolkit, NOW) if row["provider"] == name)


def ran(toolkit: Toolkit, query: Any) -> list[dict[str, Any]]:
    with toolkit.store.reading() as reader:
        return query.rows(reader)  # type: ignore[no-any-return]


def test_what_counts_against_a_provider_is_what_the_state_calls_bad(toolkit: Toolkit) -> None:
    rows = [
        call(status=status, blame=blame, error_code=code)
        for status, blame, code in itertools.product(("ok", "error", "cancelled"), BLAMES, CODES)
    ]
    toolkit.store.append_many("calls", rows)
    bad = f"coalesce({COUNTS_AGAINST_PROVIDER}, false)"
    sql = f"SELECT call_id, {GOOD} AS good, {bad} AS bad FROM calls"
    seen = {row["call_id"]: row for row in toolkit.store.rows(sql)}
    for row in rows:
        outcome = judge_row(row)
        assert (outcome == "good", outcome == "bad") == (
            seen[row["call_id"]]["good"],
            seen[row["call_id"]]["bad"],
        ), row


_calls = some.fixed_dictionaries(
    {
        "age_s": some.floats(0.001, 100_000),
        "status": some.sampled_from(("ok", "error", "error", "cancelled")),
        "blame": some.sampled_from(BLAMES),
        "error_code": some.sampled_from(CODES),
        "source": some.sampled_from(("live", "live", "live", "replay", "cache")),
        "origin": some.sampled_from(("api", "chat", None, "health")),
    }
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=some.lists(_calls, max_size=40))
def test_error_rates_equal_a_plain_reading_of_the_rows(
    toolkit: Toolkit, drawn: list[dict[str, Any]]
) -> None:
    name = f"p{uuid7().hex}"[:40]
    rows = [
        call(name, **{k: v for k, v in one.items() if k != "age_s"})
        | {"started_at": (NOW - timedelta(seconds=one["age_s"]))}
        for one in drawn
    ]
    toolkit.store.append_many("calls", rows)
    add(toolkit, name)
    told = row_of(toolkit, name)
    users = [r for r in rows if r["source"] == "live" and r["origin"] != "health"]
    for window, width in ask.WINDOWS.items():
        outcomes = [judge_row(r) for r in users if r["started_at"] >= NOW - width]
        bad, n = outcomes.count("bad"), outcomes.count("bad") + outcomes.count("good")
        assert (told[f"errors_{window}"], told[f"n_{window}"]) == (bad, n)
        assert told[f"error_rate_{window}"] == (bad / n if n else None)
        interval = (told[f"error_low_{window}"], told[f"error_high_{window}"])
        assert interval == (wilson_interval(bad, n) if n else (None, None))
    lately = [r for r in users if r["started_at"] >= NOW - timedelta(days=1)]
    assert told["calls_1d"] == len(lately)
    others = [r for r in lately if r["status"] == "error" and judge_row(r) != "bad"]
    assert told["other_errors_1d"] == len(others)


def test_probes_replays_and_failures_are_in_no_percentile(toolkit: Toolkit) -> None:
    values = [float(v) for v in np.random.default_rng(1).lognormal(6, 0.5, 25)]
    rows = [call(ttft_ms=value, duration_ms=2 * value) for value in values]
    rows += [call(ttft_ms=1.0, origin="health"), call(ttft_ms=1.0, source="replay")]
    rows += [failed(ttft_ms=1.0, duration_ms=1.0), call(ttft_ms=None, duration_ms=None)]
    rows += [call(ttft_ms=1.0, started_at=NOW - timedelta(days=1, seconds=1))]
    toolkit.store.append_many("calls", rows)
    told = row_of(toolkit)
    assert told["ttft_n"] == 25
    assert told["ttft_p50_ms"] == pytest.approx(np.quantile(values, 0.5))
    assert told["ttft_p95_ms"] == pytest.approx(np.quantile(values, 0.95))
    assert told["duration_p95_ms"] == pytest.approx(2 * np.quantile(values, 0.95))
    assert told["ttft_max_ms"] == max(values)


@pytest.mark.parametrize(
    ("n", "p50", "p95"), [(4, False, False), (5, True, False), (20, True, True)]
)
def test_too_few_calls_have_no_percentile_but_a_maximum(
    toolkit: Toolkit, n: int, p50: bool, p95: bool
) -> None:
    toolkit.store.append_many("calls", [call(ttft_ms=float(k)) for k in range(n)])
    told = row_of(toolkit)
    assert (told["ttft_p50_ms"] is not None, told["ttft_p95_ms"] is not None) == (p50, p95)
    assert (told["ttft_n"], told["ttft_max_ms"]) == (n, n - 1)


def test_stalls_are_counted_of_answers_that_were_watched(toolkit: Toolkit) -> None:
    rows = [call(stall_count=2), call(stall_count=0), call(), failed(stall_count=1)]
    toolkit.store.append_many("calls", rows)
    told = row_of(toolkit)
    assert (told["stalled_1d"], told["watched_1d"]) == (1, 2)


def test_uptime_rests_on_calls_and_probes_and_a_day_without_either_is_a_gap(
    toolkit: Toolkit,
) -> None:
    two_days_ago = NOW - timedelta(days=2)
    toolkit.store.append_many(
        "calls",
        [
            *[call(started_at=two_days_ago) for _ in range(3)],
            failed(started_at=two_days_ago),
            failed(started_at=two_days_ago, error_code="AUTHENTICATION_FAILED"),
            call(started_at=two_days_ago, origin="health"),
            call(started_at=two_days_ago, source="replay"),
            call(started_at=NOW - timedelta(days=200)),
        ],
    )
    bad = {"status": "error", "blame": "network", "error_code": "REQUEST_FAILED"}
    toolkit.store.append_many(
        "probes", [probe(), probe(**bad), probe(status="skipped"), probe(probed_at=two_days_ago)]
    )
    strip = uptime_days(ran(toolkit, ask.uptime(NOW)), NOW)["acme"]
    assert len(strip) == 90 and strip[-1][0] == date(2026, 11, 21)
    assert strip[-1][1:] == (0.5, 2)
    assert strip[-2][1:] == (None, 0)
    assert strip[-3][1:] == (0.8, 5)
    told = row_of(toolkit)
    assert (told["uptime_good"], told["uptime_n"]) == (5, 7)
    assert told["uptime"] == pytest.approx(5 / 7)


def test_nothing_seen_is_unknown_and_never_zero_or_a_hundred_percent(toolkit: Toolkit) -> None:
    told = row_of(toolkit)
    assert told["state"] == "unknown" and told["uptime"] is None and told["uptime_n"] == 0
    assert told["last_success_at"] is None and told["ttft_p50_ms"] is None
    assert told["error_rate_1d"] is None and told["requests_remaining"] is None


def test_the_last_success_is_found_beyond_the_day_that_states_look_back(toolkit: Toolkit) -> None:
    long_ago = NOW - timedelta(days=11)
    toolkit.store.append_many("calls", [call(started_at=long_ago), failed()])
    assert row_of(toolkit)["last_success_at"] == long_ago


def test_headroom_is_the_newest_that_the_provider_said(toolkit: Toolkit) -> None:
    older, newer = NOW - timedelta(hours=2), NOW - timedelta(hours=1)
    fields = ("ratelimit_remaining_requests", "ratelimit_limit_requests")
    toolkit.store.append_many(
        "calls",
        [
            call(started_at=newer, **dict(zip(fields, (7, 10), strict=True))),
            call(started_at=older, **dict(zip(fields, (9, 10), strict=True))),
            call(started_at=NOW - timedelta(minutes=1)),
        ],
    )
    told = row_of(toolkit)
    assert (told["requests_remaining"], told["requests_limit"]) == (7, 10)
    assert told["headroom_seen_at"] == newer and told["tokens_remaining"] is None


def test_a_time_without_calls_has_no_bucket_and_quantiles_are_exact(toolkit: Toolkit) -> None:
    span = ask.Span(NOW - timedelta(hours=24), NOW)
    assert span.bucket_s == 3_600
    early, late = NOW - timedelta(hours=20), NOW - timedelta(hours=2)
    rows = [call(started_at=early, ttft_ms=float(v)) for v in (10, 20, 90)]
    rows += [call(started_at=late, ttft_ms=5.0), call("other", started_at=late, ttft_ms=7.0)]
    toolkit.store.append_many("calls", rows)
    buckets = ran(toolkit, ask.latency(["acme"], span))
    assert [b["bucket_at"].hour for b in buckets] == [early.hour, late.hour]
    assert [(b["n"], b["p50_ms"], b["max_ms"]) for b in buckets] == [(3, 20.0, 90.0), (1, 5.0, 5.0)]
    assert buckets[0]["p95_ms"] == pytest.approx(np.quantile([10, 20, 90], 0.95))
    assert len(ran(toolkit, ask.latencies(["acme", "other"], span))) == 5


def test_the_sql_that_is_shown_gives_the_rows_that_were_drawn(toolkit: Toolkit) -> None:
    odd = "it's, odd"
    toolkit.store.append_many("calls", [call(odd, ttft_ms=5.0), failed(odd), failed("acme")])
    span = ask.Span(NOW - timedelta(days=1), NOW)
    for query in (ask.latency([odd, "acme"], span), ask.errors([odd], span), ask.uptime(NOW)):
        shown = tk.sql(query.text).astype(str).to_dict("records")
        assert shown and len(shown) == len(ran(toolkit, query))


def test_error_classes_are_all_failures_whosever_fault(toolkit: Toolkit) -> None:
    rows = [failed(), failed(error_code="CLIENT_ERROR", blame="client"), call()]
    rows += [failed(origin="health"), failed(error_code=None)]
    toolkit.store.append_many("calls", rows)
    found = ran(toolkit, ask.errors(["acme"], ask.Span(NOW - timedelta(hours=1), NOW)))
    assert {row["error_code"]: row["n"] for row in found} == {
        "SERVER_ERROR": 1,
        "CLIENT_ERROR": 1,
        "unknown": 1,
    }


def test_a_failure_that_a_later_attempt_made_good_is_not_lost(toolkit: Toolkit) -> None:
    rows = [failed(request_id="r1"), call(request_id="r1", attempt=2), failed(request_id="r2")]
    rows += [failed(request_id="r2", attempt=2), call(request_id="r3")]
    toolkit.store.append_many("calls", rows)
    (told,) = ran(toolkit, ask.losses(NOW))
    assert told == {"attempts": 5, "failed": 3, "rescued": 1, "lost": 1}


def test_incidents_and_catalog_changes_of_a_stretch_of_time(toolkit: Toolkit) -> None:
    def incident(name: str, opened_h: float, closed_h: float | None) -> dict[str, Any]:
        closed = None if closed_h is None else NOW - timedelta(hours=closed_h)
        opened = NOW - timedelta(hours=opened_h)
        return {"incident_id": name, "provider": "acme", "opened_at": opened, "closed_at": closed}

    told = [incident("past", 9, 8), incident("across", 5, 1), incident("open", 30, None)]
    toolkit.store.append_many("incidents", told)
    change = {"provider": "acme", "kind": "price", "model": "acme/a", "sync_id": "s"}
    changes = [{"change_id": f"c{k}", "changed_at": NOW - timedelta(hours=1)} for k in range(5)]
    changes[4]["kind"] = "sync"
    toolkit.store.append_many("model_changes", [change | one for one in changes])
    span = ask.Span(NOW - timedelta(hours=4), NOW)
    assert [row["incident_id"] for row in ran(toolkit, ask.incidents(span))] == ["across", "open"]
    assert ran(toolkit, ask.incidents(span, ["other"])) == []
    (tick,) = ran(toolkit, ask.catalog_changes(["acme"], span, KINDS))
    assert (tick["n"], tick["kinds"], list(tick["models"])) == (4, "price", ["acme/a"])


def test_the_worst_stands_first(toolkit: Toolkit) -> None:
    for name in ("beta", "gamma"):
        add(toolkit, name)
    now = datetime.now(UTC)
    seen = [now - timedelta(minutes=minute) for minute in (9, 6, 3)]
    toolkit.store.append_many("calls", [failed("gamma", started_at=at) for at in seen])
    toolkit.store.append_many("calls", [call("beta", started_at=at) for at in seen])
    order = [(row["provider"], row["state"]) for row in read_overview(toolkit)]
    assert order[0] == ("gamma", "down") and order[1] == ("beta", "healthy")
    assert {state for _, state in order[2:]} == {"unknown"}


def test_the_face_and_the_command_give_the_same_table(toolkit: Toolkit) -> None:
    frame = tk.health.frame()
    assert set(EMPTY) <= set(frame.columns)
    done = CliRunner().invoke(app, ["status", "--json"])
    assert done.exit_code == 0
    rows = json.loads(done.stdout)
    assert [row["provider"] for row in rows] == list(frame["provider"])
    assert {"provider", "state", "reason", "since"} <= set(rows[0])
    shown = CliRunner().invoke(app, ["status"])
    assert shown.exit_code == 0 and "◌ unknown" in shown.stdout
