"""The Leaderboard page: pairs, judges against people, preference data; and a judge on Compare."""

from __future__ import annotations

from typing import Any

import pytest

from tests.servers import Answer, MockProvider
from tests.ui.test_provider_panel import press, words
from toolkit.compare.board_history import votes_of
from toolkit.compare.model_judge import judge_board
from toolkit.compare.new_board import start_board
from toolkit.toolkit import Toolkit
from toolkit.ui.compare.leaderboard_page import count_wins

pytestmark = pytest.mark.slow


def test_the_page_shows_who_wins_against_whom_and_how_judges_agree(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    board = start_board(toolkit, "Hi", ["mock/m1", "mock/m2", "mock/m3"]).wait(30)
    board.vote(0, between=(0, 1))
    board.vote("tie", between=(0, 2))
    mock.default = Answer(text="Verdict: tie")
    judge_board(toolkit, board, "mock/judge")
    app = open_page("leaderboard")
    assert not app.exception and not app.error
    pairs = next(f.value for f in app.dataframe if "Won" in f.value.columns)
    row = pairs[pairs["Won"] == "1 mock/m1"].iloc[0]
    place = {name.split(" ")[1]: name.split(" ")[0] for name in pairs["Won"]}
    assert (row["1"], row[place["mock/m2"]], row[place["mock/m3"]]) == ("–", "1/1", "0/1")
    judges = next(f.value for f in app.dataframe if "Judge" in f.value.columns)
    assert list(judges["Judge"]) == ["mock/judge"]
    assert list(judges["agree"]) == ["50% of 2"] and list(judges["votes"]) == [3]
    labels = [button.proto.label for button in app.get("download_button")]
    assert "Preference data (DPO)" in labels


def test_a_judge_is_asked_on_compare_after_its_cost_was_shown(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    board = start_board(toolkit, "Hi", ["mock/m1", "mock/m2"]).wait(30)
    toolkit.catalog.sync("mock")
    toolkit.catalog.override("mock/mock-large", {"price:input": 2, "price:output": 8})
    app = open_page("compare", board=board.board_id)
    app.selectbox(key="judge-model").set_value("mock/mock-large").run()
    assert "2 requests, at most \\$0" in words(app)
    assert votes_of(toolkit.store) == []
    mock.default = Answer(text="Verdict: A")
    app = press(app, "Judge")
    assert not app.exception and not app.error
    assert "1 and 2: **a tie** (decided differently in the two orders)" in words(app)
    assert [vote["voter"] for vote in votes_of(toolkit.store)] == ["mock/mock-large"]


def test_wins_are_counted_for_both_sides_of_a_pair() -> None:
    rows = [
        {"model_a": "x", "model_b": "y", "outcome": outcome} for outcome in ("a", "a", "b", "tie")
    ]
    rows += [{"model_a": "y", "model_b": "x", "outcome": "a"}]
    rows += [{"model_a": "x", "model_b": "x", "outcome": "a"}]
    assert count_wins(rows) == {("x", "y"): (2, 5), ("y", "x"): (2, 5)}
