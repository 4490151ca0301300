"""Numbers as people and models write them: signs, separators, fractions, LaTeX, units, words.

A text such as `3,14` or `1 234` has two readings. Both are kept, the likelier first, and a
comparison accepts either; nothing else is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from typing import Final

import regex

from toolkit.evals.extract.normalization import (
    drop_reasoning,
    find_boxed,
    find_tagged,
    strip_markup,
)
from toolkit.evals.extract.number_forms import (
    ends_compound,
    follow_number,
    is_alternative,
    is_in_name,
    judge_context,
    read_digits,
)
from toolkit.evals.extract.number_languages import find_spelled_number
from toolkit.evals.extract.number_words import find_number_phrase
from toolkit.evals.extract.refusals import declines_to_answer

_FULL_WIDTH: Final = {0xFF01 + i: 0x21 + i for i in range(94)}
_NUMBER: Final = regex.compile(
    r"""
    (?<before>(?:(?:minus|negative)\s+|[-+−–][^\S\n]?)?)      # a sign; judged by what precedes it
    (?<currency>[$€£¥₹]\s?)?
    (?:
        (?<hex>0x[0-9a-fA-F]+\b | 0b[01]+\b)
      | \\[dtc]?frac\s*(?:
            \{\s*(?<top>[-+−]?\d+(?:\.\d+)?)\s*\}\s*\{\s*(?<bottom>\d+(?:\.\d+)?)\s*\}
          | (?<t1>\d)\s*(?<b1>\d)
        )
      | (?<body>
            \d{1,3}(?:[\u00a0\u202f\u2009'’_]\d{3})+(?:[.,]\d+)?  # narrow spaces, apostrophes
          | \d{1,3}(?:\ \d{3})+(?!\d)(?:[.,]\d+)?            # plain spaces: two readings
          | \d+(?:[.,]\d+)*                                # points and commas
          | \.\d+
        )
        (?<vulgar>\s?[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞⅐⅑⅒])?
        (?<exponent>[eE][-+]?\d{1,4}(?![\w.]))?
      | (?<only>[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞⅐⅑⅒])
    )
    """,
    regex.VERBOSE,
)
_PERCENT: Final = regex.compile(
    r"\s?(?:\\?%|percent\b|per cent\b|Prozent\b|pour cent\b|por ciento\b)", regex.I
)
_TOLERANCE: Final = regex.compile(r"\s?(?:±|\+/-|\\pm)\s?\d+(?:[.,]\d+)?")
_DECIMAL_COMMA_LANGUAGE: Final = regex.compile(
    r"\b(?:ist|sind|das|der|und|beträgt|ergibt|Ergebnis|Antwort|est|sont|égale?|environ|réponse|"
    r"donc|es igual|por lo tanto|respuesta|resultado|è|sono|risposta|risultato|é igual|resposta|"
    r"wynosi|odpowiedź|svaret|är|er lig|antwoord|het|Rp|VND|kr|zł|TL)\b|ответ|равно|руб|[₽₫đ]|R\$",
    regex.I,
)
_STATED: Final = regex.compile(
    r"(?:(?:final|correct|my)\s+)?(?<!\bto\s)(?:answer|result|total|solution)\b"
    r"(?:[^.\n:=]{0,60}?\b(?:is|are|equals?|(?:would|should|must|will)\s+be|comes?\s+to|was)\b"
    r"(?:\s+(?:approximately|about|roughly|exactly|therefore|thus))?\s*[:=]?|\s*[:=→])"
    r"|\b(?:Antwort|Ergebnis|Lösung)\b[^.\n:=]{0,40}?(?:\b(?:ist|lautet|beträgt)\b\s*:?|\s*[:=])"
    r"|\b(?:réponse|résultat)\b[^.\n:=]{0,40}?(?:\b(?:est)\b\s*:?|\s*[:=])"
    r"|\b(?:respuesta|resultado|resposta|risposta|risultato)\b[^.\n:=]{0,40}?(?:\b(?:es|é|è)(?!\w)\s*:?|\s*[:=])"
    r"|(?:ответ|отв\.)\s*[:=—-]?|(?:最终)?答案\s*(?:是|为|為|：|:|=)*|答え\s*(?:は|：|:)*|정답[은:：\s]*"
    r"|\bI(?:['’](?:ll|d)|\s+will|\s+would)\s+(?:go\s+with|settle\s+(?:on|for)|say)\b"
    r"|\#{4,}",
    regex.I,
)
# A heading such as "## Final answer"; its answer is the next line.
_HEADING: Final = regex.compile(
    r"^[^\w\n]*(?:(?:the|my)\s+)?(?:(?:final|correct)\s+)?(?:answer|result|Antwort|(?:End)?ergebnis|"
    r"réponse(?:\s+finale)?|respuesta(?:\s+final)?|resposta(?:\s+final)?|risposta(?:\s+finale)?|"
    r"ответ|(?:最终)?答案|答え|정답)[^\w\n]*\n(?:\s*[-=]{3,}[^\S\n]*\n)?\s*(?P<line>[^\n]+)",
    regex.I | regex.M,
)
_CALLED_ANSWER: Final = regex.compile(r"\W{0,4}is\s+(?:the|my)\s+(?:\w+\s+)?answer\b", regex.I)
_ISO_DATE: Final = regex.compile(r"\b([12]\d{3})-[01]\d-[0-3]\d\b")
_DENIED: Final = regex.compile(r"\s*[:=]?\s*(?:not|never|nicht|pas)\s", regex.I)
_DENIED_BEFORE: Final = regex.compile(
    r"\b(?:not|never|nicht|pas|rather than|instead of)\s+$", regex.I
)
# References in brackets, citations such as [1] after a word, and ordinals.
_REFERENCE: Final = regex.compile(
    r"\((?:see|cf\.?|from|by|in|(?:down|up)\s+from|instead\s+of|compared|previously|formerly|not|"
    r"since|because|the\s+other|excluding|before)\b[^()]*\)|(?<=[\p{L}\d.)\]])\s?\[\d{1,3}\]|\b\d+(?:st|nd|rd|th)\b",
    regex.I,
)
# The same value in another unit, after the value itself: "330 metres tall (1,083 ft)", "0.5 (50%)".
_CONVERSION: Final = regex.compile(
    r"(?<=\d[^\S\n]?(?:[\p{L}°%²³/]+[^\S\n]?){0,3})"
    r"\((?:(?:≈|~|=|about|approximately|approx\.?|roughly|or|i\.e\.,?|ca\.?|etwa|environ)\s*)?"
    r"[$€£¥]?\d[\d.,\u00a0\u202f]*\s?(?:[\p{L}°%²³/]+\s?){1,3}\)"
    # The range in which it lies: "8 million (7.8–8.2 million)".
    r"|(?<=\d[^\S\n]?(?:[\p{L}°%²³/]+[^\S\n]?){0,3})"
    r"\((?:[\p{L}\d% ]{0,20}[:,]?\s)?[$€£¥]?\d[\d.,]*\s?(?:[-–—]|to)\s?[$€£¥]?\d[\d.,]*"
    r"\s?(?:[\p{L}°%²³/]+\s?){0,3}\)",
    regex.I,
)
# "I first thought the answer was 24": what was held before is not the answer.
_HELD_BEFORE: Final = regex.compile(
    r"\b(?:(?:thought|assumed|guessed|believed|expected|said|wrote|figured|dachte|pensais|pensé|"
    r"pensavo)\b(?:\s+that|,?\s+dass|\s+que|\s+che)?(?:\s+(?:the|my|die|das|la|le))?|"
    r"initial|first|original|previous|earlier|wrong|incorrect|mistaken|tempting)\s+$",
    regex.I,
)
# "The sum is 45 since 20 + 25 gives that": the reason follows what it is given for.
_REASON: Final = regex.compile(
    r"(?:\b(?:is|are|was|were|equals?|be|ist|sind|beträgt|est|sont|es|son|è|sono|é|são)\b|[=:])"
    r"[^\w\n]{0,6}[\d.,\u00a0\u202f]*\d[^\w\s]{0,4}(?:\s+[^\W\d]+){0,3}?\s*[,(]?\s*"
    r"(?P<reason>\b(?:since|because|weil|denn|parce\s+que|puisque|car|porque|ya\s+que|pois|perché|"
    r"poiché|потому\s+что|так\s+как)\b(?![^\n]*\b(?:so|therefore|thus|hence|then|daher|also|donc|"
    r"entonces|quindi|portanto)\b)[^\n]*)",
    regex.I,
)
_PART: Final = regex.compile(r"\W*[([]?[a-h][)\].:]\s*[^\w\n]*[\d.,/]+[^\w\n]*", regex.I)
_ITEM_MARK: Final = regex.compile(
    r"(?m)^\s*(?:(?:step|schritt|étape|paso|шаг)\s+(?P<step>\d{1,2})\s?[.):]|(?P<item>\d{1,2})[.)]\s+"
    r"(?=[^\W\d]))",
    regex.I,
)
_ANSWER_LINE: Final = regex.compile(
    r"(?im)^\W*(?P<label>(?:final\s+)?answer|Antwort|réponse|respuesta|resposta|risposta|ответ|答案|答え|정답)"
    r"\W*[:：=]\W*(?P<value>[-−]?\d+(?:[.,]\d+)*)\W*$"
)
_CORRECTED: Final = regex.compile(
    r"\b(?:actually|correct(?:ion|ed)|wait|instead|mistake|sorry|re-?check\w*|reconsider\w*|"
    r"revised?|let me)\b",
    regex.I,
)
_SEVERAL: Final = regex.compile(r",\s|;|\bor\b|\band\b|\d,\d\b(?!\d)")
_BOXED_JOIN: Final = regex.compile(r"[\s$]*(?:,|;|or|and|oder|ou)[\s$]*", regex.I)


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text.

    Attributes:
        readings: what it may mean, the likelier first; mostly one. Empty where the text has
            digits that are part of something else, such as a time or a root.
        start, end: its position.
        is_percent: a percent sign or word follows.
        is_range_end: it ends a range such as 10-20.
    """

    readings: tuple[Fraction, ...]
    start: int
    end: int
    is_percent: bool = False
    is_range_end: bool = False

    @property
    def value(self) -> float:
        """The likelier reading; infinite where it is too large for a float."""
        try:
            return float(self.readings[0])
        except OverflowError:
            return inf if self.readings[0] > 0 else -inf


def find_numbers(text: str) -> list[Number]:
    """All numbers in a text, in their order; digits within names such as GPT-4 are not numbers."""
    return [number for number in _find_all(text) if number.readings]


def find_stated_number(text: str, *, take: str = "last") -> Number | None:
    r"""The number that a text gives as its answer: in the last `\boxed{...}`, else after the last
    "answer is" and its kin, else the first or last of all. None without a number, and where it
    cannot be told which number or which value is meant.
    """
    text = drop_reasoning(text)
    tagged = find_tagged(text)
    if tagged is not None and (found := _find_stated(tagged, take)):
        return found if found.readings else None
    found = _find_stated(text, take)
    return found if found and found.readings else None


def _find_stated(  # noqa: PLR0911 - one place of an answer a line
    text: str, take: str
) -> Number | None:
    """What `find_stated_number` finds; a number without readings where it is unreadable."""
    if boxed := _find_boxed_number(text):
        return boxed
    tidy = _tidy(text)
    if _is_contradicted(tidy):
        return None
    for marker in reversed(list(_STATED.finditer(tidy))):
        if _DENIED.match(tidy, marker.end()):  # "the answer is not 5; it is 6"
            continue
        if _HELD_BEFORE.search(tidy, max(marker.start() - 40, 0), marker.start()):
            continue
        if stated := _number_after(tidy, marker.end()):
            return stated
    if found := _number_under_heading(tidy) or _number_called_answer(tidy):
        return found
    if declines_to_answer(tidy) or _answers_parts(tidy):
        return None
    plain = _drop_references(tidy)
    numbers = _find_all(plain)
    if not numbers:
        return _read_words(plain, take)
    at = [i for i, number in enumerate(numbers) if not _is_denied(plain, number)]
    return _one_of(plain, numbers, at[0] if take == "first" else at[-1]) if at else None


def _number_called_answer(text: str) -> Number | None:
    """The last number that is called the answer: "12 is the answer"."""
    called = [number for number in _find_all(text) if _CALLED_ANSWER.match(text, number.end)]
    return called[-1] if called else None


def _number_under_heading(text: str) -> Number | None:
    """The one number of the line below the last heading such as "## Final answer"."""
    for heading in reversed(list(_HEADING.finditer(text))):
        numbers = _find_all(heading["line"].rpartition("=")[2] or heading["line"])
        if len(numbers) == 1:
            return numbers[0]
    return None


def _find_boxed_number(text: str) -> Number | None:
    """The number in the last box that holds one; without readings where boxes or values differ."""
    boxes = [(content, found) for content in find_boxed(text) if (found := _find_all(content))]
    if not boxes:
        return None
    content, numbers = boxes[-1]
    is_joined = len(boxes) > 1 and boxes[-2][1][-1].readings != numbers[-1].readings
    if is_joined and (between := _between_boxes(text, boxes[-2][0], content)) is not None:
        is_joined = _BOXED_JOIN.fullmatch(between) is not None
        if is_joined:
            return Number((), 0, 0)
    tidy = _tidy(content)
    value = tidy.rpartition("=")[2]
    given = _find_all(value)
    is_list = len(given) > 1 and _SEVERAL.search(value) and not regex.search(r"[()\[\]]", value)
    if is_list:
        return Number((), 0, 0)
    return next((number for number in numbers if not number.readings), numbers[-1])


def _between_boxes(text: str, left: str, right: str) -> str | None:
    """The text between the last two boxes."""
    before, _, _ = text.rpartition(f"{{{right}}}")
    before = regex.sub(r"\\(?:boxed|fbox)\s*$", "", before)
    _, found, between = before.rpartition(f"{{{left}}}")
    return between if found else None


def _is_contradicted(text: str) -> bool:
    """Whether two answer lines of one label differ, and nothing says that one is corrected."""
    values: dict[str, set[str]] = {}
    for line in _ANSWER_LINE.finditer(text):
        values.setdefault(line["label"].lower(), set()).add(line["value"])
    return any(len(found) > 1 for found in values.values()) and not _CORRECTED.search(text)


def _drop_references(text: str) -> str:
    """The text without references to steps, sources and ranks, unless nothing else is a number."""
    marks = [int(mark["step"] or mark["item"]) for mark in _ITEM_MARK.finditer(text)]
    if len(marks) > 1 and marks == list(range(marks[0], marks[0] + len(marks))):
        text = _ITEM_MARK.sub(" ", text)
    plain = _CONVERSION.sub(" ", _REFERENCE.sub(" ", _ITEM_MARK.sub(" ", text)))
    if reason := _last(_REASON.finditer(plain)):
        plain = plain[: reason.start("reason")] + plain[reason.end("reason") :]
    return plain if _find_all(plain) else text


def _answers_parts(text: str) -> bool:
    """Whether every line is the answer to another part of the question: "(a) 4", "(b) 9"."""
    lines = [line for line in text.splitlines() if line.strip()]
    return len(lines) > 1 and all(_PART.fullmatch(line) for line in lines)


def _last(matches: Iterable[regex.Match[str]]) -> regex.Match[str] | None:
    found = list(matches)
    return found[-1] if found else None


def _one_of(text: str, numbers: list[Number], at: int) -> Number:
    """The number at a place of the list; without readings where it is one of several offered."""
    for left, right in ((at - 1, at), (at, at + 1)):
        if left < 0 or right >= len(numbers):
            continue
        one, other = numbers[left], numbers[right]
        if one.readings != other.readings and is_alternative(text, one.start, one.end, other.start):
            readings = (*one.readings, *other.readings) if _is_restated(one, other) else ()
            return Number(readings, one.start, other.end)
    return numbers[at]


def _is_restated(one: Number, other: Number) -> bool:
    """Whether two numbers are one value written in two ways: "3/8, or 37.5%"."""
    if not one.readings or not other.readings:
        return False
    first, second = (
        number.readings[0] / (100 if number.is_percent else 1) for number in (one, other)
    )
    return first != 0 and abs(first - second) <= abs(first) / 200


def _find_all(text: str) -> list[Number]:
    """All numbers, those that cannot be read included: they have no readings."""
    text = _tidy(text)
    uses_decimal_comma = bool(
        regex.search(r"\d\.\d{3},\d", text) or _DECIMAL_COMMA_LANGUAGE.search(text)
    )
    return list(_scan(text, uses_decimal_comma=uses_decimal_comma))


def _is_denied(text: str, number: Number) -> bool:
    """Whether the text says that it is not this number: "6, not 5"."""
    return _DENIED_BEFORE.search(text, max(number.start - 16, 0), number.start) is not None


def _number_after(text: str, at: int) -> Number | None:
    """The number in the rest of a statement: after its last `=`, else its first."""
    rest = text[at : at + 400].lstrip(" *_\n")
    end = regex.search(r"\n|[.!?](?:\s|$)", rest)
    statement = rest[: end.start()] if end else rest
    head, equals, tail = statement.rpartition("=")
    statement = tail if equals and _find_all(tail) else head or statement
    numbers = _find_all(statement)
    if not numbers:
        return _read_words(statement, "first")
    return _one_of(_tidy(statement), numbers, 0)


def _tidy(text: str) -> str:
    text = (
        text.translate(_FULL_WIDTH)
        .replace("{,}", ",")
        .replace("\\,", "")
        .replace("\\!", "")
        .replace("\\%", "%")
    )
    text = _ISO_DATE.sub(r"\1", text)
    return strip_markup(text).replace("\\$", "$")


def _scan(text: str, *, uses_decimal_comma: bool) -> Iterator[Number]:
    at, previous_end = 0, -1
    while match := _NUMBER.search(text, at):
        sign_at, start, end = match.start(), match.end("before"), match.end()
        if is_in_name(text, sign_at if not match["before"] else start, match["before"], sign_at):
            at = _name_end(text, end)
            continue
        sign, is_range = _read_sign(text, match, previous_end)
        readings = read_digits(text, match, uses_decimal_comma=uses_decimal_comma)
        readings, end = follow_number(text, start, end, readings)
        if tolerance := _TOLERANCE.match(text, end):
            end = tolerance.end()
        readings = judge_context(text, start, end, readings)
        readings = () if ends_compound(text, start, end) else readings
        percent = _PERCENT.match(text, end)
        yield Number(
            tuple(sign * value for value in readings),
            sign_at if sign < 0 else start,
            percent.end() if percent else end,
            is_percent=percent is not None,
            is_range_end=is_range,
        )
        at = previous_end = percent.end() if percent else end


def _name_end(text: str, end: int) -> int:
    rest = regex.compile(r"[\w.]*\w").match(text, end)
    return rest.end() if rest else end


def _read_sign(text: str, match: regex.Match[str], previous_end: int) -> tuple[int, bool]:
    """The sign, and whether the dash before the number makes it the end of a range."""
    mark = match["before"].strip()
    if not mark or mark == "+":
        return 1, False
    if mark.isalpha():
        return -1, False
    before = text[: match.start()]
    touches_number = previous_end >= 0 and not before[previous_end:].strip()
    if touches_number:
        return 1, True
    if match["before"].endswith(" "):  # `- 5` at a line's start is an item of a list
        is_sign = before.rstrip(" ").endswith(("=", "(", ":", "is"))
        return (-1 if is_sign else 1), False
    return -1, False


def _read_words(text: str, take: str = "last") -> Number | None:
    """The first or last number in words, English ones first."""
    phrase = find_number_phrase(text, take=take)
    if phrase is None or phrase.value is None:
        spelled = find_spelled_number(text, take=take)
        if spelled is None:
            return None
        return Number((Fraction(spelled.value),), spelled.start, spelled.end)
    return Number((phrase.value,), phrase.start, phrase.end)
