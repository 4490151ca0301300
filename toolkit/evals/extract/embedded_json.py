"""The JSON in an answer: alone, in fences of any kind, or with prose around it."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

import regex

from toolkit.evals.extract.normalization import drop_reasoning

_OPENING: Final = regex.compile(r"[{\[]")
_TOKEN: Final = regex.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\]]', regex.DOTALL)
_MAX_STARTS: Final = 2_000


class NoJson(ValueError):
    """The answer holds no JSON that can be read; the message says why."""


def extract_json(text: str) -> Any:
    """The value of the JSON in a text: the whole text, else its last object, else its last list.

    Fences need no rule of their own: a decoder that begins at a bracket knows where its value
    ends, even where a string within it holds another fence.

    Raises:
        NoJson: there is none, it is broken off, or it holds NaN or Infinity, which are not JSON.
    """
    text = drop_reasoning(text).strip().lstrip("\ufeff").strip()
    try:
        return _decode_whole(text)
    except NoJson as error:
        problem = error
    found = list(_find_values(text))
    objects = [value for value in found if isinstance(value, dict)]
    if objects:
        return objects[-1]
    if found:
        return found[-1]
    raise problem


def _decode_whole(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise NoJson("it is nested too deeply") from None
    except ValueError as error:
        raise NoJson(str(error)) from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _find_values(text: str) -> list[Any]:
    decoder = json.JSONDecoder(parse_constant=_refuse)
    found, at = [], 0
    for _ in range(_MAX_STARTS):
        match = _OPENING.search(text, at)
        if match is None:
            break
        try:
            value, at = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            # What begins as an object and breaks off must not yield one of its own parts.
            head = text[match.start() : match.start() + 80]
            is_object = regex.match(r'\{\s*["}\n]|\[\s*[\[{"]', head)
            at = _end_of(text, match.start()) if is_object else match.start() + 1
        else:
            found.append(value)
    return found


def _end_of(text: str, start: int) -> int:
    """Where the bracket at `start` closes, strings skipped; else the end of the text."""
    depth = 0
    for match in _TOKEN.finditer(text, start):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    return len(text)
