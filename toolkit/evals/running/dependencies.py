"""What evaluations and load tests use of the toolkit: store, client, prices; nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from toolkit.calls.client import Client
    from toolkit.calls.policy.rate_limiter import Limiter, RateLimit
    from toolkit.calls.sync_calls import Portal
    from toolkit.pricing.budget import Budgets
    from toolkit.pricing.price_cache import PriceCache
    from toolkit.providers.provider import Provider
    from toolkit.records import Embedding
    from toolkit.settings import Settings
    from toolkit.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDependencies:
    """The parts that runs work with.

    Attributes:
        settings: the home folder, and the rate limit of providers without one of their own.
        store: runs, samples and calls.
        client: sends requests; created when first used, as reading runs needs none.
        portal: the background event loop; created when first used.
        prices: prices of models.
        budgets: caps on what is spent; created when first used.
        resolve: provider and model id of `provider/model_id`.
    """

    settings: Settings
    store: Store
    client: Callable[[], Client]
    portal: Callable[[], Portal]
    prices: PriceCache[Provider]
    budgets: Callable[[], Budgets]
    resolve: Callable[[str], tuple[Provider, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalDependencies(RunDependencies):
    """The parts that evaluations work with.

    Attributes:
        embed: vectors of texts, by an embedding model.
        capabilities_of: what the catalog says that a model can do.
        worker_command: starts a worker process, which calls
            `toolkit.evals.running.worker.serve_pipes`.
        open_worker: opens the toolkit in a worker that is not started by that command; a function
            that can be imported there.
    """

    embed: Callable[..., Awaitable[Embedding]]
    capabilities_of: Callable[[str], Sequence[str]]
    worker_command: Sequence[str]
    open_worker: OpenWorker


OpenWorker: TypeAlias = (
    "Callable[[Settings, Callable[[RateLimit], Limiter]], "
    "tuple[EvalDependencies, Callable[[], None]]]"
)
"""Opens the toolkit of a home with rate limits kept elsewhere; also returns what closes it."""
