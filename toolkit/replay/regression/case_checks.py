"""Checks of a case and their results.

Texts, numbers, tool calls and scores are judged by the scorers of the evals. Latency and cost
are judged by what was measured live, never by the time of a replay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from toolkit.errors import InvalidInput
from toolkit.evals import scorers
from toolkit.evals.dataset import Sample
from toolkit.evals.scorers import Answer, Scorer
from toolkit.records import Reply

_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Measurements of a live call; None if not measured.

    Attributes:
        ttft_ms, duration_ms: as in `Timing`.
        cost_usd: the receipt's total.
        measured_at: when, ISO.
    """

    ttft_ms: float | None = None
    duration_ms: float | None = None
    cost_usd: Decimal | None = None
    measured_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The input of a check: the reply or the failure code, and the live measurement."""

    reply: Reply | None
    error_code: str | None = None
    measured: Measured | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result of a check: passed or not (None if it could not be judged), and why.

    `is_error`: the check itself failed (a scorer that raises, a missing target).
    """

    check: str
    passed: bool | None
    reason: str = ""
    is_error: bool = False


class _CheckFailed(Exception):
    """The check itself could not be carried out."""


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation.

    Attributes:
        label: a description, as in a report.
        judge: evaluates the input.
        expects_error: whether it expects the call to fail.
    """

    label: str
    judge: Callable[[Seen], tuple[bool | None, str]]
    expects_error: bool = False

    def apply(self, seen: Seen) -> Judgement:
        """Judge one answer."""
        try:
            passed, reason = self.judge(seen)
        except _CheckFailed as failed:
            return Judgement(self.label, None, str(failed), is_error=True)
        return Judgement(self.label, passed, reason)


def parse_check(raw: Any) -> Check:
    """Parse a check from `{kind: specification}`.

    Raises:
        InvalidInput: the kind is unknown, or the specification is not valid.
    """
    if not isinstance(raw, Mapping) or len(raw) != 1:
        raise InvalidInput(
            f"{_short(raw)} is not a check", hint="Write one `kind: value` per check."
        )
    kind, spec = next(iter(raw.items()))
    parse = _PARSERS.get(kind)
    if parse is None:
        raise InvalidInput(
            f"there is no check {kind!r}", hint=f"Known checks are {', '.join(sorted(_PARSERS))}."
        )
    try:
        return parse(spec)
    except (TypeError, ValueError, KeyError, InvalidOperation) as error:
        raise InvalidInput(f"the check `{kind}: {_short(spec)}` is not valid ({error})") from None


def _texts(spec: Any) -> tuple[str, ...]:
    texts = tuple(spec) if isinstance(spec, list) else (spec,)
    if not texts or not all(isinstance(text, str | int | float) for text in texts):
        raise ValueError("a string or a list of strings is required")
    return tuple(str(text) for text in texts)


def _scored(
    label: str, scorer: Scorer, targets: Sequence[str] = (), at_least: float = 1.0
) -> Check:
    sample = Sample(sample_id="", input="", target=tuple(targets) or None)

    def judge(seen: Seen) -> tuple[bool | None, str]:
        if seen.reply is None:
            return False, "there is no answer"
        answer = Answer(sample=sample, text=seen.reply.text, reply=seen.reply)
        score = scorers.score(scorer, answer)
        if score.value is None:
            raise _CheckFailed(score.error or "not scored")
        return score.value >= at_least, score.reason or f"score {score.value:.3g}"

    return Check(label, judge)


def _exact(spec: Any) -> Check:
    texts = _texts(spec)
    return _scored(f"exact {_short(texts[0])}", scorers.exact(), texts)


def _contains(spec: Any) -> Check:
    texts = _texts(spec)
    return _scored(f"contains {' or '.join(map(_short, texts))}", scorers.contains(), texts)


def _regex(spec: Any) -> Check:
    return _scored(f"regex {_short(spec)}", scorers.regex(_texts(spec)[0]))


def _numeric(spec: Any) -> Check:
    options = dict(spec) if isinstance(spec, Mapping) else {"value": spec}
    value = float(options.pop("value"))
    within = f" ± {options['tolerance']:g}" if options.get("tolerance") else ""
    return _scored(f"number {value:g}{within}", scorers.numeric(**options), [str(value)])


def _json_schema(spec: Any) -> Check:
    if not isinstance(spec, Mapping):
        raise ValueError("a JSON schema must be a mapping")
    return _scored("JSON schema", scorers.json_schema(spec))


def _similarity(spec: Any) -> Check:
    at_least = float(spec.get("at_least", 0.8))
    if not 0 < at_least <= 1:
        raise ValueError("at_least must be above 0 and at most 1")
    texts = _texts(spec["to"])
    return _scored(f"similarity ≥ {at_least:g}", scorers.fuzzy(), texts, at_least)


def _tool_call(spec: Any) -> Check:
    options: dict[str, Any] = dict(spec) if isinstance(spec, Mapping) else {"name": _texts(spec)[0]}
    return _scored(f"calls {options['name']}", scorers.tool_call(**options))


def _scorer(spec: Any) -> Check:
    options = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = options.pop("name")
    at_least = float(options.pop("at_least", 1.0))
    targets = _texts(options.pop("target")) if "target" in options else ()
    maker = getattr(scorers, name, None)
    if getattr(maker, "__annotations__", {}).get("return") != "Scorer" or name == "named":
        raise InvalidInput(
            f"there is no scorer {name!r}", hint="See docs/evals.md for the scorers."
        )
    assert maker is not None
    return _scored(f"{name} ≥ {at_least:g}", maker(**options), targets, at_least)


def _latency(spec: Any) -> Check:
    limits = {name: float(limit) for name, limit in spec.items()}
    if not limits or not limits.keys() <= {"ttft_ms", "duration_ms"}:
        raise ValueError("only ttft_ms and duration_ms are known")

    def judge(seen: Seen) -> tuple[bool | None, str]:
        found = {name: getattr(seen.measured, name, None) for name in limits}
        if any(value is None for value in found.values()):
            return None, "there is no live measurement to check"
        words = ", ".join(f"{name} {value:.0f}" for name, value in found.items())
        return all((found[name] or 0.0) <= limit for name, limit in limits.items()), words

    return Check(", ".join(f"{name} ≤ {limit:g}" for name, limit in limits.items()), judge)


def _cost(spec: Any) -> Check:
    limit = Decimal(str(spec["at_most_usd"] if isinstance(spec, Mapping) else spec))

    def judge(seen: Seen) -> tuple[bool | None, str]:
        spent = seen.measured.cost_usd if seen.measured else None
        if spent is None:
            return None, "the live call has no price, or there was none"
        return spent <= limit, f"${spent}"

    return Check(f"cost ≤ ${limit}", judge)


def _error(spec: Any) -> Check:
    code = _texts(spec)[0]

    def judge(seen: Seen) -> tuple[bool | None, str]:
        return seen.error_code == code, seen.error_code or "the call succeeded"

    return Check(f"fails with {code}", judge, expects_error=True)


_PARSERS: Final[Mapping[str, Callable[[Any], Check]]] = {
    "exact": _exact,
    "contains": _contains,
    "regex": _regex,
    "numeric": _numeric,
    "json_schema": _json_schema,
    "similarity": _similarity,
    "tool_call": _tool_call,
    "scorer": _scorer,
    "latency": _latency,
    "cost": _cost,
    "error": _error,
}
KINDS: Final = tuple(_PARSERS)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
