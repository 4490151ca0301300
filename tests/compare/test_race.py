"""A board shown again at its recorded speed."""

from __future__ import annotations

from toolkit.compare.new_board import start_board
from toolkit.compare.pane import Pane
from toolkit.compare.race import Race, read_race


def test_an_answer_grows_with_its_chunks_and_ends_as_it_was():
    fast = Pane(pane_id="f", index=0, model="a/b", state="done", text="0123456789", duration_ms=120)
    slow = Pane(
        pane_id="s", index=1, model="c/d", state="done", reasoning="think", text="abcde",
        duration_ms=1_000.0,
    )  # fmt: skip
    race = Race(
        panes=(fast, slow), chunk_ms={0: [10.0, 20.0], 1: [100.0 * n for n in range(1, 11)]}
    )
    assert race.length_ms == 1_000.0
    assert [pane.state for pane in race.at(5)] == ["waiting", "waiting"]
    first, second = race.at(15)
    assert (first.state, first.text, first.ttft_ms, second.text) == ("streaming", "01234", 10.0, "")
    first, second = race.at(500)
    assert first == fast
    assert (second.reasoning, second.text) == ("think", "")
    assert race.at(700)[1].text == "ab"
    assert race.at(1_000) == (fast, slow)


def test_a_recorded_board_can_be_shown_again(toolkit, mock):
    mock.enqueue(chunks=["one ", "two ", "three"], chunk_delay_s=0.02, times=2)
    board = start_board(toolkit, "Count", ["mock/a", "mock/b"]).wait(30)
    race = read_race(toolkit.store, board.board_id, board.panes)
    assert race is not None
    assert [len(race.chunk_ms[index]) for index in (0, 1)] == [3, 3]
    middle = race.at(race.chunk_ms[0][1])[0]
    assert (middle.state, middle.text) == ("streaming", "one two t"[:9])
    assert race.at(race.length_ms) == board.panes


def test_a_board_without_times_has_no_race(toolkit, mock):
    mock.enqueue("no", status=404, times=2)
    board = start_board(toolkit, "Count", ["mock/a", "mock/b"]).wait(30)
    assert read_race(toolkit.store, board.board_id, board.panes) is None
