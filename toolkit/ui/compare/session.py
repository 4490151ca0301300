"""What one browser session holds of the Compare page: chosen models, the board, its votes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import streamlit as st

from toolkit.compare.board import MAX_PANES, RunningBoard, start_board
from toolkit.compare.pane import Pane
from toolkit.compare.view import pane_names
from toolkit.errors import ToolkitError
from toolkit.toolkit import Toolkit

UNWATCHED_STOP_S = 10.0
_ids = count(1)


@dataclass(slots=True)
class Choice:
    """One model chip: `uid` keeps its widgets apart, `params` are the ones set in it."""

    uid: int
    model: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class CompareState:
    """The Compare page of one session.

    Attributes:
        choices: the model chips, in order.
        running: the board asked last, running or over.
        is_blind: names of that board are hidden until it is judged.
        voted: what was voted on that board, in words; None before.
        trouble: an expected failure to show on the next run.
        added: how many models were ever added; it names the box that adds the next.
        next_prompt: what to put into the prompt box when it is next drawn.
    """

    choices: list[Choice] = field(default_factory=list)
    running: RunningBoard | None = None
    is_blind: bool = False
    voted: str | None = None
    trouble: ToolkitError | None = None
    next_prompt: str | None = None
    added: int = 0

    @property
    def is_running(self) -> bool:
        """Whether a board still streams."""
        return self.running is not None and not self.running.is_over

    @property
    def hides_names(self) -> bool:
        """Whether the panes' models are still secret."""
        return self.is_blind and self.voted is None

    def add(self, model: str, params: Mapping[str, Any] | None = None) -> None:
        """One more chip, up to the most a board can hold."""
        self.added += 1
        if len(self.choices) < MAX_PANES:
            self.choices.append(Choice(next(_ids), model.strip(), dict(params or {})))

    def remove(self, uid: int) -> None:
        """One chip less."""
        self.choices = [choice for choice in self.choices if choice.uid != uid]

    def ask(self, toolkit: Toolkit, prompt: str, *, is_blind: bool = False) -> None:
        """Ask every chosen model; what is expected to fail becomes `trouble`."""
        asked = list(self.choices)
        if is_blind:
            random.shuffle(asked)
        self.trouble = None
        try:
            self.running = start_board(
                toolkit,
                prompt,
                [choice.model for choice in asked],
                {"panes": [choice.params for choice in asked], "blind": is_blind},
            )
        except ToolkitError as error:
            self.trouble = error
            return
        self.running.stop_when_unwatched(UNWATCHED_STOP_S, _session_is_there())
        self.is_blind, self.voted = is_blind, None


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
    """Tells whether this browser is still connected: a hidden tab polls rarely, but it is there."""
    from streamlit.runtime import exists, get_instance
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    context = get_script_run_ctx()
    if context is None or not exists():
        return None
    runtime, session_id = get_instance(), context.session_id
    return lambda: bool(runtime.is_active_session(session_id))
