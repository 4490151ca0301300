"""The scorer of multiple-choice answers, and the options that a sample lists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import ascii_uppercase
from typing import Final

from toolkit.evals.dataset import Sample
from toolkit.evals.extract.letters import find_choice, read_options
from toolkit.evals.extract.normalization import simplify
from toolkit.evals.scoring.score import Answer, InvalidTarget, Score, Scorer, named, unreadable

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
