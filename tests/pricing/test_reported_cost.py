"""What a provider says a call cost is counted wherever it says so, and only where it is USD."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

import toolkit as tk
from tests.servers import Answer, MockProvider
from toolkit.toolkit import Toolkit, current

USAGE = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}


@pytest.fixture
def served(home: object) -> Iterator[tuple[Toolkit, MockProvider]]:
    toolkit = current()
    with MockProvider() as server:
        toolkit.providers.registry.add(
            "p", base_url=server.base_url, is_local=True, needs_key=False, max_retries=0
        )
        yield toolkit, server
    toolkit.close()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("more", "reported"),
    [
        pytest.param({"cost": 0.0123}, "0.0123", id="openrouter"),
        pytest.param({"cost": {"total_cost": 0.006, "request_cost": 0.005}}, "0.006",
                     id="perplexity"),
        pytest.param({"cost": {"total_cost": 0.006, "currency": "usd"}}, "0.006", id="named_usd"),
        pytest.param({"estimated_cost": 0.0007}, "0.0007", id="deepinfra"),
        pytest.param({"cost_in_usd_ticks": 37756000}, "0.0037756", id="xai"),
        pytest.param({"total_price": "0.0042", "currency": "USD"}, "0.0042", id="dify"),
        pytest.param({"total_price": "0.0042"}, None, id="no_currency"),
        pytest.param({"cost": -1}, None, id="negative"),
        pytest.param({"cost": "NaN"}, None, id="not_a_number"),
    ],
)  # fmt: skip
def test_a_reported_cost_is_counted(
    served: tuple[Toolkit, MockProvider], more: dict[str, Any], reported: str | None, stream: bool
) -> None:
    toolkit, server = served
    server.default = Answer(text="yes", usage={**USAGE, **more})
    if stream:
        with tk.stream("p/m", "hello") as pieces:
            "".join(pieces)
        receipt = pieces.reply.receipt
    else:
        receipt = tk.complete("p/m", "hello").receipt
    assert receipt.cost_reported_usd == (None if reported is None else Decimal(reported))
    assert receipt.cost_source == (None if reported is None else "reported")
    (row,) = toolkit.spend("provider").to_dict("records")
    assert row["cost_usd"] == Decimal(reported or 0)


@pytest.mark.parametrize("header", ["x-litellm-response-cost", "X-Toolkit-Cost-USD"])
def test_the_cost_in_a_gateways_header_is_counted(
    served: tuple[Toolkit, MockProvider], header: str
) -> None:
    _, server = served
    server.default = Answer(text="yes", usage=USAGE, headers={header: "3.5e-05"})
    assert tk.complete("p/m", "hello").cost_usd == Decimal("0.000035")
    server.default = Answer(text="yes", usage={**USAGE, "cost": 0.5}, headers={header: "0.1"})
    assert tk.complete("p/m", "hello").cost_usd == Decimal("0.5"), "the answer itself comes first"


@pytest.mark.parametrize("text", ["0", "0.0", "None", "", "-1", "inf", "nan", "1,5"])
def test_a_header_without_a_cost_is_none(served: tuple[Toolkit, MockProvider], text: str) -> None:
    _, server = served
    server.default = Answer(text="yes", usage=USAGE, headers={"x-litellm-response-cost": text})
    assert tk.complete("p/m", "hello").cost_usd is None


@pytest.mark.parametrize("is_priced", [True, False], ids=["priced", "unpriced"])
@pytest.mark.parametrize(
    "more",
    [
        {"cost": 1.5, "currency": "CNY"},
        {"cost": {"total_cost": 1.5, "currency": "cny"}},
        {"total_price": "1.5", "currency": "CNY"},
    ],
)
def test_a_cost_in_another_currency_is_stated_and_never_counted_as_usd(
    served: tuple[Toolkit, MockProvider], more: dict[str, Any], is_priced: bool
) -> None:
    toolkit, server = served
    if is_priced:
        toolkit.store.append("models", {"provider": "p", "model_id": "m", "model": "p/m",
                                        "is_enabled": True})  # fmt: skip
        toolkit.catalog.override("p/m", {"price:input": 1, "price:output": 10})
    server.default = Answer(text="yes", usage={**USAGE, **more})
    reply = tk.complete("p/m", "hello")
    assert reply.receipt.cost_reported_usd is None
    assert "the provider reports 1.5 CNY" in (reply.receipt.note or "")
    assert reply.cost_usd == (Decimal("0.00003") if is_priced else None)
    assert reply.fields_not_read["usage.cost"] == "1.5 CNY"
    assert "cost_in_other_currency" in reply.flags
    (row,) = toolkit.spend("provider").to_dict("records")
    assert row["cost_usd"] == (reply.cost_usd or 0)
    assert row["unpriced_calls"] == (0 if is_priced else 1)
