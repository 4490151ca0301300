"""What one model cost on one day: a price for every token class, and the arithmetic with it.

The arithmetic of a receipt (`receipts.py`) over sums of many calls: cached and written tokens
are parts of the input, reasoning tokens a part of the output, and a class without a price of its
own costs what its whole costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from toolkit.catalog.listings.listed_model import ListedPrice

_MILLION: Final = Decimal(1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Sums of tokens by class over some requests.

    `cached_input` and `cache_write` are parts of `input`, `reasoning` is a part of `output`.
    """

    input: int
    output: int
    cached_input: int = 0
    cache_write: int = 0
    reasoning: int = 0
    requests: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSheet:
    """The standard prices of a model on a day.

    Attributes:
        source: whose prices they are.
        since: the day from which they are known to hold; None: not known.
        steps: by threshold of input tokens (0 first), USD per million by token class.
    """

    source: str
    since: date | None
    steps: Mapping[int, Mapping[str, Decimal]]

    @property
    def thresholds(self) -> tuple[int, ...]:
        """Input lengths above which other prices hold, ascending, without 0."""
        return tuple(sorted(above for above in self.steps if above))

    def prices_above(self, above_tokens: int) -> dict[str, Decimal]:
        """The prices for inputs above a threshold; a class without a step keeps the one below."""
        prices: dict[str, Decimal] = {}
        for above in sorted(self.steps):
            if above <= above_tokens:
                prices.update(self.steps[above])
        return prices

    def cost_usd(self, tokens: Tokens, above_tokens: int = 0) -> Decimal | None:
        """What tokens cost; None where a class that was used has no price.

        Args:
            tokens: of calls that are all in the same span of input lengths.
            above_tokens: the highest threshold that their inputs were above of.
        """
        prices = self.prices_above(above_tokens)
        fresh = max(0, tokens.input - tokens.cached_input - tokens.cache_write)
        reasoning = tokens.reasoning if "reasoning" in prices else 0
        parts = (
            (fresh, "input", "input"),
            (tokens.cached_input, "cached_input", "input"),
            (tokens.cache_write, "cache_write", "input"),
            (max(0, tokens.output - reasoning), "output", "output"),
            (reasoning, "reasoning", "output"),
        )
        usd = tokens.requests * prices.get("request", Decimal(0))
        for count, token_class, instead in parts:
            price = prices.get(token_class, prices.get(instead))
            if price is not None:
                usd += count * price
            elif count:
                return None
        return usd / _MILLION


def tariff_of(prices: Iterable[ListedPrice], source: str, since: date | None) -> PriceSheet | None:
    """The standard tariff among some prices, or None where there is neither input nor output."""
    steps: dict[int, dict[str, Decimal]] = {}
    for price in prices:
        if price.tier == "standard":
            steps.setdefault(price.above_tokens, {})[price.token_class] = price.usd_per_million
    base = steps.get(0, {})
    if "input" not in base and "output" not in base:
        return None
    return PriceSheet(source=source, since=since, steps=steps)
