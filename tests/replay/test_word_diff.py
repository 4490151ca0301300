"""Differences of two texts by words: a changed phrase is one piece, however its words are alike."""

from __future__ import annotations

from toolkit.replay.regression.word_diff import diff_words


def test_a_changed_word_stands_between_what_is_the_same() -> None:
    assert list(diff_words("within 14 days", "within 30 days")) == [
        ("same", "within "),
        ("gone", "14"),
        ("new", "30"),
        ("same", " days"),
    ]


def test_changed_words_with_only_spaces_between_them_are_one_phrase() -> None:
    found = list(diff_words("days of the parcel. Bye", "days, once our team agrees. Bye"))
    assert [kind for kind, _ in found] == ["same", "gone", "new", "same"]
    assert (found[1][1].strip(), found[2][1].strip()) == ("of the parcel", ", once our team agrees")


def test_both_texts_can_be_read_off_the_parts() -> None:
    before, now = "one two  three\nfour\n\nfive", "one 2 three\n4 and more\n\nfive six "
    parts = list(diff_words(before, now))
    assert "".join(text for kind, text in parts if kind != "new") == before
    assert "".join(text for kind, text in parts if kind != "gone") == now


def test_changed_lines_stay_apart() -> None:
    found = list(diff_words("a\nb", "x\ny"))
    assert ("same", "\n") in found
