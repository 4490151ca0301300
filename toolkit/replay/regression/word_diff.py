"""Word-level differences of two texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final, Literal

Kind = Literal["same", "gone", "new"]
Step = tuple[str, int, int, int, int]
_WORD: Final = re.compile(r"\s+|\w+|[^\w\s]")
_MAX_WORDS: Final = 4000


def diff_words(before: str, now: str) -> Iterator[tuple[Kind, str]]:
    """Parts of both texts in reading order; very long texts are compared line by line."""
    old, new = _WORD.findall(before), _WORD.findall(now)
    if max(len(old), len(new)) > _MAX_WORDS:
        old, new = before.splitlines(keepends=True), now.splitlines(keepends=True)
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for tag, a_from, a_to, b_from, b_to in _joined(matcher.get_opcodes(), old):
        if tag == "equal":
            yield "same", "".join(old[a_from:a_to])
            continue
        if a_to > a_from:
            yield "gone", "".join(old[a_from:a_to])
        if b_to > b_from:
            yield "new", "".join(new[b_from:b_to])


def _joined(steps: Iterable[Step], old: Sequence[str]) -> list[Step]:
    """Changes with nothing but a space between them as one: people read phrases, not words."""
    joined: list[Step] = []
    for step in steps:
        tag, a_from, a_to, _, b_to = step
        is_gap = tag == "equal" and not "".join(old[a_from:a_to]).strip(" ")
        joins = bool(joined) and joined[-1][0] != "equal"
        if joins and (is_gap or tag != "equal"):
            _, a_first, _, b_first, _ = joined[-1]
            joined[-1] = ("replace", a_first, a_to, b_first, b_to)
        else:
            joined.append(step)
    return joined
