"""LLM Provider Toolkit: `import toolkit as tk`.

The public API. Every function calls the `Toolkit` of the current home folder and imports what it
needs on first use: `import toolkit` itself imports none of litellm, pandas, duckdb, plotly or
streamlit. Names that are neither in `__all__` nor in docs/reference/python.md are internal and may
change in any release.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from toolkit.version import __version__

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from toolkit import charts, errors
    from toolkit.calls.client import ReplyStream
    from toolkit.calls.options import CallOptions, CompareOptions, EmbedOptions, ToolkitOptions
    from toolkit.calls.sync_calls import SyncReplyStream
    from toolkit.catalog.parsing import Moment
    from toolkit.catalog.service import Catalog
    from toolkit.compare.new_board import Board
    from toolkit.evals import scorers
    from toolkit.evals.config import DatasetLike, EvalOptions
    from toolkit.evals.dataset import Dataset
    from toolkit.evals.eval_run import EvalRun
    from toolkit.evals.running.plan import Progress
    from toolkit.health.policy_backtest import Backtest, Policy
    from toolkit.health.service import HealthService
    from toolkit.keys.service import Keys
    from toolkit.load_test.load_config import LoadTestOptions
    from toolkit.load_test.load_result import LoadTestRun
    from toolkit.load_test.load_runner import LoadProgress
    from toolkit.notebook_magics import Shell
    from toolkit.pricing.cost_estimate import Estimate
    from toolkit.pricing.spend import SpendKey
    from toolkit.providers.service import Providers
    from toolkit.records import Embedding, Message, Reply
    from toolkit.replay.cassettes.open_cassette import cassette
    from toolkit.replay.regression.suite_run import SuiteRun
    from toolkit.settings import Settings
    from toolkit.toolkit import Toolkit

    providers: Providers
    keys: Keys
    catalog: Catalog
    health: HealthService
    settings: Settings


def _toolkit(options: ToolkitOptions | None = None) -> Toolkit:
    """The toolkit of the current home folder; the key among the options becomes a `Secret`."""
    from toolkit.calls.options import conceal_key
    from toolkit.toolkit import current

    if options is not None and "api_key" in options:
        conceal_key(options)
    return current()


def complete(model: str, prompt: str | Sequence[Message], **options: Unpack[CallOptions]) -> Reply:
    """Call one model and wait for its whole reply.

    Args:
        model: `provider/model_id`, for example `openai/gpt-5-mini` or `local/smollm2-135m`.
        prompt: the user's text, or a conversation in OpenAI's message format.
        options: see `CallOptions`: `system`, `timeout_s`, `fallbacks`, `tags`, ... and the
            parameters of the model (`temperature`, `max_tokens`, `tools`, ...). Fields that are
            not listed go into `extra_body`.

    Returns:
        The `Reply`: text, usage (tokens), timing (`ttft_ms`, ...), receipt (USD) and all attempts.

    Raises:
        toolkit.errors.ToolkitError: the failure, with its provider and what to do.
    """
    return _toolkit(options).complete(model, prompt, **options)


async def acomplete(
    model: str, prompt: str | Sequence[Message], **options: Unpack[CallOptions]
) -> Reply:
    """Do the same as `complete`, for use with `await`."""
    return await _toolkit(options).acomplete(model, prompt, **options)


def stream(
    model: str, prompt: str | Sequence[Message], **options: Unpack[CallOptions]
) -> SyncReplyStream:
    """Call one model and iterate over its text as it arrives.

    Args and errors are those of `complete`.

    Returns:
        An iterator of text pieces (`str`); its `reply` is complete after the last one.
        Use it in a `with` block, or read it to the end, so that the stream is closed.
    """
    return _toolkit(options).stream(model, prompt, **options)


def astream(
    model: str, prompt: str | Sequence[Message], **options: Unpack[CallOptions]
) -> ReplyStream:
    """Do the same as `stream`, for `async for`."""
    return _toolkit(options).astream(model, prompt, **options)


def embed(model: str, texts: str | Sequence[str], **options: Unpack[EmbedOptions]) -> Embedding:
    """Turn texts into vectors.

    Args:
        model: `provider/model_id` of an embedding model.
        texts: one text or up to 2,048.
        options: see `EmbedOptions`: the toolkit's options as for `complete`, and `dimensions`.

    Returns:
        The `Embedding`: `vectors` (one for each text, in order), usage, timing, receipt.

    Raises:
        toolkit.errors.ToolkitError: the failure. An answer with missing vectors, different lengths
            or NaN values is an error.
    """
    return _toolkit(options).embed(model, texts, **options)


async def aembed(
    model: str, texts: str | Sequence[str], **options: Unpack[EmbedOptions]
) -> Embedding:
    """Do the same as `embed`, for use with `await`."""
    return await _toolkit(options).aembed(model, texts, **options)


def compare(
    prompt: str | Sequence[Message], models: Sequence[str], **options: Unpack[CompareOptions]
) -> Board:
    """Call 2 to 8 models with the same prompt concurrently and compare the answers.

    Args:
        prompt: the user's text, or a conversation in OpenAI's message format.
        models: `provider/model_id` of each pane; the same one may appear more than once.
        options: see `CompareOptions`: as for `complete`, for all panes; `panes=[{...}, ...]` gives
            each pane options of its own.

    Returns:
        The `Board`: `panes`, `frame()` (one row per pane), `figure()` and `vote()`.
        A failed pane contains its error; the others are complete.
    """
    return _toolkit(options).compare(prompt, models, **options)


def evaluate(
    dataset: DatasetLike,
    models: str | Sequence[str],
    *,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Unpack[EvalOptions],
) -> EvalRun:
    """Run every sample of a dataset through models and score the answers.

    Args:
        dataset: a `Dataset`, a file, the name of a bundled one, a DataFrame, a list of rows, or
            `{"sql": "SELECT ..."}` over the store.
        models: `provider/model_id`, one or several.
        on_progress: called with a `Progress` after every answer; a notebook shows a bar without.
        options: see `toolkit.evals.config.EvalOptions`.

    Returns:
        The `EvalRun`: `summary`, `frame()`, `answers()`, `transcript(id)`, `compare(other)`.

    Raises:
        toolkit.errors.InvalidInput: an argument or a row is not valid; nothing was called.
    """
    from toolkit.display import ProgressBar, in_notebook

    if on_progress is not None or not in_notebook():
        return _toolkit().evaluation.run(dataset, models, on_progress=on_progress, **options)
    bar = ProgressBar("answers")
    try:
        return _toolkit().evaluation.run(dataset, models, on_progress=bar, **options)
    finally:
        bar.close()


def load_test(
    model: str,
    *,
    on_progress: Callable[[LoadProgress], None] | None = None,
    **options: Unpack[LoadTestOptions],
) -> LoadTestRun:
    """Send requests to one model by a schedule and measure latency, throughput and goodput.

    Only the provider that is named is called. Every request is an ordinary recorded call with the
    origin `load_test`; it counts in spend and budgets, and not in the provider's health. Ctrl-C
    ends the run and keeps what was measured.

    Args:
        model: `provider/model_id`. A cloud provider needs `max_usd`.
        on_progress: called with a `LoadProgress` after every request; a notebook shows a bar
            without.
        options: see `LoadTestOptions`: `concurrency` (closed loop) or `rate` (open loop), one or
            several as steps, prompts, objectives, repeats and bounds.

    Returns:
        The `LoadTestRun`: `summary`, `steps()`, `frame()` (one row per request), `figure()` and
        `html()`.

    Raises:
        toolkit.errors.InvalidInput: an option makes no sense, or a bound would not hold; nothing
            was sent.
    """
    from toolkit.display import ProgressBar, in_notebook

    if on_progress is not None or not in_notebook():
        return _toolkit().load_tests.run(model, on_progress=on_progress, **options)
    bar = ProgressBar("requests")
    try:
        return _toolkit().load_tests.run(model, on_progress=bar, **options)
    finally:
        bar.close()


def estimate(
    model: str, prompt: str | Sequence[Message], **options: Unpack[CallOptions]
) -> Estimate:
    """Estimate what a request would cost; nothing is sent.

    Args are those of `complete`.

    Returns:
        The `Estimate`: `input_tokens` (counted with a tokenizer), `low_usd`, `expected_usd` and
        `high_usd` by the lengths of recorded answers or by `max_tokens`, and `most_usd`, the
        most that the request may cost (what a budget reserves).

    Raises:
        toolkit.errors.ToolkitError: there is no such provider, or an option is not valid.
    """
    return _toolkit(options).estimate(model, prompt, **options)


def spend(
    by: Sequence[SpendKey] | SpendKey = ("provider", "model"),
    *,
    since: Moment = None,
    until: Moment = None,
) -> pd.DataFrame:
    """Return what live calls have cost, one row per group, with exact sums.

    Args:
        by: `provider`, `model`, `tag`, `day` (UTC), `token` (of the gateway) or `origin`.
        since, until: calls sent in this span: days, times (UTC) or `30d`, `6h` before now; None:
            no bound.

    Returns:
        DataFrame with the keys, `calls`, `cost_usd` (`Decimal`: the provider's own figure where
        it reports one, else the computed one), `reported_usd`, `computed_usd`, and how many calls
        are missing in the sum (`unpriced_calls`), are in it in part (`partial_calls`), or have two
        figures that differ by more than 1 % (`mismatched_calls`).
    """
    return _toolkit().spend(by, since=since, until=until)


def calls(where: str | None = None, *, limit: int | None = None, **filters: Any) -> pd.DataFrame:
    """Return the recorded calls, newest first, one row per attempt.

    Args:
        where: an SQL condition over the columns of `calls`; None for all.
        limit: maximum number of rows; None for all.
        filters: equality by column, for example `provider="openai"`, `status="error"`.

    Returns:
        DataFrame with the columns of the table `calls`; times UTC, `*_ms` milliseconds.
    """
    return _toolkit().calls(where, limit=limit, **filters)


def models(**filters: Any) -> pd.DataFrame:
    """Return the catalog, one row per model; prices in USD per million tokens."""
    return _toolkit().models(**filters)


def probes(**filters: Any) -> pd.DataFrame:
    """Return the health probes, newest first, one row per probe."""
    return _toolkit().probes(**filters)


@overload
def sql(
    query: str,
    params: Sequence[object] | Mapping[str, object] = (),
    *,
    as_: Literal["pandas", "pandas-arrow"] = "pandas",
) -> pd.DataFrame: ...


@overload
def sql(
    query: str,
    params: Sequence[object] | Mapping[str, object] = (),
    *,
    as_: Literal["arrow"],
) -> pa.Table: ...


@overload
def sql(
    query: str,
    params: Sequence[object] | Mapping[str, object] = (),
    *,
    as_: Literal["polars"],
) -> pl.DataFrame: ...


def sql(
    query: str,
    params: Sequence[object] | Mapping[str, object] = (),
    *,
    as_: Literal["pandas", "pandas-arrow", "arrow", "polars"] = "pandas",
) -> pd.DataFrame | pa.Table | pl.DataFrame:
    """Run one read-only SQL query over the store and return a DataFrame.

    The connection has no file and no network access. Rows still in the journal are seen.

    Args:
        query: one reading statement in DuckDB's SQL.
        params: values for `?` in order, or for `$name` by name; they are always bound.
        as_: the form of the result: `pandas`, `pandas-arrow` (pandas with Arrow types, which
            keep money, whole numbers with gaps and lists as they are), `arrow` (a
            `pyarrow.Table`) or `polars`.

    Raises:
        toolkit.errors.StoreError: the query is not readable, not allowed, or failed.
        toolkit.errors.InvalidInput: there is no such form, or polars is not installed.
    """
    if as_ == "pandas":
        return _toolkit().store.user_frame(query, params)
    from toolkit.store.reader import convert_arrow

    return convert_arrow(_toolkit().store.user_arrow(query, params), as_)


def regress(
    suite: str | Path,
    *,
    live: bool = False,
    repeats: int | None = None,
    accept: bool = False,
    only: Sequence[str] = (),
) -> SuiteRun:
    """Run a regression suite and compare it with its accepted baseline.

    Args:
        suite: its folder, or its name in `cassettes/`.
        live: call the providers again (this may cost money); otherwise replay the cassettes,
            offline and without a key.
        repeats: how often each case is called live; None: that of the suite.
        accept: accept the results as the new baseline.
        only: names of the cases to run; all when empty.

    Returns:
        The run: `verdicts`, `counts`, `sentence`, `passed`, `frame()`.

    Raises:
        toolkit.errors.InvalidInput: the suite or one of its cases is not valid.
    """
    return _toolkit().regress(suite, live=live, repeats=repeats, accept=accept, only=only)


def backtest(policies: Policy | Sequence[Policy], calls: pd.DataFrame | None = None) -> Backtest:
    """Estimate how other policies would have performed on recorded attempts; nothing is sent.

    Args:
        policies: one `tk.Policy` or several: the model, a time-out, a fallback, when to hedge.
        calls: rows of `calls`, for example `tk.calls("started_at > now() - INTERVAL 7 DAY")`;
            None: all live user calls of the policies' models.

    Returns:
        The `Backtest`: `outcomes` and `frame()` with the median and 95th percentile of the
        duration, error rate and cost per policy, each with a 95 % interval, and `notes`.

    Raises:
        toolkit.errors.InvalidInput: a policy is not valid, or a model has no recorded attempt.
    """
    return _toolkit().backtest(policies, calls)


def watch_litellm() -> Callable[[], None]:
    """Record the `litellm.completion` calls of existing code through litellm's callbacks.

    Rows are marked `recorded_by="callback"`: what litellm does not report is NULL.

    Returns:
        A function that stops recording.
    """
    return _toolkit().watch_litellm()


def load_ipython_extension(shell: Shell) -> None:
    """Add the magics `%%prompt` and `%%sql`; called by `%load_ext toolkit`."""
    from toolkit.notebook_magics import register

    register(shell)


# Services of the current toolkit, and names from other modules, imported on first use.
_SERVICES = ("providers", "keys", "catalog", "health", "settings")
_HOMES: Mapping[str, tuple[str, str | None]] = {
    "errors": ("toolkit.errors", None),
    "charts": ("toolkit.charts", None),
    "cassette": ("toolkit.replay.cassettes.open_cassette", "cassette"),
    "Dataset": ("toolkit.evals.dataset", "Dataset"),
    "scorers": ("toolkit.evals.scorers", None),
    "Policy": ("toolkit.health.policy_backtest", "Policy"),
    "Toolkit": ("toolkit.toolkit", "Toolkit"),
}

__all__ = [
    "Dataset",
    "Policy",
    "Toolkit",
    "__version__",
    "acomplete",
    "aembed",
    "astream",
    "backtest",
    "calls",
    "cassette",
    "catalog",
    "charts",
    "compare",
    "complete",
    "embed",
    "errors",
    "estimate",
    "evaluate",
    "health",
    "keys",
    "load_test",
    "models",
    "probes",
    "providers",
    "regress",
    "scorers",
    "settings",
    "spend",
    "sql",
    "stream",
    "watch_litellm",
]


def __getattr__(name: str) -> Any:
    if name in _SERVICES:
        return getattr(_toolkit(), name)
    if name in _HOMES:
        module_name, attribute = _HOMES[name]
        module = importlib.import_module(module_name)
        return module if attribute is None else getattr(module, attribute)
    raise AttributeError(f"module 'toolkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _PublicModule(ModuleType):
    """Keeps the public names when a sub-package of the same name is imported.

    The import system binds each submodule to its parent, so importing `toolkit.calls.client`
    would replace the function `tk.calls` by the package `toolkit.calls`.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and name in __all__:
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _PublicModule

if "IPython" in sys.modules:  # in a notebook, Tab inside the brackets lists the options
    from toolkit.display import spell_out_options

    spell_out_options(
        {
            "CallOptions": (complete, acomplete, stream, astream, estimate),
            "CompareOptions": (compare,),
            "EmbedOptions": (embed, aembed),
            "EvalOptions": (evaluate,),
            "LoadTestOptions": (load_test,),
        }
    )
