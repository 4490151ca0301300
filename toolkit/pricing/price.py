"""The one form of a price: a rate for each class of usage, by service tier and input length.

Everything that costs money is counted in one of `PRICE_CLASSES`. Receipts, estimates, budgets and
repricing all read the rates of a `Price`; nothing else in the package converts them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Final, Literal, get_args

from toolkit.records import PriceClass

Tier = Literal["standard", "batch", "flex", "priority"]

PRICE_CLASSES: Final[tuple[PriceClass, ...]] = get_args(PriceClass)

UNIT_CLASSES: Final[frozenset[PriceClass]] = frozenset(
    {"request", "image", "web_search", "code_execution", "file_search", "tool_call"}
)
"""Classes that are counted in pieces; all others are counted in tokens."""

TOKEN_CLASSES: Final[frozenset[PriceClass]] = frozenset(PRICE_CLASSES) - UNIT_CLASSES

# How providers name the tier that served a request. `auto` and `standard_only` are what the
# caller may ask for; an answer that repeats them was served by the standard tier.
_TIER_NAMES: Final[dict[str, str]] = {
    "": "standard",
    "auto": "standard",
    "default": "standard",
    "on_demand": "standard",  # Groq, Gemini's trafficType
    "standard_only": "standard",
    "unspecified": "standard",
    "batches": "batch",
}


def normalize_tier(name: str | None) -> str:
    """Return the tier under which a provider's name for it is priced.

    A name that is not known stays as it is, in lower case: it has no price, and receipts say so.
    """
    written = (name or "").strip().lower().removeprefix("service_tier_")
    return _TIER_NAMES.get(written, written)


# Twice the dearest that any provider has asked for text (o1-pro: 150 and 600).
_HIGHEST_USD: Final[dict[str, Decimal]] = {"input": Decimal(300), "output": Decimal(1200)}
# Tiers and long-context steps cost between a tenth and ten times the standard rate.
_COMPARABLE_TIERS: Final = frozenset({"batch", "flex", "priority"})
_LOWEST_RATIO: Final = Decimal("0.1")
_HIGHEST_RATIO: Final = Decimal(10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One rate of a price.

    Attributes:
        token_class: what is counted; see `PRICE_CLASSES`.
        usd_per_million: the amount for a million of them, in `currency`.
        tier: service tier: `standard`, `batch`, `flex`, `priority`, or the provider's own name.
        above_tokens: the rate holds where the whole input is longer than so many tokens.
        currency: as the source states it. Nothing is converted: a receipt is in USD, and a
            class whose rate is in another currency is listed on it as unpriced.
    """

    token_class: PriceClass
    usd_per_million: Decimal
    tier: str = "standard"
    above_tokens: int = 0
    currency: str = "USD"


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a model costs at a provider at one moment.

    Attributes:
        price_id: names this price; stored with every call that it was used for.
        source: where it is from (`override`, `provider`, `litellm`, `genai-prices`).
        date: date or edition of that source.
        rates: by class, tier and input length.
        warnings: why a rate may be wrong (out of proportion to its neighbours).
    """

    price_id: str
    source: str
    date: str | None
    rates: tuple[Rate, ...]
    warnings: tuple[str, ...] = ()

    @cached_property
    def _by_class(self) -> dict[tuple[str, str], list[Rate]]:
        found: dict[tuple[str, str], list[Rate]] = {}
        for rate in sorted(self.rates, key=lambda rate: rate.above_tokens):
            found.setdefault((rate.token_class, rate.tier), []).append(rate)
        return found

    @property
    def thresholds(self) -> tuple[int, ...]:
        """Input lengths above which other rates hold, ascending, without 0."""
        return tuple(sorted({rate.above_tokens for rate in self.rates if rate.above_tokens}))

    def find(
        self, token_class: PriceClass, input_tokens: int = 0, tier: str = "standard"
    ) -> Rate | None:
        """Return the rate of a class in a tier for an input of this length, or None."""
        chosen = None
        for rate in self._by_class.get((token_class, tier), ()):
            if rate.above_tokens == 0 or input_tokens > rate.above_tokens:
                chosen = rate
        return chosen

    def find_rate(
        self, token_class: PriceClass, input_tokens: int = 0, tier: str = "standard"
    ) -> Decimal | None:
        """Return USD per million of a class for an input of this length, or None."""
        rate = self.find(token_class, input_tokens, tier)
        return rate.usd_per_million if rate else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What sources say of one model at one moment.

    Attributes:
        in_force: the price that the documented rule chose; None: unpriced.
        litellm: litellm's own price, for comparison.
    """

    in_force: Price | None = None
    litellm: Price | None = None


PricesFor = Callable[[str, str, datetime], Prices]
"""(provider's name, model id, moment) -> what sources say it costs."""


def make_price(
    model: str, source: str, date: str | None, rates: Iterable[Rate], warnings: Iterable[str] = ()
) -> Price | None:
    """Return a price with its id, or None where there is neither an input nor an output rate.

    The id ends in a digest of the rates: a price may change twice on one day.
    """
    kept = tuple(sorted(rates, key=lambda r: (r.token_class, r.tier, r.above_tokens)))
    plain = {r.token_class for r in kept if r.tier == "standard" and r.above_tokens == 0}
    if not plain & {"input", "output"}:
        return None
    price_id = f"{source}:{model}:{date or 'undated'}:{_digest(kept)}"
    return Price(price_id=price_id, source=source, date=date, rates=kept, warnings=tuple(warnings))


def find_outliers(rates: Iterable[Rate]) -> tuple[str, ...]:
    """Say which rates are out of proportion to their neighbours, in words for a receipt.

    Price maps are written by hand: litellm's has had one model at $3,200 per million tokens, its
    price per thousand mistaken for one per token.
    """
    by_name: dict[tuple[str, str, int], Rate] = {
        (r.token_class, r.tier, r.above_tokens): r for r in rates if r.currency == "USD"
    }
    found = []
    for (token_class, tier, above), rate in by_name.items():
        usd = rate.usd_per_million
        label = f"{token_class}{'' if tier == 'standard' else '@' + tier}"
        label += f" above {above:,} tokens" if above else ""
        highest = _HIGHEST_USD.get(token_class)
        if highest is not None and usd > highest:
            found.append(f"the price of {label}, ${usd:f} per million, is far above any known one")
        for other in _neighbours(token_class, tier, above):
            base = by_name.get(other)
            if base is not None and base.usd_per_million > 0:
                ratio = usd / base.usd_per_million
                if not _LOWEST_RATIO <= ratio <= _HIGHEST_RATIO:
                    found.append(f"the price of {label} is {ratio:.1f} times the usual one")
        whole = by_name.get(("input", tier, above))
        if token_class == "cached_input" and whole is not None and usd > whole.usd_per_million:  # noqa: S105
            found.append(f"{label} costs more than input that is not cached")
    return tuple(found)


def _neighbours(token_class: str, tier: str, above: int) -> Iterable[tuple[str, str, int]]:
    """The rates that a rate is near to: its tier's for short inputs, the standard tier's."""
    if above:
        yield token_class, tier, 0
    if tier in _COMPARABLE_TIERS:
        yield token_class, "standard", above


def _digest(rates: Iterable[Rate]) -> str:
    lines = sorted(
        f"{r.token_class}@{r.tier}>{r.above_tokens}={r.usd_per_million.normalize()}{r.currency}"
        for r in rates
    )
    return hashlib.sha256(" ".join(lines).encode()).hexdigest()[:12]
