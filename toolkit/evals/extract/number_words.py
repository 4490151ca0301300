"""Numbers in English words: forty-two, three quarters, two and a half million, a dozen.

A phrase that follows no rule of counting ("one two three"), or that is joined to another one
("seven or eight", "three quarters of twelve"), has no reading: it is unreadable, not guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Final

import regex

_UNITS: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS: Final = {word: value for value, word in enumerate(_UNITS)} | {
    word: 10 * value for value, word in enumerate(_TENS, start=2)
}
_WORDS.update(threescore=60, fourscore=80)
_SCALES: Final = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_FACTORS: Final = {"hundred": 100, **_SCALES, "dozen": 12, "dozens": 12, "score": 20}
# Words that count alone; a score is one of points without a count before it.
_LONE_FACTORS: Final = tuple(word for word in _FACTORS if word != "score")
_PARTS: Final = {
    "half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7,
    "eighth": 8, "ninth": 9, "tenth": 10, "eleventh": 11, "twelfth": 12, "sixteenth": 16,
    "twentieth": 20, "hundredth": 100, "thousandth": 1000, "millionth": 10**6,
}  # fmt: skip
_DENOMINATORS: Final = (
    _PARTS | {f"{word}s": value for word, value in _PARTS.items()} | {"halves": 2}
)


def _any_of(words: Sequence[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_COUNT: Final = _any_of(list(_WORDS))
_FACTOR: Final = _any_of(_LONE_FACTORS)
_PART: Final = _any_of(list(_DENOMINATORS))
_WORD: Final = rf"(?:{_COUNT}|{_FACTOR}|(?<=\b(?:{_COUNT})[\s-])score(?!\s*[:=])|{_PART})"
_PHRASE: Final = regex.compile(
    rf"(?<![\w'])(?:(?<sign>minus|negative)\s+)?"
    rf"(?<words>(?:an?\s+(?={_FACTOR}|{_PART}))?{_WORD}"
    rf"(?:[\s-]+(?:(?:of\s+)?an?\s+(?=(?:{_FACTOR})\b)|and\s+an?\s+(?=(?:{_PART})\b)"
    rf"|point\s+(?=(?:{_COUNT})\b))?{_WORD}"
    rf"|(?<=hundred|thousand|million|billion|trillion|score)\s+and\s+(?:{_COUNT})"
    rf"|\s+and\s+(?=(?:{_COUNT})[\s-]+(?:{_PART})\b)(?:{_COUNT}))*)(?!\w|['’]\w|-\p{{L}})",
    regex.I,
)
_FRACTION: Final = regex.compile(
    rf"\s+and\s+(?<top>an?|{_COUNT})[\s-]+(?<bottom>{_PART})\b", regex.I
)
_PART_AFTER: Final = regex.compile(rf"[\s-](?<bottom>{_PART})\b", regex.I)
# "no one", "the third option", "one of them": pronouns and ordinals.
_PRONOUN_BEFORE: Final = regex.compile(
    r"\b(?:no|any|every|some|each|this|that|the|which|another|other|last|first|right|wrong)[\s-]+$",
    regex.I,
)
_PRONOUN_AFTER: Final = regex.compile(r"\s+(?:of\s+(?:the|these|those|them|us)|another)\b", regex.I)
_VAGUE_BEFORE: Final = regex.compile(
    r"\b(?:few|several|many|some|couple\s+of|per|by|past)\s+$", regex.I
)
_STATED_BEFORE: Final = regex.compile(
    r"(?:^|[:=(.,;\n]|\b(?:is|are|was|be|equals?|to|about|approximately|roughly|exactly|nearly|"
    r"almost|over|than|answer))\s*$",
    regex.I,
)
_NOUN_AFTER: Final = regex.compile(r"\s+(?!of\b|and\b|or\b|because\b|since\b|as\b|is\b)[a-z]")
_RAISED: Final = regex.compile(r"\s+(?<word>squared|cubed)\b", regex.I)
_JOIN: Final = regex.compile(
    r"\s*(?:or|and|to|of|out\s+of|over|times|plus|minus|divided\s+by|multiplied\s+by|[-–/+*×])\s*",
    regex.I,
)


@dataclass(frozen=True, slots=True)
class NumberPhrase:
    """A number in words.

    Attributes:
        value: None where the words follow no rule of counting.
        start, end: its position.
    """

    value: Fraction | None
    start: int
    end: int


def find_number_phrase(text: str, *, take: str = "last") -> NumberPhrase | None:
    """The first or last number in words; None without one, or where it cannot be told which."""
    found = [phrase for match in _PHRASE.finditer(text) if (phrase := _read(text, match))]
    if not found:
        return None
    at = 0 if take == "first" else len(found) - 1
    pairs = pairwise(found)
    joined = [bool(_JOIN.fullmatch(text, left.end, right.start)) for left, right in pairs]
    if any(joined[max(at - 1, 0) : at + 1]) or found[at].value is None:
        return None
    return found[at]


def match_added_fraction(text: str, at: int) -> tuple[Fraction, int] | None:
    """The fraction that words add to a number that ends here, and its end: `3 and a half`."""
    match = _FRACTION.match(text, at)
    if match is None:
        return None
    top = _WORDS.get(match["top"].lower(), 1)
    return Fraction(top, _DENOMINATORS[match["bottom"].lower()]), match.end()


def match_denominator(text: str, at: int) -> tuple[int, int] | None:
    """The denominator in words of a number that ends here, and its end: `3 quarters`."""
    match = _PART_AFTER.match(text, at)
    if match is None or not match["bottom"].lower().endswith("s"):
        return None
    return _DENOMINATORS[match["bottom"].lower()], match.end()


def _read(text: str, match: regex.Match[str]) -> NumberPhrase | None:
    """The phrase; None where its words count nothing."""
    words = [word for word in regex.split(r"[\s-]+", match["words"].lower()) if word != "of"]
    start = match.start()
    if words in (["one"], ["zero"]):
        is_pronoun = _PRONOUN_BEFORE.search(text, max(start - 16, 0), start)
        if is_pronoun or _PRONOUN_AFTER.match(text, match.end()):
            return None
    if len(words) == 1 and words[0] not in _WORDS:
        is_stated = words[0] in ("half", *_FACTORS) and words[0] != "dozens"
        if not is_stated or not _STATED_BEFORE.search(text, max(start - 16, 0), start):
            return None
    is_part = words[-1] in _PARTS and words[-1] != "half"
    if is_part and _NOUN_AFTER.match(text, match.end()):  # "a third option"
        return None
    value = None if _VAGUE_BEFORE.search(text, max(start - 12, 0), start) else _evaluate(words)
    end = match.end()
    if value is not None and (raised := _RAISED.match(text, end)):
        value, end = value ** (2 if raised["word"].lower() == "squared" else 3), raised.end()
    if value is not None and match["sign"]:
        value = -value
    return NumberPhrase(value, start, end)


def _evaluate(words: list[str]) -> Fraction | None:
    """What the words of a phrase come to; None where they follow no rule."""
    factor = Fraction(1)
    is_fraction = any(word in _DENOMINATORS or word == "point" for word in words)
    while is_fraction and len(words) > 1 and words[-1] in _FACTORS:
        factor *= _FACTORS[words.pop()]
        while words[-1] in ("a", "an"):
            words.pop()
    if "point" in words:
        at = words.index("point")
        whole, digits = _count(words[:at]), [_WORDS.get(word, 10) for word in words[at + 1 :]]
        if whole is None or not digits or max(digits) > 9:
            return None
        return factor * (whole + Fraction(int("".join(map(str, digits))), 10 ** len(digits)))
    if not is_fraction:
        return _count(words)
    if words[-1] not in _DENOMINATORS:
        return None
    return _evaluate_fraction(words, factor)


def _evaluate_fraction(words: list[str], factor: Fraction) -> Fraction | None:
    """Words that end with a denominator: three quarters, two and a half, a third."""
    bottom, whole = words.pop(), Fraction(0)
    if words and words[-1] in _TENS and bottom in _PARTS:  # twenty-third
        return None
    top_words = words
    if "and" in words:
        at = len(words) - 1 - words[::-1].index("and")
        counted = _count(words[:at])
        if counted is None:
            return None
        whole, top_words = counted, words[at + 1 :]
        if bottom == "half" and words[at - 1] in ("dozen", "million", "billion", "trillion"):
            factor *= _FACTORS[words[at - 1]]  # "a million and a half"
            whole /= _FACTORS[words[at - 1]]
    top = Fraction(1) if top_words in ([], ["a"], ["an"]) else _count(top_words)
    if top is None or (bottom in _PARTS) != (top == 1):
        return None
    return factor * (whole + top / _DENOMINATORS[bottom])


def _count(words: Sequence[str]) -> Fraction | None:
    """A whole number: each word has its place, none twice."""
    total, part, lowest, room = 0, 0, 10**15, 1000
    is_open = False  # a word of this part was read
    for word in words:
        if word in ("and", "a", "an"):
            continue
        if word in _WORDS:
            value = _WORDS[word]
            if 17 <= part <= 20 and value >= 10 and not total:  # nineteen eighty-four
                part, room = part * 100 + value, 10 if value >= 20 and value % 10 == 0 else 0
                continue
            if value >= room or (is_open and value == 0):
                return None
            part, is_open = part + value, True
            room = 20 if word.endswith("score") else 10 if value >= 20 else 0
        elif word == "hundred":
            if part > 99:
                return None
            part, is_open, room = max(part, 1) * 100, True, 100
        else:
            factor = _FACTORS[word]
            if factor >= lowest:
                return None
            total, lowest = total + max(part, 1) * factor, factor
            part, is_open, room = 0, False, min(factor, 1000)
    return Fraction(total + part)
