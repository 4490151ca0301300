"""Scorers: from an answer to a score between 0 and 1, with the reason.

A scorer is a function `(Answer) -> Score | float | bool`. The functions here build such scorers;
any function of your own does, too. A scorer that raises or returns no number marks its sample as
an error and never stops a run. An answer that cannot be read ("unreadable") scores 0 and is
counted apart from a wrong one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import isfinite
from string import ascii_uppercase
from typing import Any, Final, Literal

from toolkit.errors import InvalidInput
from toolkit.evals.bounded import BoundedPattern, TookTooLong
from toolkit.evals.cells import is_blank
from toolkit.evals.dataset import Sample
from toolkit.evals.extract.json_text import NoJson, extract_json
from toolkit.evals.extract.letters import find_choice, read_options
from toolkit.evals.extract.numbers import Number, find_stated_number
from toolkit.evals.extract.text import normalize_unicode, simplify
from toolkit.records import Reply

UNREADABLE: Final = "UNREADABLE"
_WORD: Final = re.compile(
    r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
    r"|[^\W\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)
_OPTION_COLUMNS: Final = ("choices", "options")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a scorer gets: the sample, the answer's text, and the whole reply where there is one."""

    sample: Sample
    text: str
    reply: Reply | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """The accepted targets; a blank one is none, as every answer would contain it.

        Raises:
            MissingTarget: the sample has none.
        """
        found = targets_of(self.sample)
        if not found:
            raise MissingTarget(f"sample {self.sample.sample_id!r} has no target")
        return found


def targets_of(sample: Sample) -> tuple[str, ...]:
    """The accepted targets of a sample that are not blank."""
    target = sample.target
    given = () if target is None else (target,) if isinstance(target, str) else target
    return tuple(text for text in given if not is_blank(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The result of a scorer.

    Attributes:
        value: 0 (wrong) to 1 (right); None when the answer could not be scored.
        reason: why, for people.
        error: what went wrong while scoring, or None.
        details: anything else worth keeping (a judge's model and cost, ...).
        is_unreadable: the answer gives nothing to compare: no number, no option, no JSON.
    """

    value: float | None
    reason: str = ""
    error: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    is_unreadable: bool = False


class MissingTarget(ValueError):
    """A scorer needs a target and the sample has none."""


class InvalidTarget(ValueError):
    """The sample's target is nothing that this scorer can compare with."""


Scorer = Callable[[Answer], "Score | float | bool"]
AsyncScorer = Callable[[Answer], Awaitable[Score]]


def score(scorer: Scorer, answer: Answer) -> Score:
    """Run one scorer; whatever it does, the result is a `Score`."""
    try:
        return read_score(scorer(answer))
    except Exception as error:  # noqa: BLE001 - a user's own function may raise anything
        return score_of_error(error)


def score_of_error(error: Exception) -> Score:
    """A score without value, with a code, for what a scorer raised."""
    codes = (
        (MissingTarget, "TARGET_MISSING"),
        (InvalidTarget, "TARGET_INVALID"),
        (TookTooLong, "SCORER_TIMEOUT"),
    )
    for kind, code in codes:
        if isinstance(error, kind):
            return Score(value=None, error=str(error), details={"code": code})
    return Score(value=None, error=f"{type(error).__name__}: {error}")


def read_score(result: object) -> Score:
    """What a scorer returned, as a `Score`; anything but a finite number is an error."""
    kept = result if isinstance(result, Score) else Score(value=None)
    value: object = result.value if isinstance(result, Score) else result
    if value is None and kept.error is None:
        return Score(value=None, error="the scorer returned no score", reason=kept.reason)
    if value is None:
        return kept
    native = getattr(value, "item", None)  # numpy's numbers and booleans
    value = native() if callable(native) else value
    if isinstance(value, bool | int | float) and isfinite(value):
        return Score(
            value=float(value),
            reason=kept.reason,
            details=kept.details,
            is_unreadable=kept.is_unreadable,
        )
    return Score(value=None, error=f"the scorer returned {value!r}, which is not a number")


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


def choice(*, letters: str | None = None) -> Scorer:
    """The answer chooses the target's option, in any of the usual ways of saying it.

    The target is the option's letter or its text. An answer that chooses nothing, or two options,
    is unreadable.

    Args:
        letters: of the options; None: from A to D, or as far as the sample's target or options
            go (its columns `choices` or `options`, or the list `A) ...` in its input).
    """

    def check(answer: Answer) -> Score:
        options = options_of(answer.sample)
        wanted = {_letter_of(target, options) for target in answer.targets} - {None}
        allowed = letters or _letters_up_to("D", *wanted, *options)
        chosen = find_choice(answer.text, allowed, options)
        if not wanted:
            return _compare_texts(answer, chosen)
        outside = sorted(str(letter) for letter in wanted if letter not in allowed.upper())
        if outside:
            raise InvalidTarget(f"the target {outside[0]!r} is none of the letters {allowed}")
        if chosen is None:
            return unreadable("the answer chooses no option, or more than one")
        return Score(value=float(chosen in wanted), reason=f"chose {chosen}")

    def check_target(sample: Sample, target: str) -> str | None:
        letter = _letter_of(target, options_of(sample))
        if letters is None or letter is None or letter in letters.upper():
            return None
        return f"{target!r} is none of the letters {letters}"

    return named("choice", check, check_target)


def options_of(sample: Sample) -> dict[str, str]:
    """The texts of a sample's options by letter; empty where it lists none."""
    for column in _OPTION_COLUMNS:
        given = sample.metadata.get(column)
        if isinstance(given, Mapping):
            if isinstance(given.get("text"), list):  # ARC: {"text": [...], "label": [...]}
                given = given["text"]
            elif all(len(str(key)) == 1 for key in given):
                return {str(key).upper(): str(text) for key, text in given.items()}
        if isinstance(given, list | tuple) and 1 < len(given) <= len(ascii_uppercase):
            return dict(zip(ascii_uppercase, map(str, given), strict=False))
    asked = sample.input
    return read_options(asked) if isinstance(asked, str) else {}


def _letter_of(target: str, options: Mapping[str, str]) -> str | None:
    bare = target.strip().strip("().:[]*`'\" ")
    if len(bare) == 1 and bare.isalpha():
        return bare.upper()
    named_option = re.match(r"\(?([A-Z])[).:]\s", target.strip())
    if named_option:
        return named_option[1]
    wanted = simplify(target)
    return next((letter for letter, text in options.items() if simplify(text) == wanted), None)


def _letters_up_to(*letters: str | None) -> str:
    known = [letter for letter in letters if letter is not None and letter in ascii_uppercase]
    return ascii_uppercase[: ascii_uppercase.index(max(known)) + 1]


def _compare_texts(answer: Answer, chosen: str | None) -> Score:
    """Compare with a target that is a text, of a sample whose options are not known."""
    if simplify(answer.text) in {simplify(target) for target in answer.targets}:
        return Score(value=1.0, reason="the answer is the target's text")
    if chosen is not None:
        raise InvalidTarget(
            f"the answer chooses {chosen}, but the target {answer.targets[0]!r} is not a letter "
            "and the sample lists no options"
        )
    return unreadable("the answer chooses no option")


def math(*, timeout_s: float = 5.0) -> AsyncScorer:
    r"""The answer is mathematically equal to the target: numbers, fractions, LaTeX, expressions.

    The answer is the last `\boxed{...}`, else what is stated, else its last formula. Symbolic
    equality is decided by sympy in a process of its own, with limits of time and memory; it needs
    `pip install 'llm-provider-toolkit[math]'`.

    Args:
        timeout_s: for one comparison.
    """
    from toolkit.evals.extract.formulas import find_formula
    from toolkit.evals.sympy_process import are_equal, require_sympy

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
            return unreadable(f"no JSON: {error}")
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
    return jsonschema.validators.extend(kind, ours)(schema, registry=Registry())


def fuzzy(*, at_least: float | None = None) -> Scorer:
    """Similarity of answer and nearest target, 0 to 1 (rapidfuzz's normalised indel ratio).

    With `at_least`, the score is 1 or 0.
    """

    def check(answer: Answer) -> Score:
        from rapidfuzz import fuzz

        text = normalize_unicode(answer.text).strip()
        best = max(
            fuzz.ratio(text, normalize_unicode(target).strip()) / 100 for target in answer.targets
        )
        value = best if at_least is None else float(best >= at_least)
        return Score(value=value, reason=f"similarity {best:.3f}")

    return named("fuzzy", check)


def bleu() -> Scorer:
    """Sentence BLEU of sacrebleu, 0 to 1 (Papineni et al. 2002; Post 2018)."""

    def check(answer: Answer) -> float:
        import sacrebleu

        return float(sacrebleu.sentence_bleu(answer.text, list(answer.targets)).score) / 100

    return named("bleu", check)


def chrf() -> Scorer:
    """chrF of sacrebleu, 0 to 1 (Popović 2015)."""

    def check(answer: Answer) -> float:
        import sacrebleu

        return float(sacrebleu.sentence_chrf(answer.text, list(answer.targets)).score) / 100

    return named("chrf", check)


def rouge_l() -> Scorer:
    """ROUGE-L F1 over words, 0 to 1: the longest common subsequence (Lin 2004, eq. 2-4).

    Chinese, Japanese and Thai, which write no spaces, are compared by characters.
    """

    def check(answer: Answer) -> float:
        words = _words(answer.text)
        return max(_rouge_l(words, _words(target)) for target in answer.targets)

    return named("rouge_l", check)


def latency(*, ttft_ms: float | None = None, duration_ms: float | None = None) -> Scorer:
    """The call kept within limits; replayed and cached calls keep their first, live timing."""

    def check(answer: Answer) -> Score:
        timing = _require_reply(answer).timing
        limits = ((timing.ttft_ms, ttft_ms), (timing.duration_ms, duration_ms))
        asked = [(value, limit) for value, limit in limits if limit is not None]
        if any(value is None for value, _ in asked):
            return Score(value=None, error="the call has no such timing")
        return Score(value=float(all(v <= limit for v, limit in asked if v is not None)))

    return named("latency", check)


def cost(*, at_most_usd: float) -> Scorer:
    """The call cost at most `at_most_usd`; an unpriced call cannot be scored."""

    def check(answer: Answer) -> Score:
        spent = _require_reply(answer).cost_usd
        if spent is None:
            return Score(value=None, error="the call is unpriced")
        return Score(value=float(spent <= at_most_usd), reason=f"${spent}")

    return named("cost", check)


def tool_call(name: str, arguments: Mapping[str, Any] | None = None) -> Scorer:
    """The model calls this tool, with at least these arguments where some are given."""

    def check(answer: Answer) -> Score:
        calls = [c for c in _require_reply(answer).tool_calls if c.name == name]
        if not calls:
            return Score(value=0.0, reason=f"{name} was not called")
        if arguments is None:
            return Score(value=1.0)
        fits = any(_holds(_arguments(call.arguments), arguments) for call in calls)
        return Score(
            value=float(fits), reason="" if fits else f"other arguments: {calls[0].arguments}"
        )

    return named("tool_call", check)


def named(
    name: str,
    scorer: Scorer,
    check_target: Callable[[Sample, str], str | None] | None = None,
) -> Scorer:
    """The scorer with the name under which its scores are kept.

    `check_target` says what is wrong with a target, before the first call of a run.
    """
    scorer.__name__ = name
    if check_target is not None:
        scorer.check_target = check_target  # type: ignore[attr-defined]
    return scorer


def unreadable(reason: str) -> Score:
    """The score of an answer that gives nothing to compare: 0, and counted as unreadable."""
    return Score(value=0.0, reason=reason, is_unreadable=True)


def _require_reply(answer: Answer) -> Reply:
    if answer.reply is None:
        raise ValueError("this scorer needs the whole reply, not only its text")
    return answer.reply


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


def _words(text: str) -> list[str]:
    """Words, and single characters of the scripts that put no spaces between words."""
    return _WORD.findall(text.lower())


def _rouge_l(words: Sequence[str], wanted: Sequence[str]) -> float:
    if not words or not wanted:
        return float(words == wanted)
    row = [0] * (len(wanted) + 1)
    for word in words:
        previous = 0
        for i, other in enumerate(wanted, start=1):
            kept = row[i]
            row[i] = previous + 1 if word == other else max(row[i], row[i - 1])
            previous = kept
    common = row[-1]
    if common == 0:
        return 0.0
    precision, recall = common / len(words), common / len(wanted)
    return 2 * precision * recall / (precision + recall)
