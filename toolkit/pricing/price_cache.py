"""What models cost, at hand for the call path without touching the store during a call.

Before a call the price is looked up in a thread, at most once a minute and model; afterwards
the receipt is written from memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from toolkit.errors import ToolkitError
from toolkit.pricing.receipts import Price, Prices, Rate

if TYPE_CHECKING:
    from toolkit.calls.policy.runner import Target
    from toolkit.pricing.price_sheet import PriceSheet
    from toolkit.providers.provider import Provider
    from toolkit.toolkit import Toolkit

FRESH_S: Final = 60.0
_CLASSES: Final = ("input", "cached_input", "cache_write", "output", "reasoning", "request")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Entry:
    prices: Prices
    window: int | None
    looked_up_at: float


class PriceCache:
    """Prices and context windows of the models that are being called.

    The rule of the catalog decides: the user's override, the provider's listing, litellm's
    map, genai-prices. A local provider has no price and is not looked up.
    """

    def __init__(self, toolkit: Toolkit) -> None:
        self._toolkit = toolkit
        self._entries: dict[str, _Entry] = {}
        self._kept: set[str] = set()

    async def prepare(self, model: str) -> None:
        """Look a model up, unless that was done within the last minute."""
        entry = self._entries.get(model)
        if entry is not None and time.monotonic() - entry.looked_up_at < FRESH_S:
            return
        provider, model_id = self._toolkit.resolver.resolve(model)
        if provider.is_local:
            entry = _Entry(Prices(), None, time.monotonic())
        else:
            entry = await asyncio.to_thread(self._look_up, provider, model_id)
        # A name may be short ("openai" for its default model); rows have the full one.
        self._entries[model] = self._entries[f"{provider.name}/{model_id}"] = entry

    def prices_for(self, provider: Provider, model_id: str, at: datetime) -> Prices:
        """The prices that `prepare` found; none for a model that was not prepared."""
        entry = self._entries.get(f"{provider.name}/{model_id}")
        return entry.prices if entry else Prices()

    def window_of(self, target: Target) -> int | None:
        """Context window of a target, tokens; None where nobody knows it."""
        entry = self._entries.get(target.model)
        return entry.window if entry else None

    def _look_up(self, provider: Provider, model_id: str) -> _Entry:
        from toolkit.catalog.sources import litellm_map
        from toolkit.catalog.sources.hosts_of_url import host_of
        from toolkit.pricing.price_sheet import tariff_of

        today = datetime.now(UTC).date()
        facts = litellm_map.find_facts(host_of(provider), model_id)
        by_litellm = tariff_of(facts.prices, "litellm", facts.as_of) if facts else None
        tariff = self._find_in_force(provider, model_id) or by_litellm
        tariff = tariff or self._toolkit.catalog.repricer.find_tariff(
            provider.name, model_id, today
        )
        name = f"{provider.name}/{model_id}"
        prices = Prices(in_force=_price(tariff, name), litellm=_price(by_litellm, name))
        if prices.in_force is not None:
            self._keep(prices.in_force, provider.name, model_id)
        window = facts.context_window_tokens if facts else None
        return _Entry(prices, window, time.monotonic())

    def _keep(self, price: Price, provider: str, model_id: str) -> None:
        """Write what calls will be charged at, so that `calls.price_id` finds it.

        A store that cannot be written is tried again at the next look-up; it stops no call.
        """
        if price.price_id in self._kept:
            return
        shared = {
            "price_id": price.price_id,
            "provider": provider,
            "model_id": model_id,
            "model": f"{provider}/{model_id}",
            "source": price.source,
            "as_of": price.date,
            "recorded_at": datetime.now(UTC),
        }
        rows = [
            {"rate_id": f"{price.price_id}:{rate.token_class}:{rate.above_tokens}"}
            | shared
            | asdict(rate)
            for rate in price.rates
        ]
        try:
            self._toolkit.store.append_many("tariffs", rows)
        except ToolkitError as error:
            _log.warning("the prices of %s were not kept: %s", shared["model"], error.message)
        else:
            self._kept.add(price.price_id)

    def _find_in_force(self, provider: Provider, model_id: str) -> PriceSheet | None:
        """From the catalog; a store that cannot be read leaves the bundled sources."""
        try:
            if self._toolkit.catalog.shelf.find_row(provider.name, model_id) is None:
                return None
            return self._toolkit.catalog.repricer.find_tariff(provider.name, model_id, None)
        except ToolkitError:
            return None


def _price(tariff: PriceSheet | None, model: str) -> Price | None:
    if tariff is None:
        return None
    since = tariff.since.isoformat() if tariff.since else _edition(tariff.source)
    rates = tuple(
        Rate(token_class=token_class, usd_per_million=usd, above_tokens=above)  # type: ignore[arg-type]
        for above, step in tariff.steps.items()
        for token_class, usd in step.items()
        if token_class in _CLASSES
    )
    price_id = f"{tariff.source}:{model}:{since or 'undated'}:{_digest(rates)}"
    return Price(price_id=price_id, source=tariff.source, date=since, rates=rates)


def _digest(rates: Sequence[Rate]) -> str:
    """Tells tariffs of one day and source apart: a price may change twice on a day."""
    said = sorted(
        f"{r.token_class}>{r.above_tokens}={r.usd_per_million.normalize()}" for r in rates
    )
    return hashlib.sha256(" ".join(said).encode()).hexdigest()[:12]


def _edition(source: str) -> str | None:
    """litellm's map has no dates; which release it came with says how old it is."""
    return version("litellm") if source == "litellm" else None
