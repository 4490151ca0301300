"""What a model costs, now or on a day in the past: the catalog's own rows and the price maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, cast

from toolkit.catalog.sources import genai_map, litellm_map
from toolkit.catalog.sources.hosts_of_url import UNKNOWN, Host, host_of
from toolkit.catalog.sources.sourced_values import Row, read_claims, read_price
from toolkit.pricing.cost_estimate import ModelCosts
from toolkit.pricing.price import Price, Prices, Rate, find_outliers, make_price
from toolkit.store.queries.spend import LARGEST_SURPLUS

if TYPE_CHECKING:
    from toolkit.catalog.catalog_store import CatalogStore
    from toolkit.providers.provider import Provider

_SURPLUS_DAYS: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class PriceLookup:
    """Prices of any model on any day.

    Attributes:
        catalog_store: the catalog's rows.
        find_provider: a provider by name, or None where it is no longer configured.
    """

    catalog_store: CatalogStore
    find_provider: Callable[[str], Provider | None]

    def find_costs(
        self, provider: Provider, model_id: str, *, is_stored: bool = True
    ) -> ModelCosts:
        """Return what is known of a model before it is called.

        The catalog's rule decides the price: the user's own, the provider's listing, litellm's
        map, genai-prices.

        Args:
            provider: who serves the model.
            model_id: its id there.
            is_stored: False: leave the database alone, and take the bundled maps only.

        Raises:
            StoreError: the database cannot be read.
        """
        today = datetime.now(UTC).date()
        name = f"{provider.name}/{model_id}"
        facts = litellm_map.find_facts(host_of(provider), model_id)
        by_litellm = _price(name, facts.prices, "litellm", None) if facts else None
        row, surplus = self._read(provider.name, model_id) if is_stored else (None, None)
        in_force = None if row is None else _price_of_row(row)
        if in_force is None and not provider.is_local:
            in_force = by_litellm or self._dated(provider.name, model_id, today)
        row = row or {}
        window = row.get("context_window") or (facts.context_window_tokens if facts else None)
        longest = row.get("max_output_tokens") or (facts.max_output_tokens if facts else None)
        return ModelCosts(
            prices=Prices(in_force=in_force, litellm=by_litellm),
            context_window_tokens=window,
            max_output_tokens=longest,
            surplus_usd=surplus,
            is_enabled=row.get("is_enabled") is not False,
        )

    def find_price(self, provider: str, model_id: str, on: date | None) -> Price | None:
        """Return the prices of a model now, or on a day, or None where they are unknown.

        On a day, for each class: the user's own of that time, else what a listing had said by
        then, else what genai-prices dates to it, else what litellm's map said when it was first
        read.
        """
        if on is None:
            row = self.catalog_store.find_row(provider, model_id)
            if row is not None:
                return _price_of_row(row)
            return self._dated(provider, model_id, datetime.now(UTC).date())
        rows = self.catalog_store.price_rows(provider, model_id, on)
        host = self._host_of(provider)
        dated = genai_map.find_facts(host, model_id, on)
        said: list[tuple[str, Iterable[Rate], date | None]] = [
            ("override", _rates(rows, "override"), _since(rows, "override")),
            ("listing", _rates(rows, "listing"), _since(rows, "listing")),
            ("genai-prices", dated.prices if dated else (), dated.as_of if dated else None),
            ("litellm", _rates(rows, "litellm"), _since(rows, "litellm")),
        ]
        rates: dict[tuple[str, str, int], Rate] = {}
        origin: tuple[str, date | None] | None = None
        for source, listed, since in said:
            for rate in listed:
                rates.setdefault((rate.token_class, rate.tier, rate.above_tokens), rate)
            if origin is None and any(r.token_class in ("input", "output") for r in listed):
                origin = source, since
        source, since = origin or ("", None)
        return _price(f"{provider}/{model_id}", rates.values(), source, since)

    def _read(self, provider: str, model_id: str) -> tuple[dict[str, Any] | None, Decimal | None]:
        since = datetime.now(UTC) - _SURPLUS_DAYS
        row = self.catalog_store.find_row(provider, model_id)
        name = f"{provider}/{model_id}"
        found = self.catalog_store.store.rows(LARGEST_SURPLUS, [name, since])
        return row, None if found[0]["usd"] is None else Decimal(str(found[0]["usd"]))

    def _dated(self, provider: str, model_id: str, on: date) -> Price | None:
        facts = genai_map.find_facts(self._host_of(provider), model_id, on)
        name = f"{provider}/{model_id}"
        return _price(name, facts.prices, "genai-prices", facts.as_of) if facts else None

    def _host_of(self, provider: str) -> Host:
        found = self.find_provider(provider)
        return UNKNOWN if found is None else host_of(found)


def _price_of_row(row: Row) -> Price | None:
    """The price in force in a row of the catalog; its first source gives it its date."""
    rates = [
        read_price(name, claims[0]["value"])
        for name, claims in read_claims(row).items()
        if name.startswith("price:")
    ]
    return _price(str(row["model"]), rates, str(row["price_source"]), row["price_date"])


def _price(model: str, rates: Iterable[Rate], source: str, since: date | None) -> Price | None:
    kept = tuple(rates)
    dated = since.isoformat() if since else _edition(source)
    return make_price(model, source, dated, kept, find_outliers(kept))


def _edition(source: str) -> str | None:
    """litellm's map has no dates; which release it came with says how old it is."""
    return version("litellm") if source == "litellm" else None


def _rates(rows: list[dict[str, Any]], source: str) -> list[Rate]:
    """The rates of one source; of two for the same class the later row holds."""
    found: dict[tuple[str, str, int], Rate] = {}
    for row in rows:
        if row["source"] == source and row["usd_per_million"] is not None:
            rate = Rate(
                token_class=row["token_class"],
                usd_per_million=row["usd_per_million"],
                tier=row["tier"] or "standard",
                above_tokens=int(row["above_tokens"] or 0),
            )
            found[rate.token_class, rate.tier, rate.above_tokens] = rate
    return list(found.values())


def _since(rows: Iterable[Mapping[str, Any]], source: str) -> date | None:
    days = [cast("date", row["valid_from"]) for row in rows if row["source"] == source]
    return max(days, default=None)
