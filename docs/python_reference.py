"""The Python reference: which public names it has, and how the page is written.

In the repository the page is Markdown, written from docstrings by `docs/generate.py`. On the site
the same headings are rendered by mkdocstrings, which links types and adds tables of parameters.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

NOTE: Final = "<!-- Produced by `python docs/generate.py`; edit the docstrings instead. -->\n\n"
# Functions of the public API, in the order in which people meet them.
FUNCTIONS: Final = (
    *("complete", "acomplete", "stream", "astream", "embed", "aembed", "compare", "evaluate"),
    *("load_test", "estimate", "spend", "backtest", "calls", "models", "probes", "sql", "regress"),
    "watch_litellm",
)


@dataclass(frozen=True)
class Entry:
    """One heading of the page.

    Attributes:
        title: as users write it, for example `tk.providers`.
        path: module and name of the object.
        has_members: whether its public methods and properties have headings of their own.
    """

    title: str
    path: str
    has_members: bool = False

    @property
    def target(self) -> Any:
        """The object itself."""
        module, _, name = self.path.rpartition(".")
        return getattr(importlib.import_module(module), name)


def sections() -> dict[str, list[Entry]]:
    """Every entry by the heading of its section."""
    return {
        "Functions": [Entry(f"tk.{name}", f"toolkit.{name}") for name in FUNCTIONS],
        "Options": [
            *(
                Entry(name, f"toolkit.calls.options.{name}")
                for name in ("ToolkitOptions", "CallOptions", "EmbedOptions", "CompareOptions")
            ),
            Entry("EvalOptions", "toolkit.evals.config.EvalOptions"),
            Entry("LoadTestOptions", "toolkit.load_test.load_config.LoadTestOptions"),
        ],
        "Services": [
            Entry("tk.providers", "toolkit.providers.service.Providers", has_members=True),
            Entry("tk.keys", "toolkit.keys.service.Keys", has_members=True),
            Entry("tk.catalog", "toolkit.catalog.service.Catalog", has_members=True),
            Entry("tk.health", "toolkit.health.service.HealthService", has_members=True),
            Entry("tk.settings", "toolkit.settings.Settings"),
            Entry("tk.Toolkit", "toolkit.toolkit.Toolkit"),
        ],
        "Results": [
            Entry(path.rpartition(".")[2], f"toolkit.{path}", has_members=True)
            for path in (
                *("compare.board_result.Board", "evals.eval_run.EvalRun"),
                *("replay.regression.suite_run.SuiteRun", "load_test.load_result.LoadTestRun"),
                *("pricing.cost_estimate.Estimate", "health.policy_backtest.Backtest"),
            )
        ],
        "Records": [
            Entry(name, f"toolkit.records.{name}")
            for name in ("Reply", "Usage", "Timing", "Receipt", "ToolCall", "Embedding", "Call")
        ],
        "Evaluations, policies and cassettes": [
            Entry("tk.Dataset", "toolkit.evals.dataset.Dataset", has_members=True),
            Entry("tk.Policy", "toolkit.health.policy_backtest.Policy"),
            Entry("tk.cassette", "toolkit.replay.cassettes.open_cassette.cassette"),
        ],
        "Scorers": _module_entries("toolkit.evals.scorers", "tk.scorers"),
        "Charts": _module_entries("toolkit.charts", "tk.charts"),
    }


def _module_entries(module_name: str, title: str) -> list[Entry]:
    """The public functions and classes of a module, where they are defined."""
    module = importlib.import_module(module_name)
    found = []
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            found.append(Entry(f"{title}.{name}", f"{value.__module__}.{value.__qualname__}"))
    return found


INTRODUCTION: Final = (
    "`import toolkit as tk`\n\nThe exceptions of `tk.errors` are on [their own page](errors.md), "
    "and so are the [settings](settings.md).\n"
)


def markdown_page() -> str:
    """The page as Markdown, readable without the site."""
    parts = ["# Python reference\n\n", NOTE, INTRODUCTION]
    for heading, entries in sections().items():
        parts.append(f"\n## {heading}\n")
        for entry in entries:
            target = entry.target
            parts.append(f"\n### {entry.title}\n\n")
            if inspect.isfunction(target):
                parts.append(f"```py\n{entry.title}{_signature(target)}\n```\n\n")
            parts.append(_docstring(target) + "\n")
            if entry.has_members:
                parts.extend(_members(entry))
    return "".join(parts)


def site_page() -> str:
    """The same headings for mkdocstrings, which renders what is below each."""
    parts = ["# Python reference\n\n", INTRODUCTION]
    for heading, entries in sections().items():
        parts.append(f"\n## {heading}\n")
        for entry in entries:
            members = "" if entry.has_members else ", members: false"
            parts.append(
                f"\n::: {entry.path}\n"
                f'    options: {{heading: "{entry.title}", toc_label: "{entry.title}"{members}}}\n'
            )
    return "".join(parts)


def _members(entry: Entry) -> Iterator[str]:
    for name, value in vars(entry.target).items():
        if name.startswith("_"):
            continue
        if isinstance(value, classmethod | staticmethod):
            value = value.__func__
        title = f"{entry.title}.{name}"
        if inspect.isfunction(value):
            yield f"\n#### {title}\n\n```py\n{title}{_signature(value)}\n```\n\n"
        elif isinstance(value, property | functools.cached_property) and value.__doc__:
            yield f"\n#### {title}\n\n"
        else:
            continue
        yield _docstring(value) + "\n"


def _signature(function: Any) -> str:
    text = str(inspect.signature(function))
    text = re.sub(r"'([^']*)'", r"\1", text)
    text = re.sub(r"^\((?:self|cls)(?:, (?=[^/])|(?=\)))", "(", text)
    return re.sub(r"\b(?:toolkit|collections|pandas|datetime)\.(?:\w+\.)*", "", text)


_SECTION: Final = re.compile(r"(Args|Returns|Raises|Attributes|Examples?)\b[^:]*:")


def _docstring(thing: Any) -> str:
    """A docstring in Google's style as Markdown."""
    out: list[str] = []
    section = ""
    for line in (inspect.getdoc(thing) or "").splitlines():
        if _SECTION.fullmatch(line):
            section = line.partition(":")[0]
            out.append(f"\n**{section}**\n")
        elif line and not line.startswith(" "):
            section = ""
            out.append(line)
        elif section in ("Args", "Attributes", "Raises"):
            line = re.sub(r"^ {4}([*\w.]+(?:, [*\w.]+)*): ", r"- `\1`: ", line)
            out.append(re.sub(r"^ {8}", "  ", line).removeprefix("    "))
        else:
            out.append(line.removeprefix("    ") if section else line)
    return "\n".join(out)
