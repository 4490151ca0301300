"""Scorers: from an answer to a score between 0 and 1, with the reason.

A scorer is a function `(Answer) -> Score | float | bool`. The makers here return such functions;
any function of a person's own will do. A scorer that raises or gives no number marks its sample
as an error and never stops a run.
"""

from __future__ import annotations

import json
import math
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from toolkit.errors import InvalidInput
from toolkit.evals.dataset import Sample
from toolkit.records import Reply

_NUMBER: Final = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_ARTICLES: Final = re.compile(r"\b(a|an|the)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a scorer sees: the sample, the answer's text, and the whole reply where there is one."""

    sample: Sample
    text: str
    reply: Reply | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """The accepted targets.

        Raises:
            MissingTarget: the sample has none.
        """
        target = self.sample.target
        if target is None:
            raise MissingTarget(f"sample {self.sample.sample_id!r} has no target")
        return (target,) if isinstance(target, str) else tuple(target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a scorer says.

    Attributes:
        value: 0 (wrong) to 1 (right); None when the answer could not be scored.
        reason: why, in words.
        error: what went wrong while scoring, or None.
        details: anything else worth keeping (a judge's model and cost, ...).
    """

    value: float | None
    reason: str = ""
    error: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


class MissingTarget(ValueError):
    """A scorer needs a target and the sample has none."""


Scorer = Callable[[Answer], "Score | float | bool"]


def score(scorer: Scorer, answer: Answer) -> Score:
    """Run one scorer; whatever it does, the result is a `Score`."""
    try:
        return read_score(scorer(answer))
    except MissingTarget as error:
        return Score(value=None, error=str(error), details={"code": "TARGET_MISSING"})
    except Exception as error:  # noqa: BLE001 - a person's own function may raise anything
        return Score(value=None, error=f"{type(error).__name__}: {error}")


def read_score(result: Any) -> Score:
    """What a scorer returned, as a `Score`; what is no finite number is an error."""
    if isinstance(result, Score):
        value, kept = result.value, result
    else:
        value, kept = result, Score(value=None)
    if value is None and kept.error is None:
        return Score(value=None, error="the scorer gave no score", reason=kept.reason)
    if value is None:
        return kept
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return Score(value=float(value), reason=kept.reason, details=kept.details)
    return Score(value=None, error=f"the scorer gave {value!r}, which is no number")


def exact(*, ignore_case: bool = False, normalize: bool = False) -> Scorer:
    """The answer equals a target.

    `normalize` drops case, punctuation, articles and extra space, as SQuAD's own script does
    (Rajpurkar et al. 2016).
    """

    def tidy(text: str) -> str:
        text = text.strip()
        if normalize:
            bare = text.casefold().translate(str.maketrans("", "", string.punctuation))
            return " ".join(_ARTICLES.sub(" ", bare).split())
        return text.casefold() if ignore_case else text

    return named("exact", lambda a: tidy(a.text) in {tidy(t) for t in a.targets})


def contains(*, ignore_case: bool = True) -> Scorer:
    """The answer holds a target somewhere."""

    def check(answer: Answer) -> bool:
        text = answer.text.casefold() if ignore_case else answer.text
        wanted = [t.casefold() if ignore_case else t for t in answer.targets]
        return any(t in text for t in wanted)

    return named("contains", check)


def regex(pattern: str | None = None, *, flags: int = re.DOTALL) -> Scorer:
    """The answer matches a pattern, or, without one, the sample's target as a pattern.

    Raises:
        InvalidInput: the pattern is no regular expression.
    """
    compiled = _compile(pattern, flags) if pattern is not None else None

    def check(answer: Answer) -> bool:
        patterns = [compiled] if compiled else [_compile(t, flags) for t in answer.targets]
        return any(p.search(answer.text) for p in patterns)

    return named("regex", check)


def numeric(*, tolerance: float = 0.0, relative: float = 0.0, take: str = "last") -> Scorer:
    """The first or last number of the answer is within tolerance of the target's number.

    Args:
        tolerance: largest absolute difference.
        relative: largest difference as a share of the target.
        take: `first` or `last` number of the answer.
    """

    def check(answer: Answer) -> Score:
        found = find_numbers(answer.text)
        if not found:
            return Score(value=0.0, reason="the answer holds no number")
        value = found[0] if take == "first" else found[-1]
        wanted = [n for target in answer.targets for n in find_numbers(target)[-1:]]
        if not wanted:
            raise MissingTarget("the target holds no number")
        near = any(
            math.isclose(value, w, rel_tol=relative, abs_tol=tolerance) or value == w
            for w in wanted
        )
        return Score(value=float(near), reason=f"{value:g} against {wanted[0]:g}")

    return named("numeric", check)


def choice(*, letters: str = "ABCD") -> Scorer:
    """The answer chooses the target's letter, in any of the usual ways of saying it."""

    def check(answer: Answer) -> Score:
        chosen = find_choice(answer.text, letters)
        wanted = {t.strip().upper()[:1] for t in answer.targets}
        return Score(value=float(chosen in wanted), reason=f"chose {chosen or 'nothing'}")

    return named("choice", check)


def json_schema(schema: Mapping[str, Any]) -> Scorer:
    """The answer is JSON that is valid under a JSON schema (a fenced block counts).

    Raises:
        InvalidInput: the schema itself is not valid.
    """
    import jsonschema

    kind = jsonschema.validators.validator_for(dict(schema))
    try:
        kind.check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        raise InvalidInput(f"the JSON schema is not valid: {error.message}") from None
    validator = kind(dict(schema))

    def check(answer: Answer) -> Score:
        try:
            value = json.loads(strip_fence(answer.text))
        except ValueError as error:
            return Score(value=0.0, reason=f"no JSON: {error}")
        problem = next(iter(validator.iter_errors(value)), None)
        return Score(value=float(problem is None), reason=problem.message if problem else "")

    return named("json_schema", check)


def fuzzy(*, at_least: float | None = None) -> Scorer:
    """Similarity of answer and nearest target, 0 to 1 (rapidfuzz's normalised indel ratio).

    With `at_least`, the score is 1 or 0.
    """

    def check(answer: Answer) -> Score:
        from rapidfuzz import fuzz

        best = max(fuzz.ratio(answer.text.strip(), t.strip()) / 100 for t in answer.targets)
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
    """ROUGE-L F1 over words, 0 to 1: the longest common subsequence (Lin 2004, eq. 2-4)."""

    def check(answer: Answer) -> float:
        words = re.findall(r"\w+", answer.text.lower())
        return max(_rouge_l(words, re.findall(r"\w+", t.lower())) for t in answer.targets)

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
    """The call cost no more than `at_most_usd`; an unpriced call cannot be scored."""

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


def named(name: str, scorer: Scorer) -> Scorer:
    """The scorer with the name under which its scores are kept."""
    scorer.__name__ = name
    return scorer


def find_numbers(text: str) -> list[float]:
    """All numbers in a text, thousands separators removed."""
    return [float(m.replace(",", "").rstrip(".") or "nan") for m in _NUMBER.findall(text)]


def find_choice(text: str, letters: str = "ABCD") -> str | None:
    """The letter that a text chooses: alone, after "answer", or the last one standing free."""
    bare = text.strip().strip("().:*` ").upper()
    if len(bare) == 1 and bare in letters:
        return bare
    told = re.findall(rf"(?i:answer|option|choice)\W+(?:is\W+)?\(?([{letters}])\b", text)
    free = re.findall(rf"(?<![\w'])([{letters}])(?![\w'])", text)
    found = told or free
    return str(found[-1]) if found else None


def strip_fence(text: str) -> str:
    """The content of a fenced code block, or the text itself."""
    match = re.search(r"```(?:\w+)?\s*\n(.*?)```", text, re.DOTALL)
    return match[1] if match else text


def _compile(pattern: str, flags: int) -> re.Pattern[str]:
    try:
        return re.compile(pattern, flags)
    except re.error as error:
        raise InvalidInput(f"{pattern!r} is no regular expression: {error}") from None


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
