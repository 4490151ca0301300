"""Each page draws over a real home, says what it is for when empty, and never shows a traceback."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.servers import Answer
from toolkit.calls.attempt_spec import marked_source
from toolkit.compare.board_history import votes_of
from toolkit.errors import StoreCorrupt
from toolkit.ui.compare.session import CompareState

PAGES = (
    *("home", "compare", "leaderboard", "evals", "regressions", "health", "calls", "spend"),
    *("providers", "models", "settings", "load"),
)


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


def test_spend_shows_a_forecast_and_both_figures_of_calls_that_differ(toolkit, open_page):
    now = datetime.now(UTC)
    for number in range(8):
        toolkit.store.append(
            "calls",
            {"call_id": f"c{number}", "source": "live", "status": "ok", "origin": "api",
             "provider": "p", "model": "p/m", "started_at": now - timedelta(days=number),
             "tags": {"token": "alice"}, "cost_usd": Decimal(1), "cost_source": "reported",
             "cost_reported_usd": Decimal(1), "cost_computed_usd": Decimal("0.5")},
        )  # fmt: skip
    app = open_page("spend", by="token", span="7 d")
    assert not app.exception
    assert "differs from the computed one by more than 1 %" in words(app)
    assert f"Forecast for {now:%B}: " in words(app) and "with 80 % probability" in words(app)


@pytest.mark.parametrize("name", ["home", "compare", "calls"])
def test_an_empty_page_offers_the_one_button_that_fills_it(name, open_page):
    assert "Compare two models now, no key needed" in labels(open_page(name))


def metrics(app):
    return {metric.label: metric.value for metric in app.metric}


def requests_of(app):
    return next((f.value for f in app.dataframe if "Prompt" in f.value.columns), None)


def test_home_counts_what_happened_and_says_what_needs_somebody(recorded, open_page):
    app = open_page("home")
    shown = metrics(app)
    assert shown["Requests"] == "4" and shown["Failed"] == "1" and shown["Spend"] == "–"
    needs = app.dataframe[0].value
    assert "1 failed: no such model" in list(needs["Why"])


def test_reading_home_does_not_mark_the_news_as_seen(recorded, open_page):
    assert metrics(open_page("home"))["Requests"] == "4"
    app = open_page("home")
    assert metrics(app)["Requests"] == "4"
    next(button for button in app.button if button.label == "Mark as seen").click().run()
    assert metrics(open_page("home"))["Requests"] == "0"


def test_calls_lists_requests_with_prompt_and_answer_and_sums_them_up(recorded, open_page):
    app = open_page("calls")
    assert "**4** requests" in words(app) and "**1** failed" in words(app)
    table = requests_of(app)
    assert len(table) == 4
    assert "✕ no such model" in list(table["State"])
    assert "Why is the sky blue?" in list(table["Prompt"])
    assert "The sky is blue." in list(table["Answer"])
    assert "time_bucket" in "".join(code.value for code in app.code)


def test_the_demo_history_is_drawn_until_there_are_calls_of_ones_own(toolkit, open_page):
    with marked_source("demo"):
        for number in range(3):
            toolkit.complete("mock/mock-small", f"Demo {number}", origin="demo")
    app = open_page("calls")
    assert not app.exception
    assert "**3** requests" in words(app) and "Calls of the demo history" in words(app)
    assert "list_contains(['demo'], source)" in "".join(code.value for code in app.code)
    home = open_page("home")
    assert "Compare two models now, no key needed" in labels(home)
    assert "demo history" in " ".join(link.proto.label for link in home.get("page_link"))
    drawn = {"health": "percentiles_over_time", "models": "ecdf", "spend": "calls_by_time"}
    for page, chart in drawn.items():
        app = open_page(page)
        assert not app.exception
        assert "Demo history" in [header.value for header in app.header]
        assert f"tk.charts.{chart}(" in "".join(code.value for code in app.code)

    toolkit.complete("mock/mock-small", "Mine")
    app = open_page("calls")
    assert "**1** request " in words(app) and "Calls of the demo history" not in words(app)
    app = open_page("calls", source="demo")
    assert "**3** requests" in words(app)
    assert metrics(open_page("home"))["Requests"] == "1"
    for page in drawn:
        assert "Demo history" not in [header.value for header in open_page(page).header]

    app.button(key="remove-demo").click().run()
    assert not app.exception
    assert list(toolkit.calls()["source"]) == ["live"]
    assert "**1** request " in words(open_page("calls"))


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ({"state": "error"}, 1),
        ({"origin": "compare"}, 2),
        ({"text": "Why is the sky"}, 2),
        ({"text": "no such text anywhere"}, 0),
        ({"model": "mock/mock-large"}, 1),
        ({"provider": "mock", "span": "1 h"}, 4),
        ({"cause": "MODEL_NOT_FOUND"}, 1),
        ({"span": "…", "from": "2020-01-01", "to": "2020-01-02"}, 0),
    ],
)
def test_filters_live_in_the_address(query, rows, recorded, open_page):
    app = open_page("calls", **query)
    assert not app.exception
    table = requests_of(app)
    assert (0 if table is None else len(table)) == rows
    if not rows:
        assert "None of 4 calls matches" in words(app)


def test_one_request_opens_with_its_whole_story(recorded, open_page):
    call = recorded.store.rows("SELECT request_id FROM calls WHERE origin = 'compare'")[0]
    app = open_page("calls", call=call["request_id"])
    assert not app.exception
    shown = words(app)
    for part in ("Why is the sky blue", "The sky is blue.", "Think of light.", "tk.complete("):
        assert part in shown
    assert "curl " in shown and "Bearer $TOOLKIT_TOKEN" in shown


def test_a_failed_request_says_what_the_provider_said_and_what_to_do(recorded, open_page):
    call = recorded.store.rows("SELECT request_id FROM calls WHERE status = 'error'")[0]
    app = open_page("calls", call=call["request_id"])
    assert not app.exception and app.error
    assert "What to do" in words(app)


def test_a_request_that_is_not_recorded_is_said_to_be_so(recorded, open_page):
    app = open_page("calls", call="nothing")
    assert not app.exception
    assert "This request is not in the database" in words(app)


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


@pytest.mark.parametrize("times", [4, 5, 6])
def test_a_board_that_ends_while_the_page_is_drawn_is_drawn_to_its_end(
    times, toolkit, mock, open_page, monkeypatch
):
    """Whichever part of the page is drawn last while it still runs."""
    app = wait_for_board(ask(open_page("compare"), "mock/a", "mock/b"))
    looks = iter([True] * times)
    monkeypatch.setattr(CompareState, "is_running", property(lambda state: next(looks, False)))
    app.run()
    assert not app.exception
    assert "Stop" not in labels(app) and "Run" in labels(app)
    assert "✓ 2 of 2 done" in str([badge.value for badge in app.get("markdown")])


def test_a_board_has_an_address_that_shows_it_again(toolkit, mock, open_page):
    mock.default = Answer(text="Because of light.")
    app = wait_for_board(ask(open_page("compare"), "mock/a", "mock/b"))
    board_id = app.session_state["compare"].board_id
    again = open_page("compare", board=board_id)
    assert not again.exception and not again.error
    assert [text.value for text in again.text].count("Because of light.") == 2
    assert again.text_area(key="compare-prompt").value == "Why?"


def test_a_link_opens_the_page_filled_in(toolkit, open_page):
    app = open_page("compare", model=["mock/a", "mock/b"], prompt="Why is it so?")
    assert [choice.model for choice in app.session_state["compare"].choices] == ["mock/a", "mock/b"]
    assert app.text_area(key="compare-prompt").value == "Why is it so?"


def test_a_follow_up_goes_on_with_each_conversation(toolkit, mock, open_page):
    mock.default = Answer(text="Because of light.")
    app = wait_for_board(ask(open_page("compare"), "mock/a", "mock/b"))
    app.text_area(key="compare-prompt").set_value("And at night?")
    next(button for button in app.button if button.label == "Follow up").click()
    wait_for_board(app.run())
    sent = mock.requests[-1].json["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert sent[-1]["content"] == "And at night?"


def test_a_vote_is_recorded_and_shown(toolkit, mock, open_page):
    app = wait_for_board(ask(open_page("compare"), "mock/a", "mock/b"))
    app.button(key="vote-1").click().run()
    assert not app.exception
    assert "2 mock/b" in words(app).replace("\\", "")
    assert [vote["outcome"] for vote in votes_of(toolkit.store)] == ["b"]
    app.button(key="vote-undo").click().run()
    assert votes_of(toolkit.store) == []
    app.button(key="vote-0").click().run()
    assert [vote["outcome"] for vote in votes_of(toolkit.store)] == ["a"]


def test_blind_panes_hide_the_models_until_the_vote(toolkit, mock, open_page):
    app = open_page("compare")
    app.toggle(key="compare-blind").set_value(True)
    app = wait_for_board(ask(app, "mock/first-one", "mock/second-one"))
    panes = [m.value for m in app.markdown]
    assert "**1 Answer A**" in panes and not any("first" in value for value in panes)
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
    retry = next(button for button in app.button if button.label == "Send again")
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
