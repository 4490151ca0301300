"""The Leaderboard page: pairs, judges against people, preference data; and a judge on Compare."""

from __future__ import annotations

from typing import Any

from tests.servers import Answer, MockProvider
from tests.ui.test_provider_panel import press, words
from toolkit.compare.board_history import votes_of
from toolkit.compare.model_judge import judge_board
from toolkit.compare.new_board import start_board
from toolkit.toolkit import Toolkit
from toolkit.ui.compare.leaderboard_page import count_wins


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
    pairs = next(f.value for f in app.dataframe if "Wins" in f.value.columns)
    row = pairs[pairs["Wins"] == "1 mock/m1"].iloc[0]
    place = {name.split(" ")[1]: name.split(" ")[0] for name in pairs["Wins"]}
    assert (row["1"], row[place["mock/m2"]], row[place["mock/m3"]]) == ("–", "1/1", "0/1")
    judges = next(f.value for f in app.dataframe if "Judge" in f.value.columns)
    assert list(judges["Judge"]) == ["mock/judge"]
    assert list(judges["Agreement"]) == ["50% of 2"] and list(judges["Votes"]) == [3]
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


def test_votes_are_sliced_by_tag_and_controlled_for_length_and_position(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    mock.enqueue("short", times=1)
    mock.enqueue("a much longer answer than the other one", times=1)
    board = start_board(toolkit, "Hi", ["mock/m1", "mock/m2"]).wait(30)
    for _ in range(5):
        board.vote(0, note="#coding it runs")
    board.vote(1, note="#style")
    app = open_page("leaderboard")
    assert not app.exception and not app.error
    assert "**6 votes**" in words(app)
    assert list(app.pills(key="tag").options) == ["#coding 5", "#style 1"]
    app = open_page("leaderboard", tag="style", control="true")
    assert not app.exception and not app.error
    shown = words(app)
    assert "**1 votes**" in shown or "**1 vote**" in shown
    assert "controlled for length and position" in shown
    assert "An answer twice as long is worth" in shown
    app = open_page("leaderboard", tag="none-has-it")
    assert not app.exception and "No votes match" in words(app)


def test_the_page_proposes_the_next_pair_and_opens_it_blind(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    board = start_board(toolkit, "Hi", ["mock/m1", "mock/m2", "mock/m3"]).wait(30)
    for _ in range(5):
        board.vote(0, between=(0, 1))
    app = open_page("leaderboard")
    assert not app.exception and not app.error
    links = [link.proto.label for link in app.get("page_link") if "m3" in link.proto.label]
    assert links and links[0].startswith("**")
    app = open_page("compare", model=["mock/m1", "mock/m3"], blind="on")
    assert not app.exception
    assert app.toggle(key="compare-blind").value is True
    assert [choice.model for choice in app.session_state["compare"].choices] == [
        "mock/m1",
        "mock/m3",
    ]


def test_the_trade_off_chart_says_how_many_models_are_known_and_gives_its_code(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    board = start_board(toolkit, "Hi", ["mock/m1", "mock/m2"]).wait(30)
    board.vote(0)
    app = open_page("leaderboard")
    assert not app.exception
    shown = words(app)
    assert "**Rating against cost and TTFT, 0 of 2 models known**" in shown.replace("\\", "")
    code = next(block.value for block in app.code if "rating_tradeoff" in block.value)
    found: dict[str, Any] = {}
    exec(compile(code, "snippet", "exec"), found)  # what the page offers to copy runs
    assert list(found["ratings"]["is_front"]) == [False, False]


def test_an_empty_page_has_one_way_to_begin(toolkit: Toolkit, open_page: Any) -> None:
    app = open_page("leaderboard")
    assert not app.exception
    links = [link.proto.label for link in app.get("page_link")]
    assert [button.key for button in app.button].count("first-use") == 1
    assert "Compare two models" not in links
