"""The JSON in an answer: alone, in fences of any kind, or with prose around it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, NoReturn

import regex

from toolkit.evals.extract.normalization import drop_reasoning

_OPENING: Final = regex.compile(r"[{\[]")
_TOKEN: Final = regex.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\]]', regex.DOTALL)
_MAX_STARTS: Final = 2_000


_SUPERSEDED: Final = regex.compile(
    r"\b(?:final(?:ly)?|actually|wait|correct(?:ion|ed)?|instead|revised?|updated?|fixed|changed?|"
    r"(?:on )?reflection|reconsider\w*|let me|mistake|sorry|draft|first|attempt|before|after|"
    r"e\.g|example|for instance|format|schema|template|input|given|output|result|original|"
    r"my answer|should|endgültig|korrigiert|Beispiel|exemple|corrigé|"
    r"ejemplo|corregid[oa]|exemplo)\b"
    r"|最终|修正|例|更正|入力|出力|예시|최종",
    regex.I,
)


class NoJson(ValueError):
    """The answer holds no JSON that can be read; the message says why."""


class SeveralDecisions(NoJson):
    """The answer holds several values that decide differently."""


@dataclass(frozen=True, slots=True)
class _Found:
    value: Any
    start: int
    end: int


def extract_json(text: str, *, decision: Callable[[Any], object] | None = None) -> Any:
    """The value of the JSON in a text: the whole text, else its last object, else its last list.

    Fences need no rule of their own: a decoder that begins at a bracket knows where its value
    ends, even where a string within it holds another fence.

    Args:
        text: the answer.
        decision: what a value decides, None for nothing. Values that decide differently are no
            answer, unless the text between them says that the last one is final or corrected,
            or that an earlier one was an example.

    Raises:
        NoJson: there is none, it is broken off, or it holds NaN or Infinity, which are not JSON.
        SeveralDecisions: the values decide differently.
    """
    text = drop_reasoning(text).strip().lstrip("\ufeff").strip()
    try:
        return _decode_whole(text)
    except NoJson as error:
        problem = error
    found = _find_values(text)
    objects = [each for each in found if isinstance(each.value, dict)] or found
    if not objects:
        raise problem
    last = objects[-1]
    if decision and any(_contradict(text, one, last, decision) for one in objects[:-1]):
        raise SeveralDecisions("it gives several different answers")
    return last.value


_LOOSE: Final = regex.compile(
    r"""(?P<string>"(?:[^"\\\n]|\\.)*+")|'(?P<single>(?:[^'"\\\n]|\\.)*+)'(?=\s*[:,}\]])"""
    r"|(?P<comment>//[^\n]*|/\*.{0,2000}?\*/)|(?<=[:,\[]\s*)(?P<word>True|False|None)\b",
    regex.DOTALL,
)
_TRAILING: Final = regex.compile(r'("(?:[^"\\\n]|\\.)*+")|,(?=\s*[}\]])')
_PYTHON: Final = {"True": "true", "False": "false", "None": "null"}


def repair_json(text: str) -> str:
    """The text with what judges write into JSON put right: comments, trailing commas, single
    quotes, Python's words. What a program would have to parse is never repaired.
    """

    def right(match: regex.Match[str]) -> str:
        if match["string"]:
            return match[0]
        if match["single"] is not None:
            content = match["single"].replace("\\'", "'")
            return f'"{content}"'
        return _PYTHON[match["word"]] if match["word"] else " "

    loose = _LOOSE.sub(right, text)
    return _TRAILING.sub(lambda match: match[1] or "", loose)


def _contradict(
    text: str, earlier: _Found, last: _Found, decision: Callable[[Any], object]
) -> bool:
    decided = decision(earlier.value)
    if decided is None or decided == decision(last.value):
        return False
    between = text[max(earlier.start - 80, 0) : earlier.start] + text[earlier.end : last.start]
    return _SUPERSEDED.search(between) is None


def _decode_whole(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise NoJson("it is nested too deeply") from None
    except ValueError as error:
        raise NoJson(str(error)) from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _refuse_infinite(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):
        raise ValueError(f"{digits[:20]} is too large for a number")
    return value


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse, parse_float=_refuse_infinite)


def _find_values(text: str) -> list[_Found]:
    found, at = [], 0
    for _ in range(_MAX_STARTS):
        match = _OPENING.search(text, at)
        if match is None:
            break
        try:
            value, at = _DECODER.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            # What begins as an object and breaks off must not yield one of its own parts.
            head = text[match.start() : match.start() + 80]
            is_object = regex.match(r'\{\s*["}\n]|\[\s*[\[{"]', head)
            at = _end_of(text, match.start()) if is_object else match.start() + 1
        else:
            found.append(_Found(value, match.start(), at))
    return found


def _end_of(text: str, start: int) -> int:
    """Where the bracket at `start` closes, strings skipped; else the end of the text."""
    depth = 0
    for match in _TOKEN.finditer(text, start):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    return len(text)
