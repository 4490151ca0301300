"""What models cost, at hand for calls in progress without touching the database.

Before a call the price is looked up in a thread, at most once a minute and model; afterwards the
receipt is written from memory.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Generic, Protocol, TypeVar

from toolkit.errors import PermissionDenied, ProviderNotFound, StoreError, ToolkitError
from toolkit.pricing.budget import Worst
from toolkit.pricing.cost_estimate import (
    ModelCosts,
    find_unpriced,
    most_output_tokens,
    most_usd,
)
from toolkit.pricing.price import Price, Prices
from toolkit.pricing.receipts import build_receipt
from toolkit.pricing.token_estimate import (
    estimate_tokens,
    find_output_limit,
    most_input_tokens,
)
from toolkit.records import Call, ChatRequest, Usage
from toolkit.store.store import Store

FRESH_S: Final = 60.0
_NO_COSTS: Final = ModelCosts()
_log = logging.getLogger(__name__)


class PricedProvider(Protocol):
    """What a price is looked up for."""

    @property
    def name(self) -> str:
        """Its name in the registry."""

    @property
    def is_local(self) -> bool:
        """Whether it runs on this machine: no price list has it."""

    @property
    def params(self) -> Mapping[str, Any]:
        """Parameters that it adds to every request, an output limit among them."""


Provider = TypeVar("Provider", bound=PricedProvider)


@dataclass(frozen=True, slots=True)
class _Entry:
    costs: ModelCosts
    is_free: bool
    params: Mapping[str, Any]
    looked_up_at: float


class PriceCache(Generic[Provider]):
    """Prices and limits of the models that are being called.

    Args:
        resolve: `provider/model_id`, or a short name -> provider and model id.
        find_costs: looks a model up in the catalog; may be slow.
        find_bundled: the same from what is installed, without the database.
        store: where the prices that calls were charged at are kept.
        assumed_usd_per_million: what budgets count for tokens without a known price; None:
            nothing.
    """

    def __init__(
        self,
        resolve: Callable[[str], tuple[Provider, str]],
        find_costs: Callable[[Provider, str], ModelCosts],
        find_bundled: Callable[[Provider, str], ModelCosts],
        store: Callable[[], Store],
        assumed_usd_per_million: Decimal | None = None,
    ) -> None:
        self._resolve = resolve
        self._find_costs = find_costs
        self._find_bundled = find_bundled
        self._store = store
        self._assumed = assumed_usd_per_million
        self._entries: dict[str, _Entry] = {}
        self._kept: set[str] = set()
        self._looking_up: set[str] = set()

    async def prepare(self, model: str) -> None:
        """Look a model up, unless that was done within the last minute.

        A known model is looked up again for one caller at a time; the others use what is known.
        Beside rows of many MB a look-up takes seconds, and all callers together would take every
        thread of the event loop.

        Raises:
            PermissionDenied: the model is disabled.
        """
        entry = self._entries.get(model)
        is_fresh = entry is not None and time.monotonic() - entry.looked_up_at < FRESH_S
        if entry is None or not (is_fresh or model in self._looking_up):
            self._looking_up.add(model)
            try:
                await asyncio.to_thread(self.look_up, model)
            finally:
                self._looking_up.discard(model)
            entry = self._entries[model]
        if not entry.costs.is_enabled:
            raise PermissionDenied(
                f"the model {model} is disabled in the catalog; nothing was sent",
                model=model,
                blame="policy",
                cause="disabled",
                hint=f"Enable it with `toolkit models enable {model}`, or call another model.",
            )

    async def prepare_for(self, provider: Provider, model_id: str) -> None:
        """Look up a model of a provider that may not be saved yet; see `prepare`."""
        try:
            await self.prepare(f"{provider.name}/{model_id}")
        except ProviderNotFound:
            await asyncio.to_thread(self._look_up_at, provider, model_id)

    def clear(self) -> None:
        """Forget what was looked up: the catalog was edited."""
        self._entries.clear()

    def look_up(self, model: str) -> ModelCosts:
        """Look a model up now; see `prepare`."""
        provider, model_id = self._resolve(model)
        costs = self._look_up_at(provider, model_id)
        # A name may be short ("openai" for its default model); rows have the full one.
        self._entries[model] = self._entries[f"{provider.name}/{model_id}"]
        return costs

    def _look_up_at(self, provider: Provider, model_id: str) -> ModelCosts:
        known = self._entries.get(f"{provider.name}/{model_id}")
        try:
            costs = self._find_costs(provider, model_id)
        except StoreError as error:
            # A busy database stops no call; the last known price stays, so budgets still hold.
            name = f"{provider.name}/{model_id}"
            _log.warning("the price of %s was not looked up: %s", name, error.message)
            costs = known.costs if known else self._find_bundled(provider, model_id)
        price = costs.prices.in_force
        if price is not None:
            self._keep(price, provider.name, model_id)
        is_free = provider.is_local and price is None
        entry = _Entry(costs, is_free, provider.params, time.monotonic())
        self._entries[f"{provider.name}/{model_id}"] = entry
        return costs

    def prices_for(self, provider: str, model_id: str, at: datetime) -> Prices:
        """Return the prices that `prepare` found; none for a model that was not prepared."""
        return self.costs_of(f"{provider}/{model_id}").prices

    def costs_of(self, model: str) -> ModelCosts:
        """Return what `prepare` found; nothing is known of a model that was not prepared."""
        entry = self._entries.get(model)
        return entry.costs if entry else _NO_COSTS

    def worst_case(self, model: str, request: ChatRequest) -> Worst:
        """Return the most that a request may cost at a model, and what of it has no price."""
        entry, costs = self._entries.get(model), self.costs_of(model)
        if entry is not None and entry.is_free and costs.prices.in_force is None:
            return Worst(usd=Decimal(0), output_tokens=0, has_limit=False)
        # The provider's own parameters are added to the request after all processors.
        own = entry.params if entry is not None else {}
        params = {**own, **request.params}
        limits = [find_output_limit(own), find_output_limit(request.params)]
        given = [limit for limit in limits if limit is not None]
        if given and find_output_limit(params) is not None:
            params["max_tokens"] = max(given)
        asked = replace(request, model=model, params=params)
        usd, unpriced = most_usd(asked, costs), find_unpriced(asked, costs)
        answered = most_output_tokens(asked, costs)
        if unpriced and self._assumed is not None:
            usd = (usd or Decimal(0)) + self._assume(most_input_tokens(asked) + answered)
            unpriced = ()
        return Worst(
            usd=usd or Decimal(0),
            # Nothing is reserved without a price, so there is no length at which to cut a stream.
            output_tokens=0 if usd is None else answered,
            has_limit=find_output_limit(params) is not None,
            unpriced=unpriced,
        )

    def assume_cost(self, request: ChatRequest, call: Call) -> Decimal:
        """Return what an attempt has probably cost whose provider reported no usage."""
        text = (call.output_text or "") + (call.reasoning_text or "")
        usage = Usage(
            input_tokens=call.input_tokens or estimate_tokens(request.messages),
            output_tokens=call.output_tokens or estimate_tokens([{"content": text}]),
            source="estimated",
        )
        price = self.costs_of(call.model).prices.in_force
        usd = build_receipt(usage, price).cost_usd
        if usd is not None:
            return usd
        entry = self._entries.get(call.model)
        if entry is not None and entry.is_free:
            return Decimal(0)
        return self._assume((usage.input_tokens or 0) + (usage.output_tokens or 0))

    def _assume(self, tokens: int) -> Decimal:
        return (self._assumed or Decimal(0)) * tokens / 1_000_000

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
        rows = []
        for rate in price.rates:
            values = asdict(rate)
            del values["currency"]
            tier = "" if rate.tier == "standard" else f"@{rate.tier}"
            rate_id = f"{price.price_id}:{rate.token_class}{tier}:{rate.above_tokens}"
            rows.append({"rate_id": rate_id, **shared, **values})
        try:
            self._store().append_many("tariffs", rows)
        except ToolkitError as error:
            _log.warning("the prices of %s were not kept: %s", shared["model"], error.message)
        else:
            self._kept.add(price.price_id)
