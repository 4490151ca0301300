"""Model judges of a board, their agreement with people, and votes as preference data."""

from __future__ import annotations

import json

import pytest

from tests.servers import Answer, MockProvider
from toolkit.compare.board_history import votes_of
from toolkit.compare.model_judge import agreement_with_people, judge_board, read_verdict
from toolkit.compare.new_board import start_board
from toolkit.compare.ranking import leaderboard
from toolkit.compare.vote import read_preferences
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.store.queries.boards import judged_rows
from toolkit.toolkit import Toolkit


def make_board(toolkit: Toolkit, mock: MockProvider, *answers: str):
    mock.default = Answer()
    boards = []
    for answer in answers:
        mock.enqueue(answer)
    models = [f"mock/m{number}" for number, _ in enumerate(answers)]
    boards = start_board(toolkit, "Which is larger, 9.11 or 9.9?", models).wait(30)
    return boards


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("A is right.\nVerdict: A", "a"),
        ("**Verdict: B**", "b"),
        ("Verdict: A would be wrong to say.\nverdict: tie.", "tie"),
        ("Both fail. Verdict: bad", "both_bad"),
        ("B", "b"),
        (" Tie. ", "tie"),
        ("I like A better than B", None),
        ("", None),
    ],
)
def test_a_verdict_is_read_where_there_is_one(text, outcome):
    assert read_verdict(text) == outcome


def test_a_judge_is_shown_both_orders_and_its_votes_are_marked(toolkit, mock):
    board = make_board(toolkit, mock, "9.9 is larger", "9.11 is larger")
    board.vote(0)
    better = board.panes[0].text

    mock.requests.clear()
    mock.enqueue("Verdict: A")
    mock.enqueue("Verdict: B")
    done = judge_board(toolkit, board, "mock/judge")
    prompts = [asked.json["messages"][0]["content"] for asked in mock.requests]
    firsts = [prompt.index(board.panes[0].text) < prompt.index(board.panes[1].text)
              for prompt in prompts]  # fmt: skip
    assert sorted(firsts) == [False, True], "each pair in both orders"
    assert (len(done.votes), done.unread) == (1, 0)
    voters = [(vote["voter"], vote["outcome"]) for vote in votes_of(toolkit.store)]
    assert voters[0] == (None, "a") and voters[1][0] == "mock/judge"
    assert better in prompts[0]


def test_a_judge_that_follows_the_position_gives_a_tie(toolkit, mock):
    board = make_board(toolkit, mock, "one", "two")
    mock.default = Answer(text="Verdict: A")
    done = judge_board(toolkit, board, "mock/judge")
    assert [vote.outcome for vote in done.votes] == ["tie"]
    assert done.inconsistent == 1
    mock.default = Answer(text="no idea")
    done = judge_board(toolkit, board, "mock/judge")
    assert (done.votes, done.unread) == ((), 1)


def test_a_judge_that_cannot_be_called_leaves_no_vote(toolkit, mock):
    board = make_board(toolkit, mock, "one", "two")
    mock.default = Answer(text="no such model", status=404)
    with pytest.raises(ToolkitError):
        judge_board(toolkit, board, "mock/judge")
    assert votes_of(toolkit.store) == []
    failed = start_board(toolkit, "Hi", ["mock/a", "mock/b"]).wait(30)
    with pytest.raises(InvalidInput):
        judge_board(toolkit, failed, "mock/judge")


def test_agreement_is_over_the_pairs_that_both_judged():
    def vote(voter, pair, outcome, *, swapped=False):
        a, b = (pair + "2", pair + "1") if swapped else (pair + "1", pair + "2")
        return {"voter": voter, "pane_a": a, "pane_b": b, "outcome": outcome}

    rows = [vote(None, f"p{n}", "a" if n % 2 else "b") for n in range(10)]
    rows += [vote("m/good", f"p{n}", "b" if n % 2 else "a", swapped=True) for n in range(10)]
    rows += [vote("m/bad", f"p{n}", "a") for n in range(10)]
    rows += [vote("m/other", "elsewhere", "a")]
    found = agreement_with_people(rows)
    assert set(found) == {"m/good", "m/bad"}
    assert (found["m/good"].kappa, found["m/good"].n) == (1.0, 10)
    assert found["m/bad"].kappa == 0.0
    assert agreement_with_people([]) == {}


def test_votes_become_preference_data(toolkit, mock):
    board = make_board(toolkit, mock, "first answer", "second answer", "third answer")
    texts = {pane.index: pane.text for pane in board.panes}
    board.vote(1, between=(0, 1), note="#clear")
    board.vote("tie", between=(0, 2))
    found = read_preferences(judged_rows(toolkit.store))
    (row,) = found.rows
    assert row["prompt"] == [{"role": "user", "content": "Which is larger, 9.11 or 9.9?"}]
    assert row["chosen"] == [{"role": "assistant", "content": texts[1]}]
    assert row["rejected"] == [{"role": "assistant", "content": texts[0]}]
    assert (row["chosen_model"], row["voter"], row["note"]) == ("mock/m1", "person", "#clear")
    assert found.left_out == {"ties and answers that are all bad": 1}
    assert [json.loads(line)["vote_id"] for line in found.as_jsonl().splitlines()] == [
        row["vote_id"]
    ]
    assert len(leaderboard(votes_of(toolkit.store))) == 3
