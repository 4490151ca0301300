"""Receipts: exact sums, honest gaps, a flag where figures differ."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from toolkit.pricing.receipts import Price, Rate, build_receipt
from toolkit.records import Usage


def price(**rates):
    return Price(
        price_id="p1",
        source="litellm",
        date="2026-11-01",
        rates=tuple(
            Rate(token_class=name, usd_per_million=Decimal(str(usd))) for name, usd in rates.items()
        ),
    )


FULL = price(input=2, cached_input="0.5", cache_write="2.5", output=8, reasoning=10)


def used(tokens_in, tokens_out, **more):
    return Usage(input_tokens=tokens_in, output_tokens=tokens_out, source="provider", **more)


def test_each_class_has_its_line_and_the_lines_make_the_sum():
    usage = used(1000, 200, cached_input_tokens=600, cache_write_tokens=100, reasoning_tokens=50)
    receipt = build_receipt(usage, FULL)
    lines = {line.token_class: (line.tokens, line.usd) for line in receipt.lines}
    assert lines == {
        "input": (300, Decimal("0.0006")),
        "cached_input": (600, Decimal("0.0003")),
        "cache_write": (100, Decimal("0.00025")),
        "output": (150, Decimal("0.0012")),
        "reasoning": (50, Decimal("0.0005")),
    }
    assert receipt.cost_usd == Decimal("0.00285")
    assert (receipt.price_id, receipt.price_source, receipt.price_date) == (
        "p1",
        "litellm",
        "2026-11-01",
    )


def test_a_class_without_a_price_costs_what_its_whole_costs():
    usage = used(1000, 200, cached_input_tokens=600, reasoning_tokens=50)
    assert build_receipt(usage, price(input=2, output=8)).cost_usd == Decimal("0.0036")


def test_no_price_is_unpriced_and_never_zero():
    receipt = build_receipt(used(10, 10), None)
    assert receipt.cost_usd is None
    assert "no price" in receipt.note


def test_no_usage_is_unpriced_and_never_zero():
    receipt = build_receipt(Usage(), FULL)
    assert receipt.cost_usd is None
    assert receipt.note == "the provider sent no usage"
    assert receipt.price_id == "p1"


def test_output_without_a_price_is_unpriced():
    assert build_receipt(used(10, 10), price(input=2)).cost_usd is None
    assert build_receipt(used(10, 0), price(input=2)).cost_usd == Decimal("0.00002")


def test_a_free_model_costs_zero_because_its_price_is_zero():
    assert build_receipt(used(10, 10), price(input=0, output=0)).cost_usd == 0


def test_long_inputs_have_their_own_price():
    steps = Price(
        price_id="p",
        source="litellm",
        date=None,
        rates=(
            Rate(token_class="input", usd_per_million=Decimal(1)),
            Rate(token_class="input", usd_per_million=Decimal(2), above_tokens=200_000),
            Rate(token_class="output", usd_per_million=Decimal(0)),
        ),
    )
    assert build_receipt(used(200_000, 0), steps).cost_usd == Decimal("0.2")
    assert build_receipt(used(200_001, 0), steps).cost_usd == Decimal("0.400002")


def test_other_figures_stand_beside_ours_and_a_difference_is_flagged():
    usage = used(1000, 0)
    near = build_receipt(usage, FULL, reported_usd=Decimal("0.00201"))
    far = build_receipt(usage, FULL, litellm_usd=Decimal("0.0021"))
    assert not near.mismatch
    assert near.cost_reported_usd == Decimal("0.00201")
    assert far.mismatch


def test_an_estimate_says_so():
    usage = Usage(input_tokens=1, output_tokens=1, source="estimated")
    assert build_receipt(usage, FULL).note == "tokens are an estimate"


counts = st.integers(0, 10**9)


@given(counts, counts, counts, counts, counts)
def test_tokens_are_counted_once_whatever_a_provider_claims(i, o, cached, written, reasoning):
    usage = used(
        i, o, cached_input_tokens=cached, cache_write_tokens=written, reasoning_tokens=reasoning
    )
    receipt = build_receipt(usage, FULL)
    tokens = {line.token_class: line.tokens for line in receipt.lines}
    assert sum(tokens.get(c, 0) for c in ("input", "cached_input", "cache_write")) == i
    assert sum(tokens.get(c, 0) for c in ("output", "reasoning")) == o
    assert all(n >= 0 for n in tokens.values())
