"""Estimates count all that is billed; the bound that budgets reserve is never below the cost."""

from __future__ import annotations

from decimal import Decimal

import pytest

import toolkit as tk
from toolkit.calls.chat_request import build_request
from toolkit.pricing.cost_estimate import (
    AnswerLengths,
    ModelCosts,
    estimate_request,
    find_unpriced,
    most_output_tokens,
    most_usd,
)
from toolkit.pricing.price import Price, Prices, Rate
from toolkit.pricing.token_estimate import (
    count_choices,
    count_input_tokens,
    find_output_limit,
    most_input_tokens,
)
from toolkit.toolkit import current

TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look up the weather of a city. " * 20,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def costs(**more):
    rates = (
        Rate(token_class="input", usd_per_million=Decimal(1)),
        Rate(token_class="output", usd_per_million=Decimal(10)),
        Rate(token_class="input", usd_per_million=Decimal(2), tier="priority"),
        Rate(token_class="output", usd_per_million=Decimal(20), tier="priority"),
        *(
            Rate(token_class=name, usd_per_million=Decimal(usd))
            for name, usd in more.pop("rates", {}).items()
        ),
    )
    price = Price(price_id="p", source="litellm", date=None, rates=rates)
    return ModelCosts(prices=Prices(in_force=price), **more)


def request(prompt="hello", **params):
    return build_request("openai/gpt-5-mini", prompt, params)


@pytest.mark.parametrize(
    ("params", "limit"),
    [
        ({"max_tokens": 9000, "max_completion_tokens": 1}, 9000),
        ({"max_tokens": 1, "max_completion_tokens": 9000}, 9000),
        ({"max_tokens": 5, "extra_body": {"max_output_tokens": 70}}, 70),
        ({"options": {"num_predict": 33}}, 33),
        ({"max_tokens": "250"}, 250),
        ({"max_tokens": 100, "thinking": {"type": "enabled", "budget_tokens": 900}}, 1000),
        ({"num_predict": -1}, None),
        ({"max_tokens": 10, "num_predict": -1}, None),
        ({"max_tokens": 10, "extra_body": {"max_tokens": "many"}}, None),
        ({}, None),
    ],
)
def test_the_largest_of_all_output_limits_counts(params, limit):
    assert find_output_limit(params) == limit


def test_without_a_limit_the_models_maximum_counts():
    assert most_output_tokens(request(), costs(max_output_tokens=128_000)) == 128_000
    assert most_output_tokens(request(n=3), costs(max_output_tokens=128_000)) == 384_000
    assert most_output_tokens(request(), costs(context_window_tokens=9_000)) == 9_000
    assert most_output_tokens(request(max_tokens=5, n=3), costs()) == 15


def test_choices_are_counted_under_every_name():
    assert count_choices({"n": 2, "extra_body": {"best_of": 5}}) == 5
    assert count_choices({"n": "wrong"}) == 128


def test_tools_schemas_tool_calls_and_pictures_are_input():
    plain = most_input_tokens(request())
    assert most_input_tokens(request(tools=[TOOL])) > plain + 300
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"a": "b" * 400}}}
    assert most_input_tokens(request(response_format=schema)) > plain + 200
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with_picture = [{"role": "user", "content": [{"type": "text", "text": "hello"}, picture]}]
    assert most_input_tokens(request(with_picture)) > plain + 1_500
    called = [
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": "x" * 4000}}]},
        {"role": "tool", "tool_call_id": "1", "content": "y" * 4000},
    ]  # fmt: skip
    assert most_input_tokens(request(called)) > 4_000


@pytest.mark.parametrize(
    "text",
    ["It was the best of times. " * 50, "这是最好的时代，" * 80, "def f(x): return x**2\n" * 60,
     "1234567890" * 100, "aGVsbG8gd29ybGQ" * 60, "🙂🙃" * 100],
)  # fmt: skip
def test_the_bound_is_never_below_what_a_tokenizer_counts(text):
    counted, basis = count_input_tokens(request(text))
    assert basis == "tokenizer o200k_base"
    assert counted <= most_input_tokens(request(text))


def test_the_most_is_the_dearer_of_the_tiers_and_the_dearest_class_of_the_input():
    plain = most_usd(request(max_tokens=1000), costs())
    assert plain > Decimal("0.01")
    assert most_usd(request(max_tokens=1000, service_tier="priority"), costs()) == 2 * plain
    assert most_usd(request(max_tokens=1000), costs(rates={"cache_write": "1.25"})) > plain
    assert most_usd(request(max_tokens=1000), costs(rates={"request": 5_000})) == plain + Decimal(
        "0.005"
    )
    searching = request(max_tokens=1000, tools=[{"type": "web_search", "max_uses": 3}])
    with_searches = most_usd(searching, costs(rates={"web_search": 10_000}))
    assert with_searches - most_usd(searching, costs()) == Decimal("0.03")


@pytest.mark.parametrize(
    ("params", "rates", "missing"),
    [
        ({}, {}, ()),
        ({"service_tier": "auto"}, {}, ()),
        ({"service_tier": "priority"}, {}, ()),
        ({"service_tier": "flex"}, {}, ("tier flex",)),
        ({"modalities": ["text", "audio"]}, {}, ("audio_output",)),
        ({"modalities": ["text", "audio"]}, {"audio_output": 64}, ()),
        ({"modalities": ["image"]}, {}, ("image_output",)),
        ({"web_search_options": {}}, {}, ("web_search",)),
        ({"tools": [{"googleSearch": {}}]}, {}, ("web_search",)),
        ({"web_search_options": {}}, {"web_search": 10_000}, ()),
        ({"service_tier": "priority", "web_search_options": {}}, {}, ("web_search@priority",)),
    ],
)
def test_what_may_be_used_without_a_price_is_named_before_the_call(params, rates, missing):
    assert find_unpriced(request(**params), costs(rates=rates)) == missing


def test_a_model_without_any_price_has_none_until_its_provider_reports_costs():
    assert find_unpriced(request(), ModelCosts()) == ("price",)
    assert find_unpriced(request(), ModelCosts(surplus_usd=Decimal("0.2"))) == ()


def test_what_a_provider_charged_beyond_its_prices_is_added():
    plain = most_usd(request(max_tokens=1000), costs())
    assert most_usd(request(max_tokens=1000), costs(surplus_usd=Decimal("0.005"))) == (
        plain + Decimal("0.005")
    )
    assert most_usd(request(), ModelCosts(surplus_usd=Decimal("0.2"))) == Decimal("0.2")
    assert most_usd(request(), ModelCosts()) is None


def test_an_estimate_has_a_range_from_recorded_answers_and_says_so():
    lengths = AnswerLengths(count=300, low=50, expected=100, high=400)
    found = estimate_request(request(), costs(max_output_tokens=1000), lengths)
    assert found.output_tokens == (50, 100, 400)
    assert found.output_basis == "300 recorded answers of this model"
    assert found.low_usd < found.expected_usd < found.high_usd < found.most_usd
    assert found.expected_usd == (found.input_tokens + 100 * 10) / Decimal(1_000_000)
    assert found.input_basis == "tokenizer o200k_base"
    limited = estimate_request(request(max_tokens=80), costs(), lengths)
    assert limited.output_tokens == (50, 80, 80)


def test_an_estimate_without_a_price_or_answers_is_honest():
    found = estimate_request(request(), ModelCosts(), AnswerLengths())
    assert found.expected_usd is None
    assert found.most_usd is None
    assert "no price is known" in found.note
    assert "none is recorded" in found.output_basis


def test_a_chain_is_estimated_by_its_first_model_and_reserves_its_dearest(home):
    toolkit = current()
    prices = {"one": (1, 2), "two": (5, 30)}
    for name, (paid_in, paid_out) in prices.items():
        toolkit.providers.registry.add(
            name, base_url="http://127.0.0.1:59999/v1", is_local=True, default_model="m"
        )
        toolkit.store.append(
            "models", {"provider": name, "model_id": "m", "status": "active", "is_enabled": True}
        )
        toolkit.catalog.override(f"{name}/m", {"price:input": paid_in, "price:output": paid_out})
    toolkit.providers.registry.set_alias("best", ["one/m", "two/m"])
    chain = tk.estimate("best", "hello", max_tokens=100)
    first, dearest = (tk.estimate(f"{name}/m", "hello", max_tokens=100) for name in prices)
    assert chain.model == "one/m"
    assert (chain.expected_usd, chain.most_usd) == (first.expected_usd, dearest.most_usd)
    assert "2 models" in (chain.note or "")
    with_fallback = tk.estimate("one/m", "hello", max_tokens=100, fallbacks=["two/m"])
    assert with_fallback.most_usd == dearest.most_usd
