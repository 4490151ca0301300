"""Redaction of a text that comes in pieces, where a secret may be divided among several."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from toolkit.secret import SecretMatcher, WrittenForm, current_matcher, with_placeholders

# So much of a long form may have passed before it is recognised as the beginning of one: what
# remains is still found, for what has passed is looked at again with it.
_GRAM: Final = 4
_LONGEST_BEGINNING: Final = 16 * 1024


class StreamRedactor:
    """Redacts one text that comes in pieces: the current secrets are found across pieces.

    What may be the beginning of a secret is held back until the next piece decides it.
    """

    def __init__(self) -> None:
        self._before = b""  # what was passed on last: a beginning may have begun in it
        self._held = b""

    def feed(self, piece: str) -> str:
        """Return what can be passed on now; it may be nothing."""
        matcher = current_matcher()
        content = self._before + self._held + piece.encode("utf-8", "surrogatepass")
        cut = max(len(self._before), len(content) - _beginnings(matcher).count_open(content))
        while cut < len(content) and content[cut] & 0xC0 == 0x80:
            cut -= 1  # not within a character
        return self._pass(content, matcher.spans(content), cut)

    def finish(self) -> str:
        """Return what was held back, as the text has ended."""
        content = self._before + self._held
        return self._pass(content, current_matcher().spans(content), len(content))

    def _pass(self, content: bytes, spans: list[tuple[int, int]], cut: int) -> str:
        lead = len(self._before)
        cut = max(lead, _outside(spans, cut))
        passed = with_placeholders(
            content[:cut], [(max(b, lead), e) for b, e in spans if lead < e <= cut]
        )
        self._before, self._held = content[:cut][1 - _GRAM :], content[cut:]
        return passed[lead:].decode("utf-8", "replace")


@lru_cache(maxsize=4)
def _beginnings(matcher: SecretMatcher) -> _Beginnings:
    return _Beginnings(matcher.forms)


class _Beginnings:
    """Finds out whether a text ends within one of the forms."""

    def __init__(self, forms: Iterable[WrittenForm]) -> None:
        self._prefixes: dict[bool, set[bytes]] = {True: set(), False: set()}
        self._grams: dict[bool, dict[bytes, list[tuple[bytes, int]]]] = {True: {}, False: {}}
        for form in forms:
            whole, size = form.whole, len(form.whole)
            if form.probe is whole:  # it is found as a whole only
                self._prefixes[form.is_any_case].update(whole[:n] for n in range(1, size))
                continue
            grams = self._grams[form.is_any_case]
            for at in range(size - _GRAM):
                grams.setdefault(whole[at : at + _GRAM], []).append((whole, at))
        self._longest = max(
            (len(prefix) for some in self._prefixes.values() for prefix in some), default=0
        )

    def count_open(self, content: bytes) -> int:
        """Return how many bytes at the end may be the beginning of a form."""
        lower = content[-_LONGEST_BEGINNING:].lower()
        count = 0
        for is_any_case, text in ((True, lower), (False, content[-_LONGEST_BEGINNING:])):
            prefixes = self._prefixes[is_any_case]
            sizes = range(min(self._longest, len(text)), count, -1) if prefixes else ()
            count = next((n for n in sizes if text[-n:] in prefixes), count)
            for whole, at in self._grams[is_any_case].get(text[-_GRAM:], ()):
                count = max(count, _agreement(text, whole, at))
        return count


def _outside(spans: list[tuple[int, int]], cut: int) -> int:
    """The place of the cut, moved to the front of the secret that it would divide."""
    for begin, end in spans:
        if begin < cut < end:  # of a key that repeats itself, a secret can begin within another
            return begin if end - begin <= _LONGEST_BEGINNING else end
    return cut


def _agreement(text: bytes, whole: bytes, at: int) -> int:
    """How much of the end of `text` is in `whole` up to `at` and its gram, if that can be found."""
    size = _GRAM
    while at > 0 and size < len(text) and text[-size - 1] == whole[at - 1]:
        size, at = size + 1, at - 1
    return size if at <= len(whole) // 4 else 0
