"""A board: panes stream at once, fail alone, can be stopped and retried, and are all recorded."""

from __future__ import annotations

import json
import time

import pytest
from pydantic import BaseModel

from tests.servers import Answer
from toolkit.compare.new_board import start_board
from toolkit.errors import InvalidInput, StoreError

TEN = "one two three four five six seven eight nine ten"


def until(condition, timeout_s=10.0):
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


def test_a_board_has_every_answer_with_its_numbers_and_a_row_for_each(toolkit, mock):
    mock.default = Answer(text=TEN)
    board = toolkit.compare("Count", ["mock/mock-small", "mock/mock-large"])
    assert [pane.state for pane in board.panes] == ["done", "done"]
    assert all(pane.text == TEN and pane.output_tokens == 10 for pane in board.panes)
    frame = board.frame()
    assert frame["ttft_ms"].notna().all() and frame["model"].tolist() == [
        "mock/mock-small",
        "mock/mock-large",
    ]
    assert frame["cost_usd"].isna().all()  # no price is known: unpriced, never zero
    calls = toolkit.calls(origin="compare")
    assert set(calls["origin_id"]) == {board.board_id}
    panes = toolkit.store.rows("SELECT * FROM panes ORDER BY position")
    assert [row["call_id"] for row in panes] == [pane.call_id for pane in board.panes]
    stored = toolkit.store.rows("SELECT * FROM boards")
    assert stored[0]["board_id"] == board.board_id
    assert json.loads(stored[0]["messages"]) == [{"role": "user", "content": "Count"}]


def test_panes_stream_at_the_same_time(toolkit, mock):
    """Both panes have begun and neither is done: no pane waits for another."""
    mock.default = Answer(text=TEN, chunk_delay_s=0.1)
    running = start_board(toolkit, "Count", ["mock/a", "mock/b"])
    together = until(
        lambda: (
            [p for p in running.panes if p.state == "streaming" and len(p.text) > 4]
            if sum(p.state == "streaming" for p in running.panes) == 2
            else None
        )
    )
    assert together
    board = running.wait(20)
    first = [request.stamps for request in mock.requests]
    assert max(stamps[0] for stamps in first) < min(stamps[-1] for stamps in first)
    assert all(pane.text == TEN for pane in board.panes)


def test_a_live_pane_counts_with_estimates_and_ends_with_the_providers_own_count(toolkit, mock):
    mock.default = Answer(text=TEN, chunk_delay_s=0.05, usage={"completion_tokens": 77})
    running = start_board(toolkit, "Count", ["mock/a", "mock/b"])
    live = until(lambda: next((p for p in running.panes if (p.output_tokens or 0) >= 3), None))
    assert live.is_estimate and live.ttft_ms > 0 and live.output_tps > 0
    assert TEN.startswith(live.text.strip())
    over = running.wait(20).panes[0]
    assert (over.output_tokens, over.is_estimate) == (77, False)
    assert over.output_tps == over.reply.timing.output_tps


def test_one_failing_pane_never_touches_the_others(toolkit, mock):
    mock.default = Answer(text=TEN, chunk_delay_s=0.03)
    board = start_board(
        toolkit, "Count", ["mock/a", "nowhere/b", "mock/c"], {"max_tokens": 50}
    ).wait(20)
    assert [pane.state for pane in board.panes] == ["done", "failed", "done"]
    failed = board.panes[1]
    assert failed.error.code == "PROVIDER_NOT_FOUND" and failed.error.hint
    assert board.frame()["error_code"].notna().tolist() == [False, True, False]
    states = toolkit.store.rows("SELECT state, error_code FROM panes ORDER BY position")
    assert states[1] == {"state": "failed", "error_code": "PROVIDER_NOT_FOUND"}


def test_a_pane_that_the_provider_refused_keeps_its_words_and_its_row(toolkit, mock):
    mock.default = Answer(text="no such thing here", status=404)
    board = start_board(toolkit, "Count", ["mock/a", "mock/b"]).wait(20)
    for pane in board.panes:
        assert pane.state == "failed"
        assert "no such thing here" in pane.error.provider_message
        assert pane.attempts[-1].http_status == 404
        assert pane.call_id == pane.attempts[-1].call_id


def test_a_stream_that_breaks_keeps_what_had_come(toolkit, mock):
    mock.default = Answer(text=TEN, drop_after=3, chunk_delay_s=0.05)
    board = start_board(toolkit, "Count", ["mock/a", "mock/b"]).wait(30)
    for pane in board.panes:
        assert pane.state == "failed"
        assert pane.text == "one two three "


def test_stop_ends_all_panes_and_each_call_is_recorded_as_cancelled(toolkit, mock):
    mock.default = Answer(text=TEN, chunk_delay_s=0.3)
    running = start_board(toolkit, "Count", ["mock/a", "mock/b"])
    until(lambda: all(pane.text for pane in running.panes))
    running.stop()
    board = running.wait(5)
    assert [pane.state for pane in board.panes] == ["stopped", "stopped"]
    assert all(0 < len(pane.text) < len(TEN) for pane in board.panes)
    statuses = toolkit.calls(origin_id=board.board_id)["status"].tolist()
    assert statuses == ["cancelled", "cancelled"]
    until(lambda: all(request.closed_early for request in mock.requests))


def test_one_pane_can_be_stopped_alone(toolkit, mock):
    mock.default = Answer(text=TEN, chunk_delay_s=0.1)
    running = start_board(toolkit, "Count", ["mock/a", "mock/b"])
    until(lambda: running.panes[0].text)
    running.stop(0)
    board = running.wait(20)
    assert [pane.state for pane in board.panes] == ["stopped", "done"]
    waiting = next(trace for trace in board.figure().data if trace.name == "waiting")
    assert len(waiting.y) == 2


def test_a_board_stopped_before_it_began_is_over(toolkit):
    running = start_board(toolkit, "Count", ["mock/a", "mock/b"])
    running.stop()
    board = running.wait(10)
    assert {pane.state for pane in board.panes} <= {"stopped", "done"}


def test_a_failed_pane_can_be_retried_and_the_others_stay(toolkit, mock):
    mock.enqueue("refused", status=400, times=1)
    mock.default = Answer(text=TEN)
    running = start_board(toolkit, "Count", ["mock/a", "mock/b"])
    board = running.wait(20)
    failed = next(pane for pane in board.panes if pane.state == "failed")
    kept = next(pane for pane in board.panes if pane.state == "done")
    running.retry(failed.index)
    again = running.wait(20)
    assert [pane.state for pane in again.panes] == ["done", "done"]
    assert again.panes[kept.index] == kept
    assert again.panes[failed.index].pane_id != failed.pane_id
    assert len(toolkit.store.rows("SELECT 1 FROM panes")) == 3
    with pytest.raises(InvalidInput):
        running.retry(7)


def test_a_board_that_nobody_watches_stops_by_itself(toolkit, mock):
    mock.default = Answer(text=TEN, chunk_delay_s=0.5)
    running = start_board(toolkit, "Count", ["mock/a", "mock/b"])
    running.stop_when_unwatched(0.2)
    assert all(pane.state == "stopped" for pane in running.wait(10).panes)


def test_a_board_whose_page_is_still_there_goes_on(toolkit, mock):
    mock.default = Answer(text="a b c d", chunk_delay_s=0.3)
    running = start_board(toolkit, "Count", ["mock/a", "mock/b"])
    running.stop_when_unwatched(0.1, lambda: True)
    assert all(pane.state == "done" for pane in running.wait(10).panes)


def test_each_pane_has_options_of_its_own_beside_the_shared_ones(toolkit, mock):
    options = {"max_tokens": 9, "panes": [{"temperature": 0.0}, {"temperature": 1.0}]}
    board = start_board(toolkit, "Hi", ["mock/a", "mock/a"], options).wait(20)
    asked = sorted(request.json["temperature"] for request in mock.requests)
    assert asked == [0.0, 1.0]
    assert {request.json["max_tokens"] for request in mock.requests} == {9}
    assert board.panes[1].params == {"max_tokens": 9, "temperature": 1.0}


def test_a_key_given_for_a_board_is_sent_and_stands_in_no_row_and_no_repr(toolkit, mock):
    key = "sk-" + "q" * 40
    board = start_board(toolkit, "Hi", ["mock/a", "mock/b"], {"api_key": key}).wait(20)
    assert {request.headers["authorization"] for request in mock.requests} == {f"Bearer {key}"}
    shown = repr(board) + str(board.frame().to_dict()) + board._repr_html_()
    rows = [toolkit.store.rows(f"SELECT * FROM {table}") for table in ("boards", "panes", "calls")]
    assert key not in shown and key not in str(rows)


def test_a_prompt_is_not_stored_where_recording_is_off(toolkit, mock, monkeypatch):
    monkeypatch.setattr(
        toolkit, "settings", toolkit.settings.model_copy(update={"recording": "off"})
    )
    start_board(toolkit, "a private question", ["mock/a", "mock/b"]).wait(20)
    assert toolkit.store.rows("SELECT messages FROM boards") == [{"messages": None}]


@pytest.mark.parametrize(
    ("prompt", "models", "options"),
    [
        ("Hi", ["mock/a"], {}),
        ("Hi", ["mock/a"] * 9, {}),
        ("Hi", "mock/a", {}),
        ("  ", ["mock/a", "mock/b"], {}),
        ([], ["mock/a", "mock/b"], {}),
        ("Hi", ["mock/a", "mock/b"], {"panes": [{}]}),
        ("Hi", 5, {}),
        ("Hi", None, {}),
        ("Hi", ["mock/a", "mock/b"], {"timout_s": 5}),
        ("Hi", ["mock/a", "mock/b"], {"panes": [{}, {"fallback": ["mock/c"]}]}),
        ("Hi", ["mock/a", "mock/b"], {"temperature": float("nan")}),
        ("Hi", ["mock/a", "mock/b"], {"tools": len}),
    ],
)
def test_what_is_no_board_is_refused_before_anything_is_sent(
    toolkit, mock, prompt, models, options
):
    with pytest.raises(InvalidInput):
        start_board(toolkit, prompt, models, options)
    assert not mock.requests


def test_a_board_with_functions_and_a_pydantic_class_is_recorded_as_it_was_sent(toolkit, mock):
    class Town(BaseModel):
        """A town."""

        name: str

    def find_town(name: str) -> str:
        """Find a town."""
        return name

    options = {"tools": [find_town], "panes": [{}, {"response_format": Town}]}
    start_board(toolkit, "Where?", ["mock/a", "mock/b"], options).wait(20)
    assert toolkit.store.rows("SELECT count(*) AS n FROM boards") == [{"n": 1}]
    first, second = toolkit.store.rows(
        "SELECT params::VARCHAR AS params FROM panes ORDER BY position"
    )
    assert "find_town" in first["params"] and "json_schema" in second["params"]
    assert all(request.json["tools"] for request in mock.requests)


def test_a_vote_is_a_row_for_each_pair_it_decides(toolkit, mock):
    board = start_board(toolkit, "Hi", ["mock/a", "mock/b", "mock/c"], {"blind": True}).wait(20)
    votes = board.vote(1, note="clearer")
    assert [(vote.model_a, vote.model_b, vote.outcome) for vote in votes] == [
        ("mock/a", "mock/b", "b"),
        ("mock/b", "mock/c", "a"),
    ]
    rows = toolkit.store.rows("SELECT * FROM votes")
    assert {row["vote_id"] for row in rows} == {vote.vote_id for vote in votes}
    assert all(row["is_blind"] and row["note"] == "clearer" for row in rows)
    assert len(board.vote("tie")) == 3
    assert len(board.vote("both_bad", between=(0, 2))) == 1
    for bad in (7, "maybe"):
        with pytest.raises(InvalidInput):
            board.vote(bad)
    with pytest.raises(InvalidInput):
        board.vote(1, between=(0, 2))


def test_a_store_that_takes_no_rows_costs_no_answer_but_refuses_a_vote(toolkit, mock, monkeypatch):
    def refuse(*_):
        raise StoreError("the disk is full")

    monkeypatch.setattr(toolkit.store, "append", refuse)
    monkeypatch.setattr(toolkit.store, "append_many", refuse)
    board = start_board(toolkit, "Hi", ["mock/a", "mock/b"]).wait(20)
    assert [pane.state for pane in board.panes] == ["done", "done"]
    with pytest.raises(StoreError):
        board.vote("tie")


def test_the_notebook_card_shows_model_text_as_text(toolkit, mock):
    mock.default = Answer(text="<img src=x onerror=alert(1)> & done")
    card = start_board(toolkit, "<b>Hi</b>", ["mock/a", "mock/b"]).wait(20)._repr_html_()
    assert "<img" not in card and "&lt;img" in card and "<b>Hi" not in card


def test_the_figure_has_every_pane_on_one_axis(toolkit, mock):
    mock.default = Answer(text=TEN, reasoning="let me think", chunk_delay_s=0.02)
    board = start_board(toolkit, "Hi", ["mock/a", "mock/b"]).wait(20)
    figure = board.figure()
    names = {trace.name for trace in figure.data}
    assert {"waiting", "reasoning", "answering"} <= names
    assert list(figure.layout.yaxis.categoryarray) == ["2. mock/b", "1. mock/a"]
