"""What goes on after the digits of a number: a power, a fraction, a scale such as million."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import regex

from toolkit.evals.extract.number_words import (
    find_number_phrase,
    match_added_fraction,
    match_denominator,
)

Readings = tuple[Fraction, ...]
_SUPERSCRIPTS: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_SCALES: Final = {
    "thousand": 3, "k": 3, "tausend": 3, "mille": 3, "mil": 3,
    "million": 6, "millions": 6, "millionen": 6, "millones": 6, "millón": 6, "milioni": 6,
    "milhão": 6, "milhões": 6, "miljoen": 6, "miljoner": 6, "mio": 6, "mn": 6, "m": 6, "mln": 6,
    "lakh": 5, "lakhs": 5, "crore": 7, "crores": 7,
    "milliarde": 9, "milliarden": 9, "milliard": 9, "milliards": 9, "mrd": 9, "miliardi": 9,
    "miljard": 9, "bilhão": 9, "bilhões": 9,
    "billion": 9, "billions": 9, "bn": 9, "b": 9, "trillion": 12, "trillions": 12, "tn": 12,
    "billionen": 12, "billones": 12, "тыс": 3, "тысяча": 3, "тысячи": 3, "тысяч": 3,
    "миллион": 6, "миллиона": 6, "миллионов": 6, "млн": 6, "миллиард": 9, "миллиарда": 9,
    "миллиардов": 9, "млрд": 9,
}  # fmt: skip
_COUNTED_IN: Final = {"hundred": 100, "dozen": 12, "dozens": 12, "score": 20}
_CJK_SCALES: Final = {
    "百": 2, "千": 3, "천": 3, "万": 4, "萬": 4, "만": 4, "亿": 8, "億": 8, "억": 8,
}  # fmt: skip
_SCALE: Final = regex.compile(
    r"(?<gap>[\s-]?)(?<word>[A-Za-zÀ-ÿа-я]+)\b\.?(?<more>\s+(?:millones|milhões)\b)?", regex.I
)
_CJK_SCALE: Final = regex.compile(r"\s?(?<words>[百千천万萬만亿億억]+)")
_POWER: Final = regex.compile(
    r"\s?(?:[×x*·]|\\times|\\cdot)\s?10\s?(?:\^\s?\{?\s?(?<plain>[-+−]?\d{1,3})\s?\}?|(?<raised>[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,3}))"
)
_RAISED: Final = regex.compile(
    r"\s?\^\s?\{?\s?(?<plain>[-−]?\d{1,3})\s?\}?|(?<raised>⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,3})"
    r"|\s+(?<word>squared|cubed)\b|\s+to\s+the\s+power\s+of\s+(?<plain>[-−]?\d{1,3})\b",
    regex.I,
)
_SLASH: Final = regex.compile(r"\s?/\s?(\d+(?:\.\d+)?)(?!\s?/|[\d.]*/)(?![\w])")
_MIXED: Final = regex.compile(
    r"[ \u00a0](\d{1,3})\s?/\s?(\d{1,3})(?![\d/])|\s?\\[dtc]?frac\{(\d+)\}\{(\d+)\}"
)
_OUT_OF: Final = regex.compile(r"\s+(?:out\s+)?of\s+(?:the\s+)?(\d+)(?![\d.,]*\d|\s*%)", regex.I)
_SMALLER: Final = regex.compile(
    r"(?<join>\s+(?:and|und|et|y|e)\s+|\s+|,\s)(?<digits>\d+)(?![\d.,]*\d|\s*[%:/]|\w)"
    r"(?:[\s-](?<word>thousand|hundred|million|billion|lakhs?|mille|mil|tausend|тысяч)\b)?"
    r"|(?<join>\s+and\s+)(?<words>[a-z]+(?:[\s-](?:and\s+)?[a-z]+){0,6})",
    regex.I,
)
_CJK_SMALLER: Final = regex.compile(r"\s?(?<digits>\d+)(?<words>[百千천万萬만]?)")


def follow_number(text: str, start: int, end: int, readings: Readings) -> tuple[Readings, int]:
    """Take in what goes on after the digits, and return the number's readings and its end."""
    if power := _POWER.match(text, end):
        factor = Fraction(10) ** _exponent(power)
        return tuple(value * factor for value in readings), power.end()
    if raised := _RAISED.match(text, end):
        power_of = _exponent(raised)
        if abs(power_of) <= 300 and readings and readings[0] and abs(readings[0]) < 10**6:
            return tuple(value**power_of for value in readings if value), raised.end()
    if mixed := _MIXED.match(text, end):
        top, bottom = mixed[1] or mixed[3], mixed[2] or mixed[4]
        is_mixed = int(bottom) and int(top) < int(bottom)
        if is_mixed and readings and readings[0].denominator == 1:
            return tuple(value + Fraction(int(top), int(bottom)) for value in readings), mixed.end()
    is_date = text[start - 1 : start] == "/"
    if not is_date and (slash := _SLASH.match(text, end)) and Fraction(slash[1]):
        return tuple(value / Fraction(slash[1]) for value in readings), slash.end()
    if (share := _OUT_OF.match(text, end)) and int(share[1]):
        # How many of them, or which share of them: both are said.
        return (*readings, *(value / int(share[1]) for value in readings)), share.end()
    return _follow_words(text, end, readings)


def _follow_words(  # noqa: PLR0911 - one way to go on a line
    text: str, end: int, readings: Readings
) -> tuple[Readings, int]:
    """Take in words after the digits: 3 and a half, 3 quarters, 3 dozen, 3 million."""
    if added := match_added_fraction(text, end):
        readings, end = tuple(value + added[0] for value in readings), added[1]
    elif parts := match_denominator(text, end):
        shares = tuple(value / parts[0] for value in readings)
        # Quarters are coins and parts of a year as well.
        return ((*shares, *readings) if parts[0] == 4 else shares), parts[1]
    if cjk := _CJK_SCALE.match(text, end):
        factor = Fraction(10) ** sum(_CJK_SCALES[word] for word in cjk["words"])
        return _add_cjk(text, cjk.end(), tuple(value * factor for value in readings), factor)
    scale = _SCALE.match(text, end)
    if scale is None:
        return readings, end
    word = scale["word"].lower()
    if word in _COUNTED_IN:
        factor = Fraction(_COUNTED_IN[word])
    elif word in _SCALES:
        factor = Fraction(10) ** (_SCALES[word] + (6 if scale["more"] and word == "mil" else 0))
    else:
        return readings, end
    scaled = tuple(value * factor for value in readings)
    if len(word) > 1:
        after = scale.end() if word == "mil" or not scale["more"] else scale.start("more")
        return _add_smaller(text, after, scaled, factor)
    if not scale["gap"] and (scale["word"].isupper() or word == "k"):
        return (*scaled, *readings), scale.end()  # 5M: five million, or five metres
    return readings, end


def _add_smaller(text: str, end: int, readings: Readings, factor: Fraction) -> tuple[Readings, int]:
    """Add a smaller number after a scale: 2 million and five, 2 thousand 500, 3 score and ten."""
    match = _SMALLER.match(text, end)
    if match is None or any(value.denominator != 1 for value in readings):
        return readings, end
    if match["words"]:
        phrase = find_number_phrase(match["words"], take="first")
        if phrase is None or phrase.value is None or phrase.start:
            return readings, end
        value, after = phrase.value, match.start("words") + phrase.end
        is_part = phrase.value.denominator == 1
    else:
        places = {"hundred": 2} | _SCALES
        value = Fraction(int(match["digits"]))
        value *= Fraction(10) ** (places[match["word"].lower()] if match["word"] else 0)
        after = match.end()
        # "2 million 5 years ago" is two numbers; "2 thousand 500" is one.
        is_part = bool(match["join"].strip(" ,") or match["word"]) or 10 * value >= factor
    if not is_part or not 0 < value < factor:
        return readings, end
    return tuple(total + value for total in readings), after


def _add_cjk(text: str, end: int, readings: Readings, factor: Fraction) -> tuple[Readings, int]:
    """Add what follows a Chinese, Japanese or Korean scale: 1亿2000万, 3만5000."""
    while match := _CJK_SMALLER.match(text, end):
        value = Fraction(int(match["digits"]))
        value *= Fraction(10) ** (_CJK_SCALES[match["words"]] if match["words"] else 0)
        if value >= factor:
            break
        readings, end = tuple(total + value for total in readings), match.end()
        factor = Fraction(10) ** _CJK_SCALES[match["words"]] if match["words"] else Fraction(1)
    return readings, end


def _exponent(match: regex.Match[str]) -> int:
    groups = match.groupdict()
    if groups.get("word"):
        return 2 if groups["word"].lower() == "squared" else 3
    return int((match["plain"] or match["raised"]).translate(_SUPERSCRIPTS).replace("−", "-"))
