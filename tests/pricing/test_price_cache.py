"""Receipts and budgets over the bundled prices: dated, sourced, in memory, without litellm."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import pytest

import toolkit as tk
from tests.servers.mock_provider import MockProvider
from toolkit.calls.chat_request import build_request
from toolkit.errors import StoreError
from toolkit.pricing import price_cache
from toolkit.pricing.receipts import build_receipt
from toolkit.records import Call, Usage
from toolkit.settings import Settings
from toolkit.toolkit import Toolkit


@pytest.fixture
def toolkit(home):
    opened = Toolkit(settings=Settings(home=home, daily_budget_usd=0.001))
    yield opened
    opened.close()


def call_of(request, **fields):
    return Call(
        call_id="c", request_id=request.request_id, attempt=1, attempt_kind="first",
        origin="api", started_at=datetime.now(UTC), seq=1, provider="openai",
        model=request.model, status="ok", **fields,
    )  # fmt: skip


def look_up(toolkit, model):
    asyncio.run(toolkit.prices.prepare(model))
    provider, model_id = toolkit.providers.registry.resolve(model)
    return toolkit.prices.prices_for(provider.name, model_id, datetime.now(UTC))


def test_a_known_model_has_a_dated_price_and_a_receipt_to_the_last_digit(toolkit):
    price = look_up(toolkit, "openai/gpt-4o-mini").in_force
    assert price.source == "litellm"
    assert price.date == version("litellm"), "its map has no dates, so its release stands there"
    usage = Usage(input_tokens=1000, output_tokens=200, cached_input_tokens=400, source="provider")
    receipt = build_receipt(usage, price)
    per_million = {line.token_class: line.usd_per_million for line in receipt.lines}
    assert per_million == {
        "input": Decimal("0.15"),
        "cached_input": Decimal("0.075"),
        "output": Decimal("0.6"),
    }
    assert receipt.cost_usd == Decimal("0.00024")
    assert receipt.price_id.startswith("litellm:openai/gpt-4o-mini:")


def test_what_nobody_has_a_price_for_is_unpriced(toolkit):
    prices = look_up(toolkit, "openai/a-model-of-nobody")
    assert prices.in_force is None
    receipt = build_receipt(Usage(input_tokens=1, output_tokens=1, source="provider"), None)
    assert receipt.cost_usd is None
    assert receipt.note


def test_a_local_model_is_unpriced_and_not_free(home):
    with MockProvider() as server:
        tk.providers.add("mine", base_url=server.base_url, local=True, test=False)
        reply = tk.complete("mine/gpt-4o-mini", "hello")
    assert reply.cost_usd is None
    assert reply.receipt.note.startswith("a local model has no price")
    assert reply.attempts[0].cost_usd is None


def test_a_call_that_could_pass_the_daily_budget_is_never_sent(toolkit):
    with pytest.raises(tk.errors.BudgetExceeded, match="the daily budget") as caught:
        toolkit.complete("openai/gpt-4o-mini", "hello", max_tokens=100_000)
    assert caught.value.hint
    with pytest.raises(tk.errors.KeyRequired):
        toolkit.complete("openai/gpt-4o-mini", "hello", max_tokens=10)


def test_a_model_without_a_price_is_never_sent_under_a_budget(toolkit):
    with pytest.raises(tk.errors.BudgetExceeded, match="no price is known for it") as caught:
        toolkit.complete("openai/a-model-of-nobody", "hello", max_tokens=10)
    assert caught.value.unpriced == ("price",)
    with pytest.raises(tk.errors.BudgetExceeded, match="no price is known for tier odd"):
        toolkit.complete("openai/gpt-4o-mini", "hello", max_tokens=10, service_tier="odd")


@pytest.mark.parametrize("setting", ["allow", "2.5"])
def test_a_model_without_a_price_may_be_allowed_or_counted_at_an_assumed_one(
    home, monkeypatch, setting
):
    monkeypatch.setenv("TOOLKIT_BUDGET_UNPRICED", setting)
    opened = Toolkit(settings=Settings(home=home, daily_budget_usd=0.001))
    try:
        with pytest.raises(tk.errors.KeyRequired):
            opened.complete("openai/a-model-of-nobody", "hello", max_tokens=100)
        asked = build_request("openai/a-model-of-nobody", "hello", {"max_tokens": 100})
        worst = opened.prices.worst_case(asked.model, asked)
        assert worst.unpriced == (("price",) if setting == "allow" else ())
        assert (worst.usd >= Decimal("2.5") * 100 / 1_000_000) is (setting == "2.5")
        answered = call_of(asked, output_tokens=40, input_tokens=10)
        assumed = opened.prices.assume_cost(asked, answered)
        assert assumed == (0 if setting == "allow" else Decimal("0.000125"))
        if setting == "2.5":
            with pytest.raises(tk.errors.BudgetExceeded, match="would be exceeded"):
                opened.complete("openai/a-model-of-nobody", "hello", max_tokens=1000)
    finally:
        opened.close()


STEPS = {
    "price:input": "3", "price:cached_input": "0.3", "price:output": "15",
    "price:input>1000": "6", "price:output>1000": "22.5", "price:request": "5000",
}  # fmt: skip


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 10, "completion_tokens": 7},
        {"prompt_tokens": 900, "completion_tokens": 7, "cached": 400},
        {"prompt_tokens": 1001, "completion_tokens": 0, "cached": 1001},
        {"prompt_tokens": 5000, "completion_tokens": 90, "reasoning": 60},
    ],
)
def test_a_cost_is_computed_again_from_the_tariff_that_its_call_names(toolkit, usage):
    """The SQL is the one that the documentation shows."""
    list_by_hand(toolkit, STEPS)
    price = look_up(toolkit, MODEL).in_force
    told = Usage(
        input_tokens=usage["prompt_tokens"],
        output_tokens=usage["completion_tokens"],
        cached_input_tokens=usage.get("cached"),
        reasoning_tokens=usage.get("reasoning"),
        source="provider",
    )
    receipt = build_receipt(told, price)
    counted = {name: n for name, n in asdict(told).items() if not name.startswith("billed_")}
    toolkit.store.append("calls", {"call_id": "c1", "source": "live", "model": MODEL,
                                 **counted, "cost_usd": receipt.cost_usd,
                                 "cost_computed_usd": receipt.cost_usd,
                                 "price_id": receipt.price_id})  # fmt: skip
    (row,) = toolkit.store.rows(documented_sql())
    assert receipt.cost_usd > 0
    assert row["computed_usd"] == pytest.approx(float(receipt.cost_usd), rel=1e-12)


def test_prices_that_change_twice_on_a_day_are_two_tariffs_and_each_is_kept_once(toolkit):
    list_by_hand(toolkit, {"price:input": "1", "price:output": "2"})
    first = look_up(toolkit, MODEL).in_force
    toolkit.catalog.override(MODEL, {"price:input": "1", "price:output": "4"})
    toolkit.prices._entries.clear()
    third = look_up(toolkit, MODEL).in_force
    toolkit.catalog.override(MODEL, {"price:output": "5"})
    toolkit.prices._entries.clear()
    second = look_up(toolkit, MODEL).in_force
    toolkit.prices._kept.clear()  # as another process would write them again
    toolkit.prices._entries.clear()
    assert look_up(toolkit, MODEL).in_force == second
    assert (third.source, third.date) == (second.source, second.date) == ("override", first.date)
    assert third.price_id != second.price_id
    rows = toolkit.store.rows(
        "SELECT price_id, token_class, usd_per_million FROM tariffs ORDER BY ALL"
    )
    assert {(r["price_id"], r["token_class"], r["usd_per_million"]) for r in rows} == {
        (price.price_id, rate.token_class, rate.usd_per_million)
        for price in (first, second, third)
        for rate in price.rates
    }
    assert len(rows) == 6


def test_a_store_that_cannot_be_written_leaves_the_price_and_is_tried_again(toolkit, monkeypatch):
    def full(*_):
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(toolkit.store, "append_many", full)
        assert look_up(toolkit, "openai/gpt-4o-mini").in_force is not None
    toolkit.prices._entries.clear()
    look_up(toolkit, "openai/gpt-4o-mini")
    assert toolkit.store.rows("SELECT DISTINCT model FROM tariffs") == [
        {"model": "openai/gpt-4o-mini"}
    ]


MODEL = "acme/gpt-of-mine"


def list_by_hand(toolkit, prices):
    """A model with prices as its provider lists them."""
    toolkit.providers.registry.add("acme", base_url="https://acme.example/v1", needs_key=False)
    today = datetime.now(UTC).date()
    said = {"source": "provider", "as_of": today.isoformat()}
    claims = {name: [{**said, "value": usd}] for name, usd in prices.items()}
    row = {"provider": "acme", "model_id": "gpt-of-mine", "model": MODEL, "is_enabled": True}
    facts = {"claims": claims, "conflicts": [], "sources": {}}
    priced = {"price_source": "provider", "price_date": today, "facts": facts}
    toolkit.store.append("models", row | priced)


def documented_sql():
    text = (Path(__file__).parents[2] / "docs" / "pricing.md").read_text(encoding="utf-8")
    return text.partition("```sql\n")[2].partition("```")[0]


def test_prices_are_read_without_importing_litellm(home):
    code = (
        "import asyncio, sys\n"
        "from toolkit.toolkit import current\n"
        "asyncio.run(current().prices.prepare('anthropic/claude-sonnet-4-5'))\n"
        "assert 'litellm' not in sys.modules\n"
        "provider, model = current().providers.registry.resolve('anthropic/claude-sonnet-4-5')\n"
        "assert current().prices.prices_for(provider.name, model, None).in_force is not None\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_disabled_model_is_refused_at_once_and_answers_again_when_enabled(home):
    with MockProvider() as server:
        tk.providers.add("mine", base_url=server.base_url, local=True, test=False)
        tk.catalog.sync("mine")
        assert tk.complete("mine/mock-model", "hello").text
        assert tk.catalog.disable("mine/mock-model") == 1
        sent = len(server.requests)
        with pytest.raises(tk.errors.PermissionDenied, match="disabled") as caught:
            tk.complete("mine/mock-model", "hello")
        assert "toolkit models enable mine/mock-model" in caught.value.hint
        with pytest.raises(tk.errors.PermissionDenied, match="disabled"):
            list(tk.stream("mine/mock-model", "hello"))
        assert len(server.requests) == sent, "nothing was sent"
        assert "mine/mock-model" not in tk.catalog.choices()
        tk.catalog.enable("mine/mock-model")
        assert tk.complete("mine/mock-model", "hello").text


def test_a_price_of_the_users_own_may_be_in_another_currency_and_is_never_counted_as_usd(toolkit):
    list_by_hand(toolkit, {"price:input": "1", "price:output": "2"})
    toolkit.catalog.override(MODEL, {"price:output": "2.50 EUR", "price:output@flex": "1"})
    price = look_up(toolkit, MODEL).in_force
    usage = Usage(input_tokens=10, output_tokens=10, source="provider")
    receipt = build_receipt(usage, price)
    assert receipt.cost_usd is None
    assert "EUR" in receipt.note
    for wrong in ({"price:output": "much"}, {"price:words": "1"}, {"price:input": "2 EURO"}):
        with pytest.raises(tk.errors.InvalidInput):
            toolkit.catalog.override(MODEL, wrong)


def test_one_caller_looks_a_known_model_up_again_and_the_others_do_not_wait(toolkit, monkeypatch):
    before = look_up(toolkit, "openai/gpt-4o-mini")
    monkeypatch.setattr(price_cache, "FRESH_S", 0.0)
    begun, go_on, looked_up = threading.Event(), threading.Event(), []
    at_once = toolkit.prices._find_costs

    def slowly(provider, model_id):
        looked_up.append(model_id)
        begun.set()
        assert go_on.wait(60)
        return at_once(provider, model_id)

    toolkit.prices._find_costs = slowly

    async def ask():
        first = asyncio.create_task(toolkit.prices.prepare("openai/gpt-4o-mini"))
        await asyncio.to_thread(begun.wait, 60)
        await asyncio.gather(*(toolkit.prices.prepare("openai/gpt-4o-mini") for _ in range(20)))
        assert not first.done()
        known = toolkit.prices.prices_for("openai", "gpt-4o-mini", datetime.now(UTC))
        go_on.set()
        await first
        return known

    assert asyncio.run(ask()) == before
    assert looked_up == ["gpt-4o-mini"]
