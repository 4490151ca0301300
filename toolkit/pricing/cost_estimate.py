"""What a request will cost before it is sent: a range for people, an upper bound for budgets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from toolkit.display import Card, Shown, money
from toolkit.pricing.price import Price, Prices, normalize_tier
from toolkit.pricing.receipts import UNKNOWN_PRICE, Charge, charge
from toolkit.pricing.token_estimate import (
    count_choices,
    count_input_tokens,
    find_output_limit,
    most_input_tokens,
)
from toolkit.records import ChatRequest, PriceClass

UNKNOWN_OUTPUT_TOKENS: Final = 32_768
"""Longest answer that is expected of a model whose limit is unknown."""

_ENOUGH_ANSWERS: Final = 20
_MOST_SEARCHES: Final = 10
_SEARCH_PARAMS: Final = ("search_parameters", "plugins")

_INPUT_CLASSES: Final[tuple[PriceClass, ...]] = (
    "input", "cache_write", "cache_write_1h", "audio_input", "image_input",
)  # fmt: skip
_OUTPUT_CLASSES: Final[tuple[PriceClass, ...]] = (
    "output", "reasoning", "audio_output", "image_output",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCosts:
    """What is known of a model before a call.

    Attributes:
        prices: what sources say it costs.
        context_window_tokens: input window, tokens.
        max_output_tokens: longest answer, tokens.
        is_enabled: whether calls to it are allowed; a person can switch a model off.
        surplus_usd: the most by which the provider's own figure was above the computed one in
            recorded calls: fees that no price list has.
    """

    prices: Prices = field(default_factory=Prices)
    context_window_tokens: int | None = None
    max_output_tokens: int | None = None
    surplus_usd: Decimal | None = None
    is_enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLengths:
    """Lengths of recorded answers: how many, and their 10th, 50th and 90th percentile, tokens."""

    count: int = 0
    low: float = 0.0
    expected: float = 0.0
    high: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate(Shown):
    """What one request may cost; nothing was sent.

    Attributes:
        model: `provider/model_id`.
        input_tokens: of the whole request, tools, schemas and pictures included.
        input_basis: how they were counted.
        output_tokens: low, expected and high, all choices together.
        output_basis: where these come from.
        low_usd, expected_usd, high_usd: the cost at those lengths; None: no price is known.
        most_usd: the most that the request may cost; what a budget reserves.
        most_output_tokens: the longest answer that may come, all choices together.
        price_source, price_date: the price that was used.
        unpriced: classes that may be used and have no price.
        note: what is missing.
    """

    model: str
    input_tokens: int
    input_basis: str
    output_tokens: tuple[int, int, int]
    output_basis: str
    low_usd: Decimal | None
    expected_usd: Decimal | None
    high_usd: Decimal | None
    most_usd: Decimal | None
    most_output_tokens: int
    price_source: str | None = None
    price_date: str | None = None
    unpriced: tuple[str, ...] = ()
    note: str | None = None

    def _card(self) -> Card:
        low, expected, high = self.output_tokens
        tokens = {"low": low, "expected": expected, "high": high, "most": self.most_output_tokens}
        usd = {
            "low": self.low_usd,
            "expected": self.expected_usd,
            "high": self.high_usd,
            "most": self.most_usd,
        }
        return Card(
            title=f"Estimate for {self.model}; nothing was sent",
            facts={"input tokens": self.input_tokens, "price from": self.price_source},
            rows=[
                {"case": case, "output tokens": count, "cost": money(usd[case]) or "unknown"}
                for case, count in tokens.items()
            ],
            notes=[
                f"Input: {self.input_basis}. Output: {self.output_basis}.",
                *([self.note] if self.note else ()),
            ],
        )


def most_usd(request: ChatRequest, costs: ModelCosts) -> Decimal | None:
    """Return the most that one attempt may cost at a model; None where it has no price.

    Input is the dearest class that the request can be billed as, output the largest of all
    limits given (the model's own where none is), times the number of choices, in the dearer of
    the standard tier and the one asked for.
    """
    price = costs.prices.in_force
    if price is None:
        return costs.surplus_usd
    tokens = most_input_tokens(request)
    answered = most_output_tokens(request, costs)
    tiers = {"standard", normalize_tier(str(request.params.get("service_tier") or ""))}
    candidates = [
        charged.usd
        for tier in tiers
        for charged in [_charge_dearest(request, price, tier, tokens, answered)]
        if charged.usd is not None
    ]
    most = max(candidates, default=None)
    if most is None or costs.surplus_usd is None:
        return most if costs.surplus_usd is None else costs.surplus_usd
    return most + max(costs.surplus_usd, Decimal(0))


def find_unpriced(request: ChatRequest, costs: ModelCosts) -> tuple[str, ...]:
    """Return what a request may use that has no price, so that `most_usd` may be too low.

    Returns:
        Classes of usage and tiers (`tier flex`); `price` alone where the model has none. Nothing
        where the provider has reported the cost of recent calls: that is in `most_usd`.
    """
    if costs.surplus_usd is not None:
        return ()
    price = costs.prices.in_force
    if price is None:
        return ("price",)
    tokens = most_input_tokens(request)
    tier = normalize_tier(str(request.params.get("service_tier") or ""))
    if tier != "standard" and price.find_rate("output", tokens, tier) is None:
        return (f"tier {tier}",)
    counts: dict[PriceClass, int] = dict.fromkeys(sorted(_classes_of(request)), 1)
    counts["web_search"] = _count_searches(request)
    charged = charge(counts, price, tier=tier, input_tokens=tokens)
    counted: set[str] = {line.token_class for line in charged.lines}
    return tuple(name for name in charged.unpriced if name.partition("@")[0] not in counted)


def most_output_tokens(request: ChatRequest, costs: ModelCosts) -> int:
    """Return the longest output that may be billed, all choices together."""
    if request.operation != "chat":
        return 0
    limit = find_output_limit(request.params)
    if limit is None:
        limit = costs.max_output_tokens or costs.context_window_tokens or UNKNOWN_OUTPUT_TOKENS
    return limit * count_choices(request.params)


def _charge_dearest(
    request: ChatRequest, price: Price, tier: str, tokens: int, answered: int
) -> Charge:
    """Price a request as if all of it were of the dearest class that it can have."""
    may_hold = _classes_of(request)
    counts: dict[PriceClass, int] = {"request": 1}
    counts[_dearest(_INPUT_CLASSES, may_hold, price, tier, tokens)] = tokens
    counts[_dearest(_OUTPUT_CLASSES, may_hold, price, tier, tokens)] = answered
    if searches := _count_searches(request):
        counts["web_search"] = searches
    return charge(counts, price, tier=tier, input_tokens=tokens)


def _dearest(
    classes: Sequence[PriceClass],
    may_hold: frozenset[PriceClass],
    price: Price,
    tier: str,
    tokens: int,
) -> PriceClass:
    priced = [
        (rate, token_class)
        for token_class in classes
        if token_class in may_hold
        and (rate := price.find_rate(token_class, tokens, tier)) is not None
    ]
    return max(priced, default=(Decimal(0), classes[0]))[1]


def _classes_of(request: ChatRequest) -> frozenset[PriceClass]:
    """The classes of tokens that a request and its answer can have."""
    found: set[PriceClass] = {"input", "output", "reasoning", "cache_write"}
    parts = {
        str(part.get("type"))
        for message in request.messages
        if isinstance(message.get("content"), list | tuple)
        for part in message["content"]
        if isinstance(part, dict)
    }
    if parts & {"input_audio", "audio"}:
        found.add("audio_input")
    if parts & {"image_url", "image", "input_image"}:
        found.add("image_input")
    if "'1h'" in repr(request.messages) or "'1h'" in repr(request.params.get("tools")):
        found.add("cache_write_1h")
    modalities = request.params.get("modalities")
    if isinstance(modalities, list | tuple):
        found |= {"audio_output"} if "audio" in modalities else set()
        found |= {"image_output"} if "image" in modalities else set()
    return frozenset(found)


def _count_searches(request: ChatRequest) -> int:
    """How many searches a request may make with the provider's own tool."""
    tools = request.params.get("tools")
    listed = tools if isinstance(tools, list | tuple) else ()
    searching = [tool for tool in listed if isinstance(tool, dict) and _searches(tool)]
    if searching:
        limits = [tool.get("max_uses") for tool in searching]
        return sum(limit if isinstance(limit, int) else _MOST_SEARCHES for limit in limits)
    if request.params.get("web_search_options") is not None:  # {} searches with its defaults
        return _MOST_SEARCHES
    return _MOST_SEARCHES if any(request.params.get(name) for name in _SEARCH_PARAMS) else 0


def _searches(tool: dict[str, Any]) -> bool:
    """Whether a tool is the provider's search: named by its type, or by its key (Gemini)."""
    named = (str(tool.get("type")), *map(str, tool))
    return any("search" in name.lower() for name in named)


def estimate_request(request: ChatRequest, costs: ModelCosts, lengths: AnswerLengths) -> Estimate:
    """Estimate what a request will cost.

    Args:
        request: as it would be sent.
        costs: the model's prices and limits.
        lengths: of the model's recorded answers.
    """
    tokens, basis = count_input_tokens(request)
    choices = count_choices(request.params)
    limit = find_output_limit(request.params)
    low, expected, high, output_basis = _expect_output(request, costs, lengths)
    sizes = tuple(round(size) * choices for size in (low, expected, high))
    price = costs.prices.in_force
    charges = [_charge_plain(price, request, tokens, size) for size in sizes]
    last = charges[-1]
    return Estimate(
        model=request.model,
        input_tokens=tokens,
        input_basis=basis,
        output_tokens=(sizes[0], sizes[1], sizes[2]),
        output_basis=output_basis if limit is None else f"{output_basis}, at most {limit:,}",
        low_usd=charges[0].usd if charges[0] else None,
        expected_usd=charges[1].usd if charges[1] else None,
        high_usd=last.usd if last else None,
        most_usd=most_usd(request, costs),
        most_output_tokens=most_output_tokens(request, costs),
        price_source=price.source if price else None,
        price_date=price.date if price else None,
        unpriced=last.unpriced if last else (),
        note=last.note if last else UNKNOWN_PRICE,
    )


def estimate_chain(estimates: Sequence[Estimate]) -> Estimate:
    """Return the estimate of a failover chain: its first model answers, the dearest is reserved.

    Args:
        estimates: of each model of the chain, in its order; at least one.
    """
    first = estimates[0]
    if len(estimates) == 1:
        return first
    known = [entry.most_usd for entry in estimates if entry.most_usd is not None]
    unknown = [entry.model for entry in estimates if entry.most_usd is None]
    note = f"the first of {len(estimates)} models; the most is that of the dearest one"
    if unknown:
        note += f", without {', '.join(unknown)}, whose price is not known"
    return replace(
        first,
        most_usd=max(known, default=None),
        most_output_tokens=max(entry.most_output_tokens for entry in estimates),
        note="; ".join(part for part in (first.note, note) if part),
    )


def _charge_plain(
    price: Price | None, request: ChatRequest, tokens: int, answered: int
) -> Charge | None:
    if price is None:
        return None
    tier = normalize_tier(str(request.params.get("service_tier") or ""))
    counts: dict[PriceClass, int] = {"input": tokens, "output": answered, "request": 1}
    if _count_searches(request):
        counts["web_search"] = 1
    return charge(counts, price, tier=tier, input_tokens=tokens)


def _expect_output(
    request: ChatRequest, costs: ModelCosts, lengths: AnswerLengths
) -> tuple[float, float, float, str]:
    """Low, expected and high length of one answer, cut to its limit, and where they come from."""
    if request.operation != "chat":
        return 0, 0, 0, "embeddings have no output"
    limit = find_output_limit(request.params)
    longest = limit or costs.max_output_tokens or UNKNOWN_OUTPUT_TOKENS
    if lengths.count >= _ENOUGH_ANSWERS:
        return (
            min(lengths.low, longest),
            min(lengths.expected, longest),
            min(lengths.high, longest),
            f"{lengths.count:,} recorded answers of this model",
        )
    # A tenth and a half of the limit, or of a usual answer where no limit is set.
    usual = float(limit or min(longest, 2_048))
    few = f"{lengths.count} of its answers are recorded" if lengths.count else "none is recorded"
    return usual * 0.1, usual * 0.5, usual, f"assumed lengths, as {few}"


def total_usd(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """Add up costs; None where one of them is unknown."""
    total = Decimal(0)
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total
