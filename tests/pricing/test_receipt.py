"""Receipts: exact sums, honest gaps, a flag where figures differ."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.pricing.price import PRICE_CLASSES, Price, Rate, find_outliers, make_price
from toolkit.pricing.receipts import build_receipt, charge, count_classes
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


def test_reasoning_and_pictures_without_a_price_are_billed_as_output_and_input():
    usage = used(1000, 200, reasoning_tokens=50, image_input_tokens=300)
    receipt = build_receipt(usage, price(input=2, output=8))
    assert receipt.cost_usd == Decimal("0.0036")
    assert not receipt.is_partial
    assert [line.token_class for line in receipt.lines] == ["input", "output"]


def test_a_stand_in_is_charged_and_makes_the_receipt_partial():
    receipt = build_receipt(used(1000, 0, cached_input_tokens=600), price(input=2, output=8))
    assert receipt.cost_usd == Decimal("0.002")
    assert receipt.unpriced == ("cached_input",)
    assert "cached_input has no known price and is charged as input" in receipt.note


@pytest.mark.parametrize(
    ("used_up", "missing"),
    [
        ({"audio_input_tokens": 400}, "audio_input"),
        ({"audio_output_tokens": 50}, "audio_output"),
        ({"image_output_tokens": 50}, "image_output"),
        ({"web_searches": 3}, "web_search"),
    ],
)
def test_a_class_without_a_price_is_left_out_and_named(used_up, missing):
    receipt = build_receipt(used(1000, 200, **used_up), price(input=2, output=8))
    assert receipt.unpriced == (missing,)
    assert receipt.is_partial
    assert missing in receipt.note
    assert missing not in {line.token_class for line in receipt.lines}
    assert receipt.cost_usd <= Decimal("0.0036")


def test_a_tier_without_a_price_is_unpriced_and_named():
    receipt = build_receipt(used(1000, 200, service_tier="priority"), price(input=2, output=8))
    assert receipt.cost_usd is None
    assert receipt.unpriced == ("input@priority", "output@priority")
    assert "priority" in receipt.note


def test_a_tier_has_its_own_rates_and_fees_are_the_same_in_every_tier():
    rates = (
        *price(input=2, output=8, web_search=10_000).rates,
        Rate(token_class="input", usd_per_million=Decimal(1), tier="flex"),
        Rate(token_class="output", usd_per_million=Decimal(4), tier="flex"),
    )
    found = Price(price_id="p", source="litellm", date=None, rates=rates)
    receipt = build_receipt(used(1000, 200, service_tier="FLEX", web_searches=1), found)
    assert receipt.cost_usd == Decimal("0.0018") + Decimal("0.01")
    assert receipt.service_tier == "flex"


@pytest.mark.parametrize("name", [None, "", "default", "auto", "on_demand", "STANDARD"])
def test_other_names_of_the_standard_tier_are_priced_as_standard(name):
    receipt = build_receipt(used(1000, 0, service_tier=name), FULL)
    assert receipt.cost_usd == Decimal("0.002")


def test_a_price_in_another_currency_is_never_added_to_dollars():
    rates = (
        Rate(token_class="input", usd_per_million=Decimal(2), currency="CNY"),
        Rate(token_class="output", usd_per_million=Decimal(8)),
    )
    receipt = build_receipt(
        used(1000, 200), Price(price_id="p", source="override", date=None, rates=rates)
    )
    assert receipt.cost_usd is None
    assert receipt.unpriced == ("input",)
    assert "CNY" in receipt.note


def test_reasoning_is_billed_as_output_where_only_output_has_a_long_context_rate():
    rates = (
        Rate(token_class="input", usd_per_million=Decimal(1)),
        Rate(token_class="output", usd_per_million=Decimal(2)),
        Rate(token_class="reasoning", usd_per_million=Decimal(2)),
        Rate(token_class="output", usd_per_million=Decimal(6), above_tokens=100),
    )
    found = Price(price_id="p", source="litellm", date=None, rates=rates)
    receipt = build_receipt(used(101, 10, reasoning_tokens=10), found)
    assert receipt.cost_usd == (101 * Decimal(1) + 10 * Decimal(6)) / 1_000_000


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


def test_the_providers_own_figure_is_the_cost_and_a_difference_is_explained():
    near = build_receipt(used(1000, 0), FULL, reported_usd=Decimal("0.00201"))
    assert (near.cost_usd, near.cost_source) == (Decimal("0.00201"), "reported")
    assert near.cost_computed_usd == Decimal("0.002")
    assert not near.mismatch
    far = build_receipt(used(1000, 0), FULL, reported_usd=Decimal("0.005"))
    assert far.mismatch
    assert "$0.005" in far.note
    assert "$0.002" in far.note
    because = build_receipt(used(1000, 0, web_searches=1), FULL, reported_usd=Decimal("0.012"))
    assert "because of what has no price" in because.note


def test_a_reported_cost_counts_where_no_price_is_known_and_where_no_usage_came():
    unpriced = build_receipt(used(10, 10), None, reported_usd=Decimal("0.5"))
    assert (unpriced.cost_usd, unpriced.cost_source) == (Decimal("0.5"), "reported")
    assert build_receipt(Usage(), FULL, reported_usd=Decimal("0.5")).cost_usd == Decimal("0.5")


def test_litellms_figure_is_compared_where_none_is_reported():
    far = build_receipt(used(1000, 0), FULL, litellm_usd=Decimal("0.0021"))
    assert far.mismatch
    assert far.cost_usd == Decimal("0.002")


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


REFERENCE_FALLBACK = {
    "cached_input": "input", "cache_write": "input", "cache_write_1h": "cache_write",
    "cached_audio_input": "audio_input",
}  # fmt: skip


def reference_cost(usage, rates):  # noqa: C901 - one straight text to read beside the rules
    """The cost by another way: one token at a time would give the same; fractions, no shortcuts.

    `rates` maps (class, tier, threshold) to USD per million.
    """
    tier = {None: "standard", "default": "standard"}.get(usage.service_tier, usage.service_tier)
    length = usage.input_tokens

    def best(name, level):
        steps = [t for (n, lv, t) in rates if (n, lv) == (name, level) and (t == 0 or length > t)]
        return (max(steps), Fraction(rates[name, level, max(steps)])) if steps else None

    def rate_of(name):
        found = best(name, tier)
        if name in ("web_search", "request"):
            found = found or best(name, "standard")
        if name == "reasoning":
            whole = best("output", tier)
            if found is None or (whole is not None and whole[0] > found[0]):
                found = whole
        if name == "image_input":
            whole = best("input", tier)
            if found is None or (whole is not None and whole[0] > found[0]):
                found = whole
        if found is None and name in REFERENCE_FALLBACK:
            return rate_of(REFERENCE_FALLBACK[name])
        return None if found is None else found[1]

    total, missing = Fraction(0), set()
    left_in, left_out = usage.input_tokens, usage.output_tokens
    pieces = {}
    cached_audio = usage.cached_audio_input_tokens or 0
    one_hour = usage.cache_write_1h_tokens or 0
    for name, wanted in (
        ("cached_audio_input", cached_audio),
        ("cached_input", (usage.cached_input_tokens or 0) - cached_audio),
        ("cache_write_1h", one_hour),
        ("cache_write", (usage.cache_write_tokens or 0) - one_hour),
        ("audio_input", (usage.audio_input_tokens or 0) - cached_audio),
        ("image_input", usage.image_input_tokens or 0),
        ("input", 10**30),
    ):
        pieces[name] = max(0, min(wanted, left_in))
        left_in -= pieces[name]
    for name, wanted in (
        ("audio_output", usage.audio_output_tokens or 0),
        ("image_output", usage.image_output_tokens or 0),
        ("reasoning", usage.reasoning_tokens or 0),
        ("output", 10**30),
    ):
        pieces[name] = max(0, min(wanted, left_out))
        left_out -= pieces[name]
    pieces["web_search"], pieces["request"] = usage.web_searches or 0, 1
    for name, count in pieces.items():
        rate = rate_of(name)
        if count and rate is None:
            missing.add({"reasoning": "output", "image_input": "input"}.get(name, name))
        elif count:
            total += count * rate / 1_000_000
    return total, missing - {"request"}


def test_ten_thousand_random_usages_cost_what_an_independent_reference_says():
    rng = random.Random(20261128)
    unused = {"image", "code_execution", "file_search", "tool_call"}
    classes = [name for name in PRICE_CLASSES if name not in unused]
    for _ in range(10_000):
        rates = {
            (name, tier, step): Decimal(rng.randrange(0, 10**9)) / 10**6
            for name in rng.sample(classes, rng.randrange(2, len(classes)))
            for tier in rng.sample(["standard", "flex", "priority"], rng.randrange(1, 4))
            for step in [0] + ([200_000] if rng.random() < 0.3 else [])
        }
        rates["input", "standard", 0] = Decimal(rng.randrange(10**8)) / 10**6
        found = Price(
            price_id="p", source="litellm", date=None,
            rates=tuple(
                Rate(token_class=name, usd_per_million=usd, tier=tier, above_tokens=step)
                for (name, tier, step), usd in rates.items()
            ),
        )  # fmt: skip
        most = rng.choice([10, 10_000, 10**6, 10**9])

        def some(most=most):
            return rng.choice([None, 0, rng.randrange(most)])

        usage = Usage(
            input_tokens=rng.randrange(most), output_tokens=rng.randrange(most),
            cached_input_tokens=some(), cache_write_tokens=some(), reasoning_tokens=some(),
            cache_write_1h_tokens=some(), audio_input_tokens=some(),
            cached_audio_input_tokens=some(), audio_output_tokens=some(),
            image_input_tokens=some(), image_output_tokens=some(), web_searches=some(20),
            service_tier=rng.choice([None, "default", "flex", "priority", "scale"]),
            source="provider",
        )  # fmt: skip
        receipt = build_receipt(usage, found)
        total, missing = reference_cost(usage, rates)
        if missing & {"input", "output"}:
            assert receipt.cost_usd is None
        else:
            assert Fraction(receipt.cost_usd) == total
        assert missing <= {name.partition("@")[0] for name in receipt.unpriced}


@given(st.lists(st.tuples(st.integers(0, 9_000), st.integers(0, 9_000)), min_size=1, max_size=6))
def test_a_sum_of_calls_costs_the_sum_of_their_receipts(wholes):
    usages = [used(i, o, cached_input_tokens=i // 3, reasoning_tokens=o // 2) for i, o in wholes]
    counts = {}
    for usage in usages:
        for name, count in count_classes(usage).items():
            counts[name] = counts.get(name, 0) + count
    together = charge(counts, FULL)
    assert together.usd == sum(build_receipt(u, FULL).cost_usd for u in usages)


def test_prices_out_of_proportion_are_named_on_the_receipt():
    """litellm's map has had a model at $3,200 per million tokens, and a tier at 50 times."""
    rates = (
        Rate(token_class="input", usd_per_million=Decimal(3200)),
        Rate(token_class="output", usd_per_million=Decimal(8)),
        Rate(token_class="output", usd_per_million=Decimal(400), tier="priority"),
        Rate(token_class="output", usd_per_million=Decimal(4), tier="flex"),
    )
    found = make_price("azure_ai/jais", "litellm", None, rates, find_outliers(rates))
    receipt = build_receipt(used(1, 1), found)
    assert "input, $3200 per million" in receipt.note
    assert "output@priority is 50.0 times" in receipt.note
    assert "flex" not in receipt.note
    assert find_outliers(FULL.rates) == ()
