"""Budgets hold at the gateway: chains, contradictory limits and many requests at once."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.servers import Answer, MockProvider
from toolkit.pricing.budget import Cap

# One answer costs $0.10.
ANSWER = Answer(text="word " * 1000, usage={"prompt_tokens": 10, "completion_tokens": 1000})
LIMITS: tuple[dict[str, Any], ...] = (
    {"max_tokens": 1, "max_completion_tokens": 1000},
    {"max_tokens": 1000, "max_completion_tokens": 1},
    {"max_tokens": 250, "n": 4},
    {"max_tokens": 1000, "stream": True},
)


def add(toolkit: Any, name: str, server: MockProvider, output_price: str) -> None:
    toolkit.providers.registry.add(
        name, base_url=server.base_url, is_local=True, needs_key=False, max_retries=0
    )
    toolkit.store.append(
        "models",
        {"provider": name, "model_id": "m", "model": f"{name}/m", "is_enabled": True,
         "max_output_tokens": 2000, "facts": {"claims": {}}},
    )  # fmt: skip
    toolkit.catalog.override(f"{name}/m", {"price:input": 0, "price:output": output_price})


def test_a_chain_attacked_through_the_gateway_never_exceeds_a_dollar(served: Any) -> None:
    toolkit = served.toolkit
    served.provider.default = ANSWER
    with MockProvider(Answer(text="out of order", status=500)) as failing:
        add(toolkit, "cheap", failing, "0.1")
        add(toolkit, "dear", served.provider, "100")
        toolkit.providers.registry.set_alias("best", ["cheap/m", "dear/m"])
        toolkit.budgets.set(Cap(kind="day", limit_usd=Decimal(1)))
        headers = {"authorization": f"Bearer {served.token}"}
        messages = [{"role": "user", "content": "hello"}]

        async def attack() -> list[int]:
            async with httpx.AsyncClient(timeout=120, headers=headers) as http:
                posts = [
                    http.post(
                        f"{served.url}/v1/chat/completions",
                        json={"model": "best", "messages": messages, **LIMITS[n % len(LIMITS)]},
                    )
                    for n in range(48)
                ]
                return [answer.status_code for answer in await asyncio.gather(*posts)]

        statuses = asyncio.run(attack())
    answered = statuses.count(200)
    assert 1 <= answered == len(served.provider.requests) <= 10
    assert set(statuses) == {200, 402}
    (row,) = toolkit.store.rows("SELECT sum(cost_usd) AS usd FROM calls")
    assert row["usd"] == Decimal("0.1") * answered


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_the_refusal_of_a_budget_has_its_figures(served: Any, path: str) -> None:
    toolkit = served.toolkit
    add(toolkit, "dear", served.provider, "100")
    toolkit.budgets.set(Cap(kind="provider", name="dear", limit_usd=Decimal("0.05")))
    messages = [{"role": "user", "content": "hello"}]
    asked = {"model": "dear/m", "max_tokens": 1000}
    asked |= {"input": "hello", "max_output_tokens": 1000} if "responses" in path else {}
    answer = httpx.post(
        f"{served.url}{path}",
        json=asked if "responses" in path else {**asked, "messages": messages},
        headers={"authorization": f"Bearer {served.token}"},
        timeout=60,
    )
    assert answer.status_code == 402
    error = answer.json()["error"]
    budget = error["budget"]
    assert (budget["cap"], budget["cap_usd"]) == ("provider:dear", "0.05")
    assert Decimal(budget["spent_usd"]) == Decimal(budget["reserved_usd"]) == 0
    assert Decimal(budget["needed_usd"]) >= Decimal("0.1")
    assert budget["free_at"].endswith("00:00:00+00:00")
    assert "resets at 00:00 UTC" in f"{error['message']} {error.get('hint')}"
