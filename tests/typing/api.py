"""What an editor sees of the public API. Never run; `make types` checks it with mypy."""

from collections.abc import Callable
from typing import assert_type

import pandas as pd
import polars as pl

import toolkit as tk
from toolkit.calls.client import ReplyStream
from toolkit.calls.sync_calls import SyncReplyStream
from toolkit.catalog.service import Catalog
from toolkit.compare.new_board import Board
from toolkit.health.service import HealthService
from toolkit.keys.service import Keys
from toolkit.providers.service import Providers
from toolkit.records import Embedding, Reply
from toolkit.replay.regression.suite_run import SuiteRun
from toolkit.settings import Settings


def functions() -> None:
    assert_type(tk.complete("openai/gpt-5-mini", "Hello", temperature=0.2, timeout_s=5.0), Reply)
    assert_type(
        tk.stream("openai/gpt-5-mini", [{"role": "user", "content": "Hi"}]), SyncReplyStream
    )
    assert_type(tk.astream("openai/gpt-5-mini", "Hi", fallbacks=["a/b"]), ReplyStream)
    assert_type(tk.embed("openai/text-embedding-3-small", ["a", "b"], dimensions=64), Embedding)
    assert_type(tk.compare("Hi", ["a/b", "c/d"], panes=[{"temperature": 0.0}, {}]), Board)
    assert_type(tk.calls(provider="openai", limit=5), pd.DataFrame)
    assert_type(tk.sql("SELECT 1"), pd.DataFrame)
    assert_type(tk.sql("SELECT 1", as_="pandas-arrow"), pd.DataFrame)
    assert_type(tk.sql("SELECT 1", as_="polars"), pl.DataFrame)
    assert_type(tk.regress("local"), SuiteRun)
    assert_type(tk.watch_litellm(), Callable[[], None])


async def asynchronous() -> None:
    assert_type(await tk.acomplete("a/b", "Hi", system="Be brief.", max_tokens=5), Reply)
    assert_type(await tk.aembed("a/b", "text"), Embedding)


def services() -> None:
    assert_type(tk.providers, Providers)
    assert_type(tk.keys, Keys)
    assert_type(tk.catalog, Catalog)
    assert_type(tk.health, HealthService)
    assert_type(tk.settings, Settings)


def several_homes() -> None:
    with tk.Toolkit(home="one") as one:
        assert_type(one, tk.Toolkit)
        assert_type(one.complete("a/b", "Hi"), Reply)


def mistakes() -> None:
    """Each line is an error that the checker must find; an unused ignore fails the check."""
    tk.complete("a/b", "Hi", timout_s=1)  # type: ignore[call-arg]
    tk.complete("a/b", "Hi", fallback=["c/d"])  # type: ignore[call-arg]
    tk.complete("a/b", "Hi", temperature="hot")  # type: ignore[arg-type]
    tk.complete("a/b", None)  # type: ignore[arg-type]
    tk.providers.ad("x")  # type: ignore[attr-defined]
