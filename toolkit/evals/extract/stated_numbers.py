"""Numbers as people and models write them: signs, separators, fractions, LaTeX, units, words.

A text such as `3,14` or `1 234` has two readings. Both are kept, the likelier first, and a
comparison accepts either; nothing else is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import regex

from toolkit.evals.extract.normalization import drop_reasoning, find_boxed, strip_markup
from toolkit.evals.extract.number_words import (
    find_number_phrase,
    match_added_fraction,
    match_denominator,
)

_VULGAR: Final = {
    "½": Fraction(1, 2), "⅓": Fraction(1, 3), "⅔": Fraction(2, 3), "¼": Fraction(1, 4),
    "¾": Fraction(3, 4), "⅕": Fraction(1, 5), "⅖": Fraction(2, 5), "⅗": Fraction(3, 5),
    "⅘": Fraction(4, 5), "⅙": Fraction(1, 6), "⅚": Fraction(5, 6), "⅛": Fraction(1, 8),
    "⅜": Fraction(3, 8), "⅝": Fraction(5, 8), "⅞": Fraction(7, 8), "⅐": Fraction(1, 7),
    "⅑": Fraction(1, 9), "⅒": Fraction(1, 10),
}  # fmt: skip
_SUPERSCRIPTS: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_FULL_WIDTH: Final = {0xFF01 + i: 0x21 + i for i in range(94)}
_SCALES: Final = {
    "thousand": 3, "k": 3, "tausend": 3, "mille": 3, "mil": 3,
    "million": 6, "millions": 6, "millionen": 6, "millones": 6, "milioni": 6, "mio": 6, "mn": 6,
    "m": 6, "mln": 6, "milliarde": 9, "milliarden": 9, "milliard": 9, "milliards": 9, "mrd": 9,
    "billion": 9, "billions": 9, "bn": 9, "b": 9, "trillion": 12, "trillions": 12, "tn": 12,
}  # fmt: skip
_COUNTED_IN: Final = {"hundred": 100, "dozen": 12, "dozens": 12}
# A number may follow a letter only where the letters are a currency or an operator.
_NUMBER: Final = regex.compile(
    r"""
    (?<before>(?:(?:minus|negative)\s+|[-+−–]\s?)?)      # a sign; judged by what precedes it
    (?<currency>[$€£¥₹]\s?)?
    (?:
        (?<hex>0x[0-9a-fA-F]+\b | 0b[01]+\b)
      | \\[dtc]?frac\s*(?:
            \{\s*(?<top>[-+−]?\d+(?:\.\d+)?)\s*\}\s*\{\s*(?<bottom>\d+(?:\.\d+)?)\s*\}
          | (?<t1>\d)\s*(?<b1>\d)
        )
      | (?<body>
            \d{1,3}(?:[\u00a0\u202f\u2009'’]\d{3})+(?:[.,]\d+)?  # narrow spaces, apostrophes
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
_CURRENCY: Final = regex.compile(
    r"(?<![A-Za-z])(?:USD|EUR|GBP|JPY|CHF|INR|CNY|CAD|AUD|Rs\.?|Rp\.?|US|No\.?|Nr\.?|n[°º])\s?$"
)
_POWER: Final = regex.compile(
    r"\s?(?:[×x*·]|\\times|\\cdot)\s?10\s?(?:\^\s?\{?\s?(?<plain>[-+−]?\d{1,3})\s?\}?|(?<raised>[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,3}))"
)
_RAISED: Final = regex.compile(
    r"\s?\^\s?\{?\s?(?<plain>[-−]?\d{1,3})\s?\}?|(?<raised>⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,3})"
)
_SLASH: Final = regex.compile(r"\s?/\s?(\d+(?:\.\d+)?)(?!\s?/|[\d.]*/)(?![\w])")
_MIXED: Final = regex.compile(
    r"[ \u00a0](\d{1,3})\s?/\s?(\d{1,3})(?![\d/])|\s?\\[dtc]?frac\{(\d+)\}\{(\d+)\}"
)
_SCALE: Final = regex.compile(r"(?<gap>[\s-]?)(?<word>[A-Za-z]+)\b\.?")
_PERCENT: Final = regex.compile(
    r"\s?(?:\\?%|percent\b|per cent\b|Prozent\b|pour cent\b|por ciento\b)", regex.I
)
_DECIMAL_UNIT: Final = regex.compile(
    r"\s?(?:€|£|\$|EUR\b|Euro\b|%|°|k?g\b|[kcm]?m\b|ml\b|l\b|km/h\b|Mio|Mrd|Millionen|millions\b)"
)
_DECIMAL_COMMA_LANGUAGE: Final = regex.compile(
    r"\b(?:ist|sind|das|der|und|beträgt|ergibt|Ergebnis|Antwort|est|sont|égale?|environ|réponse|"
    r"donc|es igual|por lo tanto|respuesta|resultado|è|sono|risposta|risultato|é igual|resposta|"
    r"wynosi|odpowiedź|svaret|är|er lig|antwoord|het)\b|ответ|равно",
    regex.I,
)
_STATED: Final = regex.compile(
    r"(?:(?:final|correct|my)\s+)?(?:answer|result|total|solution)\b"
    r"(?:[^.\n:=]{0,60}?\b(?:is|are|equals?|(?:would|should|must|will)\s+be|comes?\s+to|was)\b"
    r"(?:\s+(?:approximately|about|roughly|exactly|therefore|thus))?\s*[:=]?|\s*[:=→])"
    r"|\b(?:Antwort|Ergebnis|Lösung)\b[^.\n:=]{0,40}?(?:\b(?:ist|lautet|beträgt)\b\s*:?|\s*[:=])"
    r"|\b(?:réponse|résultat)\b[^.\n:=]{0,40}?(?:\b(?:est)\b\s*:?|\s*[:=])"
    r"|\b(?:respuesta|resultado|resposta|risposta|risultato)\b[^.\n:=]{0,40}?(?:\b(?:es|é|è)(?!\w)\s*:?|\s*[:=])"
    r"|(?:ответ|отв\.)\s*[:=—-]?|(?:最终)?答案\s*(?:是|为|為|：|:|=)*|答え\s*(?:は|：|:)*|정답[은:：\s]*"
    r"|\#{4,}",
    regex.I,
)
_CALLED_ANSWER: Final = regex.compile(r"\W{0,4}is\s+(?:the|my)\s+(?:\w+\s+)?answer\b", regex.I)
_DENIED: Final = regex.compile(r"\s*[:=]?\s*(?:not|never|nicht|pas)\s", regex.I)
_DENIED_BEFORE: Final = regex.compile(
    r"\b(?:not|never|nicht|pas|rather than|instead of)\s+$", regex.I
)
_REFERENCE: Final = regex.compile(r"\((?:see|cf\.?|from|by|in)\s[^()]*\)", regex.I)
_ITEM_MARK: Final = regex.compile(r"(?m)^\s*\d{1,2}[.)]\s+(?=[^\W\d])")


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text.

    Attributes:
        readings: what it may mean, the likelier first; mostly one.
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
        """The likelier reading."""
        return float(self.readings[0])


def find_numbers(text: str) -> list[Number]:
    """All numbers in a text, in their order; digits within names such as GPT-4 are not numbers."""
    text = _tidy(text)
    uses_decimal_comma = bool(
        regex.search(r"\d\.\d{3},\d", text) or _DECIMAL_COMMA_LANGUAGE.search(text)
    )
    return list(_scan(text, uses_decimal_comma=uses_decimal_comma))


def find_stated_number(text: str, *, take: str = "last") -> Number | None:
    r"""The number that a text gives as its answer: in the last `\boxed{...}`, else after the last
    "answer is" and its kin, else the first or last of all. None without a number.
    """
    text = drop_reasoning(text)
    for boxed in reversed(find_boxed(text)):
        if found := find_numbers(boxed):
            return found[-1]
    tidy = _tidy(text)
    for marker in reversed(list(_STATED.finditer(tidy))):
        if _DENIED.match(tidy, marker.end()):  # "the answer is not 5; it is 6"
            continue
        if stated := _number_after(tidy, marker.end()):
            return stated
    called = [number for number in find_numbers(text) if _CALLED_ANSWER.match(tidy, number.end)]
    if called:
        return called[-1]
    plain = _ITEM_MARK.sub(" ", _REFERENCE.sub(" ", tidy))
    plain = plain if find_numbers(plain) else tidy
    numbers = find_numbers(plain)
    if not numbers:
        return _read_words(text, take)
    given = [number for number in numbers if not _is_denied(plain, number)]
    return next(iter(given if take == "first" else reversed(given)), None)


def _is_denied(text: str, number: Number) -> bool:
    """Whether the text says that it is not this number: "6, not 5"."""
    return _DENIED_BEFORE.search(text, max(number.start - 16, 0), number.start) is not None


def _number_after(text: str, at: int) -> Number | None:
    """The number in the rest of a statement: after its last `=`, else its first."""
    rest = text[at : at + 400].lstrip(" *_\n")
    end = regex.search(r"\n|[.!?](?:\s|$)", rest)
    statement = rest[: end.start()] if end else rest
    head, equals, tail = statement.rpartition("=")
    numbers = find_numbers(tail if equals and find_numbers(tail) else head or statement)
    return numbers[0] if numbers else _read_words(statement, "first")


def _tidy(text: str) -> str:
    text = (
        text.translate(_FULL_WIDTH)
        .replace("{,}", ",")
        .replace("\\,", "")
        .replace("\\!", "")
        .replace("\\%", "%")
    )
    return strip_markup(text).replace("\\$", "$")


def _scan(text: str, *, uses_decimal_comma: bool) -> Iterator[Number]:
    at, previous_end = 0, -1
    while match := _NUMBER.search(text, at):
        sign_at, start, end = match.start(), match.end("before"), match.end()
        if _is_in_name(text, sign_at if not match["before"] else start, match["before"], sign_at):
            at = _name_end(text, end)
            continue
        sign, is_range = _read_sign(text, match, previous_end)
        readings = _readings(text, match, uses_decimal_comma=uses_decimal_comma)
        readings, end = _follow(text, start, end, readings)
        percent = _PERCENT.match(text, end)
        yield Number(
            tuple(sign * value for value in readings),
            sign_at if sign < 0 else start,
            percent.end() if percent else end,
            is_percent=percent is not None,
            is_range_end=is_range,
        )
        at = previous_end = percent.end() if percent else end


def _is_in_name(  # noqa: PLR0911 - one kind of name a line
    text: str, start: int, sign: str, sign_at: int
) -> bool:
    """Digits that belong to a name or a variable: GPT-4, x1, H2O, v1.2, x_1, x^2."""
    before = text[:sign_at][-12:]
    if not before or sign.strip().isalpha():
        return False
    if sign and sign[-1:].isspace():
        return False
    last = before[-1]
    if sign:
        return last.isalpha() and sign in ("-", "‑")
    if _CURRENCY.search(before):
        return False
    if last in "_^" or (last == "{" and before[-2:-1] in ("^", "_")):
        return True
    if last == "." and len(before) > 1 and before[-2].isalnum():
        return before[-2].isdigit()
    return last.isalpha() and ord(last) < 0x2E80  # no spaces divide words of Chinese or Japanese


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


def _readings(
    text: str, match: regex.Match[str], *, uses_decimal_comma: bool
) -> tuple[Fraction, ...]:
    if match["hex"]:
        return (Fraction(int(match["hex"], 0)),)
    if match["only"]:
        return (_VULGAR[match["only"]],)
    top, bottom = match["top"] or match["t1"], match["bottom"] or match["b1"]
    if top:
        below = Fraction(bottom)
        return (Fraction(top.replace("−", "-")) / below,) if below else (Fraction(0),)
    body = match["body"]
    found = _read_body(
        body,
        is_listed=_is_listed(text, match.start(), match.end()),
        uses_decimal_comma=uses_decimal_comma
        or bool(_DECIMAL_UNIT.match(text, match.end()) and "," in body),
    )
    if match["vulgar"]:
        return tuple(value + _VULGAR[match["vulgar"].strip()] for value in found)
    if match["exponent"]:
        return tuple(value * Fraction(10) ** int(match["exponent"][1:]) for value in found)
    return found


def _is_listed(text: str, start: int, end: int) -> bool:
    """Whether the number is alone in brackets, where a comma divides items: (3,4)."""
    return text[start - 1 : start] in ("(", "[", "{") and text[end : end + 1] in (")", "]", "}")


def _read_body(  # noqa: PLR0911 - one way of writing numbers a line
    body: str, *, is_listed: bool, uses_decimal_comma: bool
) -> tuple[Fraction, ...]:
    """Digits with points, commas and spaces in between."""
    body = regex.sub(r"[\u00a0\u202f\u2009'’]", "", body)
    if " " in body:
        whole = _read_body(
            body.replace(" ", ""), is_listed=is_listed, uses_decimal_comma=uses_decimal_comma
        )
        last = _read_body(
            body.rpartition(" ")[2], is_listed=is_listed, uses_decimal_comma=uses_decimal_comma
        )
        return (*whole, *last)
    commas, points = body.count(","), body.count(".")
    if commas and points:
        if regex.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d+", body):
            return (Fraction(body.replace(".", "").replace(",", ".")),)
        if regex.fullmatch(r"\d{1,3}(?:,\d{2,3})*,\d{3}\.\d+", body):
            return (Fraction(body.replace(",", "")),)
        return _last_of(body)
    if commas:
        return _read_commas(body, is_listed=is_listed, uses_decimal_comma=uses_decimal_comma)
    if points > 1:
        if regex.fullmatch(r"\d{1,3}(?:\.\d{3})+", body):
            return (Fraction(body.replace(".", "")),)
        return (Fraction(body.rpartition(".")[2]),)  # a version or an address; not one number
    if points and uses_decimal_comma and regex.fullmatch(r"[1-9]\d{0,2}\.\d{3}", body):
        return Fraction(body.replace(".", "")), Fraction(body)
    return (Fraction(body if not body.startswith(".") else f"0{body}"),)


def _read_commas(body: str, *, is_listed: bool, uses_decimal_comma: bool) -> tuple[Fraction, ...]:
    is_grouped = bool(regex.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d?(?:,\d{2})+,\d{3}", body))
    if body.count(",") > 1:
        return (Fraction(body.replace(",", "")),) if is_grouped else _last_of(body)
    decimal, last = Fraction(body.replace(",", ".")), Fraction(body.rpartition(",")[2])
    if is_grouped:
        thousands = Fraction(body.replace(",", ""))
        if is_listed:
            return thousands, last
        return (decimal, thousands) if uses_decimal_comma else (thousands,)
    if is_listed:
        return (last,)
    return (decimal,) if uses_decimal_comma else (last, decimal)


def _last_of(body: str) -> tuple[Fraction, ...]:
    """The last item of numbers that only commas divide: 8.124,12.852."""
    last = body.rpartition(",")[2]
    return (Fraction(last if last.count(".") < 2 else last.rpartition(".")[2]),)


def _follow(
    text: str, start: int, end: int, readings: tuple[Fraction, ...]
) -> tuple[tuple[Fraction, ...], int]:
    """Take in what goes on after the digits: a power, a fraction, a word such as million."""
    if power := _POWER.match(text, end):
        factor = Fraction(10) ** _exponent(power)
        return tuple(value * factor for value in readings), power.end()
    if raised := _RAISED.match(text, end):
        power_of = _exponent(raised)
        if abs(power_of) <= 300 and readings[0] and abs(readings[0]) < 10**6:
            return tuple(value**power_of for value in readings if value), raised.end()
    if mixed := _MIXED.match(text, end):
        top, bottom = mixed[1] or mixed[3], mixed[2] or mixed[4]
        if int(bottom) and int(top) < int(bottom) and readings[0].denominator == 1:
            return tuple(value + Fraction(int(top), int(bottom)) for value in readings), mixed.end()
    is_date = text[start - 1 : start] == "/"
    if not is_date and (slash := _SLASH.match(text, end)) and Fraction(slash[1]):
        return tuple(value / Fraction(slash[1]) for value in readings), slash.end()
    return _follow_words(text, end, readings)


def _follow_words(
    text: str, end: int, readings: tuple[Fraction, ...]
) -> tuple[tuple[Fraction, ...], int]:
    """Take in words after the digits: 3 and a half, 3 quarters, 3 dozen, 3 million."""
    if added := match_added_fraction(text, end):
        readings, end = tuple(value + added[0] for value in readings), added[1]
    elif parts := match_denominator(text, end):
        shares = tuple(value / parts[0] for value in readings)
        # Quarters are coins and parts of a year as well.
        return ((*shares, *readings) if parts[0] == 4 else shares), parts[1]
    scale = _SCALE.match(text, end)
    if scale is None:
        return readings, end
    word = scale["word"].lower()
    if factor := _COUNTED_IN.get(word):
        return tuple(value * factor for value in readings), scale.end()
    if places := _SCALES.get(word):
        scaled = tuple(value * Fraction(10) ** places for value in readings)
        if len(word) > 1:
            return scaled, scale.end()
        if not scale["gap"] and (scale["word"].isupper() or word == "k"):
            return (*scaled, *readings), scale.end()  # 5M: five million, or five metres
    return readings, end


def _exponent(match: regex.Match[str]) -> int:
    return int((match["plain"] or match["raised"]).translate(_SUPERSCRIPTS).replace("−", "-"))


def _read_words(text: str, take: str = "last") -> Number | None:
    """The first or last number in English words."""
    phrase = find_number_phrase(text, take=take)
    if phrase is None or phrase.value is None:
        return None
    return Number((phrase.value,), phrase.start, phrase.end)
