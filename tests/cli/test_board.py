"""`toolkit board` finds what was compared, takes votes, and ranks by them."""

from __future__ import annotations

import pytest

from tests.cli.shell import run, run_json
from tests.servers import Answer, MockProvider
from toolkit.compare.board_history import as_panes, panes_of
from toolkit.compare.board_rows import append_votes
from toolkit.compare.new_board import start_board
from toolkit.compare.vote import judge
from toolkit.toolkit import current


@pytest.fixture
def board(provider: MockProvider) -> str:
    """A board of two models; the second one fails."""
    provider.enqueue("The sky is [bold]blue[/bold].")
    provider.enqueue("Because of the light.")
    board = start_board(current(), "Why is the sky blue?", ["mock/small", "mock/large"], {})
    board_id = str(board.wait(30).board_id)
    current().close()
    return board_id


def test_an_empty_home_says_what_makes_a_board():
    done = run("board", "list")
    assert (done.returncode, done.stdout) == (0, "")
    assert "toolkit chat" in done.stderr
    assert run_json("board", "leaderboard") == []


def test_a_board_is_listed_and_shown_with_its_answers_as_plain_text(board):
    (row,) = run_json("board", "list")
    assert (row["board_id"], row["models"], row["votes"]) == (
        board,
        ["mock/large", "mock/small"],
        0,
    )
    assert "Why is the sky blue?" in run("board", "list").stdout
    shown = run("board", "show", board[-8:]).stdout
    assert "Why is the sky blue?" in shown
    assert "[bold]blue[/bold]" in shown
    whole = run_json("board", "show", board)
    assert sorted(pane["output_text"] for pane in whole["panes"]) == [
        "Because of the light.",
        "The sky is [bold]blue[/bold].",
    ]


def test_votes_make_the_leaderboard(board):
    assert run("board", "vote", board, "2", "--note", "clearer").returncode == 0
    (vote,) = run_json("board", "vote", board, "tie")
    assert (vote["outcome"], vote["board_id"]) == ("tie", board)
    rows = run_json("board", "leaderboard")
    assert [(row["model"], row["wins"], row["ties"]) for row in rows] == [
        ("mock/large", 1, 1),
        ("mock/small", 0, 1),
    ]
    assert rows[0]["low"] <= rows[0]["rating"] <= rows[0]["high"]
    assert "mock/large" in run("board", "leaderboard").stdout
    assert run_json("board", "list")[0]["votes"] == 2


def test_the_leaderboard_counts_the_votes_of_a_tag_of_judges_or_controlled_for_length(board):
    run("board", "vote", board, "2", "--note", "#short and clear")
    run("board", "vote", board, "1")
    panes = as_panes(panes_of(current().store, board))
    append_votes(current().store, judge(board, panes, 0, voter="mock/judge"))
    current().close()

    def wins(*options: str) -> dict[str, int]:
        rows = run_json("board", "leaderboard", *options)
        return {row["model"]: row["wins"] for row in rows}

    assert wins() == {"mock/small": 1, "mock/large": 1}  # people only
    assert wins("--tag", "#Short") == {"mock/small": 0, "mock/large": 1}
    assert wins("--voters", "judges") == {"mock/small": 1, "mock/large": 0}
    assert sum(wins("--voters", "both").values()) == 3
    controlled = run("board", "leaderboard", "--control")
    assert "twice as long" in controlled.stderr and "mock/small" in controlled.stdout
    assert "no vote between" in run("board", "leaderboard", "--tag", "none").stderr.lower()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("vote", "BOARD", "3"), "'3' is not a pane"),
        (("vote", "BOARD", "0"), "'0' is not a pane"),
        (("vote", "BOARD", "best"), "'best' is not a pane"),
        (("vote", "BOARD", "1", "--between", "1"), "does not name two panes"),
        (("vote", "BOARD", "1", "--between", "2,2"), "two different panes"),
        (("vote", "nothing", "1"), "there is no board"),
        (("show", "nothing"), "there is no board"),
        (("show", ""), "there is no board"),
    ],
)
def test_nonsense_is_refused_in_words(board, words, said):
    done = run("board", *(board if word == "BOARD" else word for word in words))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_beginning_of_two_boards_is_not_enough(board, provider):
    provider.default = Answer(text="yes")
    start_board(current(), "Again?", ["mock/small", "mock/large"], {}).wait(30)
    current().close()
    done = run("board", "show", board[:4])
    assert done.returncode == 2 and "several boards" in done.stderr
