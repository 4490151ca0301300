"""Scoring one answer, whatever the scorer is: a function, a coroutine, a judge that asks a model.

A scorer that raises, returns no number or takes too long is a score without a value, with a code
and a message; it never stops a run. Scorers are found by name, among ours and among plugins.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from toolkit.errors import InvalidInput, ToolkitError
from toolkit.evals import scorers
from toolkit.evals.bounded import FUNCTION_TIMEOUT_S, TookTooLong, call_bounded
from toolkit.evals.dataset import Dataset
from toolkit.evals.scoring.score import (
    Answer,
    AnyScorer,
    Score,
    read_score,
    score_of_error,
    targets_of,
)
from toolkit.extensions import find_entry_points

_PROBLEMS_SHOWN: Final = 5
ENTRY_POINTS: Final = "toolkit.scorers"
_OURS: Final = (
    *("exact", "contains", "regex", "numeric", "choice", "math", "json_schema"),
    *("fuzzy", "bleu", "chrf", "rouge_l", "latency", "cost", "tool_call"),
    *("duration_ms", "ttft_ms", "cost_usd", "similarity", "judge", "judge_pair"),
)


async def score_answer(scorer: AnyScorer, answer: Answer) -> Score:
    """Run one scorer; whatever it does, the result is a `Score`.

    Where it has no value, `details["code"]` is `TARGET_MISSING`, `TARGET_INVALID`,
    `SCORER_TIMEOUT`, the code of a failed call of the scorer, or `SCORER_ERROR`.
    """
    try:
        score = read_score(await _call(scorer, answer))
    except ToolkitError as error:
        return Score(value=None, error=error.message, details={"code": error.code})
    except Exception as error:  # noqa: BLE001 - a user's own function may raise anything
        score = score_of_error(error)
    if score.value is None and "code" not in score.details:
        return replace(score, details={**score.details, "code": "SCORER_ERROR"})
    return score


async def _call(scorer: AnyScorer, answer: Answer) -> Any:
    """Run a scorer: ours at once, a user's within its time limit and beside the event loop."""
    is_ours = str(getattr(scorer, "__module__", "")).startswith("toolkit.evals.")
    if is_ours and not hasattr(scorer, "runs_in_thread"):
        result = scorer(answer)
        return await result if inspect.isawaitable(result) else result
    timeout_s = float(getattr(scorer, "timeout_s", FUNCTION_TIMEOUT_S))
    if inspect.iscoroutinefunction(scorer) or inspect.iscoroutinefunction(
        getattr(scorer, "__call__", None)  # noqa: B004 - an object whose call is a coroutine
    ):
        result = scorer(answer)
    else:
        result = await call_bounded(scorer, answer, timeout_s=timeout_s)
        if not inspect.isawaitable(result):
            return result
    try:
        async with asyncio.timeout(timeout_s):
            return await result
    except TimeoutError:
        raise TookTooLong(f"the scorer took longer than {timeout_s:g} s") from None


def check_targets(given: Mapping[str, AnyScorer], dataset: Dataset) -> None:
    """Check all targets against all scorers, before anything is asked.

    Raises:
        InvalidInput: a scorer cannot compare with a target; the message names row and column.
    """
    problems = [
        f"row {number} (id {sample.sample_id}), column 'target': {problem} (scorer {name!r})"
        for name, scorer in given.items()
        if (check := getattr(scorer, "check_target", None)) is not None
        for number, sample in enumerate(dataset, start=1)
        for target in targets_of(sample)
        if (problem := check(sample, target)) is not None
    ]
    if problems:
        rest = len(problems) - _PROBLEMS_SHOWN
        more = f"; and {rest:,} more" if rest > 0 else ""
        raise InvalidInput(
            f"{dataset.name}: {'; '.join(problems[:_PROBLEMS_SHOWN])}{more}",
            hint="Correct these targets, leave them blank, or choose another scorer.",
        )


def is_pass(scorer: AnyScorer, score: Score) -> bool | None:
    """Whether the score is good enough: by `pass_at`, else only for scores of 0 and 1."""
    if score.value is None or "unit" in score.details:
        return None
    threshold = getattr(scorer, "pass_at", None)
    if threshold is not None:
        return bool(score.value >= threshold)
    return bool(score.value) if score.value in (0.0, 1.0) else None


def read_scorers(given: Any, *, default: Sequence[Any]) -> dict[str, AnyScorer]:
    """Scorers by unique name, from names, mappings (`{"type": "numeric", ...}`) or functions.

    Raises:
        InvalidInput: a scorer is unknown, its options are wrong, or two have one name.
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
    return [*_OURS, *find_entry_points(ENTRY_POINTS)]


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
                f"the scorer is the function {options['function']}, which is not available here",
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
    raise InvalidInput(f"{item!r} is not a scorer", hint="Give a name, a mapping or a function.")


def _make(kind: str, options: Mapping[str, Any]) -> AnyScorer:
    maker = _find_maker(kind)
    if maker is None:
        known = ", ".join(scorer_names())
        raise InvalidInput(f"there is no scorer {kind!r}", hint=f"Available: {known}.")
    try:
        scorer: AnyScorer = maker(**options)
    except TypeError as error:
        raise InvalidInput(f"invalid options of the scorer {kind!r}: {error}") from None
    return scorer


def _find_maker(kind: str) -> Callable[..., Any] | None:
    if kind in _OURS:
        found: Callable[..., Any] = getattr(scorers, kind)
        return found
    point = find_entry_points(ENTRY_POINTS).get(kind)
    return None if point is None else point.load()


def _name_of(scorer: Any) -> str:
    return str(getattr(scorer, "__name__", type(scorer).__name__))
