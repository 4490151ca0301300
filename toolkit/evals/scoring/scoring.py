"""Scoring one answer, whatever the scorer is: a function, a coroutine, a judge that asks a model.

A scorer that raises or gives no number is a score without a value, with a code and words; it
never stops a run. Scorers are found by name, among ours and among plugins.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any, Final, Protocol

from toolkit.errors import InvalidInput, ToolkitError
from toolkit.evals import scorers
from toolkit.evals.scorers import Answer, MissingTarget, Score
from toolkit.records import Message, Reply

ENTRY_POINTS: Final = "toolkit.scorers"
AnyScorer = Callable[[Answer], Any]
_OURS: Final = (
    "exact",
    "contains",
    "regex",
    "numeric",
    "choice",
    "json_schema",
    "fuzzy",
    "bleu",
    "chrf",
    "rouge_l",
    "latency",
    "cost",
    "tool_call",
)
_LATER: Final = {
    "duration_ms": "measures",
    "ttft_ms": "measures",
    "cost_usd": "measures",
    "similarity": "measures",
    "judge": "judge",
    "judge_pair": "judge",
}


class ModelClient(Protocol):
    """Asks models on behalf of the run that is being scored, within its budget."""

    async def complete(self, model: str, messages: Sequence[Message], **params: Any) -> Reply:
        """Ask a model and wait for its reply."""

    async def embed(self, model: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector for each text."""


# Set while a run scores, so that a scorer's calls are the run's own in ledger and budget.
current_desk: ContextVar[ModelClient] = ContextVar("toolkit_eval_desk")


async def score_answer(scorer: AnyScorer, answer: Answer) -> Score:
    """Run one scorer; whatever it does, the result is a `Score`.

    Where it has no value, `details["code"]` is `TARGET_MISSING`, the code of a failed call of
    the scorer, or `SCORER_ERROR`.
    """
    try:
        result = scorer(answer)
        if inspect.isawaitable(result):
            result = await result
    except MissingTarget as error:
        return Score(value=None, error=str(error), details={"code": "TARGET_MISSING"})
    except ToolkitError as error:
        return Score(value=None, error=error.message, details={"code": error.code})
    except Exception as error:  # noqa: BLE001 - a person's own function may raise anything
        words = f"{type(error).__name__}: {error}"
        return Score(value=None, error=words, details={"code": "SCORER_ERROR"})
    score = scorers.score(lambda _: result, answer)
    if score.value is None and "code" not in score.details:
        return replace(score, details={**score.details, "code": "SCORER_ERROR"})
    return score


def is_pass(scorer: AnyScorer, score: Score) -> bool | None:
    """Whether it is good enough: by the scorer's `pass_at`, else only for scores of 0 and 1."""
    if score.value is None or "unit" in score.details:
        return None
    threshold = getattr(scorer, "pass_at", None)
    if threshold is not None:
        return bool(score.value >= threshold)
    return bool(score.value) if score.value in (0.0, 1.0) else None


def read_scorers(given: Any, *, default: Sequence[Any]) -> dict[str, AnyScorer]:
    """Scorers by unique name, from names, mappings (`{"type": "numeric", ...}`) or functions.

    Raises:
        InvalidInput: there is no such scorer, its options are wrong, or two have one name.
    """
    items = list(given) if isinstance(given, list | tuple) else [given]
    found: dict[str, AnyScorer] = {}
    for item in default if given is None else items:
        name, scorer = _read_one(item)
        if name in found:
            raise InvalidInput(
                f"two scorers are called {name!r}", hint='Give one of them a `name = "..."`.'
            )
        found[name] = scorer
    return found


def scorer_names() -> list[str]:
    """What a scorer may be called by: ours, and those of installed packages."""
    return [*_OURS, *_LATER, *(point.name for point in _plugins())]


def describe_scorers(given: Any, *, default: Sequence[Any]) -> list[Any]:
    """What is kept with a run: names and mappings as they are, functions as `{"function": ...}`."""
    items = list(given) if isinstance(given, list | tuple) else [given]
    return [
        item if isinstance(item, str | Mapping) else {"function": _name_of(item)}
        for item in (default if given is None else items)
    ]


def _read_one(item: Any) -> tuple[str, AnyScorer]:
    if isinstance(item, str):
        return item, _make(item, {})
    if isinstance(item, Mapping):
        options = dict(item)
        if "function" in options:
            raise InvalidInput(
                f"the scorer is the function {options['function']}, which is not here",
                hint="Give the scorers again in Python: `scorers=[...]`.",
            )
        kind = options.pop("type", None)
        if not isinstance(kind, str):
            raise InvalidInput(f"the scorer {dict(item)} has no `type`")
        # `tool_call` needs the name for its tool; elsewhere it is what the scores are called.
        name = kind if kind == "tool_call" else str(options.pop("name", kind))
        threshold = options.pop("pass_at", None)
        scorer = _make(kind, options)
        if threshold is not None:
            scorer.pass_at = float(threshold)  # type: ignore[attr-defined]
        return name, scorer
    if callable(item):
        return _name_of(item), item
    raise InvalidInput(f"{item!r} is no scorer", hint="Give a name, a mapping or a function.")


def _make(kind: str, options: Mapping[str, Any]) -> AnyScorer:
    maker = _find_maker(kind)
    if maker is None:
        known = ", ".join(scorer_names())
        raise InvalidInput(f"there is no scorer {kind!r}", hint=f"There are {known}.")
    try:
        scorer: AnyScorer = maker(**options)
    except TypeError as error:
        raise InvalidInput(f"the scorer {kind!r} cannot be made: {error}") from None
    return scorer


def _find_maker(kind: str) -> Callable[..., Any] | None:
    if kind in _OURS:
        found: Callable[..., Any] = getattr(scorers, kind)
        return found
    if kind in _LATER:
        from importlib import import_module

        later: Callable[..., Any] = getattr(import_module(f"toolkit.evals.{_LATER[kind]}"), kind)
        return later
    point = next((p for p in _plugins() if p.name == kind), None)
    return None if point is None else point.load()


def _plugins() -> Sequence[Any]:
    return tuple(entry_points(group=ENTRY_POINTS))


def _name_of(scorer: Any) -> str:
    return str(getattr(scorer, "__name__", type(scorer).__name__))
