"""Scorers: from an answer to a score between 0 and 1, with the reason.

A scorer is a function `(Answer) -> Score | float | bool`. The functions here build such scorers;
any function of your own does, too. A scorer that raises or returns no number marks its sample as
an error and never stops a run. An answer that cannot be read ("unreadable") scores 0 and is
counted apart from a wrong one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Literal

from toolkit.errors import InvalidInput
from toolkit.evals.bounded import BoundedPattern
from toolkit.evals.dataset import Sample
from toolkit.evals.extract.embedded_json import NoJson, extract_json
from toolkit.evals.extract.normalization import normalize_unicode, simplify
from toolkit.evals.extract.stated_numbers import Number, find_stated_number
from toolkit.evals.scoring.answer_scorers import bleu, choice, chrf, find_formula, fuzzy, rouge_l
from toolkit.evals.scoring.judge import judge, judge_pair
from toolkit.evals.scoring.measures import cost_usd, duration_ms, similarity, ttft_ms
from toolkit.evals.scoring.score import (
    Answer,
    AsyncScorer,
    InvalidTarget,
    MissingTarget,
    Score,
    Scorer,
    named,
    require_reply,
    score,
    unreadable,
)

__all__ = [
    "Answer",
    "AsyncScorer",
    "InvalidTarget",
    "MissingTarget",
    "Score",
    "Scorer",
    "bleu",
    "choice",
    "chrf",
    "contains",
    "cost",
    "cost_usd",
    "duration_ms",
    "exact",
    "fuzzy",
    "json_schema",
    "judge",
    "judge_pair",
    "latency",
    "math",
    "named",
    "numeric",
    "regex",
    "rouge_l",
    "score",
    "similarity",
    "tool_call",
    "ttft_ms",
    "unreadable",
]


def exact(*, ignore_case: bool = False, normalize: bool = False, unicode: bool = True) -> Scorer:
    """The answer equals a target.

    Args:
        ignore_case: capital and small letters are the same.
        normalize: ignore case, articles, sentence punctuation, extra space and markup, as
            SQuAD's own script does (Rajpurkar et al. 2016); signs and decimal points count.
        unicode: compare what looks the same as the same: composed and decomposed letters,
            full-width letters, typographic quotes, no-break spaces.
    """

    def prepare(text: str) -> str:
        text = " ".join(normalize_unicode(text).split()) if unicode else text.strip()
        if normalize:
            return simplify(text)
        return text.casefold() if ignore_case else text

    return named("exact", lambda a: prepare(a.text) in {prepare(t) for t in a.targets})


def contains(*, ignore_case: bool = True, unicode: bool = True) -> Scorer:
    """The answer contains a target somewhere; `unicode` as in `exact`."""

    def prepare(text: str) -> str:
        text = normalize_unicode(text) if unicode else text
        return text.casefold() if ignore_case else text

    def check(answer: Answer) -> bool:
        text = prepare(answer.text)
        return any(prepare(target) in text for target in answer.targets)

    return named("contains", check)


def regex(pattern: str | None = None, *, flags: int = re.DOTALL, timeout_s: float = 1.0) -> Scorer:
    """The answer matches a pattern, or, without one, the sample's target as a pattern.

    Args:
        pattern: a regular expression.
        flags: those of `re`.
        timeout_s: for one search; a pattern that takes longer cannot score the answer.

    Raises:
        InvalidInput: the pattern is not a regular expression.
    """
    compiled = BoundedPattern(pattern, flags, timeout_s) if pattern is not None else None

    def check(answer: Answer) -> bool:
        if compiled is not None:
            return compiled.matches(answer.text)
        own = (BoundedPattern(target, flags, timeout_s) for target in answer.targets)
        return any(pattern.matches(answer.text) for pattern in own)

    def check_target(sample: Sample, target: str) -> str | None:
        try:
            BoundedPattern(target, flags)
        except InvalidInput as error:
            return error.message
        return None

    # In a thread, so that a search of up to a second holds up no other answer.
    check.runs_in_thread = True  # type: ignore[attr-defined]
    return named("regex", check, None if compiled else check_target)


def numeric(
    *, tolerance: float = 0.0, relative: float = 0.0, take: Literal["first", "last"] = "last"
) -> Scorer:
    r"""The number that the answer gives is within tolerance of the target's number.

    That is the one in the last `\boxed{...}`, else after "the answer is" and its kin, else the
    first or last number of the answer. An answer without a number is unreadable.

    Args:
        tolerance: largest absolute difference.
        relative: largest difference as a share of the target.
        take: `first` or `last` number of an answer that states none.
    """

    def check(answer: Answer) -> Score:
        wanted = [number for target in answer.targets if (number := find_target_number(target))]
        if not wanted:
            raise InvalidTarget(f"the target {answer.targets[0]!r} is not a number")
        found = find_stated_number(answer.text, take=take)
        if found is None:
            return unreadable("the answer contains no number")
        is_near = any(_is_near(found, number, tolerance, relative) for number in wanted)
        return Score(
            value=float(is_near), reason=f"{found.value:g} compared with {wanted[0].value:g}"
        )

    def check_target(sample: Sample, target: str) -> str | None:
        return None if find_target_number(target) else f"{target!r} is not a number"

    return named("numeric", check, check_target)


def find_target_number(target: str) -> Number | None:
    """The number that a target is; GSM8K's targets state it after `####`."""
    return find_stated_number(target)


def _is_near(found: Number, wanted: Number, tolerance: float, relative: float) -> bool:
    return any(
        value == target
        or abs(value - target) <= max(Fraction(tolerance), Fraction(relative) * abs(target))
        for value in found.readings
        for target in wanted.readings
    )


def math(*, timeout_s: float = 5.0) -> AsyncScorer:
    r"""The answer is mathematically equal to the target: numbers, fractions, LaTeX, expressions.

    The answer is the last `\boxed{...}`, else what is stated, else its last formula. Symbolic
    equality is decided by sympy in a process of its own, with limits of time and memory; it needs
    `pip install 'llm-provider-toolkit[eval]'`.

    Args:
        timeout_s: for one comparison.
    """
    from toolkit.evals.scoring.sympy_process import are_equal, require_sympy

    require_sympy()

    async def check(answer: Answer) -> Score:
        found = find_formula(answer.text)
        if found is None:
            return unreadable("the answer contains no formula")
        equal = await are_equal(found, answer.targets, timeout_s=timeout_s)
        return Score(value=float(equal), reason=f"{found} compared with {answer.targets[0]}")

    check.__name__ = "math"
    return check


def json_schema(schema: Mapping[str, Any]) -> Scorer:
    """The answer is JSON that is valid under a JSON schema; fences and prose around it are fine.

    Raises:
        InvalidInput: the schema itself is not valid.
    """
    validator = _schema_validator(dict(schema))

    def check(answer: Answer) -> Score:
        try:
            value = extract_json(answer.text)
        except NoJson as error:
            return unreadable(f"invalid JSON: {error}")
        problem = next(iter(validator.iter_errors(value)), None)
        return Score(value=float(problem is None), reason=problem.message if problem else "")

    return named("json_schema", check)


def _schema_validator(schema: dict[str, Any]) -> Any:
    """A validator whose patterns are bounded in time and whose references are never fetched."""
    import jsonschema
    from referencing import Registry

    kind = jsonschema.validators.validator_for(schema)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise InvalidInput(f"the JSON schema is not valid: {error.message}") from None

    def check_pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[Any]:
        if isinstance(value, str) and not BoundedPattern(pattern).matches(value):
            yield jsonschema.ValidationError(f"{value!r} does not match {pattern!r}")

    def check_names(own: Any, patterns: Mapping[str, Any], value: Any, _: Any) -> Iterator[Any]:
        for pattern, part in patterns.items() if isinstance(value, dict) else ():
            bounded = BoundedPattern(pattern)
            for name, item in value.items():
                if bounded.matches(name):
                    yield from own.descend(item, part, path=name, schema_path=pattern)

    ours = {"pattern": check_pattern, "patternProperties": check_names}
    extend: Any = jsonschema.validators.extend
    return extend(kind, ours)(schema, registry=Registry())


def latency(*, ttft_ms: float | None = None, duration_ms: float | None = None) -> Scorer:
    """The call kept within limits; replayed and cached calls keep their first, live timing."""

    def check(answer: Answer) -> Score:
        timing = require_reply(answer).timing
        limits = ((timing.ttft_ms, ttft_ms), (timing.duration_ms, duration_ms))
        asked = [(value, limit) for value, limit in limits if limit is not None]
        if any(value is None for value, _ in asked):
            return Score(value=None, error="the call has no such timing")
        return Score(value=float(all(v <= limit for v, limit in asked if v is not None)))

    return named("latency", check)


def cost(*, at_most_usd: float) -> Scorer:
    """The call cost at most `at_most_usd`; an unpriced call cannot be scored."""

    def check(answer: Answer) -> Score:
        spent = require_reply(answer).cost_usd
        if spent is None:
            return Score(value=None, error="the call is unpriced")
        return Score(value=float(spent <= at_most_usd), reason=f"${spent}")

    return named("cost", check)


def tool_call(name: str, arguments: Mapping[str, Any] | None = None) -> Scorer:
    """The model calls this tool, with at least these arguments where some are given."""

    def check(answer: Answer) -> Score:
        calls = [c for c in require_reply(answer).tool_calls if c.name == name]
        if not calls:
            return Score(value=0.0, reason=f"{name} was not called")
        if arguments is None:
            return Score(value=1.0)
        fits = any(_holds(_arguments(call.arguments), arguments) for call in calls)
        return Score(
            value=float(fits), reason="" if fits else f"other arguments: {calls[0].arguments}"
        )

    return named("tool_call", check)


def _arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _holds(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and all(
            k in value and _holds(value[k], v) for k, v in wanted.items()
        )
    return bool(value == wanted)
