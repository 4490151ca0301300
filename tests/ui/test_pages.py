"""Each page draws over a real home, says what it is for when empty, and never shows a traceback."""

from __future__ import annotations

import pytest

from tests.servers import Answer
from toolkit.errors import StoreCorrupt

pytestmark = pytest.mark.slow

PAGES = ("home", "compare", "health", "calls", "models", "evals", "regressions", "providers")


def words(app):
    """Everything a person reads on a page."""
    kinds = ("title", "subheader", "markdown", "caption", "text", "code", "error", "success")
    found = [str(element.value) for kind in kinds for element in app.get(kind)]
    return "\n".join(found + [metric.label + " " + metric.value for metric in app.metric])


def labels(app):
    return [button.label for button in app.button]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_draws_on_an_empty_home(name, open_page):
    app = open_page(name)
    assert not app.exception and not app.error
    assert app.title


@pytest.mark.parametrize("name", PAGES)
def test_a_page_draws_over_recorded_calls(name, recorded, open_page):
    app = open_page(name)
    assert not app.exception and not app.error


@pytest.mark.parametrize("name", ["home", "compare", "calls"])
def test_an_empty_page_offers_the_one_button_that_fills_it(name, open_page):
    assert "Ask two models now, no key needed" in labels(open_page(name))


def test_home_counts_what_happened(recorded, open_page):
    app = open_page("home")
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Calls"] == "4" and shown["Failed attempts"] == "1"
    assert shown["Spend"] == "unpriced"


def test_calls_lists_requests_and_sums_them_up(recorded, open_page):
    app = open_page("calls")
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Requests"] == "4" and shown["Failed attempts"] == "1"
    table = app.dataframe[0].value
    assert len(table) == 4
    assert any("MODEL_NOT_FOUND" in state for state in table["state"])
    assert len(app.get("plotly_chart")) == 3
    assert "quantile_cont" in "".join(code.value for code in app.code)


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ({"status": "error"}, 1),
        ({"origin": "compare"}, 2),
        ({"text": "Why is the sky"}, 2),
        ({"text": "no such text anywhere"}, 0),
        ({"model": "mock/mock-large"}, 1),
        ({"provider": "mock", "time": "last hour"}, 4),
        ({"status": "nonsense"}, 4),
    ],
)
def test_filters_live_in_the_address(query, rows, recorded, open_page):
    app = open_page("calls", **query)
    assert not app.exception
    tables = [frame.value for frame in app.dataframe if "TTFT" in frame.value.columns]
    assert sum(len(table) for table in tables) == rows


def test_one_request_opens_with_its_whole_story(recorded, open_page):
    call = recorded.store.rows("SELECT request_id FROM calls WHERE origin = 'compare'")[0]
    app = open_page("calls", request=call["request_id"])
    assert not app.exception
    shown = words(app)
    for part in ("Why is the sky blue", "The sky is blue.", "Think of light.", "└ first"):
        assert part in shown
    assert call["request_id"] in shown


def test_a_failed_request_says_what_the_provider_said(recorded, open_page):
    call = recorded.store.rows("SELECT request_id FROM calls WHERE status = 'error'")[0]
    app = open_page("calls", request=call["request_id"])
    assert not app.exception and app.error
    assert "MODEL" in words(app)


def test_a_request_that_is_not_recorded_is_said_to_be_so(recorded, open_page):
    app = open_page("calls", request="nothing")
    assert not app.exception
    assert "No such request" in words(app)


def wait_for_board(app):
    state = app.session_state["compare"]
    state.running.wait(30)
    return app.run()


def ask(app, *models, prompt="Why?"):
    for model in models:
        app.session_state["compare"].add(model)
    app.run()
    app.text_area(key="compare-prompt").set_value(prompt)
    next(button for button in app.button if button.label == "Run").click()
    return app.run()


def test_two_models_are_asked_and_their_answers_stand_side_by_side(toolkit, mock, open_page):
    mock.default = Answer(text="Because of <b>light</b>.")
    app = wait_for_board(ask(open_page("compare"), "mock/a", "mock/b"))
    assert not app.exception and not app.error
    assert [text.value for text in app.text].count("Because of <b>light</b>.") == 2
    assert len([c for c in app.caption if c.value.startswith("TTFT ")]) == 2
    assert app.get("plotly_chart") and app.dataframe
    assert "tk.compare(" in words(app)


def test_a_vote_is_recorded_and_shown(toolkit, mock, open_page):
    app = wait_for_board(ask(open_page("compare"), "mock/a", "mock/b"))
    app.button(key="vote-1").click().run()
    assert not app.exception
    assert "won" in app.success[0].value
    assert toolkit.store.rows("SELECT outcome FROM votes") == [{"outcome": "b"}]


def test_blind_panes_hide_the_models_until_the_vote(toolkit, mock, open_page):
    app = open_page("compare")
    app.toggle(key="compare-blind").set_value(True)
    app = wait_for_board(ask(app, "mock/first-one", "mock/second-one"))
    panes = [m.value for m in app.markdown]
    assert "**Answer A**" in panes and not any("first" in value for value in panes)
    assert not app.dataframe
    app.button(key="vote-tie").click().run()
    assert any("first" in m.value for m in app.markdown) and app.dataframe
    assert toolkit.store.rows("SELECT is_blind FROM votes") == [{"is_blind": True}]


def test_a_failed_pane_is_a_card_with_a_retry(toolkit, mock, open_page):
    mock.default = Answer(text="the key is odd", status=401)
    app = wait_for_board(ask(open_page("compare"), "mock/a", "nowhere/b"))
    assert not app.exception and len(app.error) == 2
    assert "What to do" in app.error[0].value
    mock.default = Answer(text="now it works")
    retry = next(button for button in app.button if button.label == "Retry")
    app = wait_for_board(retry.click().run())
    assert "now it works" in words(app)


def test_an_empty_prompt_is_told_and_nothing_is_sent(toolkit, mock, open_page):
    app = ask(open_page("compare"), "mock/a", "mock/b", prompt="   ")
    assert "prompt is empty" in app.error[0].value and not mock.requests


def test_parameters_of_a_chip_are_sent(toolkit, mock, open_page):
    app = open_page("compare")
    for model in ("mock/a", "mock/b"):
        app.session_state["compare"].add(model)
    app.run()
    uid = app.session_state["compare"].choices[0].uid
    app.number_input(key=f"temperature-{uid}").set_value(0.5)
    app.text_area(key=f"system-{uid}").set_value("Be brief.")
    wait_for_board(ask(app, prompt="Hi"))
    sent = {request.json["model"]: request.json for request in mock.requests}
    assert sent["a"]["temperature"] == 0.5 and "temperature" not in sent["b"]
    assert sent["a"]["messages"][0] == {"role": "system", "content": "Be brief."}


def test_a_store_that_cannot_be_read_is_a_card_and_no_traceback(toolkit, open_page, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise StoreCorrupt("the store is damaged", hint="Run `toolkit store verify`.")

    monkeypatch.setattr(toolkit.store, "rows", refuse)
    monkeypatch.setattr(toolkit.store, "reading", refuse)
    for name in ("home", "calls"):
        app = open_page(name)
        assert not app.exception and "store is damaged" in app.error[0].value
