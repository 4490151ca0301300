"""What an answer says: numbers, letters, verdicts and JSON as models write them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.extraction import ours, read_set
from toolkit.evals.extract.embedded_json import NoJson, extract_json
from toolkit.evals.extract.letters import find_choice, read_options
from toolkit.evals.extract.normalization import normalize_unicode, simplify
from toolkit.evals.extract.stated_numbers import find_numbers, find_stated_number
from toolkit.evals.extract.verdicts import read_points, read_winner
from toolkit.evals.scoring.answer_scorers import find_formula

LABELLED = read_set()
READERS = ours()


def test_the_labelled_set_is_large_enough():
    assert len(LABELLED) >= 400
    assert {row["scorer"] for row in LABELLED} == set(READERS)


@pytest.mark.parametrize("kind", sorted(READERS))
def test_every_labelled_answer_is_read_as_a_careful_reader_does(kind):
    wrong = [
        (row["answer"], row["target"], row["want"], got)
        for row in LABELLED
        if row["scorer"] == kind and (got := READERS[kind](row)) != row["want"]
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Answer: $1,234.56$", 1234.56),
        ("1.234.567,89", 1234567.89),
        ("3 1/2", 3.5),
        ("10–20", 20),
        ("10^-3", 0.001),
        ("2^10", 1024),
        (r"$\frac{-1}{2}$", -0.5),
        ("x = - 2", -2),
        ("5USD", 5),
        ("US$ 5", 5),
        ("４２", 42),
        ("The answer is\n\n42", 42),
        ("Answer: 42\n\nExplanation: 6 times 7", 42),
        ("Der Preis beträgt 12,50 €", 12.5),
        ("42 is the answer to step 3.", 42),
        ("1/2/2024", 2024),
        ("5 - 3 = 2", 2),
        ("x^2 = 9", 9),
        ("one hundred and five", 105),
    ],
)
def test_numbers_as_people_write_them(text, value):
    assert value in [pytest.approx(float(r)) for r in find_stated_number(text).readings]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("three quarters", 0.75),
        ("The answer is three-quarters of the class.", 0.75),
        ("minus two thirds", -2 / 3),
        ("a third", 1 / 3),
        ("seven and three quarters", 7.75),
        ("2 and a half", 2.5),
        ("5 eighths", 0.625),
        ("3 dozen", 36),
        ("The answer is three dozen eggs.", 36),
        ("half a dozen", 6),
        ("a million", 1_000_000),
        ("The answer is six and a half million.", 6_500_000),
        ("half a million", 500_000),
        ("two thousand and five", 2005),
        ("one hundred and twenty-three thousand four hundred and fifty-six", 123_456),
        ("one point five million", 1_500_000),
        ("three point one four", 3.14),
        ("nineteen eighty-four", 1984),
        ("2 hundred", 200),
    ],
)
def test_fractions_dozens_and_millions_in_words(text, value):
    number = find_stated_number(text)
    assert number is not None and [float(r) for r in number.readings] == [pytest.approx(value)]


@pytest.mark.parametrize(
    "text",
    [
        *("one two three", "seven or eight", "three quarters of twelve", "three out of five"),
        *("No one knows.", "One of the answers is unclear.", "The third option", "a third option"),
        *("a few dozen", "several thousand", "dozens of people", "the twenty-third"),
    ],
)
def test_words_that_count_nothing_certain_are_unreadable(text):
    assert find_stated_number(text) is None


@given(st.integers(0, 999), st.sampled_from([("thousand", 10**3), ("million", 10**6)]))
def test_whole_numbers_in_words_are_read_back(part, scale):
    tens, ones = divmod(part % 100, 10)
    names = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    decades = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
    part -= 10 * (tens == 1)
    words = [f"{names[part // 100]} hundred"] if part >= 100 else []
    low = "-".join(filter(None, [decades[tens], names[ones]]))
    text = " and ".join([*words, *([low] if low else [])]) or "zero"
    word, factor = scale
    assert find_stated_number(f"The answer is {text}.").readings == (part,)
    if part:
        number = find_stated_number(f"It is five billion {text} {word}")
        assert number.readings == (5 * 10**9 + part * factor,)


@pytest.mark.parametrize("text", ["", "none", "GPT-4", "H2O", "v1.2", "<think>9", "x_1"])
def test_digits_of_names_and_reasoning_that_was_cut_off_are_not_numbers(text):
    assert find_stated_number(text) is None


@given(st.integers(-(10**9), 10**9), st.sampled_from(["{:,}", "{}", "{:_}"]))
def test_every_integer_is_read_back(number, form):
    text = f"The answer is {form.format(number).replace('_', ' ')}."
    assert number in find_stated_number(text).readings


@given(st.text(max_size=200))
def test_no_text_breaks_an_extractor(text):
    find_stated_number(text)
    find_numbers(text)
    find_formula(text)
    simplify(text)
    assert find_choice(text) in {"A", "B", "C", "D", None}
    points = read_points(text, top=5)
    assert points is None or 0 <= points <= 5
    assert read_winner(text) in {"A", "B", "TIE", None}
    with contextlib.suppress(NoJson):
        json.dumps(extract_json(text), allow_nan=False)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("answer is (a)", "A"),
        ("A and B are wrong, so C", "C"),
        ("(A) is wrong, (B) is right", "B"),
        ("None of the above (D)", "D"),
        ("So the answer is **(D)**", "D"),
        ("答案应该是C", "C"),
        ("La bonne réponse est la B", "B"),
        ("D is the answer", "D"),
        ("<answer>B</answer>", "B"),
        ("Not A. Not B. D it is.", "D"),
        ("Eliminating A, B and D leaves C.", "C"),
        ("A, B and D can be ruled out, leaving us with only C.", "C"),
        ("We can rule out A and B. C remains.", "C"),
        ("Only C is left.", "C"),
        ("By elimination, C.", "C"),
        ("A? No. B? No. C? Yes.", "C"),
        ("(A) no (B) no (C) yes (D) no", "C"),
        ("A: wrong. B: wrong. C: right. D: right.", None),
        ("A, B and D are incorrect.", None),
        ("A, C", None),
        ("Eliminating A and B leaves C or D.", None),
        ("Discarding A leaves B, C and D.", None),
        ("That leaves A out.", None),
        ("Not A. Not B. Not D.", None),
        ("C, I think", "C"),
        ("Answer: A, B", None),
        ("Is it A or B? I don't know.", None),
        ("As an AI, I can't", None),
        ("I", None),
    ],
)
def test_letters_as_people_write_them(text, letter):
    assert find_choice(text) == letter


def test_the_pronoun_and_the_article_are_never_a_choice_among_ten_letters():
    letters = "ABCDEFGHIJ"
    assert find_choice("I think C", letters) is None or find_choice("I think C", letters) == "C"
    assert find_choice("I would say that I do not know", letters) is None
    assert find_choice("Answer: I", letters) == "I"
    assert find_choice("A vector is a quantity.", letters) is None


def test_options_are_read_from_a_question_and_matched_by_their_text():
    options = read_options("Capital of Egypt?\nA) Paris\nB) Cairo\nC) Rome")
    assert options == {"A": "Paris", "B": "Cairo", "C": "Rome"}
    assert find_choice("Cairo", "ABC", options) == "B"
    assert find_choice("Cairo, not Paris", "ABC", options) is None


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("Score: **4** / **5**", 4),
        ("I'd rate this 4/5", 4),
        ("score 3/10", 1.5),
        ("Score: 60 %", 3),
        ("SCORE: 3 to 4", None),
        ("SCORE: −1", None),
        ("SCORE: 10", None),
        ("SCORE: 5\nSCORE: 0", None),
        ("SCORE: 5\nActually, it is wrong.\nSCORE: 1", 1),
        ("SCORE: 4\n\n**SCORE: 4.0**", 4),
        ('{"score": 4}\nSCORE: 1', None),
        ("I'm sorry, but I can't grade this.\nSCORE: 0", None),
        ("As an AI language model, I cannot assist with that. SCORE: 0", None),
        ('{"reason": "I cannot evaluate this.", "score": 0}', None),
        ('{"reason": "The answer says that I cannot judge it.", "score": 0}', 0),
        ('The answer refuses: "I cannot assist".\nSCORE: 0', 0),
        ("I cannot rate this higher than 2. SCORE: 2", 2),
        ("SCORE: three and a half", 3.5),
        ("SCORE: three or four", None),
        ("SCORE: half marks", None),
        ("SCORE: zero", 0),
        ("SCORE: N/A", None),
        ("<score>4</score>", 4),
        ("The answer gets 4 points.", 4),
    ],
)
def test_points_are_on_the_scale_or_none(text, points):
    assert read_points(text, top=5) == points


@pytest.mark.parametrize(
    ("text", "winner"),
    [
        ("WINNER: A\nWINNER: B", None),
        ("WINNER: A\nWait, B is right.\nWINNER: B", "B"),
        ("I'm sorry, but I can't help with that. WINNER: TIE", None),
        ("I cannot judge either to be better. WINNER: TIE", "TIE"),
        ("WINNER: 'A'", "A"),
        ("Winner:\n\nA", "A"),
        ("It's a tie", "TIE"),
        ("Both answers are good, but B is better.", "B"),
        ("I prefer answer A", "A"),
        ("WINNER: A or B", None),
        ("WINNER: C", None),
    ],
)
def test_a_winner_is_decided_or_none(text, winner):
    assert read_winner(text) == winner


def test_part_of_a_broken_object_is_not_taken_for_the_answer():
    for text in ('{"a": {"b": 1}, "c": NaN}', '{"a": {"b": 1}, "c": ', "[" * 50_000):
        with pytest.raises(NoJson):
            extract_json(text)


def test_what_looks_the_same_is_the_same_and_superscripts_keep_their_meaning():
    assert normalize_unicode("Cafe\u0301\u00a0’ﬁ’\u200b") == "Café 'fi'"
    assert normalize_unicode("km²") == "km²"


def test_the_cases_of_public_reports_are_read_right():
    folder = Path(__file__).parents[2].parent / "shared" / "cases" / "data"
    if not folder.is_dir():
        pytest.skip("the collection of public reports is not on this machine")
    from toolkit.evals.dataset import Dataset
    from toolkit.evals.scorers import Answer, score
    from toolkit.evals.scoring.scoring import read_scorers

    wrong = []
    for path in sorted(folder.glob("s*.json")):
        case = json.loads(path.read_text("utf-8"))
        (scorer,) = read_scorers([case["scorer"]], default=[]).values()
        for row in case["rows"]:
            sample = Dataset.from_rows([{"input": "q", "target": row["target"]}]).samples[0]
            found = score(scorer, Answer(sample=sample, text=row["answer"]))
            if found.details.get("code") == "TARGET_INVALID":
                continue  # a target that cannot be compared is an error, not a silent 0
            if found.value != row["want"] and found.value != pytest.approx(row["want"], abs=1e-4):
                wrong.append((path.name, row, found))
    assert wrong == []


# ---- what an answer denies is not its answer -----------------------------------------------------

TWO_LETTERS = st.permutations("ABCD").map(lambda letters: letters[:2])
TWO_NUMBERS = st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)).filter(lambda n: n[0] != n[1])


@pytest.mark.parametrize(
    "form",
    [
        "Answer {other} is incorrect. Answer {right} is correct.",
        "The answer: option {right} is correct, option {other} is not",
        "Option {other} isn't right; option {right} is.",
        "It is not option {other}; choose {right}",
        "The answer isn't {other}, it's {right}",
        "I think it's {right}, not {other}.",
        "**{right}**\n\n{other} is incorrect because of the date.",
        "Thinking: maybe {other}... no. Final: {right}",
        "The answer is {right}, option {other} is wrong",
    ],
)
@given(letters=TWO_LETTERS)
def test_a_letter_that_is_denied_is_not_chosen(form, letters):
    right, other = letters
    assert find_choice(form.format(right=right, other=other), "ABCD") == right


@pytest.mark.parametrize(
    "form",
    ["Not option {}.", "Answer {} is incorrect.", "The answer cannot be {}", "not choice {}"],
)
@pytest.mark.parametrize("letter", "ABCD")
def test_an_answer_that_only_denies_chooses_nothing(form, letter):
    assert find_choice(form.format(letter), "ABCD") is None


@pytest.mark.parametrize("letter", "ABCD")
def test_not_only_is_no_denial(letter):
    assert find_choice(f"Option {letter} is not only right but the best.", "ABCD") == letter


@pytest.mark.parametrize(
    "form",
    [
        "The answer is not {other}; it is {right}.",
        "The answer is not {other} but {right}",
        "{right}, not {other}",
        "It is {right} rather than {other}",
        "{right} (see step {other})",
        "I got {right} (from {other} boxes)",
    ],
)
@given(numbers=TWO_NUMBERS)
def test_a_number_that_is_denied_or_referred_to_is_not_the_answer(form, numbers):
    right, other = numbers
    found = find_stated_number(form.format(right=right, other=other))
    assert found is not None
    assert found.value == right


@pytest.mark.parametrize("text", ["The answer is not 5", "not 5", "It is never 12."])
def test_an_answer_that_only_denies_a_number_is_unreadable(text):
    assert find_stated_number(text) is None
