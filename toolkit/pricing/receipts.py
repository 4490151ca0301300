"""The arithmetic of a call's cost: tokens by class, the price of each, and the sum.

Unpriced is None with the reason in a note, never zero. Money is `Decimal` from the first line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

from toolkit.records import Receipt, ReceiptLine, Usage

if TYPE_CHECKING:
    from toolkit.providers.provider import Provider

RateClass = Literal["input", "cached_input", "cache_write", "output", "reasoning", "request"]
UNKNOWN_PRICE: Final = "no price is known for this model at this provider"
_MILLION: Final = Decimal(1_000_000)
_SAME: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One price.

    Attributes:
        token_class: what is counted; `request` is per request, not per token.
        usd_per_million: USD for a million of them.
        above_tokens: it holds where the whole input is longer than so many tokens.
    """

    token_class: RateClass
    usd_per_million: Decimal
    above_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model costs at a provider at one moment.

    Attributes:
        price_id: names this price; stored with every call that it was used for.
        source: where it is from (`override`, `provider`, `litellm`, `genai-prices`).
        date: date or edition of that source.
        rates: by class and input length.
    """

    price_id: str
    source: str
    date: str | None
    rates: tuple[Rate, ...]

    def find_rate(self, token_class: RateClass, input_tokens: int = 0) -> Decimal | None:
        """USD per million of a class for an input of this length, or None."""
        fitting = [
            rate
            for rate in self.rates
            if rate.token_class == token_class
            and (rate.above_tokens == 0 or input_tokens > rate.above_tokens)
        ]
        chosen = max(fitting, key=lambda rate: rate.above_tokens, default=None)
        return chosen.usd_per_million if chosen else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What sources say of one model at one moment.

    Attributes:
        in_force: the price that the documented rule chose; None: unpriced.
        litellm: litellm's own price, for comparison.
    """

    in_force: Price | None = None
    litellm: Price | None = None


PricesFor = Callable[["Provider", str, datetime], Prices]


def build_receipt(
    usage: Usage,
    price: Price | None,
    *,
    reported_usd: Decimal | None = None,
    litellm_usd: Decimal | None = None,
    unpriced_because: str = UNKNOWN_PRICE,
) -> Receipt:
    """The receipt of one call.

    Args:
        usage: tokens by class.
        price: the price in force when the call was made, or None.
        reported_usd: what the provider itself said it cost.
        litellm_usd: litellm's figure, for comparison.
        unpriced_because: why there is no price.
    """
    blank = Receipt(cost_reported_usd=reported_usd, cost_litellm_usd=litellm_usd)
    if price is None:
        return replace(blank, note=unpriced_because)
    blank = replace(
        blank, price_id=price.price_id, price_source=price.source, price_date=price.date
    )
    if usage.input_tokens is None or usage.output_tokens is None:
        return replace(blank, note="the provider sent no usage")
    lines = _lines(usage, price)
    if lines is None:
        return replace(blank, note="a class of tokens that was used has no price")
    cost = sum((line.usd for line in lines), Decimal(0))
    return replace(
        blank,
        cost_usd=cost,
        lines=lines,
        mismatch=any(_differs(cost, other) for other in (reported_usd, litellm_usd)),
        note="tokens are an estimate" if usage.source == "estimated" else None,
    )


def _lines(usage: Usage, price: Price) -> tuple[ReceiptLine, ...] | None:
    """Tokens by class with their prices; None when a class that was used has no price.

    A cached read without a price of its own costs what fresh input costs, and so does a
    cache write; reasoning without one costs what output costs.
    """
    total_in, total_out = usage.input_tokens or 0, usage.output_tokens or 0
    cached = min(usage.cached_input_tokens or 0, total_in)
    written = min(usage.cache_write_tokens or 0, total_in - cached)
    own_reasoning = price.find_rate("reasoning", total_in) is not None
    reasoning = min(usage.reasoning_tokens or 0, total_out) if own_reasoning else 0
    counted: tuple[tuple[RateClass, int, RateClass], ...] = (
        ("input", total_in - cached - written, "input"),
        ("cached_input", cached, "input"),
        ("cache_write", written, "input"),
        ("output", total_out - reasoning, "output"),
        ("reasoning", reasoning, "output"),
    )
    lines = []
    for token_class, tokens, instead in counted:
        if tokens == 0 and token_class not in ("input", "output"):
            continue
        rate = price.find_rate(token_class, total_in)
        rate = price.find_rate(instead, total_in) if rate is None else rate
        if rate is None and tokens == 0:
            continue
        if rate is None:
            return None
        lines.append(_line(token_class, tokens, rate))
    per_request = price.find_rate("request", total_in)
    if per_request:
        lines.append(_line("request", 1, per_request))
    return tuple(lines)


def _line(token_class: RateClass, tokens: int, rate: Decimal) -> ReceiptLine:
    usd = rate * tokens / _MILLION
    return ReceiptLine(token_class=token_class, tokens=tokens, usd_per_million=rate, usd=usd)


def _differs(ours: Decimal, other: Decimal | None) -> bool:
    if other is None or ours == other:
        return False
    return abs(ours - other) > _SAME * max(abs(ours), abs(other))
