"""Receipts and budgets over the bundled prices: dated, sourced, in memory, without litellm."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version

import pytest

import toolkit as tk
from tests.servers.mock_provider import MockProvider
from toolkit.calls.receipt import build_receipt
from toolkit.records import Usage
from toolkit.settings import Settings
from toolkit.workbench.bench import Workbench


@pytest.fixture
def bench(home):
    opened = Workbench(Settings(home=home, daily_budget_usd=0.001))
    yield opened
    opened.close()


def look_up(bench, model):
    asyncio.run(bench.prices.prepare(model))
    provider, model_id = bench.providers.registry.resolve(model)
    return bench.prices.prices_for(provider, model_id, datetime.now(UTC))


def test_a_known_model_has_a_dated_price_and_a_receipt_to_the_last_digit(bench):
    price = look_up(bench, "openai/gpt-4o-mini").in_force
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


def test_what_nobody_has_a_price_for_is_unpriced(bench):
    prices = look_up(bench, "openai/a-model-of-nobody")
    assert prices.in_force is None
    receipt = build_receipt(Usage(input_tokens=1, output_tokens=1, source="provider"), None)
    assert receipt.cost_usd is None
    assert receipt.note


def test_a_local_model_is_unpriced_and_not_free(home):
    with MockProvider() as server:
        tk.providers.add("mine", base_url=server.base_url, local=True, test=False)
        reply = tk.complete("mine/gpt-4o-mini", "hello")
    assert reply.cost_usd is None
    assert reply.receipt.note == "a local model has no price"
    assert reply.attempts[0].cost_usd is None


def test_a_call_that_could_pass_the_daily_budget_is_never_sent(bench):
    with pytest.raises(tk.errors.BudgetExceeded, match="the daily budget") as caught:
        bench.complete("openai/gpt-4o-mini", "hello", max_tokens=100_000)
    assert caught.value.hint
    with pytest.raises(tk.errors.KeyRequired):
        bench.complete("openai/gpt-4o-mini", "hello", max_tokens=10)


def test_prices_are_read_without_importing_litellm(home):
    code = (
        "import asyncio, sys\n"
        "from toolkit.workbench.bench import current\n"
        "asyncio.run(current().prices.prepare('anthropic/claude-sonnet-4-5'))\n"
        "assert 'litellm' not in sys.modules\n"
        "provider, model = current().providers.registry.resolve('anthropic/claude-sonnet-4-5')\n"
        "assert current().prices.prices_for(provider, model, None).in_force is not None\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
