"""Answers under headings, in tags and tables, after arrows, beside asides, and in broken JSON."""

from __future__ import annotations

import pytest

from toolkit.evals import scorers
from toolkit.evals.dataset import Sample
from toolkit.evals.extract.embedded_json import repair_json
from toolkit.evals.extract.letters import find_choice
from toolkit.evals.extract.stated_numbers import find_stated_number
from toolkit.evals.extract.verdicts import read_points, read_winner
from toolkit.evals.scorers import Answer, score


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("## Answer\n\nWe add 14 and 28 to get 42.", 42),
        ("### Final Answer:\n42 apples\n\nCheck: 42/2 = 21", 42),
        ("Answer\n======\n-5", -5),
        ("-\n5", 5),
        ("<final_answer>12</final_answer> because 3*4", 12),
        ("<answer>unknown</answer>\nAfter 3 tries", 3),
        ("The total was 120 (not 100).", 120),
        ("It costs 30 euros (before tax: 25 euros).", 30),
        ("The price rose to 56 (up from 50).", 56),
        ("about 5 km (4–6 km)", 5),
        ("f(3) (the other one) = 10", 10),
        ("I'd go with 17 out of the candidates 15, 16 and 17.", 17),
        ("I will say 3 things. The result = 8", 8),
    ],
)
def test_a_number_is_read_where_it_is_stated(text: str, value: float):
    found = find_stated_number(text)
    assert found is not None and found.value == value


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("| **B** | ✓ correct |\n| A | ✗ |\n| C | ✗ |", "B"),
        ("| A | 12 |\n| B | 14 |", None),
        ("Options: A (no), B (no), C (no), D (yes)", "D"),
        ("A → B → C", None),
        ("Step 1 → D\n\nfinal: C", "C"),
        ("Therefore → (C)", "C"),
        ("②", "B"),
        ("Reasons: ① x ② y. Answer: D", "D"),
        ("It has to be cheap. Answer B", "B"),
        ("C\n\nA is wrong.\nB is wrong.", "C"),
    ],
)
def test_a_letter_is_read_where_it_is_chosen(text: str, letter: str | None):
    assert find_choice(text) == letter


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ('{"score": 4, "why": "see http://x.y/z"}', 4),
        ("{'score': 3, 'why': 'it\\'s ok'}", 3),
        ('{"score": None}', None),
        ('{"a": 1,} {"score": 5}', 5),
        ('{"score": 4 /* or 5? */}', 4),
        ("nine out of ten", 4.5),
        ("two or three out of five", None),
        ("three out of four criteria met. SCORE: 2", 2),
    ],
)
def test_points_are_read_in_words_and_in_loose_json(text: str, points: float | None):
    assert read_points(text, top=5) == points


@pytest.mark.parametrize(
    ("text", "winner"),
    [
        ("The second response is worse.", "A"),
        ("Response 1 is better than Response 2", "A"),
        ("The first answer is better in style, the second answer is better in accuracy.", None),
        ("Verdict: the first response", "A"),
        ("the first response mentions 2 options. WINNER: B", "B"),
    ],
)
def test_the_first_answer_is_a_and_the_second_is_b(text: str, winner: str | None):
    assert read_winner(text) == winner


@pytest.mark.parametrize(
    ("text", "target", "value"),
    [
        ("25%", "25", 1),
        ("25 percent", "25%", 1),
        ("25%", "0.25", 0),
    ],
)
def test_a_percentage_is_its_number(text: str, target: str, value: float):
    sample = Sample(sample_id="s", input="q", target=target)
    assert score(scorers.numeric(), Answer(sample=sample, text=text)).value == value


def test_json_that_a_program_could_not_parse_does_not_pass_a_schema():
    scorer = scorers.json_schema({"type": "object"})
    sample = Sample(sample_id="s", input="q", target=None)
    for text in ('{"a": 1,}', "{'a': 1}", '{"a": 1 // one\n}'):
        assert score(scorer, Answer(sample=sample, text=text)).is_unreadable


def test_a_text_of_nothing_but_marks_is_read_to_its_end():
    for text in ("/*" * 5_000, "'" * 10_000, "<answer>" * 1_000, "answer\n" * 2_000, "→A" * 2_000):
        assert len(repair_json(text)) <= len(text)
        assert find_stated_number(text) is None and find_choice(text) is None
        assert read_points("{" + text, top=5) is None and read_winner(text) is None
