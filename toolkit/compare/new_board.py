"""Two to eight models, one question: `start_board` asks them all at once.

`RunningBoard` (running.py) is the panes while they answer, `Board` (result.py) what came of it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from uuid_utils import uuid7

from toolkit.calls.chat_request import check_options, plain_parameters
from toolkit.calls.model_client import ModelClient
from toolkit.compare.board_result import Board
from toolkit.compare.board_rows import Branch, append_row, board_row, pane_row
from toolkit.compare.pane import LivePane, Pane
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.records import Call, Message
from toolkit.secret import Secret

if TYPE_CHECKING:
    from toolkit.calls.client import ReplyStream


# `RunningBoard`: the panes while they answer, on the portal's event loop.
#
# It may be looked at, stopped and retried from any thread; one failing pane never touches the
# others.


_WATCH_EVERY_S = 0.5


class RunningBoard:
    """A board while its panes stream; made by `start_board`."""

    def __init__(
        self,
        toolkit: ModelClient,
        board: Board,
        shared: Mapping[str, Any],
        keys: Sequence[Secret | None],
        histories: Sequence[tuple[Message, ...]],
    ) -> None:
        self._toolkit = toolkit
        self._board = board
        self._shared = dict(shared)
        self._runs = [
            PaneRun(pane, key, history)
            for pane, key, history in zip(board.panes, keys, histories, strict=True)
        ]
        self._looked_at = time.monotonic()
        self._idle_stop_s: float | None = None
        self._is_watched: Callable[[], bool] | None = None

    @property
    def board_id(self) -> str:
        """Id of the board."""
        return self._board.board_id

    @property
    def prompt(self) -> str | Sequence[Message]:
        """What was asked."""
        return self._board.prompt

    @property
    def panes(self) -> tuple[Pane, ...]:
        """A snapshot of every pane; reading it keeps a board alive that stops when unread."""
        self._looked_at = time.monotonic()
        return tuple(run.live.snapshot() for run in self._runs)

    @property
    def is_over(self) -> bool:
        """Whether every pane is done, failed or stopped, and recorded."""
        return all(run.over.is_set() for run in self._runs)

    def stop_when_unwatched(
        self, after_s: float, is_watched: Callable[[], bool] | None = None
    ) -> None:
        """Stop the panes when `panes` has not been read for `after_s` seconds (a closed page).

        `is_watched` is asked then, where one is given: a browser tab in the background reads
        rarely, and is still there.
        """
        self._idle_stop_s, self._is_watched = after_s, is_watched

    def stop(self, pane: int | None = None) -> None:
        """Stop one pane, or all that still run; their calls are recorded as cancelled.

        Raises:
            InvalidInput: the board has no such pane.
        """
        for run in self._runs if pane is None else (self._require_run(pane),):
            if not run.over.is_set():
                self._toolkit.portal.start(run.cancel())

    def retry(self, pane: int) -> None:
        """Ask a pane again that failed or was stopped; the other panes stay as they are.

        Raises:
            InvalidInput: the pane does not exist or is still running.
        """
        run = self._require_run(pane)
        if not run.over.is_set():
            raise InvalidInput(f"pane {pane} is still running", hint="Stop it first.")
        before = run.live.snapshot()
        fresh = PaneRun(
            Pane(pane_id=str(uuid7()), index=pane, model=before.model, params=before.params),
            run.key,
            run.history,
        )
        self._runs[pane] = fresh
        self._start(fresh)

    def wait(self, timeout_s: float | None = None) -> Board:
        """Wait until every pane is over and recorded, and return the board.

        Raises:
            TimeoutError: panes still run after `timeout_s` seconds.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            for run in tuple(self._runs):
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                if not run.over.wait(left):
                    raise TimeoutError(f"the board still runs after {timeout_s:g} s")
        except KeyboardInterrupt:
            self.stop()
            raise
        return self.board()

    def board(self) -> Board:
        """The board with the results so far."""
        return replace(self._board, panes=self.panes)

    def start(self) -> None:
        """Ask every pane."""
        asked = self._board
        row = board_row(
            asked.board_id,
            asked.created_at,
            asked.prompt,
            self._shared,
            asked.is_blind,
            asked.branch,
        )
        if self._toolkit.settings.recording != "full":
            row["messages"] = None
        append_row(self._toolkit.store, "boards", row)
        for run in self._runs:
            self._start(run)

    def _require_run(self, pane: int) -> PaneRun:
        if not 0 <= pane < len(self._runs):
            raise InvalidInput(f"the board has no pane {pane}; it has {len(self._runs)}")
        return self._runs[pane]

    def _start(self, run: PaneRun) -> None:
        self._toolkit.portal.start(self._supervise(run))

    async def _supervise(self, run: PaneRun) -> None:
        """Ask one pane, note how it ended, record it; never raises, always ends the pane."""
        try:
            run.task = asyncio.create_task(self._ask(run))
            if run.is_cancelled:
                run.task.cancel()
            while not run.task.done():
                await asyncio.wait({run.task}, timeout=_WATCH_EVERY_S)
                if self._is_unwatched():
                    run.task.cancel()
            run.settle()
            row = pane_row(self.board_id, run.live.snapshot())
            await asyncio.to_thread(append_row, self._toolkit.store, "panes", row)
        finally:
            run.over.set()

    async def _ask(self, run: PaneRun) -> None:
        pane = run.live.snapshot()
        options = {**pane.params, "origin": "compare", "origin_id": self.board_id}
        if run.key is not None:
            options["api_key"] = run.key
        run.stream = self._toolkit.astream(pane.model, self._messages(run), **options)
        try:
            async for delta in run.stream.deltas():
                run.live.feed(delta)
            run.live.finish(run.stream.reply)
        finally:
            await run.stream.aclose()

    def _messages(self, run: PaneRun) -> str | Sequence[Message]:
        """What this pane is asked: the board's prompt after the pane's own earlier turns."""
        prompt = self._board.prompt
        if not run.history:
            return prompt
        turn: Sequence[Message] = (
            ({"role": "user", "content": prompt},) if isinstance(prompt, str) else prompt
        )
        return [*run.history, *turn]

    def _is_unwatched(self) -> bool:
        limit_s = self._idle_stop_s
        if limit_s is None or time.monotonic() - self._looked_at <= limit_s:
            return False
        return self._is_watched is None or not self._is_watched()


_log = logging.getLogger(__name__)


class PaneRun:
    """One try of one pane: `live` may be read from anywhere, the rest belongs to the loop.

    Attributes:
        live: the pane as it happens.
        key: an explicit key for this pane's calls, if one was given.
        history: the earlier turns of this pane's conversation.
        over: set when the pane is over and recorded.
        task: the task that asks, once it has begun.
        stream: the call's stream, once it has begun.
        is_cancelled: it was stopped, perhaps before it began.
    """

    def __init__(
        self, pane: Pane, key: Secret | None = None, history: tuple[Message, ...] = ()
    ) -> None:
        self.live: LivePane = LivePane(pane)
        self.key = key
        self.history = history
        self.over: threading.Event = threading.Event()
        self.task: asyncio.Task[None] | None = None
        self.stream: ReplyStream | None = None
        self.is_cancelled: bool = False

    async def cancel(self) -> None:
        """Runs on the loop; a pane that has not begun is cancelled when it begins."""
        self.is_cancelled = True
        if self.task is not None:
            self.task.cancel()

    def settle(self) -> None:
        """Turn the end of the task into the end of the pane."""
        assert self.task is not None
        if self.task.cancelled():
            self.live.stop(self._attempts())
            return
        error = self.task.exception()
        if isinstance(error, ToolkitError):
            self.live.fail(error)
        elif error is not None:
            # A bug of ours must not hang the other panes, and must not be hidden either.
            _log.error("a pane failed unexpectedly", exc_info=error)
            self.live.fail(
                ToolkitError(
                    f"the toolkit itself failed: {type(error).__name__}",
                    model=self.live.snapshot().model,
                    hint="See the log; please report it with the board's id.",
                )
            )

    def _attempts(self) -> tuple[Call, ...]:
        return tuple(getattr(self.stream, "attempts", ()))


__all__ = ["MAX_PANES", "MIN_PANES", "Board", "RunningBoard", "start_board"]

MIN_PANES, MAX_PANES = 2, 8


def start_board(
    toolkit: ModelClient,
    prompt: str | Sequence[Message],
    models: Sequence[str],
    options: Mapping[str, Any] | None = None,
) -> RunningBoard:
    """Ask all models at once and return while they answer.

    Args:
        toolkit: the toolkit (its `astream`, `portal` and `store`).
        prompt: the user's text, or a conversation in OpenAI's message form.
        models: 2 to 8 `provider/model_id`; the same one may be used more than once.
        options: as for `tk.compare`; `panes=[{...}, ...]` gives each pane options of its own,
            `blind=True` marks a board whose names are hidden until it is judged, and
            `histories=[[...], ...]` the earlier messages of each pane, for a follow-up, and
            `branch=Branch(...)` the board whose conversation these messages are.

    Raises:
        InvalidInput: too few or too many models, no prompt, or `panes` of another length.
    """
    shared = dict(options or {})
    _refuse_bad_boards(prompt, models)
    own = _pane_options(shared.pop("panes", None), len(models))
    is_blind = bool(shared.pop("blind", False))
    histories = _histories(shared.pop("histories", None), len(models))
    branch: Branch | None = shared.pop("branch", None)
    # Keys leave the options here: what is left is shown, recorded and printed.
    shared_key = shared.pop("api_key", None)
    keys = [pane.pop("api_key", shared_key) for pane in own]
    shared = _checked_params(shared)
    board = Board(
        board_id=str(uuid7()),
        created_at=datetime.now(UTC),
        prompt=prompt,
        panes=tuple(
            Pane(
                pane_id=str(uuid7()),
                index=index,
                model=model,
                params=_checked_params({**shared, **own[index]}),
            )
            for index, model in enumerate(models)
        ),
        is_blind=is_blind,
        branch=branch,
        store=toolkit.store,
    )
    secrets = [Secret(key) if key and isinstance(key, str) else key or None for key in keys]
    running = RunningBoard(toolkit, board, shared, secrets, histories)
    running.start()
    return running


def _checked_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as they are recorded and sent: functions and classes become schemas.

    Raises:
        InvalidInput: an option is misspelt, or a value cannot be sent.
    """
    check_options(params)
    return plain_parameters(params)


def _pane_options(panes: Any, count: int) -> list[dict[str, Any]]:
    if panes is None:
        return [{} for _ in range(count)]
    if len(panes) != count:
        raise InvalidInput(f"`panes` has {len(panes)} entries for {count} models")
    return [dict(pane or {}) for pane in panes]


def _histories(histories: Any, count: int) -> list[tuple[Message, ...]]:
    if histories is None:
        return [() for _ in range(count)]
    if len(histories) != count:
        raise InvalidInput(f"`histories` has {len(histories)} entries for {count} models")
    return [tuple(history) for history in histories]


def _refuse_bad_boards(prompt: str | Sequence[Message], models: Sequence[str]) -> None:
    if not isinstance(models, Sequence):
        raise InvalidInput(
            f"the models are a {type(models).__name__}", hint="Give a list of `provider/model_id`."
        )
    if isinstance(models, str) or not MIN_PANES <= len(models) <= MAX_PANES:
        count = 1 if isinstance(models, str) else len(models)
        raise InvalidInput(
            f"a board has {MIN_PANES} to {MAX_PANES} panes, not {count}",
            hint="Name the same model twice with different parameters to compare those.",
        )
    if not prompt or (isinstance(prompt, str) and not prompt.strip()):
        raise InvalidInput("the prompt is empty", hint="Enter a prompt.")
