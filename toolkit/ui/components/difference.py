"""Two texts word by word in one: removed words are struck out, new ones highlighted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from toolkit.replay.regression.word_diff import diff_words
from toolkit.ui.components.text import plain

_LONGEST_SAME: Final = 60
_CONTEXT: Final = 12


def difference_markdown(before: str, now: str) -> str:
    """Markdown of our own around escaped text; it can be read without colours."""
    return "".join(_piece(kind, text) for kind, text in diff_words(before, now))


def _piece(kind: str, text: str) -> str:
    if not text:
        return ""
    if kind == "same":
        return _folded(text)
    lines = (f"{_marked(kind, line)}" for line in text.split("\n"))
    return "  \n".join(lines)


def _marked(kind: str, line: str) -> str:
    if not line.strip():
        return line
    lead = " " if line[:1].isspace() else ""
    tail = " " if line[-1:].isspace() else ""
    shown = plain(line.strip(), limit=20_000)
    if kind == "gone":
        return f"{lead}:red-background[~~{shown}~~]{tail}"
    return f"{lead}:green-background[**{shown}**]{tail}"


def _folded(text: str) -> str:
    words = list(_words(text))
    if len(words) > _LONGEST_SAME:
        first, last = "".join(words[:_CONTEXT]), "".join(words[-_CONTEXT:])
        left = len(words) - 2 * _CONTEXT
        return f"{_plain_lines(first)} :gray[… {left} words the same …] {_plain_lines(last)}"
    return _plain_lines(text)


def _words(text: str) -> Iterator[str]:
    start = 0
    for index, character in enumerate(text):
        if character.isspace() and index + 1 < len(text) and not text[index + 1].isspace():
            yield text[start : index + 1]
            start = index + 1
    yield text[start:]


def _plain_lines(text: str) -> str:
    shown = []
    for line in text.split("\n"):
        lead = " " if line[:1].isspace() else ""
        tail = " " if line[-1:].isspace() and line.strip() else ""
        shown.append(f"{lead}{plain(line, limit=20_000)}{tail}")
    return "  \n".join(shown)
