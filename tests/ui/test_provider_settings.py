"""The settings on a provider's page: each field is saved, validated and used by the next call."""

from __future__ import annotations

from typing import Any

import pytest

from tests.servers import MockProvider
from tests.ui.test_provider_panel import press, words
from toolkit.errors import ContextWindowExceeded, InvalidInput, KeyRequired
from toolkit.providers.provider import ModelSettings, Provider
from toolkit.toolkit import Toolkit
from toolkit.ui.providers.provider_settings import changed_fields, read_parameters


def save(app: Any) -> Any:
    return press(app, "Save settings")


def test_limits_time_outs_and_retries_are_saved_and_reset(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    app = open_page("providers", provider="mock")
    numbers = {
        "rpm": 30, "tpm": 9_000, "rate_window_s": 10.0, "timeout_s": 45.0, "max_retries": 1,
        "retry_initial_s": 0.0, "retry_max_s": 0.0, "retry_factor": 3.0, "sync_interval_s": 3_600.0,
    }  # fmt: skip
    for field, value in numbers.items():
        app.number_input(key=f"{field}-mock").set_value(value)
    app.text_input(key="display-mock").set_value("Scripted <b>server</b>")
    app.checkbox(key="auto-sync-mock").set_value(False)
    app = save(app)
    assert not app.exception and not app.error
    saved = toolkit.providers.require("mock")
    assert {field: getattr(saved, field) for field in numbers} == numbers
    assert (saved.display_name, saved.auto_sync) == ("Scripted <b>server</b>", False)
    mock.enqueue(status=500)
    assert len(toolkit.complete("mock/m", "Hello").attempts) == 2, "one retry, without a wait"

    app = open_page("providers", provider="mock")
    for field in numbers:
        app.number_input(key=f"{field}-mock").set_value(None)
    app = save(app)
    assert not app.exception and not app.error
    assert {getattr(toolkit.providers.require("mock"), field) for field in numbers} == {None}


def test_a_limit_of_zero_that_another_entry_point_set_is_shown(
    toolkit: Toolkit, open_page: Any
) -> None:
    toolkit.providers.update("mock", rpm=0, tpm=0, max_retries=0)
    app = open_page("providers", provider="mock")
    assert not app.exception
    assert app.number_input(key="rpm-mock").value == 0


def test_a_changed_type_is_tested_first_and_decides_the_next_request(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    app = open_page("providers", provider="mock")
    app.text_input(key="url-mock").set_value("http://127.0.0.1:1/v1")
    app = save(app)
    assert app.error and toolkit.providers.require("mock").base_url == mock.base_url
    app = open_page("providers", provider="mock")
    app.selectbox(key="type-mock").set_value("anthropic-compatible")
    app = press(app, "Save without test")
    assert not app.exception and not app.error
    toolkit.complete("mock/m", "Hello", max_tokens=5)
    assert mock.requests[-1].path == "/v1/messages"


def test_the_key_of_a_variable_goes_to_a_new_address_only_when_it_is_approved(
    toolkit: Toolkit, mock: MockProvider, open_page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-" + "e" * 40
    monkeypatch.setenv("OPENAI_API_KEY", key)
    toolkit.providers.update("openai", base_url=mock.base_url, is_local=True, test=False)
    with pytest.raises(KeyRequired, match="not approved"):
        toolkit.complete("openai/gpt-5", "Hello")
    app = open_page("providers", provider="openai")
    assert app.text_input(key="key-env-openai").value.startswith("OPENAI_API_KEY")
    app = press(app, "Save without test")
    assert not app.exception
    with pytest.raises(KeyRequired, match="not approved"):
        toolkit.complete("openai/gpt-5", "Hello")
    app = open_page("providers", provider="openai")
    app.checkbox(key="approve-openai").check()
    app = press(app, "Save without test")
    assert not app.exception and not app.error
    toolkit.complete("openai/gpt-5", "Hello")
    assert mock.requests[-1].headers["authorization"] == f"Bearer {key}"


def test_parameters_and_prompts_of_all_models_are_used_at_once(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    app = open_page("providers", provider="mock")
    app.text_area(key="params-mock-").set_value('{"temperature": 0.25, "stop": ["END"]}')
    app.text_area(key="system-mock-").set_value("Be brief.")
    app.text_area(key="template-mock-").set_value("Q: {text}")
    app.number_input(key="max-input-mock-").set_value(500)
    app = press(app, "Save parameters")
    assert not app.exception and not app.error
    toolkit.complete("mock/m", "why?")
    body = mock.requests[-1].json
    assert (body["temperature"], body["stop"]) == (0.25, ["END"])
    assert [m["content"] for m in body["messages"]] == ["Be brief.", "Q: why?"]
    with pytest.raises(ContextWindowExceeded):
        toolkit.complete("mock/m", "word " * 2_000)


def test_settings_of_one_model_come_before_those_of_all_and_can_be_cleared(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    toolkit.catalog.sync("mock")
    toolkit.providers.update("mock", params={"temperature": 1.0})
    app = open_page("providers", provider="mock")
    app = app.selectbox(key="settings-for-mock").set_value("mock-large").run()
    app.text_area(key="params-mock-mock-large").set_value('{"temperature": 0.5}')
    app = press(app, "Save parameters")
    assert not app.exception and not app.error
    toolkit.complete("mock/mock-large", "why?")
    toolkit.complete("mock/mock-small", "why?")
    assert [asked.json["temperature"] for asked in mock.requests[-2:]] == [0.5, 1.0]
    app = open_page("providers", provider="mock")
    app = app.selectbox(key="settings-for-mock").set_value("mock-large").run()
    assert '"temperature": 0.5' in app.text_area(key="params-mock-mock-large").value
    app.text_area(key="params-mock-mock-large").set_value("")
    app = press(app, "Save parameters")
    assert not app.exception and not dict(toolkit.providers.require("mock").model_settings)


def test_what_cannot_be_saved_is_a_card_and_changes_nothing(
    toolkit: Toolkit, open_page: Any
) -> None:
    app = open_page("providers", provider="mock")
    for field, text, reason in (
        ("params", '{"temperature": ', "not valid JSON"),
        ("params", "[1, 2]", "not a JSON object"),
        ("params", '{"api_key": "x"}', "must not contain"),
        ("template", "no place for the text", "does not contain"),
    ):
        app.text_area(key=f"{field}-mock-").set_value(text)
        app = press(app, "Save parameters")
        assert not app.exception and reason in words(app), text
        app.text_area(key=f"{field}-mock-").set_value("")
    provider = toolkit.providers.require("mock")
    assert not dict(provider.params) and provider.prompt_template is None


def test_only_differences_are_changes() -> None:
    provider = Provider(name="one", rpm=3, system_prompt="Be brief.")
    given = {"rpm": 3, "tpm": None, "system_prompt": "  ", "default_model": "", "is_local": True}
    assert changed_fields(provider, given) == {"system_prompt": None, "is_local": True}
    assert ModelSettings().as_dict() == {}


@pytest.mark.parametrize("text", ["{", "1", '"text"', "{'single': 1}"])
def test_text_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_parameters(text)
