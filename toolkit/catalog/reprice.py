"""What past calls would have cost on another day or at another model; past rows stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from toolkit.catalog.listings.listed_model import ListedPrice
from toolkit.catalog.parsing import split_model
from toolkit.catalog.sources import genai_map
from toolkit.catalog.sources.hosts_of_url import UNKNOWN, host_of
from toolkit.catalog.sources.sourced_values import read_claims, read_price
from toolkit.pricing.price_sheet import PriceSheet, Tokens, tariff_of

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.catalog.catalog_store import CatalogStore
    from toolkit.providers.provider import Provider

COLUMNS = (
    "model", "calls", "unpriced_calls", "input_tokens", "output_tokens", "cached_input_tokens",
    "recorded_usd", "repriced_as", "price_source", "price_since", "repriced_usd",
    "difference_usd",
)  # fmt: skip


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
    """Prices calls anew from the catalog's own history and genai-prices'.

    Attributes:
        shelf: the catalog's rows.
        find_provider: a provider by name, or None where it is no more configured.
    """

    shelf: CatalogStore
    find_provider: Callable[[str], Provider | None]

    def reprice(self, question: Question) -> pd.DataFrame:
        """One row per model that was called, and what its calls would have cost.

        `repriced_usd` is None where no price is known for the day or the model, or where no
        call told its tokens; calls without tokens are counted in `unpriced_calls`. Only live
        calls count.
        """
        import pandas as pd

        rows = [self._row(question, called) for called in self._called(question)]
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def _called(self, question: Question) -> list[dict[str, Any]]:
        return self.shelf.store.rows(
            """
            SELECT provider, model, count(*) AS calls, sum(cost_usd) AS recorded_usd,
                   count(*) FILTER (input_tokens IS NULL OR output_tokens IS NULL) AS untold
            FROM calls
            WHERE source = 'live' AND started_at >= coalesce(?, '-infinity'::TIMESTAMPTZ)
              AND started_at < coalesce(?, 'infinity'::TIMESTAMPTZ)
            GROUP BY provider, model ORDER BY provider, model""",
            [question.since, question.until],
        )

    def _row(self, question: Question, called: dict[str, Any]) -> dict[str, Any]:
        own = (called["provider"], called["model"])
        target = question.as_model or split_model(called["model"])
        tariff = self.find_tariff(target[0], target[1], question.on)
        sums = list(self._sums(question, own, tariff))
        repriced = _total(tariff, sums) if tariff is not None else None
        recorded = called["recorded_usd"]
        known = repriced is not None and recorded is not None
        return {
            "model": called["model"],
            "calls": called["calls"],
            "unpriced_calls": called["calls"] if repriced is None else called["untold"],
            "input_tokens": sum(tokens.input for _, tokens in sums),
            "output_tokens": sum(tokens.output for _, tokens in sums),
            "cached_input_tokens": sum(tokens.cached_input for _, tokens in sums),
            "recorded_usd": recorded,
            "repriced_as": "/".join(target),
            "price_source": tariff.source if tariff else None,
            "price_since": tariff.since if tariff else None,
            "repriced_usd": repriced,
            "difference_usd": repriced - recorded if known and repriced is not None else None,
        }

    def _sums(
        self, question: Question, own: tuple[str, str], tariff: PriceSheet | None
    ) -> Iterator[tuple[int, Tokens]]:
        """Tokens by class, apart for each span of input length that has its own prices."""
        bounds = [0, *(tariff.thresholds if tariff else ()), None]
        for low, high in pairwise(bounds):
            (row,) = self.shelf.store.rows(
                """
                SELECT coalesce(sum(input_tokens), 0) AS input,
                       coalesce(sum(output_tokens), 0) AS output,
                       coalesce(sum(cached_input_tokens), 0) AS cached_input,
                       coalesce(sum(cache_write_tokens), 0) AS cache_write,
                       coalesce(sum(reasoning_tokens), 0) AS reasoning, count(*) AS requests
                FROM calls
                WHERE source = 'live' AND started_at >= coalesce(?, '-infinity'::TIMESTAMPTZ)
                  AND started_at < coalesce(?, 'infinity'::TIMESTAMPTZ)
                  AND provider = ? AND model = ? AND output_tokens IS NOT NULL
                  AND (input_tokens > ? OR ? = 0)
                  AND input_tokens <= coalesce(?, input_tokens)""",
                [question.since, question.until, *own, low, low, high],
            )
            tokens = Tokens(**{name: int(value) for name, value in row.items()})
            yield low or 0, tokens

    def find_tariff(self, provider: str, model_id: str, on: date | None) -> PriceSheet | None:
        """The prices of a model now, or on a day, or None where nobody knows them.

        On a day: the user's override of that time, else what a listing had said by then, else
        what genai-prices dates to it, else what litellm's map said when it was first seen.
        """
        if on is None:
            return self._tariff_in_force(provider, model_id)
        rows = self.shelf.price_rows(provider, model_id, on)
        recorded = {
            source: tariff_of(_prices(rows, source), source, _since(rows, source))
            for source in ("override", "listing", "litellm")
        }
        return (
            recorded["override"]
            or recorded["listing"]
            or self._dated(provider, model_id, on)
            or recorded["litellm"]
        )

    def _tariff_in_force(self, provider: str, model_id: str) -> PriceSheet | None:
        row = self.shelf.find_row(provider, model_id)
        if row is None:
            return self._dated(provider, model_id, datetime.now(UTC).date())
        prices = [
            read_price(name, claims[0]["value"])
            for name, claims in read_claims(row).items()
            if name.startswith("price:")
        ]
        return tariff_of(prices, str(row["price_source"]), row["price_date"])

    def _dated(self, provider: str, model_id: str, on: date) -> PriceSheet | None:
        found = self.find_provider(provider)
        host = UNKNOWN if found is None else host_of(found)
        facts = genai_map.find_facts(host, model_id, on)
        return None if facts is None else tariff_of(facts.prices, "genai-prices", facts.as_of)


def _total(tariff: PriceSheet, sums: list[tuple[int, Tokens]]) -> Decimal | None:
    costs = [tariff.cost_usd(tokens, above) for above, tokens in sums if tokens.requests]
    told = [cost for cost in costs if cost is not None]
    return sum(told, Decimal(0)) if told and len(told) == len(costs) else None


def _prices(rows: list[dict[str, Any]], source: str) -> list[ListedPrice]:
    return [
        ListedPrice(
            token_class=row["token_class"],
            usd_per_million=row["usd_per_million"],
            tier=row["tier"] or "standard",
            above_tokens=int(row["above_tokens"] or 0),
        )
        for row in rows
        if row["source"] == source
    ]


def _since(rows: list[dict[str, Any]], source: str) -> date | None:
    return max((row["valid_from"] for row in rows if row["source"] == source), default=None)
