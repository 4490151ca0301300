"""A scripted provider on a real socket, and a toolkit that knows it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.servers.dialects import Answer
from tests.servers.mock_provider import MockProvider
from toolkit.evals.dataset import Dataset, Sample
from toolkit.toolkit import Toolkit, current


@pytest.fixture
def server() -> Iterator[MockProvider]:
    with MockProvider(Answer(text="Paris")) as mock:
        yield mock


@pytest.fixture
def toolkit(server: MockProvider, home: Path) -> Toolkit:
    toolkit = current()
    toolkit.providers.add("mock", base_url=server.base_url, local=True, test=False)
    return toolkit


def data(count: int = 4, target: str | None = "Paris") -> Dataset:
    """Questions with one target."""
    return Dataset(
        [Sample(sample_id=f"s{i}", input=f"question {i}", target=target) for i in range(count)]
    )


def price(toolkit: Toolkit, usd_per_answer: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer of one token has this price, in the receipt and in what is reserved before."""
    from toolkit.pricing.cost_estimate import ModelCosts
    from toolkit.pricing.price import Price, Prices, Rate

    dear = Decimal(str(usd_per_answer)) * 1_000_000
    rates = (
        Rate(token_class="input", usd_per_million=Decimal(0)),
        Rate(token_class="output", usd_per_million=dear),
    )
    prices = Prices(in_force=Price(price_id="p", source="test", date=None, rates=rates))
    costs = ModelCosts(prices=prices)
    monkeypatch.setattr(toolkit.prices, "costs_of", lambda *a: costs)
