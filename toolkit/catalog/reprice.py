"""What past calls would have cost on another day or at another model; recorded rows stay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from toolkit.catalog.parsing import split_model
from toolkit.pricing.price import Price, normalize_tier
from toolkit.pricing.receipts import Charge, charge
from toolkit.records import PriceClass
from toolkit.store.queries.spend import CALLED_MODELS, CLASS_SUMS

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.catalog.price_lookup import PriceLookup
    from toolkit.store.store import Store

COLUMNS: Final = (
    "model", "calls", "unpriced_calls", "partial_calls", "input_tokens", "output_tokens",
    "cached_input_tokens", "reasoning_tokens", "cached_share", "recorded_usd", "repriced_as",
    "price_source", "price_since", "repriced_usd", "difference_usd", "note",
)  # fmt: skip

# The classes of `pricing.receipt.count_classes`, over columns: parts that overlap are cut to what
# is left of their whole, in the same order.
_CLASSES: Final[tuple[tuple[PriceClass, str], ...]] = (
    ("cached_audio_input", "cached_audio"),
    ("cached_input", "cached"),
    ("cache_write_1h", "written_1h"),
    ("cache_write", "written"),
    ("audio_input", "audio"),
    ("image_input", "image"),
    ("input", "fresh"),
    ("audio_output", "audio_out"),
    ("image_output", "image_out"),
    ("reasoning", "reasoning"),
    ("output", "plain_out"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which calls, and priced how.

    Attributes:
        since, until: calls sent in this span, UTC; None: no bound.
        on: prices of this day; None: the prices in force now.
        as_model: (provider, model id) whose prices to take; None: each call's own.
    """

    since: datetime | None = None
    until: datetime | None = None
    on: date | None = None
    as_model: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Repricer:
    """Prices recorded calls again, with the arithmetic of receipts.

    Attributes:
        store: the database of calls.
        prices: prices of any model on any day.
    """

    store: Store
    prices: PriceLookup

    def reprice(self, question: Question) -> pd.DataFrame:
        """Return one row per model that was called, and what its calls would have cost.

        `repriced_usd` is None where no price is known for the day or the model, or where no
        call reported its tokens; calls without tokens are counted in `unpriced_calls`, calls
        with a class that has no price in `partial_calls`. Only live calls count. Cached and
        reasoning tokens are priced as what they were: `cached_share` says how much of the input
        was cached, which another model or provider may not do.
        """
        import pandas as pd

        span = [question.since, question.until]
        rows = [self._row(question, called) for called in self.store.rows(CALLED_MODELS, span)]
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def _row(self, question: Question, called: dict[str, Any]) -> dict[str, Any]:
        own = (called["provider"], called["model"])
        target = question.as_model or split_model(called["model"])
        price = self.prices.find_price(target[0], target[1], question.on)
        charges = list(self._charges(question, own, price)) if price is not None else []
        amounts = [charged.usd for _, charged in charges if charged.usd is not None]
        repriced = sum(amounts, Decimal(0)) if charges and len(amounts) == len(charges) else None
        recorded = called["recorded_usd"]
        known = repriced is not None and recorded is not None
        notes = dict.fromkeys(charged.note for _, charged in charges if charged.note)
        whole = called["input_tokens"]
        return {
            "model": called["model"],
            "calls": called["calls"],
            "unpriced_calls": called["calls"] if repriced is None else called["without_usage"],
            "partial_calls": sum(calls for calls, charged in charges if charged.unpriced),
            "input_tokens": whole,
            "output_tokens": called["output_tokens"],
            "cached_input_tokens": called["cached_input_tokens"],
            "reasoning_tokens": called["reasoning_tokens"],
            "cached_share": float(called["cached_input_tokens"] / whole) if whole else None,
            "recorded_usd": recorded,
            "repriced_as": "/".join(target),
            "price_source": price.source if price else None,
            "price_since": price.date if price else None,
            "repriced_usd": repriced,
            "difference_usd": repriced - recorded if known and repriced is not None else None,
            "note": "; ".join(notes) or None,
        }

    def _charges(
        self, question: Question, own: tuple[str, str], price: Price
    ) -> Iterator[tuple[int, Charge]]:
        """How many calls, and what they cost, by tier and span of input length."""
        bounds = [0, *price.thresholds, None]
        for low, high in pairwise(bounds):
            floor = low or 0
            values = [question.since, question.until, *own, floor, floor, high]
            for row in self.store.rows(CLASS_SUMS, values):
                counts: dict[PriceClass, int] = {
                    name: int(row[column]) for name, column in _CLASSES
                }
                counts |= {"request": int(row["request"]), "web_search": int(row["web_search"])}
                # Another model is asked for in the tier that its provider has as standard.
                tier = "standard" if question.as_model else normalize_tier(row["service_tier"])
                yield (
                    counts["request"],
                    charge(counts, price, tier=tier, input_tokens=floor + 1 if floor else 0),
                )
