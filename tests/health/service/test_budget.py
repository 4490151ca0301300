"""Probes that may cost money: only where a budget says so, within it, counted, never traffic."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.health.simulated import START, SimulatedClock, new_monitor, new_toolkit, play
from tests.servers import Answer, MockProvider
from toolkit.health.connection_checks import MAX_TOKENS
from toolkit.health.evidence import utc_now
from toolkit.health.monitoring.probe_budget import Spending, read_budget
from toolkit.pricing.cost_estimate import ModelCosts
from toolkit.pricing.price import Price, Prices, Rate
from toolkit.store import queries
from toolkit.store.queries import call_list as page
from toolkit.store.queries.calls import latency_from_rollups

# One probe with room for 2048 output tokens costs at most 0.0020993 USD.
PRICE = Price(
    price_id="test",
    source="override",
    date="2026-01-01",
    rates=tuple(
        Rate(token_class=kind, usd_per_million=Decimal(usd), above_tokens=0)
        for kind, usd in (("input", "0.8"), ("output", "1"))
    ),
)


@pytest.fixture
def server():
    with MockProvider() as server:
        yield server


def bench_of(server, budget_usd, *, price=PRICE, **fields):
    toolkit = new_toolkit(health_interval_s=900.0, probe_budget_usd=budget_usd)
    fields = {"is_local": True, "needs_key": False, "default_model": "mock-model"} | fields
    toolkit.providers.registry.add("mock", base_url=server.base_url, **fields)
    toolkit.prices.costs_of = lambda *_: ModelCosts(prices=Prices(in_force=price))
    return toolkit


def ask(toolkit):
    return asyncio.run(Spending(toolkit).ask(toolkit.providers.require("mock"), utc_now()))


def posts(server):
    return [request for request in server.requests if request.method == "POST"]


def test_within_the_budget_one_whole_and_one_streamed_answer_are_asked_for(server):
    toolkit = bench_of(server, 0.01)
    whole, streamed = ask(toolkit)
    assert (whole["kind"], streamed["kind"]) == ("call", "stream")
    assert whole["status"] == streamed["status"] == "ok"
    assert whole["cost_usd"] > 0
    assert streamed["ttft_ms"] > 0
    assert [r.json.get("stream", False) for r in posts(server)] == [False, True]
    assert {r.json["max_tokens"] for r in posts(server)} == {MAX_TOKENS}  # it may be reasoning
    rows = toolkit.store.rows("SELECT * FROM calls ORDER BY started_at")
    assert {row["origin"] for row in rows} == {"health"}
    assert [row["call_id"] for row in rows] == [whole["call_id"], streamed["call_id"]]
    assert sum(row["cost_usd"] for row in rows) == whole["cost_usd"] + streamed["cost_usd"]
    toolkit.close()


def test_what_probes_cost_is_shown_with_what_is_left(server):
    toolkit = bench_of(server, 0.01)
    rows = ask(toolkit)
    toolkit.store.append_many("probes", rows)
    told = toolkit.health.budget()
    assert told["spent_usd"] == sum(row["cost_usd"] for row in rows)
    assert told["left_usd"] == Decimal("0.01") - told["spent_usd"]
    assert told["next_at"] >= utc_now() - timedelta(seconds=60)
    assert ask(toolkit) == []  # not twice within an hour
    toolkit.close()


def test_nothing_is_asked_where_only_listings_are_allowed(server):
    toolkit = bench_of(server, 0.0)
    assert ask(toolkit) == []
    assert posts(server) == []
    assert toolkit.health.budget()["next_at"] is None
    toolkit.close()


def test_the_worst_case_must_fit_into_what_is_left(server):
    toolkit = bench_of(server, 0.003)  # one fits, two do not once the first is counted
    toolkit.store.append(
        "probes",
        {
            "probe_id": "before",
            "probed_at": utc_now() - timedelta(seconds=1),
            "provider": "other",
            "kind": "call",
            "status": "ok",
            "details": {"reserved_usd": "0.002"},  # it never said what it cost
        },
    )
    assert ask(toolkit) == []
    assert read_budget(toolkit, utc_now())["left_usd"] == Decimal("0.001")
    toolkit.close()


def test_an_unpriced_model_is_not_asked_unless_it_is_local(server, monkeypatch):
    local = bench_of(server, 0.01, price=None)
    assert [row["status"] for row in ask(local)] == ["ok", "ok"]
    cloud = local.providers.require("mock")
    object.__setattr__(cloud, "is_local", False)
    monkeypatch.setattr(local.prices, "prepare", lambda model: asyncio.sleep(0))
    assert asyncio.run(Spending(local).ask(cloud, utc_now())) == []
    local.close()


def test_probes_of_a_model_are_in_nobodys_statistics(server):
    toolkit = bench_of(server, 0.01)
    toolkit.store.append_many("probes", ask(toolkit))
    (row,) = toolkit.health.frame().query("provider == 'mock'").to_dict("records")
    assert (row["calls_1d"], row["n_1d"], row["ttft_n"]) == (0, 0, 0)
    assert {row["total"] for row in toolkit.health.slo("mock")} == {0}
    toolkit.close()


def test_a_monitor_spends_no_more_than_the_budget_in_a_day():
    """The model talks as much as it may; the budget is good for two such answers."""
    usage = {"prompt_tokens": 60, "completion_tokens": 2000, "total_tokens": 2060}
    with MockProvider(Answer(text="works", usage=usage)) as server:
        toolkit, clock = bench_of(server, 0.005), SimulatedClock()
        midnight = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
        clock.utc_offset = midnight - START  # calls are stamped with the machine's own day
        asyncio.run(play(new_monitor(toolkit, clock), clock, 4 * 3600.0))
        asked = len(posts(server))
    spent = sum(row["cost_usd"] for row in toolkit.store.rows("SELECT cost_usd FROM calls"))
    assert asked == 2
    assert Decimal("0.004") < spent <= Decimal("0.005")
    toolkit.close()


def test_probes_stay_out_of_every_statistic_and_in_the_sums_of_money(server):
    toolkit = bench_of(server, 0.01)
    toolkit.store.append_many("probes", ask(toolkit))
    toolkit.store.ingest()
    assert latency_from_rollups("duration_ms").rows(toolkit.store) == []
    (counted,) = toolkit.store.rows(
        f"SELECT count(*) FILTER ({queries.USER_CALLS}) AS calls, sum(cost_usd) AS cost_usd "
        "FROM calls"
    )
    assert counted["calls"] == 0
    assert counted["cost_usd"] > 0
    stats, _ = queries.CallFilter(is_user_only=True).where()
    (row,) = toolkit.store.rows(f"SELECT count(*) AS n FROM calls WHERE {stats}")
    assert row["n"] == 0
    chosen = page.CallFilter()
    for asked in (
        page.latencies(chosen, "duration_ms"),
        page.percentiles(chosen, 60, "duration_ms"),
    ):
        assert toolkit.store.rows(asked.sql, asked.params) == []
    assert len(toolkit.store.rows("SELECT * FROM calls")) == 2  # the list of calls shows them
    toolkit.close()


def priced_toolkit(server, **settings):
    toolkit = new_toolkit(health_interval_s=0.0, **settings)
    toolkit.providers.registry.add(
        "mock", base_url=server.base_url, is_local=True, needs_key=False, default_model="m"
    )
    toolkit.store.append(
        "models", {"provider": "mock", "model_id": "m", "model": "mock/m", "is_enabled": True}
    )
    toolkit.catalog.override("mock/m", {"price:input": 1, "price:output": 10})
    return toolkit


def test_the_trial_of_a_capability_counts_against_the_probe_budget_and_every_other(server):
    toolkit = priced_toolkit(server, probe_budget_usd=0.01, budgets={"provider:mock": 0.01})
    (verdict,) = toolkit.catalog.probe("mock/m", ["vision"])
    assert verdict.cost_usd is not None and verdict.cost_usd > 0
    assert toolkit.health.budget()["spent_usd"] == verdict.cost_usd
    caps = {one.cap.key: one for one in toolkit.budgets.status()}
    assert caps.keys() == {"health", "provider:mock"}
    assert {one.state.spent_usd for one in caps.values()} == {verdict.cost_usd}
    toolkit.close()


@pytest.mark.parametrize(
    "settings",
    [
        {"probe_budget_usd": 0.001},
        {"daily_budget_usd": 0.001},
        {"budgets": {"provider:mock": 0.001}},
        {"budgets": {"model:mock/m": 0.001}},
        {"budgets": {"tag:capability_probe=tools": 0.001}},
    ],
    ids=lambda settings: "_".join(map(str, settings)),
)
def test_no_trial_of_a_capability_exceeds_a_budget(server, settings):
    toolkit = priced_toolkit(server, **settings)
    (verdict,) = toolkit.catalog.probe("mock/m", ["tools"])
    assert verdict.supported is None
    assert "would be exceeded" in verdict.reason
    assert posts(server) == []
    assert "tools" not in toolkit.catalog.capabilities("mock/m")
    toolkit.close()


def test_without_a_probe_budget_a_trial_that_a_person_asks_for_is_made(server):
    toolkit = priced_toolkit(server)
    (verdict,) = toolkit.catalog.probe("mock/m", ["tools"])
    assert verdict.supported is False  # it answered in words
    toolkit.close()


@pytest.mark.parametrize("settings", [{"probe_budget_usd": 0.001}, {"daily_budget_usd": 0.001}])
def test_a_connection_test_keeps_to_the_budgets(server, settings):
    toolkit = priced_toolkit(server, **settings)
    refused = toolkit.providers.test("mock", call=True)
    assert refused.model.answer == "could_not_check"
    assert "would be exceeded" in refused.model.reason
    assert posts(server) == []
    toolkit.close()


def test_a_provider_that_is_not_saved_yet_is_tested_with_a_call_under_a_budget(server):
    toolkit = new_toolkit(daily_budget_usd=0.001)
    result = toolkit.providers.test(call=True, model="m", base_url=server.base_url, local=True)
    assert result.model.answer == "works"
    assert len(posts(server)) == 1
    toolkit.close()


def test_a_connection_test_is_priced(server):
    toolkit = priced_toolkit(server)
    assert toolkit.providers.test("mock", call=True).model.answer == "works"
    (row,) = toolkit.store.rows("SELECT cost_usd, origin FROM calls")
    assert row["origin"] == "health"
    assert row["cost_usd"] > 0
    toolkit.close()


def test_a_probe_that_another_budget_refuses_is_not_a_failure_of_the_provider(server):
    toolkit = priced_toolkit(server, probe_budget_usd=1.0, daily_budget_usd=0.0001)
    assert ask(toolkit) == []
    assert posts(server) == []
    toolkit.close()
