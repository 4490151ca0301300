"""JSON is JSON whatever is in it; tables interpret nothing and hide nothing."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.cli.output import (
    Column,
    json_ready,
    plain,
    print_json,
    show_facts,
    show_rows,
    show_wait,
)
from toolkit.display import show_direction

TEXT = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.decimals() | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


@given(VALUES)
def test_every_value_becomes_strict_json(value):
    text = json.dumps(json_ready(value), allow_nan=False)
    assert json.loads(text) == json_ready(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("0.000412"), 0.000412),
        (Decimal("NaN"), None),
        (float("inf"), None),
        (datetime(2026, 11, 21, 14, 0, tzinfo=UTC), "2026-11-21T14:00:00Z"),
        (datetime(2026, 11, 21, 14, 0), "2026-11-21T14:00:00Z"),
        (date(2026, 11, 21), "2026-11-21"),
        (np.int64(3), 3),
        (np.array([1.5, 2.0]), [1.5, 2.0]),
        (Path("a"), "a"),
        (b"\x01\xff", "01ff"),
    ],
)
def test_values_keep_their_meaning(value, expected):
    assert json_ready(value) == expected


def test_a_lone_surrogate_is_escaped_instead_of_failing(capsys):
    print_json({"text": "a\ud800b"})
    assert json.loads(capsys.readouterr().out) == {"text": "a\ud800b"}


def test_unknown_is_a_dash_and_markup_is_text(capsys):
    rows = [{"name": "[bold]x[/bold] :smile:", "n": None}]
    show_rows(rows, (Column("name", "Name"), Column("n", "N", is_number=True)), as_json=False)
    out = capsys.readouterr().out
    assert "[bold]x[/bold] :smile:" in out
    assert "–" in out


def test_control_characters_never_reach_a_terminal(capsys):
    show_rows([{"a": "x\x1b]0;title\x07\x1b[31my"}], (Column("a", "A"),), as_json=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out


@given(st.text())
def test_plain_text_keeps_lines_and_all_that_can_be_seen(text):
    assert plain(text) == show_direction(
        "".join(c for c in text if c in "\t\n" or not (ord(c) < 32 or 127 <= ord(c) < 160))
    )


def test_characters_that_reorder_others_are_shown_as_what_they_are(capsys):
    row = {"model": "evil\u202egnp\u2066x", "text": "a\u200fb"}
    show_rows([row], (Column("model", "Model"), Column("text", "Text")), as_json=False)
    out = capsys.readouterr().out
    assert "evil\\u202egnp\\u2066x" in out and "a\\u200fb" in out
    assert not {*out} & {*"\u202e\u2066\u200f"}


def test_an_empty_table_says_so_beside_the_result(capsys):
    show_rows([], (Column("a", "A"),), as_json=False, empty="No calls yet.")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "No calls yet.\n"


def test_no_rows_as_json_is_an_empty_list(capsys):
    show_rows([], (Column("a", "A"),), as_json=True)
    assert json.loads(capsys.readouterr().out) == []


def test_a_narrow_terminal_loses_optional_columns_and_no_digit(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    columns = (
        Column("model", "Model"),
        Column("tokens", "Tokens", is_number=True),
        Column("extra", "Extra", is_optional=True),
    )
    show_rows([{"model": "m" * 20, "tokens": 1234567, "extra": "e" * 20}], columns, as_json=False)
    out = capsys.readouterr().out
    assert "1234567" in out
    assert "m" * 20 in out
    assert "Extra" not in out


def test_facts_within_facts_leave_out_what_is_nil(capsys):
    show_facts({"rows": {"calls": 6, "votes": 0}}, as_json=False)
    out = capsys.readouterr().out
    assert "calls 6" in out
    assert "votes" not in out


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.1 s"),
        (1.53, "1.5 s"),
        (12.0, "12 s"),
        (59.2, "60 s"),
        (719.5, "12 min"),
        (7200.0, "2 h"),
        (38719.5, "10 h 46 min"),
    ],
)
def test_a_wait_is_as_precise_as_a_person_needs_it(seconds: float, shown: str) -> None:
    assert show_wait(seconds) == shown
