"""The Compare page after a board: shown again at its recorded speed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.servers import MockProvider
from tests.ui.test_provider_panel import words
from toolkit.compare.new_board import start_board
from toolkit.toolkit import Toolkit
from toolkit.ui.compare import session

pytestmark = pytest.mark.slow


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
