"""Reasoning that a model writes into its text, between `<think>` and `</think>` or the like."""

from __future__ import annotations

from typing import Final

from toolkit.calls.parsers.parsed_response import Piece

_TAGS: Final = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),  # Gemini behind OpenAI's API
    ("<seed:think>", "</seed:think>"),  # ByteDance Seed
    ("[THINK]", "[/THINK]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi
)


class ThinkTags:
    """Splits the text of one answer; only tags at its very beginning count.

    Attributes:
        was_tagged: a tag was there.
        is_over: nothing more is to be split.
    """

    def __init__(self) -> None:
        self.was_tagged: bool = False
        self.is_over: bool = False
        self._held = ""
        self._close = ""

    def feed(self, text: str) -> list[Piece]:
        """The pieces that a piece of text adds; what may be half a tag is kept back."""
        if self.is_over:
            return [("text", text)]
        self._held += text
        if not self._close and not self._open():
            return []
        if not self._close:
            return self._release("text")
        before, tag, after = self._held.partition(self._close)
        if tag:
            self.is_over, self._held = True, ""
            pieces: list[Piece] = [("reasoning", before), ("text", after)]
            return [piece for piece in pieces if piece[1]]
        kept = _half_tag(self._held, self._close)
        reasoning = self._held[: len(self._held) - kept]
        self._held = self._held[len(reasoning) :]
        return [("reasoning", reasoning)] if reasoning else []

    def finish(self) -> list[Piece]:
        """What is still kept back when the text is over."""
        return self._release("reasoning" if self._close else "text")

    def _open(self) -> bool:
        """Whether it is decided that the text begins with a tag, or that it does not."""
        start = self._held.lstrip()
        for tag, close in _TAGS:
            if start.startswith(tag):
                self.was_tagged, self._close = True, close
                self._held = start[len(tag) :]
                return True
        return bool(start) and not any(tag.startswith(start) for tag, _ in _TAGS)

    def _release(self, kind: str) -> list[Piece]:
        held, self._held, self.is_over = self._held, "", True
        if not held:
            return []
        return [("reasoning", held)] if kind == "reasoning" else [("text", held)]


def _half_tag(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    for size in range(min(len(tag) - 1, len(text)), 0, -1):
        if tag.startswith(text[-size:]):
            return size
    return 0
