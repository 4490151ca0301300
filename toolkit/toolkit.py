"""`Toolkit`: one home folder and the services that work on it.

The public functions, the pages, the HTTP routes and the commands all work on one `Toolkit` per home
folder. Services are made when they are first used, and each is given what it needs.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from toolkit.calls.options import conceal_key
from toolkit.display import redact_cards
from toolkit.secret import Secret, current_matcher
from toolkit.settings import Settings, home_path

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.calls.client import Client, ReplyStream
    from toolkit.calls.options import CallOptions, CompareOptions, EmbedOptions, ToolkitOptions
    from toolkit.calls.otel.tracing import Tracing
    from toolkit.calls.policy.chains import FailoverChains
    from toolkit.calls.policy.rate_limiter import Limiter, RateLimit
    from toolkit.calls.sync_calls import Portal, SyncReplyStream
    from toolkit.catalog.parsing import Moment
    from toolkit.catalog.service import Catalog
    from toolkit.compare.new_board import Board
    from toolkit.evals.running.dependencies import EvalDependencies
    from toolkit.evals.service import Evaluation
    from toolkit.health.policy_backtest import Backtest, Policy
    from toolkit.health.service import HealthService
    from toolkit.keys.service import Keys
    from toolkit.load_test.service import LoadTests
    from toolkit.local.local_server import LocalServer
    from toolkit.pricing.budget import Budgets
    from toolkit.pricing.cost_estimate import Estimate
    from toolkit.pricing.price_cache import PriceCache
    from toolkit.pricing.spend import Forecast, SpendKey
    from toolkit.providers.provider import Provider
    from toolkit.providers.registry import Registry, Resolver
    from toolkit.providers.service import Providers
    from toolkit.records import Call, Embedding, Message, Reply
    from toolkit.replay.regression.suite_run import SuiteRun
    from toolkit.secret import Secret
    from toolkit.store.store import Store

_EVAL_WORKER: Final = (
    *(sys.executable, "-c"),
    "from toolkit.toolkit import run_eval_worker; run_eval_worker()",
)


class Toolkit:
    """One home folder and all that works on it.

    `toolkit.complete(...)` and the other functions of the package use the toolkit of the home that
    `TOOLKIT_HOME` names; make objects of your own to work with several homes in one process:

        with Toolkit(home="~/experiments") as lab:
            lab.complete("local/smollm2-135m", "Hello")

    Attributes:
        settings: the settings of this home.
        on_record: called with every `Call` after it was recorded.
    """

    def __init__(self, home: Path | str | None = None, *, settings: Settings | None = None) -> None:
        """Open a home folder; nothing is read or written before something is used.

        Args:
            home: the home folder; None: `TOOLKIT_HOME` or the user's data folder.
            settings: settings made elsewhere, instead of `home`.
        """
        if settings is None:
            settings = Settings(home=Path(home)) if home is not None else Settings()
        self.settings: Settings = settings
        self.on_record: list[Callable[[Call], None]] = []
        self._find_limiter: Callable[[RateLimit], Limiter] | None = None
        self._is_checked = False
        redact_cards(lambda text: current_matcher().redact(text))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_settings(self) -> None:
        """Log once what is wrong in `settings.toml`."""
        if not self._is_checked:
            from toolkit.providers.outside_changes import check_settings_file

            self._is_checked = True
            check_settings_file(self.settings)

    @cached_property
    def store(self) -> Store:
        """The database of calls, and everything else that is kept."""
        from toolkit.store.store import Store

        self._check_settings()
        return Store(self.settings)

    @cached_property
    def registry(self) -> Registry:
        """Where providers are kept and resolved."""
        from toolkit.providers.registry import Registry

        self._check_settings()
        return Registry(
            self.settings,
            # Both are looked up when they are needed: keys and plugins need the registry first.
            find_header=lambda provider, header: self.keys.find_header(provider, header),
            find_local_url=self._find_local_url,
        )

    @cached_property
    def keys(self) -> Keys:
        """API keys: where they are, and which one is active."""
        from toolkit.keys.service import Keys

        keys = Keys(self.settings, self.registry)
        keys.check_with = lambda provider, secret: self.providers.check_key(provider, secret)
        return keys

    @cached_property
    def providers(self) -> Providers:
        """The provider registry: add, test, discover, export and import."""
        from toolkit.health.connection_test import ConnectionTest
        from toolkit.providers.plugins.loader import Plugins
        from toolkit.providers.service import Providers

        plugins = Plugins(self.registry, self.keys)
        plugins.announce()
        tester = ConnectionTest(
            settings=self.settings,
            registry=self.registry,
            keys=self.keys,
            record=self.record,
            processors=lambda: self.processors,
            prepare=lambda provider, model_id: self.prices.prepare_for(provider, model_id),
            prices_for=lambda provider, model_id, at: self.prices.prices_for(
                provider, model_id, at
            ),
        )
        return Providers(
            registry=self.registry,
            keys=self.keys,
            store=self.store,
            plugins=plugins,
            tester=tester,
            run=self.portal.run,
        )

    def _find_local_url(self) -> str | None:
        from toolkit.local.local_server import find_base_url

        return find_base_url(self.settings)

    @cached_property
    def client(self) -> Client:
        """The asynchronous client that every call goes through."""
        from toolkit.calls.attempt_spec import keyless_in_replay
        from toolkit.calls.client import Client

        return Client(
            settings=self.settings,
            resolve=self.resolver.resolve,
            key_for=keyless_in_replay(self.keys.resolve),
            record=self.record,
            prices_for=self.prices.prices_for,
            window_of=lambda target: self.prices.costs_of(target.model).context_window_tokens,
            processors=self.processors,
            expand=lambda request, keep_first: self.chains.expand(request, keep_first=keep_first),
            prepare=self._prepare,
            find_limiter=self._find_limiter,
            trace_headers=self.tracing.headers_for,
            similar=lambda model: self.catalog.similar(model),
        )

    @cached_property
    def chains(self) -> FailoverChains:
        """The failover chains that have a name; a name stands wherever a model can."""
        from toolkit.calls.policy.chains import FailoverChains

        return FailoverChains(
            self.settings.chains,
            self.providers.registry,
            lambda models: self.health.snapshot.worst_last(models),
        )

    @cached_property
    def resolver(self) -> Resolver:
        """Finds the provider of a `provider/model_id`."""
        from toolkit.providers.registry import Resolver

        return Resolver(self.providers.registry)

    @cached_property
    def prices(self) -> PriceCache[Provider]:
        """Prices kept in memory, so that writing a receipt needs no database access."""
        from toolkit.pricing.price_cache import PriceCache

        assumed = self.settings.budget_unpriced
        return PriceCache(
            self.resolver.resolve,
            lambda provider, model_id: self.catalog.prices.find_costs(provider, model_id),
            lambda provider, model_id: self.catalog.prices.find_costs(
                provider, model_id, is_stored=False
            ),
            lambda: self.store,
            None if isinstance(assumed, str) else Decimal(str(assumed)),
        )

    @cached_property
    def budgets(self) -> Budgets:
        """The caps on spending, those of the settings to begin with."""
        from toolkit.pricing.budget import Budgets, Cap, parse_caps
        from toolkit.pricing.spend import read_spent
        from toolkit.store.reservations import Reservations

        budgets = Budgets(
            Reservations(self.settings.home / "budgets.sqlite"),
            self.prices.worst_case,
            lambda cap, since, until: read_spent(self.store, cap, since, until),
            self.prices.assume_cost,
            allows_unpriced=self.settings.budget_unpriced == "allow",
        )
        daily = self.settings.daily_budget_usd
        if daily is not None:
            budgets.set(Cap(kind="day", limit_usd=Decimal(str(daily))))
        # 0 turns the probes of the monitor off; what a person asks for is confirmed each time.
        if self.settings.probe_budget_usd > 0:
            limit = Decimal(str(self.settings.probe_budget_usd))
            budgets.set(Cap(kind="health", limit_usd=limit))
        for cap in parse_caps(self.settings.budgets):
            budgets.set(cap)
        return budgets

    @cached_property
    def processors(self) -> list[Any]:
        """The processors that every request passes, in order; add yours before the first call.

        The tracing is outermost, and those of installed packages come before the budgets, which
        see the final request.
        """
        from toolkit.extensions import load_extensions

        extensions = load_extensions("processors", self.settings.processors).values()
        return [self.tracing, *extensions, self.budgets]

    @cached_property
    def tracing(self) -> Tracing:
        """Reports requests to OpenTelemetry, where a collector or a tracer is configured."""
        from toolkit.calls.otel.tracing import Tracing

        return Tracing(self.settings, self._find_server)

    def _find_server(self, provider: str) -> tuple[str, int] | None:
        """Host and port of a provider, where it has an address."""
        from toolkit.providers.provider import host_and_port

        found = self.registry.find(provider)
        return None if found is None else host_and_port(found.base_url)

    async def _prepare(self, model: str) -> None:
        """Start the local server if its model is called, and load the price."""
        from toolkit.calls.attempt_spec import current_source
        from toolkit.local.autostart import prepare_local

        is_built_in = self.registry.is_built_in(model.partition("/")[0])
        if is_built_in and current_source() != "replay":  # a replay needs no server
            await prepare_local(self, model)
        await self.prices.prepare(model)

    @cached_property
    def portal(self) -> Portal:
        """The background event loop that synchronous callers share."""
        from toolkit.calls.sync_calls import Portal

        return Portal()

    @cached_property
    def local(self) -> LocalServer:
        """The built-in model's server."""
        from toolkit.local.local_server import LocalServer

        return LocalServer(self.settings)

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog: every model with facts, prices and history."""
        from toolkit.calls.adapters.identities import Identities
        from toolkit.catalog.capability_probe import ProbeCalls
        from toolkit.catalog.service import Catalog

        identities = Identities(self.settings)

        async def find_token(provider: Provider) -> Secret | None:
            token = await identities.find_token(provider)
            return None if token is None else token.secret

        return Catalog(
            settings=self.settings,
            store=self.store,
            registry=lambda: self.providers.registry,
            key_for=lambda provider: (
                None if (key := self.keys.resolve(provider)) is None else key.secret
            ),
            local=lambda: self.local,
            run=lambda syncing: self.portal.run(syncing),
            on_edit=lambda: self.prices.clear(),
            token_for=find_token,
            probe_calls=lambda: ProbeCalls(
                complete=self.complete, stream=self.stream, estimate=self.estimate
            ),
        )

    @cached_property
    def health(self) -> HealthService:
        """Health: states, checks, incidents and objectives of providers."""
        from toolkit.health.service import HealthService

        return HealthService(self)

    @cached_property
    def evaluation(self) -> Evaluation:
        """Evaluations: run, resume, compare and list."""
        from toolkit.evals.service import Evaluation

        return Evaluation(self._eval_dependencies)

    @cached_property
    def _eval_dependencies(self) -> EvalDependencies:
        from toolkit.evals.running.dependencies import EvalDependencies

        return EvalDependencies(
            settings=self.settings,
            store=self.store,
            client=lambda: self.client,
            portal=lambda: self.portal,
            prices=self.prices,
            budgets=lambda: self.budgets,
            resolve=lambda model: self.resolver.resolve(model),
            embed=self.aembed,
            capabilities_of=lambda model: self.catalog.capabilities(model),
            worker_command=_EVAL_WORKER,
            open_worker=open_eval_worker,
        )

    @cached_property
    def load_tests(self) -> LoadTests:
        """Load tests: run, list and read again."""
        from toolkit.load_test.service import LoadTests

        return LoadTests(self._eval_dependencies)

    def record(self, call: Call) -> None:
        """Acknowledge one attempt into the journal; it is durable on return."""
        self.store.append("calls", call.as_row())
        for listener in self.on_record:
            listener(call)

    def complete(
        self, model: str, prompt: str | Sequence[Message], **options: Unpack[CallOptions]
    ) -> Reply:
        """See `toolkit.complete`."""
        if "api_key" in options:
            conceal_key(options)
        return self.portal.run(self.acomplete(model, prompt, **options))

    async def acomplete(
        self, model: str, prompt: str | Sequence[Message], **options: Unpack[CallOptions]
    ) -> Reply:
        """See `toolkit.acomplete`."""
        from toolkit.calls.chat_request import build_request

        rest, api_key = _take_key(options)
        return await self.client.complete(build_request(model, prompt, rest), api_key=api_key)

    def stream(
        self, model: str, prompt: str | Sequence[Message], **options: Unpack[CallOptions]
    ) -> SyncReplyStream:
        """See `toolkit.stream`."""
        if "api_key" in options:
            conceal_key(options)
        return self.portal.iterate(lambda: self.astream(model, prompt, **options))

    def astream(
        self, model: str, prompt: str | Sequence[Message], **options: Unpack[CallOptions]
    ) -> ReplyStream:
        """See `toolkit.astream`."""
        from toolkit.calls.chat_request import build_request

        rest, api_key = _take_key(options)
        request = build_request(model, prompt, rest, stream=True)
        return self.client.stream(request, api_key=api_key)

    def embed(
        self, model: str, texts: str | Sequence[str], **options: Unpack[EmbedOptions]
    ) -> Embedding:
        """See `toolkit.embed`."""
        if "api_key" in options:
            conceal_key(options)
        return self.portal.run(self.aembed(model, texts, **options))

    async def aembed(
        self, model: str, texts: str | Sequence[str], **options: Unpack[EmbedOptions]
    ) -> Embedding:
        """See `toolkit.aembed`."""
        from toolkit.calls.chat_request import build_embedding_request

        rest, api_key = _take_key(options)
        return await self.client.embed(build_embedding_request(model, texts, rest), api_key)

    def estimate(
        self, model: str, prompt: str | Sequence[Message], **options: Unpack[CallOptions]
    ) -> Estimate:
        """See `toolkit.estimate`."""
        from toolkit.calls.chat_request import build_request
        from toolkit.pricing.cost_estimate import estimate_chain, estimate_request
        from toolkit.pricing.spend import read_answer_lengths

        rest, _ = _take_key(options)
        request = self.chains.expand(build_request(model, prompt, rest))
        estimates = []
        for name in (request.model, *request.fallbacks):
            provider, model_id = self.resolver.resolve(name)
            lengths = read_answer_lengths(self.store, f"{provider.name}/{model_id}")
            costs = self.prices.look_up(name)
            estimates.append(estimate_request(replace(request, model=name), costs, lengths))
        return estimate_chain(estimates)

    def spend(
        self,
        by: Sequence[SpendKey] | SpendKey = ("provider", "model"),
        *,
        since: Moment = None,
        until: Moment = None,
    ) -> pd.DataFrame:
        """See `toolkit.spend`."""
        from toolkit.catalog.parsing import read_moment
        from toolkit.pricing.spend import read_spend

        return read_spend(self.store, by, since=read_moment(since), until=read_moment(until))

    def forecast_spend(self) -> Forecast:
        """Forecast what this calendar month (UTC) will have cost at its end."""
        from toolkit.pricing.spend import forecast_month

        return forecast_month(self.store)

    def compare(
        self,
        prompt: str | Sequence[Message],
        models: Sequence[str],
        **options: Unpack[CompareOptions],
    ) -> Board:
        """See `toolkit.compare`."""
        from toolkit.compare.new_board import start_board

        if "api_key" in options:
            conceal_key(options)
        return start_board(self, prompt, models, options).wait()

    def regress(
        self,
        suite: str | Path,
        *,
        live: bool = False,
        repeats: int | None = None,
        accept: bool = False,
        only: Sequence[str] = (),
    ) -> SuiteRun:
        """See `toolkit.regress`."""
        from toolkit.replay.regression.suite_run import run_regression

        return run_regression(self, suite, live=live, repeats=repeats, accept=accept, only=only)

    def backtest(
        self, policies: Policy | Sequence[Policy], calls: pd.DataFrame | None = None
    ) -> Backtest:
        """See `toolkit.backtest`."""
        from toolkit.charts.frame_kinds import as_pandas
        from toolkit.health.policy_backtest import backtest, require_policies
        from toolkit.store.queries.calls import policy_attempts

        wanted = require_policies(policies)
        if calls is None:
            names = {name for policy in wanted for name in (policy.model, policy.fallback) if name}
            calls = policy_attempts(sorted(names)).frame(self.store)
        return backtest(wanted, as_pandas(calls))

    def watch_litellm(self) -> Callable[[], None]:
        """See `toolkit.watch_litellm`."""
        from toolkit.calls.watch import watch

        def record(call: Call) -> None:
            self.record(call)
            self.tracing.observe_watched(call)

        return watch(record)

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
        """Ingest what the journal holds, stop the background loop and close every connection."""
        if "health" in self.__dict__:
            self.health.close()
        if "providers" in self.__dict__:
            self.providers.plugins.close()
        if "portal" in self.__dict__:
            self.portal.close()
        if "tracing" in self.__dict__:
            self.tracing.close()
        if "budgets" in self.__dict__:
            self.budgets.reservations.close()
        if "store" in self.__dict__:
            self.store.close()


def open_eval_worker(
    settings: Settings, find_limiter: Callable[[RateLimit], Limiter]
) -> tuple[EvalDependencies, Callable[[], None]]:
    """Open the toolkit in a worker of an evaluation; also returns what closes it.

    Args:
        settings: of its home folder.
        find_limiter: the rate limits, which the run's process keeps.
    """
    toolkit = Toolkit(settings=settings)
    toolkit._find_limiter = find_limiter
    return toolkit._eval_dependencies, toolkit.close


def run_eval_worker() -> None:
    """Be a worker process of an evaluation until the run's process closes standard input."""
    from toolkit.evals.running.worker import serve_pipes

    serve_pipes(open_eval_worker)


def _take_key(options: ToolkitOptions) -> tuple[dict[str, Any], Secret | None]:
    """The options without the explicit key, and the key."""
    if "api_key" in options:
        conceal_key(options)
    rest: dict[str, Any] = {**options}
    return rest, rest.pop("api_key", None)


@cache
def _open(home: Path) -> Toolkit:
    toolkit = Toolkit(home)
    atexit.register(toolkit.close)
    return toolkit


def current() -> Toolkit:
    """Return the toolkit of the present home folder (`TOOLKIT_HOME`), made on first use."""
    return _open(home_path())
