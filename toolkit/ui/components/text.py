"""Foreign text on a page: a model's answer and a provider's words are shown, never interpreted.

An answer goes through `show_text`: prose as plain text, fenced code as code; neither element
knows markdown, HTML, images, links, LaTeX or directives. A name or a message that must stand
inside a label goes through `plain`, which escapes every character that markdown could read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from typing import Final, Literal

import streamlit as st

MAX_SHOWN_CHARS: Final = 200_000
_WORD: Final = re.compile(r"[a-z]+(?:-[a-z]+)*,?")
_PUNCTUATION: Final = re.compile(r"([!-/:-@\[-`{-~])")
# Addresses become links even when every mark in them is escaped; a joiner, which has no width,
# keeps them text.
_LINKED: Final = re.compile(r"(?i)(?<=http)(?=s?://)|(?<=www)(?=\.)|(?=@)")
_JOINER: Final = "\u2060"
_FENCE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^\s`]*)[^\n`]*$")
_LANGUAGES: Final = frozenset(
    {"bash", "c", "cpp", "css", "diff", "go", "html", "java", "javascript", "json", "markdown"}
    | {"php", "python", "ruby", "rust", "shell", "sql", "swift", "toml", "typescript", "yaml"}
)
# Characters that reorder or hide what stands around them; shown as what they are.
_INVISIBLE: Final = frozenset({"Cf", "Cc", "Co", "Cn"})
_KEPT: Final = frozenset("\n\t\u200d\ufe0f")

Part = tuple[Literal["prose", "code"], str, str | None]


def show_text(text: str) -> None:
    """Draw a model's text: prose and fenced code, in order, nothing interpreted."""
    for kind, body, language in parts_of(visible(text[:MAX_SHOWN_CHARS])):
        if kind == "code":
            st.code(body, language=language, wrap_lines=True)
        else:
            st.text(body)
    if len(text) > MAX_SHOWN_CHARS:
        st.caption(f"{len(text) - MAX_SHOWN_CHARS:,} more characters are stored.")


def plain(text: object, *, limit: int = 2_000) -> str:
    """`text` for a place that reads markdown: every punctuation mark escaped, on one line."""
    shown = " ".join(visible(str(text)).split())
    return _escaped(shown if len(shown) <= limit else shown[: limit - 1] + "…")


def own(text: str) -> str:
    """One of our own sentences, which may hold a foreign name: only `code` in it is read."""
    parts = " ".join(visible(text).split()).split("`")
    if len(parts) % 2 == 0:
        return plain(text)
    return "".join(
        f"`{part}`" if index % 2 and part.strip() else _escaped(part)
        for index, part in enumerate(parts)
    )


def sentence(message: str, *, names: Collection[str | None] = ()) -> str:
    """An error message as a sentence of a page: a capital letter first, a full stop last.

    Args:
        message: as errors have it, beginning in lower case.
        names: foreign names it may begin with, which are kept as they are written.
    """
    text = " ".join(message.split())
    first = text.partition(" ")[0]
    if _WORD.fullmatch(first) and first not in names:
        text = first.capitalize() + text[len(first) :]
    return text if not text or text[-1] in ".!?…:" else f"{text}."


def visible(text: str) -> str:
    """`text` with control and direction-changing characters written as `\\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _is_visible(c) else f"\\u{ord(c):04x}" for c in text.replace("\r\n", "\n"))


def parts_of(text: str) -> Iterator[Part]:
    """Split text into prose and fenced code; a fence that never closes runs to the end.

    While an answer streams, its last fence is open: its lines already show as code.
    """
    lines: list[str] = []
    fence: str | None = None
    language: str | None = None
    for line in text.split("\n"):
        found = _FENCE.match(line)
        if fence is None and found:
            yield from _prose(lines)
            fence, language, lines = found[1], _known(found[2]), []
        elif fence is not None and _closes(line, fence):
            yield "code", "\n".join(lines), language
            fence, lines = None, []
        else:
            lines.append(line)
    if fence is not None:
        yield "code", "\n".join(lines), language
    else:
        yield from _prose(lines)


def _escaped(text: str) -> str:
    return _PUNCTUATION.sub(r"\\\1", _LINKED.sub(_JOINER, text))


def _prose(lines: list[str]) -> Iterator[Part]:
    body = "\n".join(lines).strip("\n")
    if body.strip():
        yield "prose", body, None


def _closes(line: str, fence: str) -> bool:
    bare = line.strip()
    return len(bare) >= len(fence) and set(bare) == {fence[0]}


def _known(name: str) -> str | None:
    return name.lower() if name.lower() in _LANGUAGES else None


def _is_visible(character: str) -> bool:
    return character in _KEPT or unicodedata.category(character) not in _INVISIBLE
