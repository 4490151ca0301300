"""The Compare page: variables, templates, branches, and a board shown at its recorded speed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.servers import MockProvider
from tests.ui.test_provider_panel import press, words
from toolkit.compare.board_history import list_branches
from toolkit.compare.board_rows import Branch
from toolkit.compare.conversation import conversations_of
from toolkit.compare.new_board import start_board
from toolkit.errors import InvalidInput
from toolkit.toolkit import Toolkit
from toolkit.ui.compare import session
from toolkit.ui.compare.question import fill_variables, read_templates, save_template, variables_of


def test_a_variable_of_a_prompt_gets_its_value_when_it_is_sent(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    app = open_page("compare", model=["mock/a", "mock/b"], prompt="Weather in {{ city }}? {{unit}}")
    app.text_input(key="variable-city").set_value("Oslo {{ unit }}").run()
    next(button for button in app.button if button.label == "Run").click().run()
    assert not app.exception and not app.error
    running = app.session_state["compare"].running
    running.wait(30)
    sent = [asked.json["messages"][-1]["content"] for asked in mock.requests]
    assert sent == ["Weather in Oslo {{ unit }}? {{unit}}"] * 2


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("no variable { a } {{ 1x }} {{}}", []),
        ("{{a}} {{ b_2 }} {{a}}", ["a", "b_2"]),
        ("{{ " + "x" * 41 + " }}", []),
    ],
)
def test_variables_are_found_once_each_in_order(prompt: str, names: list[str]) -> None:
    assert variables_of(prompt) == names
    assert fill_variables(prompt, {}) == prompt


def test_a_board_is_shown_again_at_its_recorded_speed(
    toolkit: Toolkit, mock: MockProvider, open_page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: now[0]))
    mock.enqueue(chunks=["one ", "two ", "three"], times=2)
    board = start_board(toolkit, "Count", ["mock/a", "mock/b"]).wait(30)
    app = open_page("compare", board=board.board_id)
    asked = len(mock.requests)
    app.button(key="race-start").click().run()
    assert not app.exception and not app.error
    assert app.session_state["compare"].race is not None
    assert "three" not in words(app) and "End replay" in [button.label for button in app.button]
    now[0] += 1_000.0
    app.run()
    assert not app.exception and app.session_state["compare"].race is None
    assert "three" in words(app)
    assert len(mock.requests) == asked, "nothing is sent again"


def test_a_branch_sends_every_model_the_history_of_one_pane(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    mock.enqueue("first answer", times=2)
    first = start_board(toolkit, "one?", ["mock/a", "mock/b"]).wait(30)
    mock.enqueue("second answer", times=2)
    options = {"histories": conversations_of(first)}
    board = start_board(toolkit, "two?", ["mock/a", "mock/b"], options).wait(30)

    app = open_page("compare", board=board.board_id)
    app.button(key="conversation-1").click().run()
    assert not app.exception and not app.error
    assert "first answer" in words(app), "the earlier turns are shown"
    app.button(key="branch-2").click().run()
    assert not app.exception and not app.error
    assert "**2 messages**" in words(app)
    assert app.text_area(key="compare-prompt").value == "two?", "the question that followed"
    app.text_area(key="compare-prompt").set_value("two, but shorter?").run()
    app = press(app, "Run")
    assert not app.exception and not app.error
    app.session_state["compare"].running.wait(30)
    expected = [
        {"role": "user", "content": "one?"},
        {"role": "assistant", "content": "first answer"},
        {"role": "user", "content": "two, but shorter?"},
    ]
    assert [asked.json["messages"] for asked in mock.requests[-2:]] == [expected] * 2
    (row,) = list_branches(toolkit.store, board.board_id, 10)
    again = open_page("compare", board=row["board_id"])
    assert not again.exception and not again.error
    branch = Branch(board_id=board.board_id, pane=1, keep=2)
    assert again.session_state["compare"].board.branch == branch


def test_a_branch_in_the_address_that_does_not_exist_is_an_error_on_the_page(
    recorded: Toolkit, open_page: Any
) -> None:
    board = recorded.store.rows("SELECT board_id FROM boards")[0]["board_id"]
    app = open_page("compare", branch=board, pane="1", keep="7")
    assert not app.exception
    assert "cannot be continued after 7 messages" in words(app).replace("\\", "")
    assert "branch" not in app.query_params


def test_a_system_prompt_of_a_pane_is_sent_once_in_a_follow_up(
    toolkit: Toolkit, mock: MockProvider
) -> None:
    options = {"panes": [{"system": "Be brief."}, {}]}
    board = start_board(toolkit, "one?", ["mock/a", "mock/b"], options).wait(30)
    histories = conversations_of(board)
    assert [[message["role"] for message in history] for history in histories] == [
        ["user", "assistant"]
    ] * 2
    start_board(toolkit, "two?", ["mock/a", "mock/b"], {**options, "histories": histories}).wait(30)
    roles = sorted(
        [message["role"] for message in asked.json["messages"]] for asked in mock.requests[-2:]
    )
    assert roles == [
        ["system", "user", "assistant", "user"],
        ["user", "assistant", "user"],
    ]


def test_a_prompt_is_saved_as_a_template_used_and_deleted(toolkit: Toolkit, open_page: Any) -> None:
    app = open_page("compare", model=["mock/a", "mock/b"], prompt="Weather in {{ city }}?")
    app.text_input(key="template-name").set_value("Weather <b>")
    app = press(app, "Save this prompt")
    assert not app.exception and not app.error
    assert read_templates(toolkit.settings) == {"Weather <b>": "Weather in {{ city }}?"}
    app = open_page("compare", model=["mock/a", "mock/b"])
    app.button(key="template-0").click().run()
    assert not app.exception and not app.error
    assert app.text_area(key="compare-prompt").value == "Weather in {{ city }}?"
    assert app.text_input(key="variable-city") is not None
    app.button(key="template-delete-0").click().run()
    assert not app.exception and read_templates(toolkit.settings) == {}


def test_an_empty_prompt_is_no_template(toolkit: Toolkit) -> None:
    for prompt in ("", "  ", "x" * 20_001):
        with pytest.raises(InvalidInput):
            save_template(toolkit.settings, "name", prompt)
