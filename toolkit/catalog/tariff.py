"""What one model cost on one day: a price for every token class, and the arithmetic with it.

The same arithmetic as a receipt's: cached and written tokens are parts of the input, reasoning
tokens a part of the output, and a class without a price of its own costs what its whole costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from toolkit.catalog.listed import ListedPrice

_MILLION: Final = Decimal(1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Sums of tokens by class; `cached_input` and `cache_write` are parts of `input`."""

    input: int
    output: int
    cached_input: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
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

    def cost_usd(self, tokens: Tokens, above_tokens: int = 0) -> Decimal | None:
        """What tokens cost; None where input or output have no price.

        `above_tokens` is the threshold that the calls were above of.
        """
        prices = dict(self.steps.get(0, {}))
        prices.update(self.steps.get(above_tokens, {}))
        if "input" not in prices or "output" not in prices:
            return None
        fresh = max(0, tokens.input - tokens.cached_input - tokens.cache_write)
        answer = max(0, tokens.output - tokens.reasoning)
        usd = (
            fresh * prices["input"]
            + tokens.cached_input * prices.get("cached_input", prices["input"])
            + tokens.cache_write * prices.get("cache_write", prices["input"])
            + answer * prices["output"]
            + tokens.reasoning * prices.get("reasoning", prices["output"])
        )
        return usd / _MILLION


def tariff_of(prices: Iterable[ListedPrice], source: str, since: date | None) -> Tariff | None:
    """The standard tariff among some prices, or None where there is neither input nor output."""
    steps: dict[int, dict[str, Decimal]] = {}
    for price in prices:
        if price.tier == "standard":
            steps.setdefault(price.above_tokens, {})[price.token_class] = price.usd_per_million
    base = steps.get(0, {})
    if "input" not in base and "output" not in base:
        return None
    return Tariff(source=source, since=since, steps=steps)
