"""Word-level differences of two texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Final, Literal

Kind = Literal["same", "gone", "new"]
_WORD: Final = re.compile(r"\s+|\w+|[^\w\s]")
_MAX_WORDS: Final = 4000


def diff_words(before: str, now: str) -> Iterator[tuple[Kind, str]]:
    """Parts of both texts in reading order; very long texts are compared line by line."""
    old, new = _WORD.findall(before), _WORD.findall(now)
    if max(len(old), len(new)) > _MAX_WORDS:
        old, new = before.splitlines(keepends=True), now.splitlines(keepends=True)
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for tag, a_from, a_to, b_from, b_to in matcher.get_opcodes():
        if tag == "equal":
            yield "same", "".join(old[a_from:a_to])
            continue
        if a_to > a_from:
            yield "gone", "".join(old[a_from:a_to])
        if b_to > b_from:
            yield "new", "".join(new[b_from:b_to])
