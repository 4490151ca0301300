"""`Board`: one side-by-side comparison with its table, figure, card and votes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from toolkit.compare.board_rows import Branch, append_votes
from toolkit.compare.pane import Pane
from toolkit.compare.vote import Choice, Vote, judge
from toolkit.display import Card, Shown
from toolkit.records import Message

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Board(Shown):
    """One side-by-side comparison that is over.

    Attributes:
        board_id: UUIDv7 text; the panes' calls carry it as `origin_id`.
        created_at: when it was asked, UTC.
        prompt: what was asked, a text or a conversation.
        panes: one `Pane` per model, in the order asked for.
        is_blind: names were hidden while it was judged.
        branch: the conversation of another board that it continues, or None.
    """

    board_id: str
    created_at: datetime
    prompt: str | Sequence[Message]
    panes: tuple[Pane, ...]
    is_blind: bool = False
    branch: Branch | None = None
    store: Store = field(repr=False, compare=False)

    def frame(self) -> pd.DataFrame:
        """One row per pane: state, text, `ttft_ms`, `output_tps`, tokens, `cost_usd`, error."""
        from toolkit.compare.board_view import panes_frame

        return panes_frame(self.panes)

    def figure(self) -> Any:
        """All panes on one time axis: queued, connecting, waiting, reasoning, answering."""
        from toolkit.compare.board_view import panes_figure

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

    def _card(self) -> Card:
        from toolkit.compare.board_view import board_texts

        return board_texts(self.prompt, self.panes)

    def _repr_html_(self) -> str:
        from toolkit.compare.board_view import board_card

        return board_card(self.prompt, self.panes)
