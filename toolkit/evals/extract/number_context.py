"""What the text around digits makes of them: a name, a time, a root, one of several answers."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt
from typing import Final

import regex

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
_BIGGER: Final = (
    r"(?:hours?|hrs?|h|feet|foot|ft|pounds?|lbs?|dollars?|euros?|years?|weeks?|days?|minutes?|"
    r"mins?|kg|km|m)"
)
_SMALLER: Final = (
    r"(?:minutes?|mins?|seconds?|secs?|inch(?:es)?|in|ounces?|oz|cents?|pence|months?|days?|"
    r"hours?|hrs?|g|m|cm)"
)
_COMPOUND: Final = regex.compile(
    rf"\s?{_BIGGER}\b\.?\s*(?:,|and|und|et|y)?\s*\d+(?:\.\d+)?\s?{_SMALLER}\b"
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
