"""The page Settings: every setting with its meaning, and a change that leaves the file readable."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from tests.ui.test_provider_panel import press, words
from toolkit.errors import InvalidInput
from toolkit.settings import Settings
from toolkit.toolkit import Toolkit
from toolkit.ui.settings.settings_page import FILE, as_text, change_setting, list_settings


def test_a_setting_is_changed_and_taken_back_on_the_page(toolkit: Toolkit, open_page: Any) -> None:
    path = toolkit.settings.home / FILE
    path.write_text("# mine\nmax_retries = 5\n", "utf-8")
    app = open_page("settings", setting="daily_budget_usd")
    app.text_input[-1].set_value("2.5")
    app = press(app, "Save")
    assert not app.exception and not app.error
    assert path.read_text("utf-8") == "# mine\nmax_retries = 5\ndaily_budget_usd = 2.5\n"
    app = open_page("settings", setting="daily_budget_usd")
    app.text_input[-1].set_value("much")
    app = press(app, "Save")
    assert not app.exception and "cannot be" in words(app)
    app.text_input[-1].set_value("")
    app = press(app, "Save")
    assert not app.exception and path.read_text("utf-8") == "# mine\nmax_retries = 5\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("chains", '{"spare" = ["a/m", "b/m"]}'),
        ("budgets", '{"provider:openai" = 5, "tag:team=\\"x\\"" = 0.5}'),
        ("processors", '["mask", "limit"]'),
        ("objectives", '{"default" = {"availability" = 0.99}}'),
        ("proxy", "http://proxy.example:3128"),
        ("metrics_open", "true"),
        ("max_retries", "4"),
    ],
)
def test_what_is_shown_can_be_saved_again(toolkit: Toolkit, name: str, text: str) -> None:
    change_setting(toolkit.settings, name, text)
    home = toolkit.settings.home
    shown = {one.name: one for one in list_settings(Settings(home=home))}[name]
    assert (shown.value, shown.source) == (text, FILE)
    change_setting(toolkit.settings, name, shown.value)
    assert {one.name: one.value for one in list_settings(Settings(home=home))}[name] == text


def test_every_setting_has_a_meaning_and_no_secret_is_shown(toolkit: Toolkit) -> None:
    found = list_settings(toolkit.settings)
    assert {one.name for one in found} == set(Settings.model_fields)
    assert [one.name for one in found if not one.meaning] == []
    assert as_text(SecretStr("https://hook.example/secret")) == "set"


def test_what_is_no_setting_or_not_its_value_is_refused(toolkit: Toolkit) -> None:
    for name, text in (("no_such", "1"), ("home", "/tmp"), ("max_retries", "many")):
        with pytest.raises(InvalidInput):
            change_setting(toolkit.settings, name, text)
    assert not (toolkit.settings.home / FILE).exists()
