"""Scorers that read an answer's text: its choice, its formula, its nearness to the target."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Final

import regex

from toolkit.evals.dataset import Sample
from toolkit.evals.extract.letters import find_choice, read_options
from toolkit.evals.extract.normalization import (
    drop_reasoning,
    find_boxed,
    normalize_unicode,
    simplify,
)
from toolkit.evals.scoring.score import (
    Answer,
    InvalidTarget,
    Score,
    Scorer,
    named,
    unreadable,
)

_WORD: Final = re.compile(
    r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
    r"|[^\W\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)


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


_OPTION_COLUMNS: Final = ("choices", "options")


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
        found = (_letter_of(target, options) for target in answer.targets)
        wanted = {letter for letter in found if letter is not None}
        allowed = letters or _letters_up_to("D", *wanted, *options)
        chosen = find_choice(answer.text, allowed, options)
        if not wanted:
            return _compare_texts(answer, chosen)
        outside = sorted(wanted - set(allowed.upper()))
        if outside:
            raise InvalidTarget(f"the target {outside[0]!r} is not one of the letters {allowed}")
        if chosen is None:
            return unreadable("the answer chooses no option, or more than one")
        return Score(value=float(chosen in wanted), reason=f"chose {chosen}")

    def check_target(sample: Sample, target: str) -> str | None:
        letter = _letter_of(target, options_of(sample))
        if letters is None or letter is None or letter in letters.upper():
            return None
        return f"{target!r} is not one of the letters {letters}"

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


_MATH: Final = regex.compile(
    r"\$\$(?P<display>[^$]+)\$\$|\$(?P<inline>[^$\n]+)\$|\\\((?P<round>.+?)\\\)|\\\[(?P<square>.+?)\\\]",
    regex.DOTALL,
)
_STATED: Final = regex.compile(
    r"(?:answer|result|solution|expression|value)\b[^.\n:=]{0,40}?(?:\bis\b|[:=])\s*:?\s*"
    r"(?P<rest>[^\n]+)",
    regex.I,
)
_FORMULA_LINE: Final = regex.compile(r"[\w\s+\-−*/^().,=\\{}√π!%$<>≤≥°|]+")


def find_formula(text: str) -> str | None:
    """The formula of an answer as it is written; None where it has none."""
    text = drop_reasoning(text).strip()
    if boxed := [content for content in find_boxed(text) if content.strip()]:
        return boxed[-1].strip()
    for statement in reversed(list(_STATED.finditer(text))):
        rest = statement["rest"].strip().strip("*_` ")
        if inner := list(_MATH.finditer(rest)):
            return _content(inner[0])
        bare = rest.rstrip(" .!*_`")
        if _FORMULA_LINE.fullmatch(bare) and not regex.search(
            r"[a-z]{4,}\s+[a-z]{3,}", bare, regex.I
        ):
            return bare
    if found := list(_MATH.finditer(text)):
        return _content(found[-1])
    lines = [line.strip().strip("*_` .") for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    is_formula = _FORMULA_LINE.fullmatch(last) and regex.search(r"\d|\\|^[a-zA-Z]$|[+*/^=]", last)
    return last if is_formula and not regex.search(r"[a-zA-Z]{3,}\s+[a-zA-Z]{2,}", last) else None


def _content(match: regex.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None).strip()
