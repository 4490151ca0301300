"""The Compare page: variables of a prompt, and a board shown again at its recorded speed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.servers import MockProvider
from tests.ui.test_provider_panel import words
from toolkit.compare.new_board import start_board
from toolkit.toolkit import Toolkit
from toolkit.ui.compare import session
from toolkit.ui.compare.prompt_variables import fill_variables, variables_of

pytestmark = pytest.mark.slow


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
