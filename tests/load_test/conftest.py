"""A toolkit whose provider `mock` is a server on a real socket, and a price for its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from tests.servers import Answer, MockProvider
from toolkit.pricing.cost_estimate import ModelCosts
from toolkit.pricing.price import Price, Prices, Rate
from toolkit.toolkit import Toolkit, current

MODEL = "mock/mock-model"


@pytest.fixture
def server() -> Iterator[MockProvider]:
    with MockProvider(Answer(text="one two three four five")) as mock:
        yield mock


@pytest.fixture
def toolkit(server: MockProvider) -> Toolkit:
    toolkit = current()
    toolkit.providers.registry.add("mock", base_url=server.base_url, is_local=True)
    return toolkit


@pytest.fixture
def price(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets what an answer of one token costs, in the receipt and in what is reserved before."""

    def set_price(usd_per_token: float) -> None:
        rates = (
            Rate(token_class="input", usd_per_million=Decimal(0)),
            Rate(token_class="output", usd_per_million=Decimal(str(usd_per_token)) * 1_000_000),
        )
        prices = Prices(in_force=Price(price_id="p", source="test", date=None, rates=rates))
        costs = ModelCosts(prices=prices)
        monkeypatch.setattr(toolkit.prices, "costs_of", lambda *a: costs)
        monkeypatch.setattr(toolkit.prices, "prices_for", lambda *a: prices)
        monkeypatch.setattr(toolkit.prices, "_find_costs", lambda *a: costs)

    return set_price
