"""Texts made comparable: reasoning left out, markup and LaTeX wrappers off, Unicode normalised."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Final

import regex

# Patterns run on text of any length that a model wrote, so none of them nests its repetitions.
_THINKING: Final = regex.compile(
    r"<(think|thinking|thought|reasoning|reflection)>.*?(?:</\1>|\Z)", regex.DOTALL | regex.I
)
_TAGGED: Final = regex.compile(
    r"<(answer|final[_ -]?answer|result|solution)>(.{0,4000}?)</\1>", regex.DOTALL | regex.I
)
_CLOSED_ONLY: Final = regex.compile(r"\A.*</(?:think|thinking|reasoning)>", regex.DOTALL | regex.I)
_TEXT_COMMAND: Final = regex.compile(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|operatorname|mbox|bm)\s*"
    r"\{([^{}]*)\}"
)
_MATH_MARKS: Final = regex.compile(r"\$\$?|\\[()\[\]]|\\(?:left|right|displaystyle)(?![a-zA-Z])")
_SPACING: Final = regex.compile(r"\\[,;:! ]|\\quad|\\qquad|~")
_EMPHASIS: Final = regex.compile(
    r"(?<![\w*])\*{1,3}(?=\S)|(?<=\S)\*{1,3}(?![\w*])|`+|(?<!\w)_{1,2}(?=\w)|(?<=\w)_{1,2}(?!\w)"
)
_INVISIBLE: Final = regex.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_QUOTES: Final = str.maketrans(
    {
        "’": "'",
        "‘": "'",
        "‚": "'",
        "‛": "'",
        "′": "'",
        "“": '"',
        "”": '"',
        "„": '"',
        "‟": '"',
        "″": '"',
    }
    | {"‐": "-", "‑": "-", "‒": "-", "–": "-", "−": "-"}
)


def drop_reasoning(text: str) -> str:
    """The text without what a reasoning model wrote between its tags.

    An opening tag that is never closed was cut off: nothing after it is an answer. A closing tag
    alone comes from templates that write the opening one into the prompt.
    """
    return _CLOSED_ONLY.sub("", _THINKING.sub("", text))


def find_tagged(text: str) -> str | None:
    """The content of the last `<answer>...</answer>`, where the prompt asked for such a tag."""
    found = _TAGGED.findall(text)
    return found[-1][1] if found else None


def normalize_unicode(text: str) -> str:
    """One form for what looks the same: composed and decomposed letters, full-width letters,
    ligatures, typographic quotes and dashes, no-break and other spaces, invisible characters.

    Superscripts, subscripts and fractions keep their meaning: `km²` does not become `km2`.
    """
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    return "".join(map(_fold, text)).translate(_QUOTES)


@cache
def _fold(character: str) -> str:
    if character.isascii() or unicodedata.decomposition(character).startswith(
        ("<super>", "<sub>", "<fraction>")
    ):
        return character
    if character.isspace() and character not in "\u2028\u2029\x85":
        return " "
    return unicodedata.normalize("NFKC", character)


def strip_markup(text: str) -> str:
    r"""The text without Markdown emphasis, `$...$`, `\(...\)` and `\text{...}`."""
    for _ in range(4):  # \textbf{\text{B}}
        text, count = _TEXT_COMMAND.subn(r"\1", text)
        if not count:
            break
    text = _SPACING.sub(" ", _MATH_MARKS.sub("", text))
    return _EMPHASIS.sub("", text)


def find_boxed(text: str) -> list[str]:
    r"""The contents of each `\boxed{...}` and `\fbox{...}`, braces balanced, in their order."""
    found = []
    for match in regex.finditer(r"\\(?:boxed|fbox)\s*(\{|\s\S+)", text):
        if match[1] != "{":
            found.append(match[1].strip().strip("$"))
            continue
        depth, at = 1, match.end()
        while at < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
        if not depth:
            found.append(text[match.end() : at - 1])
    return found


def simplify(text: str) -> str:
    r"""The text for a comparison that ignores form: case, articles, sentence punctuation, markup.

    As SQuAD's own script does (Rajpurkar et al. 2016), but signs, decimal points, operators and
    the commands of LaTeX stay: -5 is not 5, 1.5 is not 15, and 1/23 is not 12/3. Where the text
    has a `\boxed{...}`, that is the answer and the rest is how it was found.
    """
    boxed = find_boxed(text)
    text = strip_markup(boxed[-1] if boxed else text).casefold()
    text = regex.sub(r"\b(?:[a-z]\.){2,}", lambda match: match[0].replace(".", ""), text)
    words = (_strip_punctuation(word) for word in text.split())
    return " ".join(word for word in words if word not in ("", "a", "an", "the"))


def _strip_punctuation(word: str) -> str:
    word = word.strip(",;:!?\"'“”„«»¿¡…").rstrip(".")
    while len(word) > 1 and (word[0], word[-1]) in (("(", ")"), ("[", "]"), ('"', '"')):
        word = word[1:-1]
    if "(" not in word and ")" not in word[:-1]:
        word = word.rstrip(")") if "(" not in word else word
    if ")" not in word:
        word = word.lstrip("(")
    word = word.strip(",;:!?\"'").rstrip(".")
    # SQuAD drops all punctuation within a word, too; between letters that is what it means.
    return regex.sub(r"(?<=[^\W\d_])['’](?=[^\W\d_])", "", word)
