"""Re-pricing has one arithmetic with the receipts that calls are given."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from toolkit.catalog.listings.listed_model import ListedPrice
from toolkit.pricing.price_sheet import PriceSheet, Tokens, tariff_of
from toolkit.pricing.receipts import Price, Rate, build_receipt
from toolkit.records import Usage

CLASSES = ("input", "cached_input", "cache_write", "output", "reasoning", "request")
_USD = st.decimals(0, 100, places=3)
_RATES = st.dictionaries(
    st.tuples(st.sampled_from(CLASSES), st.sampled_from([0, 1_000, 5_000])), _USD, max_size=12
)
_USAGES = st.lists(
    st.tuples(st.integers(0, 9_000), st.integers(0, 9_000)).flatmap(
        lambda whole: st.builds(
            Usage,
            input_tokens=st.just(whole[0]),
            output_tokens=st.just(whole[1]),
            cached_input_tokens=st.integers(0, whole[0] // 2),
            cache_write_tokens=st.integers(0, whole[0] // 2),
            reasoning_tokens=st.integers(0, whole[1]),
        )
    ),
    min_size=1,
    max_size=5,
)


def tariff(rates: dict[tuple[str, int], Decimal]) -> PriceSheet | None:
    prices = [
        ListedPrice(token_class=name, usd_per_million=usd, above_tokens=above)  # type: ignore[arg-type]
        for (name, above), usd in rates.items()
    ]
    return tariff_of(prices, "listing", None)


@given(_RATES, _USAGES)
def test_a_sum_of_calls_costs_the_sum_of_their_receipts(
    rates: dict[tuple[str, int], Decimal], usages: list[Usage]
) -> None:
    found = tariff(rates)
    if found is None:
        return
    rows = tuple(
        Rate(token_class=name, usd_per_million=usd, above_tokens=above)  # type: ignore[arg-type]
        for (name, above), usd in rates.items()
    )
    price = Price(price_id="p", source="listing", date=None, rates=rows)
    spans: dict[int, list[Usage]] = {}
    for usage in usages:
        passed = [t for t in found.thresholds if (usage.input_tokens or 0) > t]
        spans.setdefault(max(passed, default=0), []).append(usage)
    for above, within in spans.items():
        receipts = [build_receipt(usage, price).cost_usd for usage in within]
        sums = Tokens(
            input=sum(u.input_tokens or 0 for u in within),
            output=sum(u.output_tokens or 0 for u in within),
            cached_input=sum(u.cached_input_tokens or 0 for u in within),
            cache_write=sum(u.cache_write_tokens or 0 for u in within),
            reasoning=sum(u.reasoning_tokens or 0 for u in within),
            requests=len(within),
        )
        told = [cost for cost in receipts if cost is not None]
        cost = found.cost_usd(sums, above)
        assert cost == (sum(told, Decimal(0)) if len(told) == len(receipts) else None)


def test_prices_without_input_and_output_are_no_tariff() -> None:
    assert tariff({("cached_input", 0): Decimal(1)}) is None
    batch = ListedPrice(token_class="input", usd_per_million=Decimal(1), tier="batch")
    assert tariff_of([batch], "litellm", None) is None


def test_an_embedding_needs_no_output_price() -> None:
    found = tariff({("input", 0): Decimal("0.02")})
    assert found is not None
    assert found.cost_usd(Tokens(input=1_000_000, output=0)) == Decimal("0.02")
    assert found.cost_usd(Tokens(input=1, output=1)) is None
