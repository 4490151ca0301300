"""Foreign text is shown as it is: nothing in it is markup, a link, an image or a directive."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from tests.ui.hostile import HOSTILE
from toolkit.ui.components.text import own, parts_of, plain, sentence, visible


def draw(texts):
    from toolkit.ui.components.text import show_text

    for text in texts:
        show_text(text)


def test_hostile_answers_are_drawn_only_by_elements_that_interpret_nothing():
    app = AppTest.from_function(draw, kwargs={"texts": HOSTILE}).run(timeout=20)
    assert not app.exception
    elements = list(app.main.children.values())
    assert len(elements) >= len(HOSTILE)
    assert {element.type for element in elements} == {"text", "code"}


@pytest.mark.parametrize("payload", HOSTILE)
def test_a_hostile_name_in_a_label_has_every_mark_escaped(payload):
    shown = plain(payload)
    assert "\n" not in shown
    unescaped = re.sub(r"\\[!-/:-@\[-`{-~]", "", shown)
    assert not re.search(r"[!-/:-@\[-`{-~]", unescaped)


@given(st.text())
def test_escaping_adds_nothing_but_backslashes_and_joiners(text):
    shown = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", plain(text, limit=10**6))
    assert shown.replace("\u2060", "") == " ".join(visible(text).split())


@pytest.mark.parametrize(
    "address", ["http://a.example", "HTTPS://a.example", "www.a.example", "me@a.example"]
)
def test_an_address_in_a_label_is_broken_so_that_it_cannot_become_a_link(address):
    """Autolinks are found after escapes are read: only a joiner keeps an address text."""
    bare = plain(address).replace("\\", "")
    assert "\u2060" in bare
    assert not re.search(r"(?i)https?://|www\.|[\w.]@", bare)


def test_our_own_sentences_keep_their_code_and_nothing_else():
    assert own("Run `toolkit keys set x` on <b>a</b>.") == (
        "Run `toolkit keys set x` on \\<b\\>a\\<\\/b\\>\\."
    )
    assert "`" not in own("one ` alone").replace("\\`", "")


@given(st.text(alphabet="ab`~ \n"))
def test_splitting_into_prose_and_code_loses_no_letter(text):
    kept = "".join(body for _, body, _ in parts_of(text))
    lost = [c for c in "ab" if kept.count(c) < text.count(c)]
    fences = [line for line in text.split("\n") if line.strip().startswith(("```", "~~~"))]
    assert not lost or fences  # only a fence's own line may disappear


def test_fenced_code_is_code_even_while_its_fence_is_open():
    assert list(parts_of("Look:\n```python\nprint(1)\n```\ndone")) == [
        ("prose", "Look:", None),
        ("code", "print(1)", "python"),
        ("prose", "done", None),
    ]
    assert list(parts_of("```js\nlet a")) == [("code", "let a", None)]


def test_a_fence_inside_a_longer_fence_does_not_close_it():
    assert list(parts_of("````\n```\ninner\n````")) == [("code", "```\ninner", None)]


def test_characters_that_reorder_text_are_written_out():
    assert visible("a\u202eb\x1b[31m") == "a\\u202eb\\u001b[31m"
    assert visible("Grüße 👩\u200d🔬 你好\n\tok") == "Grüße 👩\u200d🔬 你好\n\tok"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("there is no provider 'x'", "There is no provider 'x'."),
        ("openai/gpt-5 is not known", "openai/gpt-5 is not known."),
        ("lab has no key", "lab has no key."),
        ("base_url is missing", "base_url is missing."),
        ("HTTP 500.", "HTTP 500."),
        ("pane 1 is running; stop it first!", "Pane 1 is running; stop it first!"),
        ("", ""),
    ],
)
def test_a_message_is_a_sentence_and_names_stay_as_they_are(message: str, shown: str) -> None:
    assert sentence(message, names=("lab", None)) == shown
