"""Saved views of the Calls page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ui.test_provider_panel import press, words
from toolkit.errors import InvalidInput
from toolkit.toolkit import Toolkit
from toolkit.ui.calls.call_filters import FILE, read_views, save_view
from toolkit.ui.components.named_entries import MAX_ENTRIES


def test_filters_are_saved_shown_again_and_deleted(recorded: Toolkit, open_page: Any) -> None:
    app = open_page("calls", state="error", text="Hello", page="1")
    assert "**1** requests" in words(app) or "**1** request" in words(app)
    app.text_input(key="view-name").set_value("Failures <b>")
    app = press(app, "Save these filters")
    assert not app.exception and not app.error
    assert read_views(recorded.settings) == {
        "Failures <b>": {"state": ["error"], "text": ["Hello"]}
    }
    app = open_page("calls")
    assert "**4** requests" in words(app)
    app.button(key="view-Failures <b>").click().run()
    assert not app.exception
    assert "error" in app.query_params["state"]
    assert "**4** requests" not in words(app)
    app.button(key="view-delete-Failures <b>").click().run()
    assert not app.exception and read_views(recorded.settings) == {}


def test_a_view_needs_a_name_and_a_damaged_file_is_no_error(toolkit: Toolkit) -> None:
    for name in ("", "  ", "x" * 61):
        with pytest.raises(InvalidInput):
            save_view(toolkit.settings, name, {})
    for number in range(MAX_ENTRIES):
        save_view(toolkit.settings, f"view {number}", {"state": ["error"]})
    with pytest.raises(InvalidInput):
        save_view(toolkit.settings, "one more", {})
    save_view(toolkit.settings, "view 7", None)
    assert len(read_views(toolkit.settings)) == MAX_ENTRIES - 1
    (toolkit.settings.home / FILE).write_text("[1, 2", "utf-8")
    assert read_views(toolkit.settings) == {}
    save_view(toolkit.settings, "again", {"model": ["a/b"]})
    assert read_views(toolkit.settings) == {"again": {"model": ["a/b"]}}
