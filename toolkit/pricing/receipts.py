"""The arithmetic of what calls cost: usage by class, the rate of each class, the exact sum.

This is the only place where tokens are multiplied by prices. Receipts, estimates, budgets and
repricing call `charge`. Money is `Decimal` throughout; what has no price is left out and named,
never counted as zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from typing import Final

from toolkit.pricing.price import UNIT_CLASSES, Price, Rate, normalize_tier
from toolkit.records import PriceClass, Receipt, ReceiptLine, Usage

UNKNOWN_PRICE: Final = "no price is known for this model at this provider"
LOCAL_PRICE: Final = "a local model has no price; set one with `toolkit models override`"
NO_USAGE: Final = "the provider sent no usage"

_MILLION: Final = Decimal(1_000_000)
_TOLERANCE: Final = Decimal("0.01")

# Sums over millions of calls need more than the 28 digits of the default context.
_EXACT: Final = Context(prec=60)

# What a class costs where it has no rate of its own. Reasoning tokens are billed as output and
# pictures as input wherever providers do not say otherwise, so these two are certain.
_BILLED_AS: Final[Mapping[PriceClass, PriceClass]] = {
    "reasoning": "output",
    "image_input": "input",
}

# Stand-ins that are not certain: they are charged and the receipt names them as partial. Only
# classes whose real rate is near the stand-in are here; audio, for one, costs 2 to 40 times as
# much as text, so it is left out instead.
_STAND_IN: Final[Mapping[PriceClass, PriceClass]] = {
    "cached_input": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "cached_audio_input": "audio_input",
}


# Counted for every call, and without a rate at most providers, which charge no such fee.
_OFTEN_FREE: Final[frozenset[PriceClass]] = frozenset({"request"})


# Without a price for one of these, the sum of the rest says nothing.
_MAIN_CLASSES: Final = frozenset({"input", "output"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What some usage costs.

    Attributes:
        lines: each class that was used and has a rate.
        usd: sum of the lines; None where plain input or output was used and has no rate.
        unpriced: classes that were used and have no rate of their own.
        note: what is missing or charged at another rate; None if nothing is.
    """

    lines: tuple[ReceiptLine, ...]
    usd: Decimal | None
    unpriced: tuple[str, ...] = ()
    note: str | None = None


def count_classes(usage: Usage) -> dict[PriceClass, int]:
    """Split a call's usage into classes that do not overlap.

    Providers report parts (cached, audio, ...) beside wholes; every token is counted once, and a
    part that is larger than what is left of its whole is cut to it.
    """
    left = _billed(usage.billed_input_tokens, usage.input_tokens)
    counts: dict[PriceClass, int] = {}

    def take(token_class: PriceClass, tokens: int) -> None:
        nonlocal left
        part = min(max(tokens, 0), left)
        left -= part
        counts[token_class] = part

    cached_audio = usage.cached_audio_input_tokens or 0
    written_1h = usage.cache_write_1h_tokens or 0
    take("cached_audio_input", cached_audio)
    take("cached_input", (usage.cached_input_tokens or 0) - cached_audio)
    take("cache_write_1h", written_1h)
    take("cache_write", (usage.cache_write_tokens or 0) - written_1h)
    take("audio_input", (usage.audio_input_tokens or 0) - cached_audio)
    take("image_input", usage.image_input_tokens or 0)
    counts["input"] = left
    left = _billed(usage.billed_output_tokens, usage.output_tokens)
    take("audio_output", usage.audio_output_tokens or 0)
    take("image_output", usage.image_output_tokens or 0)
    take("reasoning", usage.reasoning_tokens or 0)
    counts["output"] = left
    counts["request"] = 1
    counts["web_search"] = max(usage.web_searches or 0, 0)
    return counts


def _billed(billed: int | None, counted: int | None) -> int:
    return (counted if billed is None else billed) or 0


def _explain_counts(usage: Usage) -> Iterator[str]:
    """Say where a receipt is not made of the counts that the call has."""
    billed = usage.billed_input_tokens, usage.billed_output_tokens
    if billed not in ((None, None), (usage.input_tokens, usage.output_tokens)):
        yield "the provider bills other counts of tokens than it reports"
    if _has_surplus_parts(usage):
        yield "more cached tokens are reported than input tokens; only as many as those are charged"


def _has_surplus_parts(usage: Usage) -> bool:
    """Whether more cached tokens are reported than input: what they cost is not known then."""
    parts = (usage.cached_input_tokens or 0) + (usage.cache_write_tokens or 0)
    return usage.input_tokens is not None and parts > usage.input_tokens


def charge(
    counts: Mapping[PriceClass, int],
    price: Price,
    *,
    tier: str = "standard",
    input_tokens: int = 0,
) -> Charge:
    """Multiply usage by rates.

    Args:
        counts: how much of each class was used, without overlap (`count_classes`): of one call,
            or summed over calls whose inputs lie between the same two thresholds.
        price: the rates.
        tier: the service tier, as `normalize_tier` gives it.
        input_tokens: length of the whole input, for rates above a threshold.
    """
    lines: list[ReceiptLine] = []
    unpriced: list[str] = []
    missing: list[str] = []
    remarks: list[str] = []
    for token_class, used in _merge(counts, price, tier, input_tokens).items():
        rate = _find_rate(price, token_class, tier, input_tokens)
        if used == 0 and (rate is None or token_class not in ("input", "output")):
            continue
        if rate is None and token_class in _OFTEN_FREE:
            continue
        label = token_class if tier == "standard" else f"{token_class}@{tier}"
        if rate is None or rate.currency != "USD":
            unpriced.append(label)
            missing.append(token_class)
            why = "has no known price" if rate is None else f"is priced in {rate.currency}"
            remarks.append(f"{label} {why}")
            continue
        if rate.token_class != token_class:
            unpriced.append(label)
            remarks.append(f"{label} has no known price and is charged as {rate.token_class}")
        lines.append(_line(token_class, used, rate.usd_per_million))
    return Charge(
        lines=tuple(lines),
        usd=None if _MAIN_CLASSES.intersection(missing) else _sum(lines),
        unpriced=tuple(unpriced),
        note="; ".join(remarks) or None,
    )


def _merge(
    counts: Mapping[PriceClass, int], price: Price, tier: str, input_tokens: int
) -> dict[PriceClass, int]:
    """Add what is billed as another class to that class; input and output come first."""
    merged: dict[PriceClass, int] = {"input": 0, "output": 0}
    for token_class, used in counts.items():
        whole = _BILLED_AS.get(token_class)
        if whole is not None and not _has_own_rate(price, token_class, whole, tier, input_tokens):
            token_class = whole
        merged[token_class] = merged.get(token_class, 0) + used
    return merged


def _has_own_rate(
    price: Price, token_class: PriceClass, whole: PriceClass, tier: str, input_tokens: int
) -> bool:
    """Whether a part has a rate of its own for this input length.

    One for shorter inputs does not count where its whole has one for this length: maps often
    state the long-context rate of output only, and reasoning then costs that, too.
    """
    own = price.find(token_class, input_tokens, tier)
    billed = price.find(whole, input_tokens, tier)
    return own is not None and (billed is None or own.above_tokens >= billed.above_tokens)


def _find_rate(price: Price, token_class: PriceClass, tier: str, input_tokens: int) -> Rate | None:
    """Return the rate of a class, or of the one charged instead; fees do not depend on the tier."""
    rate = price.find(token_class, input_tokens, tier)
    if rate is None and token_class in UNIT_CLASSES:
        return price.find(token_class, input_tokens)
    stand_in = _STAND_IN.get(token_class)
    if rate is None and stand_in is not None:
        return _find_rate(price, stand_in, tier, input_tokens)
    return rate


def _line(token_class: PriceClass, used: int, usd_per_million: Decimal) -> ReceiptLine:
    usd = _EXACT.divide(_EXACT.multiply(usd_per_million, Decimal(used)), _MILLION)
    return ReceiptLine(
        token_class=token_class, tokens=used, usd_per_million=usd_per_million, usd=usd
    )


def _sum(lines: Iterable[ReceiptLine]) -> Decimal:
    total = Decimal(0)
    for line in lines:
        total = _EXACT.add(total, line.usd)
    return total


def build_receipt(
    usage: Usage,
    price: Price | None,
    *,
    reported_usd: Decimal | None = None,
    reported_elsewhere: str | None = None,
    litellm_usd: Decimal | None = None,
    unpriced_because: str = UNKNOWN_PRICE,
) -> Receipt:
    """Return the receipt of one call.

    Args:
        usage: tokens by class, and the tier that served the call.
        price: the price in force when the call was made, or None.
        reported_usd: what the provider itself said it cost.
        reported_elsewhere: the same in another currency (`1.2 CNY`); it is only noted.
        litellm_usd: computed from litellm's price, for comparison.
        unpriced_because: why there is no price.
    """
    tier = normalize_tier(usage.service_tier)
    blank = Receipt(
        cost_usd=reported_usd,
        cost_source=None if reported_usd is None else "reported",
        cost_reported_usd=reported_usd,
        cost_litellm_usd=litellm_usd,
        service_tier=tier,
    )
    elsewhere = f"the provider reports {reported_elsewhere}" if reported_elsewhere else None
    if price is None:
        return replace(blank, note=_join([unpriced_because, elsewhere]))
    blank = replace(
        blank, price_id=price.price_id, price_source=price.source, price_date=price.date
    )
    if usage.input_tokens is None or usage.output_tokens is None:
        return replace(blank, note=_join([NO_USAGE, elsewhere]))
    charged = charge(count_classes(usage), price, tier=tier, input_tokens=usage.input_tokens)
    if _has_surplus_parts(usage) and "cached_input" not in charged.unpriced:
        charged = replace(charged, unpriced=(*charged.unpriced, "cached_input"))
    notes = [charged.note, elsewhere, *price.warnings, *_explain_counts(usage)]
    if usage.source == "estimated":
        notes.append("tokens are an estimate")
    mismatch = _explain_mismatch(charged, reported_usd, litellm_usd)
    notes.append(mismatch if reported_usd is not None else None)
    if reported_usd is None and charged.usd is not None:
        blank = replace(blank, cost_usd=charged.usd, cost_source="computed")
    return replace(
        blank,
        cost_computed_usd=charged.usd,
        lines=charged.lines,
        unpriced=charged.unpriced,
        mismatch=mismatch is not None,
        note=_join(notes),
    )


def _join(notes: Sequence[str | None]) -> str | None:
    return "; ".join(note for note in notes if note) or None


def _explain_mismatch(
    charged: Charge, reported_usd: Decimal | None, litellm_usd: Decimal | None
) -> str | None:
    """Say how the computed cost differs from the figure that it is compared with, or None."""
    other = litellm_usd if reported_usd is None else reported_usd
    if charged.usd is None or other is None or not differs(charged.usd, other):
        return None
    because = (
        "because of what has no price"
        if charged.unpriced
        else "so the known price is not the one that was charged"
    )
    return f"the provider reports ${other:f} and the computed cost is ${charged.usd:f}, {because}"


def differs(one: Decimal, other: Decimal) -> bool:
    """Whether two figures are more than 1 % of the larger one from each other."""
    return abs(one - other) > _TOLERANCE * max(abs(one), abs(other))
