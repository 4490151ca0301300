"""What several sources say about one model, side by side, and which of them is believed.

The rule, per single fact: the user's own override first, then what a real request has shown, then
the provider's own listing, then litellm's bundled map, then genai-prices. A source that is silent
about a fact leaves it to the next one. Nothing is averaged and nothing is thrown away: every claim
stays with its source and date, and a fact on which two sources disagree is a conflict that is
shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal

from toolkit.catalog.listings.listed_model import Kind, ListedModel
from toolkit.pricing.price import Rate

SourceName = Literal["override", "probe", "provider", "litellm", "genai-prices"]
RULE: Final[tuple[SourceName, ...]] = (
    "override", "probe", "provider", "litellm", "genai-prices",
)  # fmt: skip

_SAME_PRICE: Final = Decimal("0.01")  # receipts call a difference above 1 % a mismatch, too


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """What one source says about one model; None or empty where it is silent.

    Attributes:
        source: who says it.
        as_of: the day the source speaks of, where it has one.
        key: the name under which the source knows the model.
        edition: which edition of the source it is.
    """

    source: SourceName
    as_of: date | None = None
    key: str | None = None
    edition: str | None = None
    kind: Kind | None = None
    context_window_tokens: int | None = None
    max_output_tokens: int | None = None
    input_modalities: tuple[str, ...] = ()
    output_modalities: tuple[str, ...] = ()
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    prices: tuple[Rate, ...] = ()
    retires_on: date | None = None
    successor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcedValue:
    """One source's word on one fact."""

    source: SourceName
    value: Any
    as_of: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts in force, and every claim behind them.

    Attributes:
        values: by name of fact (`context_window_tokens`, `capability:tools`, `price:input`,
            `price:input@batch`, `price:input>200000`), the value that the rule chose.
        claims: by name of fact, every source's word in the order of the rule.
        conflicts: names of facts on which sources disagree.
    """

    values: Mapping[str, Any]
    claims: Mapping[str, tuple[SourcedValue, ...]]
    conflicts: tuple[str, ...]

    def source_of(self, name: str) -> SourceName | None:
        """Whose word is in force for a fact."""
        return self.claims[name][0].source if name in self.claims else None


def merge_facts(sources: Iterable[SourceFacts]) -> Facts:
    """Put the sources side by side and choose by the rule."""
    ordered = sorted(sources, key=lambda facts: RULE.index(facts.source))
    claims: dict[str, list[SourcedValue]] = {}
    for facts in ordered:
        for name, value in _spread(facts):
            claim = SourcedValue(source=facts.source, value=value, as_of=facts.as_of)
            claims.setdefault(name, []).append(claim)
    return Facts(
        values={name: said[0].value for name, said in claims.items()},
        claims={name: tuple(said) for name, said in claims.items()},
        conflicts=tuple(name for name, said in claims.items() if _disagree(name, said)),
    )


def facts_of_listing(model: ListedModel, as_of: date) -> SourceFacts:
    """The provider's own word, as listed on a day."""
    return SourceFacts(
        source="provider",
        as_of=as_of,
        key=model.model_id,
        kind=model.kind,
        context_window_tokens=model.context_window_tokens,
        max_output_tokens=model.max_output_tokens,
        input_modalities=model.input_modalities,
        output_modalities=model.output_modalities,
        capabilities=model.capabilities,
        prices=model.prices,
        retires_on=model.retires_on,
        successor=model.successor,
    )


def price_name(token_class: str, tier: str = "standard", above_tokens: int = 0) -> str:
    """Name of a price fact: `price:input`, `price:output@batch`, `price:input>200000`."""
    tier_part = "" if tier == "standard" else f"@{tier}"
    return f"price:{token_class}{tier_part}" + (f">{above_tokens}" if above_tokens else "")


def _spread(facts: SourceFacts) -> Iterable[tuple[str, Any]]:
    """The facts that a source is not silent about, by name."""
    plain = (
        "kind", "context_window_tokens", "max_output_tokens", "input_modalities",
        "output_modalities", "retires_on", "successor",
    )  # fmt: skip
    for name in plain:
        value = getattr(facts, name)
        if value not in (None, ()):
            yield name, value
    for capability, value in facts.capabilities.items():
        yield f"capability:{capability}", value
    for price in facts.prices:
        name = price_name(price.token_class, price.tier, price.above_tokens)
        is_usd = price.currency == "USD"
        yield (
            name,
            price.usd_per_million if is_usd else f"{price.usd_per_million:f} {price.currency}",
        )


def _disagree(name: str, claims: list[SourcedValue]) -> bool:
    if len(claims) == 1:
        return False
    values = [claim.value for claim in claims]
    if name.startswith("price:"):
        if any(isinstance(value, str) for value in values):  # in another currency
            return False
        low, high = min(values), max(values)
        return bool(high - low > _SAME_PRICE * high)
    if name.endswith("modalities"):
        return any(set(value) != set(values[0]) for value in values)
    return any(value != values[0] for value in values)
