"""A provider's panel: headers without their secrets, named keys, default, models, one question."""

from __future__ import annotations

from typing import Any

import pytest

from tests.servers import Answer, MockProvider
from toolkit.keys.sources import header_key
from toolkit.toolkit import Toolkit

HEADER_SECRET = "tok-" + "v" * 30
KEY = "sk-" + "k" * 40


def words(app: Any) -> str:
    kinds = ("markdown", "caption", "text", "success", "error", "warning", "code")
    return "\n".join(str(element.value) for kind in kinds for element in app.get(kind))


def labels(app: Any) -> list[str]:
    return [button.label for button in app.button]


def press(app: Any, label: str) -> Any:
    return next(button for button in app.button if button.label == label).click().run()


def set_header(app: Any, name: str, value: str) -> Any:
    app.text_input(key="header-name-mock").set_value(name)
    app.text_input(key="header-value-mock").set_value(value)
    return press(app, "Set header")


def test_a_plain_header_is_shown_sent_and_taken_away(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    app = set_header(open_page("providers", provider="mock"), "X-Project", "blue <b>")
    assert not app.exception and not app.error
    assert toolkit.providers.require("mock").headers["X-Project"] == "blue <b>"
    assert "`X-Project`: blue \\<b\\>" in words(app)
    toolkit.complete("mock/mock-small", "Hello")
    assert {k.lower(): v for k, v in mock.requests[-1].headers.items()}["x-project"] == "blue <b>"
    app = press(app, "Delete X-Project")
    assert not app.exception and not dict(toolkit.providers.require("mock").headers)


def test_a_secret_header_is_kept_like_a_key_and_never_comes_back(
    toolkit: Toolkit, open_page: Any
) -> None:
    app = set_header(open_page("providers", provider="mock"), "X-Auth-Token", HEADER_SECRET)
    assert not app.exception and not app.error
    provider = toolkit.providers.require("mock")
    assert provider.secret_headers == ("X-Auth-Token",)
    found = toolkit.keys.find_header(provider, "X-Auth-Token")
    assert found is not None and found.reveal() == HEADER_SECRET
    app = open_page("providers", provider="mock")
    assert "`X-Auth-Token`: …, stored like a key" in words(app)
    assert app.text_input(key="header-value-mock").value == ""
    assert HEADER_SECRET not in words(app) and HEADER_SECRET not in str(app.main)
    assert HEADER_SECRET not in (toolkit.settings.registry_path).read_text("utf-8")


def test_a_header_that_is_not_acceptable_is_a_card_and_changes_nothing(
    toolkit: Toolkit, open_page: Any
) -> None:
    app = open_page("providers", provider="mock")
    for name, value in (("Host", "evil.example"), ("X Bad", "1"), ("X-Line", "a\r\nb")):
        app = set_header(app, name, value)
        assert not app.exception and app.error, name
    app = set_header(app, "", "1")
    assert "Nothing was changed" in words(app)
    assert not dict(toolkit.providers.require("mock").headers)


def test_several_named_keys_are_stored_and_deleted_one_by_one(
    toolkit: Toolkit, open_page: Any
) -> None:
    app = open_page("providers", provider="mock")
    for name, value in (("default", KEY), ("second", KEY[:-1] + "2")):
        app.text_input(key="new-key-mock").set_value(value)
        app.text_input(key="key-name-mock").set_value(name)
        app = press(app, "Save key")
        assert not app.exception and not app.error
    provider = toolkit.providers.require("mock")
    assert [place.name for place in toolkit.keys.list(provider)] == ["default", "second"]
    second = toolkit.keys.resolve(provider, name="second")
    assert second is not None and second.secret.reveal() == KEY[:-1] + "2"
    assert KEY not in words(app) and KEY not in str(app.main)
    app = press(app, next(label for label in labels(app) if label.startswith("Delete second")))
    assert not app.exception
    assert [place.name for place in toolkit.keys.list(provider)] == ["default"]
    assert header_key("x") not in {place.name for place in toolkit.keys.list(provider)}


def test_a_key_is_checked_before_it_is_stored_unless_told_otherwise(
    toolkit: Toolkit, mock: MockProvider, open_page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOCK_KEY", "sk-" + "e" * 40)
    toolkit.providers.update("mock", key_env=("MOCK_KEY",))
    mock.default = Answer(text="Incorrect API key", status=401)
    app = open_page("providers", provider="mock")
    app.text_input(key="new-key-mock").set_value(KEY)
    app = press(app, "Save key")
    assert not app.exception and "nothing was stored" in words(app)
    assert "“Save without check”" in words(app) and "`--no-check`" not in words(app)
    app.text_input(key="new-key-mock").set_value(KEY)
    app = press(app, "Save without check")
    assert not app.exception and not app.error
    assert [place.source for place in toolkit.keys.list("mock")] == ["environment", "keyring"]
    app = press(app, next(label for label in labels(app) if label.startswith("Delete default")))
    assert "calls now use …eeee" in words(app).replace("\\", "")


def test_a_locked_file_of_keys_is_unlocked_on_the_page(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    toolkit.keys.unlock_vault("correct horse battery")
    toolkit.keys.set("mock", KEY, store="vault", check=False)
    toolkit.keys.stores.vault._keys.clear()  # as after a start
    toolkit.keys.stores._values.clear()
    app = open_page("providers")
    assert "is locked" in words(app)
    app.text_input(key="unlock-passphrase").set_value("another passphrase")
    app = press(app, "Unlock")
    assert not app.exception and app.error and toolkit.keys.is_vault_locked()
    app.text_input(key="unlock-passphrase").set_value("correct horse battery")
    app = press(app, "Unlock")
    assert not app.exception and "is locked" not in words(app)
    assert toolkit.keys.get("mock", reveal=True) == KEY


def test_one_provider_is_the_default_until_it_is_no_more(toolkit: Toolkit, open_page: Any) -> None:
    app = press(open_page("providers", provider="mock"), "Set as default")
    assert not app.exception and toolkit.providers.require("mock").is_default
    app = open_page("providers", provider="mock")
    assert "default" in words(app)
    press(app, "Unset default")
    assert not toolkit.providers.require("mock").is_default


def test_models_are_listed_one_is_made_usual_and_asked(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    app = press(open_page("providers", provider="mock"), "List models now")
    assert not app.exception and not app.error
    assert "mock lists 3 models: 3 new, 0 gone" in words(app).replace("\\", "")
    toolkit.providers.update("mock", default_model="mock-large")
    mock.default = Answer(text="Good day <img src=x>.")
    app = press(open_page("providers", provider="mock"), "Try it")
    assert not app.exception and not app.error
    assert [t.value for t in app.text if "Good day" in t.value] == ["Good day <img src=x>."]
    assert mock.requests[-1].json["model"] == "mock-large"
    (call,) = toolkit.store.rows("SELECT origin, status FROM calls")
    assert call == {"origin": "chat", "status": "ok"}


def test_a_failed_question_is_a_card(toolkit: Toolkit, mock: MockProvider, open_page: Any) -> None:
    toolkit.providers.update("mock", default_model="mock-small")
    mock.default = Answer(text="no such model", status=404)
    app = press(open_page("providers", provider="mock"), "Try it")
    assert not app.exception and "MODEL_NOT_FOUND" in words(app)


def test_an_address_that_names_a_removed_provider_says_so(toolkit: Toolkit, open_page: Any) -> None:
    toolkit.providers.remove("mock")
    for name in ("mock", "nobody-at-all"):
        app = open_page("providers", provider=name)
        assert not app.exception


def test_a_stored_key_is_rotated_once_the_provider_accepts_the_new_one(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    toolkit.providers.update("mock", default_model="mock-small", needs_key=True)
    toolkit.keys.set("mock", KEY, check=False)
    fresh = "sk-" + "n" * 40
    mock.default = Answer(text="Incorrect API key", status=401)
    app = open_page("providers", provider="mock")
    app.text_input(key="rotate-key-mock").set_value(fresh)
    app = press(app, "Check and replace")
    assert not app.exception and app.error
    held = toolkit.keys.active("mock")
    assert held is not None and held.fingerprint.startswith("…kkkk")
    mock.default = Answer()
    app = open_page("providers", provider="mock")
    app.checkbox(key="rotate-call-mock").check()  # the mock lists its models without a key
    app.text_input(key="rotate-key-mock").set_value(fresh)
    app = press(app, "Check and replace")
    assert not app.exception
    assert [error.value for error in app.error] == []
    assert "The key default of mock is replaced." in words(app).replace("\\", "")
    held = toolkit.keys.active("mock")
    assert held is not None and held.fingerprint.startswith("…nnnn")
    assert fresh not in words(app)
