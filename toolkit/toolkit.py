"""Everything put together, once: settings, store, registry, keys, client, catalog, health.

The face, the pages, the routes and the commands all work on one `Toolkit` per home folder.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.calls.chat_request import build_embedding_request, build_request
from toolkit.settings import Settings, home_path

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.calls.client import Client, ReplyStream
    from toolkit.calls.sync import Portal, SyncReplyStream
    from toolkit.catalog.service import Catalog
    from toolkit.compare.board import Board
    from toolkit.evals.service import Evaluation
    from toolkit.health.service import HealthService
    from toolkit.keys.service import Keys
    from toolkit.local.local_server import LocalServer
    from toolkit.pricing.price_cache import PriceCache
    from toolkit.providers.model_resolver import Resolver
    from toolkit.providers.service import Providers
    from toolkit.records import Call, Embedding, Message, Reply
    from toolkit.store.store import Store


class Toolkit:
    """One home folder and all that works on it; parts are made when first used."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.on_record: list[Callable[[Call], None]] = []

    @cached_property
    def store(self) -> Store:
        """The ledger."""
        from toolkit.store.store import Store

        return Store(self.settings)

    @cached_property
    def keys(self) -> Keys:
        """Where the keys are, and which is in force."""
        from toolkit.keys.service import Keys

        return Keys(self.settings)

    @cached_property
    def providers(self) -> Providers:
        """The registry of providers, with testing, discovery and transfer."""
        from toolkit.providers.service import Providers

        return Providers(self)

    @cached_property
    def client(self) -> Client:
        """The call path."""
        from toolkit.calls.client import Client
        from toolkit.calls.source import keyless_in_replay

        return Client(
            settings=self.settings,
            resolve=self.resolver.resolve,
            key_for=keyless_in_replay(self.keys.resolve),
            record=self.record,
            prices_for=self.prices.prices_for,
            window_of=self.prices.window_of,
            processors=self.processors,
            prepare=self._prepare,
        )

    @cached_property
    def resolver(self) -> Resolver:
        """From `provider/model_id` to a provider."""
        from toolkit.providers.model_resolver import Resolver

        return Resolver(self.providers.registry)

    @cached_property
    def prices(self) -> PriceCache:
        """What models cost, at hand for receipts."""
        from toolkit.pricing.price_cache import PriceCache

        return PriceCache(self)

    @cached_property
    def processors(self) -> list[Any]:
        """What every request passes, in order; add your own before the first call.

        Those of packages come first, so that the budget counts what is really asked.
        """
        from toolkit.extensions import load_extensions
        from toolkit.pricing.daily_budget import daily_budget

        cap = self.settings.daily_budget_usd
        budget = [] if cap is None else [daily_budget(self, cap)]
        return [*load_extensions("processors", self.settings.processors).values(), *budget]

    async def _prepare(self, model: str) -> None:
        """Before a model is asked: its local server runs, its price is at hand."""
        from toolkit.local.autostart import prepare_local

        await prepare_local(self, model)
        await self.prices.prepare(model)

    @cached_property
    def portal(self) -> Portal:
        """The background event loop that synchronous callers share."""
        from toolkit.calls.sync import Portal

        return Portal()

    @cached_property
    def local(self) -> LocalServer:
        """The built-in model's server."""
        from toolkit.local.local_server import LocalServer

        return LocalServer(self.settings)

    @cached_property
    def catalog(self) -> Catalog:
        """Every model, with facts, prices and history."""
        from toolkit.catalog.service import Catalog

        return Catalog(self)

    @cached_property
    def health(self) -> HealthService:
        """Which provider is up."""
        from toolkit.health.service import HealthService

        return HealthService(self)

    @cached_property
    def evaluation(self) -> Evaluation:
        """Evaluations: run, resume, compare, list."""
        from toolkit.evals.service import Evaluation

        return Evaluation(self)

    def record(self, call: Call) -> None:
        """Acknowledge one attempt into the journal; it is durable on return."""
        self.store.append("calls", call.as_row())
        for listener in self.on_record:
            listener(call)

    def _with_chain(
        self, model: str, options: dict[str, Any], api_key: str | None
    ) -> tuple[str, dict[str, Any]]:
        """Whom to ask first, and the options with `fallbacks` as models, where a chain was named.

        An explicit key is for the named model alone, so that one stays first then.
        """
        from toolkit.calls.policy.chains import expand_fallbacks, order_chain

        if not options.get("fallbacks"):
            return model, options
        chains, registry = self.settings.chains, self.providers.registry
        chain = expand_fallbacks(model, options["fallbacks"], chains, registry)
        outlook = self.health.outlook
        first, rest = order_chain(model, chain, outlook.worst_last, keep_first=api_key is not None)
        return first, {**options, "fallbacks": rest}

    def complete(self, model: str, prompt: str | Sequence[Message], **options: Any) -> Reply:
        """See `toolkit.complete`."""
        return self.portal.run(self.acomplete(model, prompt, **options))

    async def acomplete(self, model: str, prompt: str | Sequence[Message], **options: Any) -> Reply:
        """See `toolkit.acomplete`."""
        api_key = options.pop("api_key", None)
        model, options = self._with_chain(model, options, api_key)
        request = build_request(model, prompt, options)
        return await self.client.complete(request, api_key=api_key)

    def stream(
        self, model: str, prompt: str | Sequence[Message], **options: Any
    ) -> SyncReplyStream:
        """See `toolkit.stream`."""
        return self.portal.iterate(lambda: self.astream(model, prompt, **options))

    def astream(self, model: str, prompt: str | Sequence[Message], **options: Any) -> ReplyStream:
        """See `toolkit.astream`."""
        api_key = options.pop("api_key", None)
        model, options = self._with_chain(model, options, api_key)
        request = build_request(model, prompt, options, stream=True)
        return self.client.stream(request, api_key=api_key)

    def embed(self, model: str, texts: str | Sequence[str], **options: Any) -> Embedding:
        """See `toolkit.embed`."""
        return self.portal.run(self.aembed(model, texts, **options))

    async def aembed(self, model: str, texts: str | Sequence[str], **options: Any) -> Embedding:
        """See `toolkit.aembed`."""
        api_key = options.pop("api_key", None)
        model, options = self._with_chain(model, options, api_key)
        return await self.client.embed(build_embedding_request(model, texts, options), api_key)

    def compare(
        self, prompt: str | Sequence[Message], models: Sequence[str], **options: Any
    ) -> Board:
        """See `toolkit.compare`."""
        from toolkit.compare.board import start_board

        return start_board(self, prompt, models, options).wait()

    def calls(
        self, where: str | None = None, *, limit: int | None = None, **filters: Any
    ) -> pd.DataFrame:
        """See `toolkit.calls`."""
        from toolkit.store import queries

        return queries.calls_df(self.store, where, limit=limit, filters=filters)

    def models(self, **filters: Any) -> pd.DataFrame:
        """See `toolkit.models`."""
        from toolkit.store import queries

        return queries.models_df(self.store, filters=filters)

    def probes(self, **filters: Any) -> pd.DataFrame:
        """See `toolkit.probes`."""
        from toolkit.store import queries

        return queries.probes_df(self.store, filters=filters)

    def close(self) -> None:
        """Publish what the journal holds, stop the background loop and close every connection."""
        if "health" in self.__dict__:
            self.health.close()
        if "providers" in self.__dict__:
            self.providers.plugins.close()
        if "portal" in self.__dict__:
            self.portal.close()
        if "store" in self.__dict__:
            self.store.close()


@cache
def _open(home: Path) -> Toolkit:
    toolkit = Toolkit(Settings(home=home))
    atexit.register(toolkit.close)
    return toolkit


def current() -> Toolkit:
    """The toolkit of the present home folder (`TOOLKIT_HOME`), made on first use."""
    return _open(home_path())


def watch_litellm() -> Callable[[], None]:
    """Record the litellm calls of existing code too, best-effort, as litellm tells of them.

    Returns:
        A function that stops watching.
    """
    from toolkit.calls.watch import watch

    return watch(current().record)
