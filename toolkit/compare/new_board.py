"""Two to eight models, one question: `start_board` asks them all at once.

`RunningBoard` (running.py) is the panes while they answer, `Board` (result.py) what came of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from uuid_utils import uuid7

from toolkit.calls.model_client import ModelClient
from toolkit.compare.board_result import Board
from toolkit.compare.pane import Pane
from toolkit.compare.running_board import RunningBoard
from toolkit.errors import InvalidInput
from toolkit.records import Message
from toolkit.secret import Secret

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
            `histories=[[...], ...]` the earlier messages of each pane, for a follow-up.

    Raises:
        InvalidInput: too few or too many models, no prompt, or `panes` of another length.
    """
    shared = dict(options or {})
    _refuse_bad_boards(prompt, models)
    own = _pane_options(shared.pop("panes", None), len(models))
    is_blind = bool(shared.pop("blind", False))
    histories = _histories(shared.pop("histories", None), len(models))
    # Keys leave the options here: what is left is shown, recorded and printed.
    shared_key = shared.pop("api_key", None)
    keys = [pane.pop("api_key", shared_key) for pane in own]
    board = Board(
        board_id=str(uuid7()),
        created_at=datetime.now(UTC),
        prompt=prompt,
        panes=tuple(
            Pane(pane_id=str(uuid7()), index=index, model=model, params={**shared, **own[index]})
            for index, model in enumerate(models)
        ),
        is_blind=is_blind,
        store=toolkit.store,
    )
    secrets = [Secret(key) if key else None for key in keys]
    running = RunningBoard(toolkit, board, shared, secrets, histories)
    running.start()
    return running


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
    if isinstance(models, str) or not MIN_PANES <= len(models) <= MAX_PANES:
        count = 1 if isinstance(models, str) else len(models)
        raise InvalidInput(
            f"a board has {MIN_PANES} to {MAX_PANES} panes, not {count}",
            hint="Name the same model twice with different parameters to compare those.",
        )
    if not prompt or (isinstance(prompt, str) and not prompt.strip()):
        raise InvalidInput("the prompt is empty", hint="Enter a prompt.")
