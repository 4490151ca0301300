"""Two to eight models, one question: `start_board` asks them all at once, `Board` is the result.

The panes run on the portal's event loop; a `RunningBoard` may be looked at, stopped and retried
from any thread. One failing pane never touches the others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from uuid_utils import uuid7

from toolkit.compare.ledger import append_row, append_votes, board_row, pane_row
from toolkit.compare.pane import Pane
from toolkit.compare.run import PaneRun
from toolkit.compare.vote import Choice, Vote, judge
from toolkit.errors import InvalidInput
from toolkit.records import Message

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.calls.client import ReplyStream
    from toolkit.calls.portal import Portal
    from toolkit.store.store import Store

MIN_PANES, MAX_PANES = 2, 8
_WATCH_EVERY_S = 0.5


class Bench(Protocol):
    """What a board needs of the workbench."""

    @property
    def store(self) -> Store:
        """The ledger."""

    @property
    def portal(self) -> Portal:
        """The background event loop."""

    def astream(self, model: str, prompt: str | Sequence[Message], **options: Any) -> ReplyStream:
        """Ask one model and iterate over its text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One side-by-side comparison that is over.

    Attributes:
        board_id: UUIDv7 text; the panes' calls carry it as `origin_id`.
        created_at: when it was asked, UTC.
        prompt: what was asked, a text or a conversation.
        panes: one `Pane` per model, in the order asked for.
        is_blind: names were hidden while it was judged.
    """

    board_id: str
    created_at: datetime
    prompt: str | Sequence[Message]
    panes: tuple[Pane, ...]
    is_blind: bool = False
    store: Store = field(repr=False, compare=False)

    def frame(self) -> pd.DataFrame:
        """One row per pane: state, text, `ttft_ms`, `output_tps`, tokens, `cost_usd`, error."""
        from toolkit.compare.view import panes_frame

        return panes_frame(self.panes)

    def figure(self) -> Any:
        """All panes on one time axis: queued, connecting, waiting, reasoning, answering."""
        from toolkit.compare.view import panes_figure

        return panes_figure(self.panes)

    def vote(
        self, winner: Choice, *, between: tuple[int, int] | None = None, note: str | None = None
    ) -> tuple[Vote, ...]:
        """Record who answered better.

        Args:
            winner: index of the better pane, `"tie"` or `"both_bad"`.
            between: the two panes judged; None: the winner against every other pane, or, for
                a tie and for both bad, every pair.
            note: a remark of the voter.

        Returns:
            The votes that were recorded, one for each pair.

        Raises:
            InvalidInput: no such pane, or the winner is not one of the two.
        """
        votes = judge(
            self.board_id,
            self.panes,
            winner,
            between=between,
            is_blind=self.is_blind,
            note=note,
        )
        append_votes(self.store, votes)
        return votes

    def _repr_html_(self) -> str:
        from toolkit.compare.view import board_card

        return board_card(self.prompt, self.panes)


class RunningBoard:
    """A board while its panes stream; made by `start_board`."""

    def __init__(self, bench: Bench, board: Board, shared: Mapping[str, Any]) -> None:
        self._bench = bench
        self._board = board
        self._shared = dict(shared)
        self._runs = [PaneRun(pane) for pane in board.panes]
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
        """A snapshot of every pane; looking keeps a board alive that stops when nobody looks."""
        self._looked_at = time.monotonic()
        return tuple(run.live.snapshot() for run in self._runs)

    @property
    def is_over(self) -> bool:
        """Whether every pane is done, failed or stopped, and recorded."""
        return all(run.over.is_set() for run in self._runs)

    def stop_when_unwatched(
        self, after_s: float, is_watched: Callable[[], bool] | None = None
    ) -> None:
        """Stop the panes when nobody has read `panes` for `after_s` seconds (a closed page).

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
                self._bench.portal.start(run.cancel())

    def retry(self, pane: int) -> None:
        """Ask a pane again that failed or was stopped; the other panes stay as they are.

        Raises:
            InvalidInput: there is no such pane, or it is still running.
        """
        run = self._require_run(pane)
        if not run.over.is_set():
            raise InvalidInput(f"pane {pane} is still running", hint="Stop it first.")
        before = run.live.snapshot()
        fresh = PaneRun(
            Pane(pane_id=str(uuid7()), index=pane, model=before.model, params=before.params)
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
        """The board as it stands now."""
        return replace(self._board, panes=self.panes)

    def start(self) -> None:
        """Ask every pane."""
        asked = self._board
        row = board_row(
            asked.board_id, asked.created_at, asked.prompt, self._shared, asked.is_blind
        )
        append_row(self._bench.store, "boards", row)
        for run in self._runs:
            self._start(run)

    def _require_run(self, pane: int) -> PaneRun:
        if not 0 <= pane < len(self._runs):
            raise InvalidInput(f"the board has no pane {pane}; it has {len(self._runs)}")
        return self._runs[pane]

    def _start(self, run: PaneRun) -> None:
        self._bench.portal.start(self._supervise(run))

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
            await asyncio.to_thread(append_row, self._bench.store, "panes", row)
        finally:
            run.over.set()

    async def _ask(self, run: PaneRun) -> None:
        pane = run.live.snapshot()
        options = {**pane.params, "origin": "compare", "origin_id": self.board_id}
        run.stream = self._bench.astream(pane.model, self._board.prompt, **options)
        try:
            async for delta in run.stream.deltas():
                run.live.feed(delta)
            run.live.finish(run.stream.reply)
        finally:
            await run.stream.aclose()

    def _is_unwatched(self) -> bool:
        limit_s = self._idle_stop_s
        if limit_s is None or time.monotonic() - self._looked_at <= limit_s:
            return False
        return self._is_watched is None or not self._is_watched()


def start_board(
    bench: Bench,
    prompt: str | Sequence[Message],
    models: Sequence[str],
    options: Mapping[str, Any] | None = None,
) -> RunningBoard:
    """Ask all models at once and return while they answer.

    Args:
        bench: the workbench (its `astream`, `portal` and `store`).
        prompt: the user's text, or a conversation in OpenAI's message form.
        models: 2 to 8 `provider/model_id`; the same one may stand more than once.
        options: as for `tk.compare`; `panes=[{...}, ...]` gives each pane options of its own,
            `blind=True` marks a board whose names are hidden until it is judged.

    Raises:
        InvalidInput: too few or too many models, no prompt, or `panes` of another length.
    """
    shared = dict(options or {})
    own = _pane_options(shared.pop("panes", None), len(models))
    is_blind = bool(shared.pop("blind", False))
    _refuse_bad_boards(prompt, models)
    board = Board(
        board_id=str(uuid7()),
        created_at=datetime.now(UTC),
        prompt=prompt,
        panes=tuple(
            Pane(pane_id=str(uuid7()), index=index, model=model, params={**shared, **own[index]})
            for index, model in enumerate(models)
        ),
        is_blind=is_blind,
        store=bench.store,
    )
    running = RunningBoard(bench, board, shared)
    running.start()
    return running


def _pane_options(panes: Any, count: int) -> list[Mapping[str, Any]]:
    if panes is None:
        return [{} for _ in range(count)]
    if len(panes) != count:
        raise InvalidInput(f"`panes` has {len(panes)} entries for {count} models")
    return [dict(pane or {}) for pane in panes]


def _refuse_bad_boards(prompt: str | Sequence[Message], models: Sequence[str]) -> None:
    if isinstance(models, str) or not MIN_PANES <= len(models) <= MAX_PANES:
        count = 1 if isinstance(models, str) else len(models)
        raise InvalidInput(
            f"a board has {MIN_PANES} to {MAX_PANES} panes, not {count}",
            hint="Name the same model twice with different parameters to compare those.",
        )
    if not prompt or (isinstance(prompt, str) and not prompt.strip()):
        raise InvalidInput("the prompt is empty", hint="Write what the models should answer.")
