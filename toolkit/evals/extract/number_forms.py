"""The forms of a number: separators, fractions, powers, scales, and its surroundings."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt
from typing import Final

import regex

from toolkit.evals.extract.number_words import (
    find_number_phrase,
    match_added_fraction,
    match_denominator,
)

Readings = tuple[Fraction, ...]
_VULGAR: Final = {
    "½": Fraction(1, 2), "⅓": Fraction(1, 3), "⅔": Fraction(2, 3), "¼": Fraction(1, 4),
    "¾": Fraction(3, 4), "⅕": Fraction(1, 5), "⅖": Fraction(2, 5), "⅗": Fraction(3, 5),
    "⅘": Fraction(4, 5), "⅙": Fraction(1, 6), "⅚": Fraction(5, 6), "⅛": Fraction(1, 8),
    "⅜": Fraction(3, 8), "⅝": Fraction(5, 8), "⅞": Fraction(7, 8), "⅐": Fraction(1, 7),
    "⅑": Fraction(1, 9), "⅒": Fraction(1, 10),
}  # fmt: skip
_DECIMAL_UNIT: Final = regex.compile(
    r"\s?(?:€|£|\$|EUR\b|Euro\b|%|°|k?g\b|[kcm]?m\b|ml\b|l\b|km/h\b|Mio|Mrd|Millionen|millions\b)"
)


def read_digits(
    text: str, match: regex.Match[str], *, uses_decimal_comma: bool
) -> tuple[Fraction, ...]:
    """What digits may mean, the likelier first; empty for a version or an address."""
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
    body = regex.sub(r"[\u00a0\u202f\u2009'’_]", "", body)
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
        if regex.fullmatch(r"\d{1,2}\.\d{1,2}\.\d{4}", body):  # a date, by its year
            return (Fraction(body.rpartition(".")[2]),)
        return ()  # a version or an address
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


# ---- what goes on after the digits

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
_CENTS: Final = regex.compile(
    r"\s?(?:dollars?|euros?|pounds?|bucks|€)\s*(?:,|and|und|et|y|e)?\s*(\d{1,2})\s?"
    r"(?:cents?|pence|centimes?|céntimos?|centavos?|centesimi)\b",
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
    """Take in words after the digits: 3 and a half, 3 quarters, 3 dozen, 3 dollars 25 cents."""
    if cents := _CENTS.match(text, end):
        return tuple(value + Fraction(int(cents[1]), 100) for value in readings), cents.end()
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


# ---- what the text around the digits means

# A number may follow a letter only where the letters are a currency or an operator.
_CURRENCY: Final = regex.compile(
    r"(?<![A-Za-z])(?:USD|EUR|GBP|JPY|CHF|INR|CNY|CAD|AUD|Rs\.?|Rp\.?|US|No\.?|Nr\.?|n[°º])\s?$"
)
_ROOT_BEFORE: Final = regex.compile(r"(?:√|\\sqrt\s*)\s?[({]?\s?$")
_OTHER_BEFORE: Final = regex.compile(
    r"(?:\\sqrt\s*\[\w+\]\s*\{?|\\overline\s*\{|\b(?:log|ln|sin|cos|tan)\s?\(?|±\s?|\\pm\s?|\d:"
    r"|(?<![^\W\d]|\\)(?!a\b)[a-z]\s?[+−-]\s?"
    r"|\b(?:hundred|thousand|million|billion|trillion)\s+(?:and\s+)?)$"
)
_SYMBOL_AFTER: Final = regex.compile(
    r"\s?(?:\\?pi\b|π|√|\\sqrt|\\cdot\s?\\?(?:pi|sqrt)|\*\s?(?:pi|sqrt)\b)|i\b|:\d"
)
_BIGGER_UNIT: Final = (
    r"(?:hours?|hrs?|h|feet|foot|ft|pounds?|lbs?|dollars?|euros?|years?|weeks?|days?|minutes?|"
    r"mins?|kg|km|m)"
)
_SMALLER_UNIT: Final = (
    r"(?:minutes?|mins?|seconds?|secs?|inch(?:es)?|in|ounces?|oz|cents?|pence|months?|days?|"
    r"hours?|hrs?|g|m|cm)"
)
_COMPOUND: Final = regex.compile(
    rf"\s?{_BIGGER_UNIT}\b\.?\s*(?:,|and|und|et|y)?\s*\d+(?:\.\d+)?\s?{_SMALLER_UNIT}\b"
    r"|['′]\s?\d+\s?(?:\"|″|'')",
    regex.I,
)
_OR: Final = regex.compile(
    r"[\s$)}]*(?:,?\s*\b(?:or|oder|ou|или|lub|eller)\b|或者?|または|또는)\s*"
    r"(?:\b(?:maybe|perhaps|possibly|even|else)\s+)?(?:\p{L}\s?=\s?)?[\s$({]*",
    regex.I,
)
_BETWEEN: Final = regex.compile(r"\b(?:between|zwischen|entre)\s+\S{0,3}$", regex.I)
_AND: Final = regex.compile(r"\s*(?:and|und|et|y|e)\s*", regex.I)


def is_in_name(  # noqa: PLR0911 - one kind of name a line
    text: str, start: int, sign: str, sign_at: int
) -> bool:
    """Whether digits belong to a name or a variable: GPT-4, x1, H2O, v1.2, x_1, x^2."""
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


def judge_context(
    text: str, start: int, end: int, readings: tuple[Fraction, ...]
) -> tuple[Fraction, ...]:
    """The readings of a number where it stands; none where it is part of something else.

    That is a time (12:45), a ratio, a length in feet and inches, a root without a rational value,
    a multiple of pi, an imaginary part, a tolerance, or a term of a sum with a variable.
    """
    before = text[max(start - 24, 0) : start]
    if _SYMBOL_AFTER.match(text, end) or _COMPOUND.match(text, end):
        return ()
    if _ROOT_BEFORE.search(before):
        return tuple(root for value in readings if (root := _root(value)) is not None)
    return () if _OTHER_BEFORE.search(before) else readings


def ends_compound(text: str, start: int, end: int) -> bool:
    """Whether the number is the smaller part of a measure: the 20 of 3 hours and 20 minutes."""
    return any(
        match.start() < start < match.end()
        for match in _COMPOUND.finditer(text, max(start - 24, 0), end + 12)
        if text[: match.start()].rstrip()[-1:].isdigit()
    )


def is_alternative(text: str, left_start: int, left_end: int, right_start: int) -> bool:
    """Whether two neighbours are offered for choice: 4 or 5, between 3 and 5."""
    if _OR.fullmatch(text, left_end, right_start):
        return True
    is_between = _BETWEEN.search(text, max(left_start - 16, 0), left_start)
    return bool(is_between and _AND.fullmatch(text, left_end, right_start))


def _root(value: Fraction) -> Fraction | None:
    if value < 0 or value > 10**24:
        return None
    top, bottom = isqrt(value.numerator), isqrt(value.denominator)
    return Fraction(top, bottom) if Fraction(top, bottom) ** 2 == value else None
