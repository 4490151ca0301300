"""LLM Provider Toolkit: `import toolkit as tk`.

The face. Every name here is one line over the toolkit and loads what it needs when it is
first used: `import toolkit` itself loads none of litellm, pandas, duckdb, plotly or streamlit.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from toolkit.version import __version__

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.calls.client import ReplyStream
    from toolkit.calls.sync import SyncReplyStream
    from toolkit.compare.board import Board
    from toolkit.evals.service import EvalRun
    from toolkit.records import Embedding, Message, Reply
    from toolkit.toolkit import Toolkit


def _toolkit() -> Toolkit:
    from toolkit.toolkit import current

    return current()


def complete(model: str, prompt: str | Sequence[Message], **options: Any) -> Reply:
    """Ask one model and wait for its whole reply.

    Args:
        model: `provider/model_id`, for example `openai/gpt-5-mini` or `local/smollm2-135m`.
        prompt: the user's text, or a conversation in OpenAI's message form.
        options: `system` (text), `tags`, `fallbacks` (other models, in order, or the
            name of a chain), `timeout_s`, `api_key`, `origin`, `origin_id`, `on_unsupported`
            (`error` or `drop` what the provider does not take); everything else is a
            parameter of the model (`temperature`, `max_tokens`, `tools`, ...).

    Returns:
        The `Reply`: text, usage, timing (`ttft_ms`, ...), receipt and all attempts.

    Raises:
        toolkit.errors.ToolkitError: what went wrong, with which provider, and what to do.
    """
    return _toolkit().complete(model, prompt, **options)


async def acomplete(model: str, prompt: str | Sequence[Message], **options: Any) -> Reply:
    """The same as `complete`, for use with `await`."""
    return await _toolkit().acomplete(model, prompt, **options)


def stream(model: str, prompt: str | Sequence[Message], **options: Any) -> SyncReplyStream:
    """Ask one model and iterate over its text as it arrives.

    Args and errors are those of `complete`.

    Returns:
        An iterator of text pieces (`str`); its `reply` is complete after the last one.
        Use it in a `with` block, or read it to the end, so that the stream is closed.
    """
    return _toolkit().stream(model, prompt, **options)


def astream(model: str, prompt: str | Sequence[Message], **options: Any) -> ReplyStream:
    """The same as `stream`, for `async for`."""
    return _toolkit().astream(model, prompt, **options)


def embed(model: str, texts: str | Sequence[str], **options: Any) -> Embedding:
    """Turn texts into vectors.

    Args:
        model: `provider/model_id` of an embedding model.
        texts: one text or up to 2,048.
        options: `tags`, `fallbacks`, `timeout_s`, `api_key`, `on_unsupported` as for `complete`;
            everything else is a parameter of the model (`dimensions`, ...).

    Returns:
        The `Embedding`: `vectors` (one for each text, in order), usage, timing, receipt.

    Raises:
        toolkit.errors.ToolkitError: what went wrong. An answer with a vector missing, of another
            length, or with a NaN in it is an error and never returned.
    """
    return _toolkit().embed(model, texts, **options)


async def aembed(model: str, texts: str | Sequence[str], **options: Any) -> Embedding:
    """The same as `embed`, for use with `await`."""
    return await _toolkit().aembed(model, texts, **options)


def compare(prompt: str | Sequence[Message], models: Sequence[str], **options: Any) -> Board:
    """Ask 2 to 8 models the same thing at once and put the answers side by side.

    Args:
        prompt: the user's text, or a conversation in OpenAI's message form.
        models: `provider/model_id` of each pane; the same one may stand more than once.
        options: as for `complete`; `panes=[{...}, ...]` gives each pane options of its own.

    Returns:
        The `Board`: `panes`, `frame()` (one row per pane), `figure()` and `vote()`.
        A pane that failed holds its error; the others are complete.
    """
    return _toolkit().compare(prompt, models, **options)


def evaluate(dataset: Any, models: str | Sequence[str], **options: Any) -> EvalRun:
    """Ask models every sample of a dataset and score the answers.

    Args:
        dataset: a `Dataset`, a path, the name of a bundled one, or a DataFrame.
        models: `provider/model_id`, one or several.
        options: `solvers` (how to ask: prompts, `Solver`s, functions), `scorers` (names,
            mappings, functions), `epochs`, `params`, `name`, `cap_usd`, `concurrency`, `seed`,
            `reuse`, `cache`, `on_progress`, `tags`; see docs/evals.md.

    Returns:
        The `EvalRun`: `summary`, `frame()`, `answers()`, `compare(other)`.

    Raises:
        toolkit.errors.InvalidInput: something given makes no sense; nothing was asked.
    """
    return _toolkit().evaluation.run(dataset, models, **options)


def calls(where: str | None = None, *, limit: int | None = None, **filters: Any) -> pd.DataFrame:
    """The recorded calls, newest first, one row per attempt.

    Args:
        where: an SQL condition over the columns of `calls`; None for all.
        limit: at most so many rows; None for all.
        filters: equality by column, for example `provider="openai"`, `status="error"`.

    Returns:
        DataFrame with the columns of the table `calls`; times UTC, `*_ms` milliseconds.
    """
    return _toolkit().calls(where, limit=limit, **filters)


def models(**filters: Any) -> pd.DataFrame:
    """The catalog as a DataFrame, one row per model; prices in USD per million tokens."""
    return _toolkit().models(**filters)


def probes(**filters: Any) -> pd.DataFrame:
    """The health probes as a DataFrame, newest first, one row per probe."""
    return _toolkit().probes(**filters)


def sql(query: str) -> pd.DataFrame:
    """Run one read-only SQL query over the store and return a DataFrame.

    The connection has no file and no network access. Rows still in the journal are seen.

    Raises:
        toolkit.errors.StoreError: the query is not readable, not allowed, or failed.
    """
    return _toolkit().store.user_frame(query)


# Names that are objects or come from a room; loaded when first asked for.
_BENCH_NAMES = ("providers", "keys", "catalog", "health", "settings")
_ROOM_NAMES: Mapping[str, tuple[str, str | None]] = {
    "errors": ("toolkit.errors", None),
    "charts": ("toolkit.charts", None),
    "cassette": ("toolkit.replay.cassettes.cassette", "cassette"),
    "regress": ("toolkit.replay.regression.service", "regress"),
    "Dataset": ("toolkit.evals.dataset", "Dataset"),
    "scorers": ("toolkit.evals.scorers", None),
    "watch_litellm": ("toolkit.toolkit", "watch_litellm"),
}

__all__ = [
    "Dataset",
    "__version__",
    "acomplete",
    "aembed",
    "astream",
    "calls",
    "cassette",
    "catalog",
    "charts",
    "compare",
    "complete",
    "embed",
    "errors",
    "evaluate",
    "health",
    "keys",
    "models",
    "probes",
    "providers",
    "regress",
    "scorers",
    "settings",
    "sql",
    "stream",
    "watch_litellm",
]


def __getattr__(name: str) -> Any:
    if name in _BENCH_NAMES:
        return getattr(_toolkit(), name)
    if name in _ROOM_NAMES:
        module_name, attribute = _ROOM_NAMES[name]
        module = importlib.import_module(module_name)
        return module if attribute is None else getattr(module, attribute)
    raise AttributeError(f"module 'toolkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _Face(ModuleType):
    """Keeps the face's names when a room of the same name is imported.

    The import system binds each submodule to its parent, so importing `toolkit.calls.client`
    would replace the function `tk.calls` by the package `toolkit.calls`.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and name in __all__:
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
