"""Digits with what divides them: points, commas, spaces, apostrophes; fractions and exponents."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import regex

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
