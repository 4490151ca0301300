r"""The formula that an answer gives: boxed, stated, or the last one between math marks."""

from __future__ import annotations

from typing import Final

import regex

from toolkit.evals.extract.normalization import drop_reasoning, find_boxed

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
