"""What one browser session holds of the Compare page: chosen models, the board, its votes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import streamlit as st

from toolkit.compare.board_rows import Branch
from toolkit.compare.board_view import pane_names
from toolkit.compare.conversation import branch_history, conversations_of
from toolkit.compare.new_board import MAX_PANES, Board, RunningBoard, start_board
from toolkit.compare.pane import Pane
from toolkit.compare.race import Race, read_race
from toolkit.compare.vote import Vote
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.records import Message
from toolkit.toolkit import Toolkit
from toolkit.ui.compare.saved_board import find_running, prompt_text, read_board, remember

UNWATCHED_STOP_S: Final = 10.0
_ids = count(1)


@dataclass(slots=True)
class Choice:
    """One model that will be asked: `uid` keeps its widgets apart, `params` are its own."""

    uid: int
    model: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class CompareState:
    """The Compare page of one session.

    Attributes:
        choices: the models to ask, in order.
        shared: parameters of all panes that have none of their own.
        running: the board that is shown, while this process knows it running or over.
        saved: the board that is shown, read from the database.
        is_blind: names of that board are hidden until it is judged.
        votes: what was voted on that board in this session; they can be undone.
        voted: the same in words; None before.
        trouble: an expected failure to show on the next run.
        added: how many models were ever added; it names the box that adds the next.
        race: the board shown once more as it streamed; None: it is shown as it ended.
        race_began: when that began, monotonic seconds.
        race_speed: how many times as fast as it was.
        next_prompt: what to put into the prompt box when it is next drawn.
        branch: the conversation that the next question continues, or None.
        history: the messages of that conversation.
    """

    choices: list[Choice] = field(default_factory=list)
    shared: dict[str, Any] = field(default_factory=dict)
    running: RunningBoard | None = None
    saved: Board | None = None
    is_blind: bool = False
    votes: tuple[Vote, ...] = ()
    voted: str | None = None
    trouble: ToolkitError | None = None
    next_prompt: str | None = None
    added: int = 0
    race: Race | None = None
    race_began: float = 0.0
    race_speed: float = 1.0
    branch: Branch | None = None
    history: tuple[Message, ...] = ()

    @property
    def is_running(self) -> bool:
        """Whether a board still streams."""
        return self.running is not None and not self.running.is_over

    @property
    def hides_names(self) -> bool:
        """Whether the panes' models are still secret."""
        return self.is_blind and self.voted is None

    @property
    def board_id(self) -> str | None:
        """Id of the board that is shown."""
        if self.running is not None:
            return self.running.board_id
        return self.saved.board_id if self.saved is not None else None

    @property
    def board(self) -> Board | None:
        """The current state of the board that is shown."""
        return self.running.board() if self.running is not None else self.saved

    def add(self, model: str, params: Mapping[str, Any] | None = None) -> None:
        """One more model, up to the most a board can hold."""
        self.added += 1
        if len(self.choices) < MAX_PANES and model.strip():
            self.choices.append(Choice(next(_ids), model.strip(), dict(params or {})))

    def remove(self, uid: int) -> None:
        """One model less."""
        self.choices = [choice for choice in self.choices if choice.uid != uid]

    def show(self, toolkit: Toolkit, board_id: str) -> None:
        """Show the board of this id, and choose its models for the next question.

        Raises:
            InvalidInput: there is no such board.
            StoreError: the database cannot be read.
        """
        if self.board_id == board_id:
            return
        running = find_running(board_id)
        self.running, self.saved = running, None
        if running is None:
            self.saved = read_board(toolkit, board_id)
        board = self.board
        assert board is not None
        self.is_blind, self.votes, self.voted, self.race = False, (), None, None
        self.branch, self.history = None, ()
        self._choose_models_of(board)

    def begin_branch(self, toolkit: Toolkit, branch: Branch) -> None:
        """Begin a board that continues the conversation of a pane, with the models of its board.

        Raises:
            InvalidInput: there is no such board, or no such turn of its conversation.
            StoreError: the database cannot be read.
        """
        running = find_running(branch.board_id)
        board = running.board() if running else read_board(toolkit, branch.board_id)
        history, following = branch_history(board, branch)
        self.clear()
        self._choose_models_of(board)
        self.branch, self.history = branch, tuple(history)
        self.next_prompt = prompt_text([following]) if following else ""

    def _choose_models_of(self, board: Board) -> None:
        self.choices = [Choice(next(_ids), pane.model, dict(pane.params)) for pane in board.panes]

    def start_race(self, speed: float) -> None:
        """Show the board once more as it streamed.

        Raises:
            InvalidInput: no times were recorded.
            StoreError: the database cannot be read.
        """
        board = self.board
        race = read_race(board.store, board.board_id, board.panes) if board else None
        if race is None:
            raise InvalidInput("no times of this board were recorded", hint="Run it again.")
        self.race, self.race_began, self.race_speed = race, time.monotonic(), speed

    def race_ms(self) -> float | None:
        """How far the race is, milliseconds of recorded time; None: none, or it is over."""
        if self.race is None:
            return None
        elapsed_ms = (time.monotonic() - self.race_began) * 1000 * self.race_speed
        return elapsed_ms if elapsed_ms < self.race.length_ms else None

    def clear(self) -> None:
        """A new board: the models stay, the answers go."""
        self.running = self.saved = self.race = None
        self.is_blind, self.votes, self.voted, self.trouble = False, (), None, None
        self.branch, self.history = None, ()

    def ask(
        self,
        toolkit: Toolkit,
        prompt: str | Sequence[Message],
        *,
        is_blind: bool = False,
        follows: bool = False,
    ) -> None:
        """Ask every chosen model; what is expected to fail becomes `trouble`.

        Args:
            toolkit: who asks.
            prompt: the question.
            is_blind: names are hidden and the panes shuffled until the first vote.
            follows: the question goes on with the conversation of each pane.
        """
        chosen = list(self.choices)
        if is_blind and not follows:
            random.shuffle(chosen)
        self.trouble = None
        try:
            options: dict[str, Any] = {
                "panes": [{**self.shared, **choice.params} for choice in chosen],
                "blind": is_blind,
            }
            if follows and self.board is not None:
                options["histories"] = conversations_of(self.board)
            elif self.branch is not None:
                options.update(histories=[self.history] * len(chosen), branch=self.branch)
            running = start_board(toolkit, prompt, [choice.model for choice in chosen], options)
        except ToolkitError as error:
            self.trouble = error
            return
        running.stop_when_unwatched(UNWATCHED_STOP_S, _session_is_there())
        remember(running)
        self.running, self.saved, self.race = running, None, None
        self.is_blind, self.votes, self.voted = is_blind, (), None
        self.branch, self.history = None, ()


def compare_state() -> CompareState:
    """The Compare page's state of this session."""
    if "compare" not in st.session_state:
        st.session_state["compare"] = CompareState()
    state: CompareState = st.session_state["compare"]
    return state


def answer_names(panes: Sequence[Pane], *, hidden: bool) -> list[str]:
    """Names over the panes: the models, or `Answer A`, `Answer B` while they are hidden."""
    if hidden:
        return [f"Answer {chr(ord('A') + index)}" for index in range(len(panes))]
    return pane_names(panes)


def _session_is_there() -> Callable[[], bool] | None:
    """Whether this browser is still connected: a hidden tab polls rarely, but it is there."""
    from streamlit.runtime import exists, get_instance
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    context = get_script_run_ctx()
    if context is None or not exists():
        return None
    runtime, session_id = get_instance(), context.session_id
    return lambda: bool(runtime.is_active_session(session_id))
