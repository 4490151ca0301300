"""A board that is over, shown again as it streamed: each answer grows at its recorded speed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from toolkit.compare.pane import Pane
from toolkit.store.queries.boards import chunk_time_rows

if TYPE_CHECKING:
    from toolkit.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """The panes of a board with the times of their chunks.

    The texts of single chunks are not recorded, so the answer is spread evenly over them: when a
    chunk arrived is exact, how much text it brought is not.

    Attributes:
        panes: as they were at the end.
        chunk_ms: by index of the pane, when each chunk arrived, milliseconds after the request was
            sent.
    """

    panes: tuple[Pane, ...]
    chunk_ms: Mapping[int, Sequence[float]]

    @property
    def length_ms(self) -> float:
        """How long the slowest pane took."""
        return max((self._end_ms(pane) for pane in self.panes), default=0.0)

    def at(self, elapsed_ms: float) -> tuple[Pane, ...]:
        """The panes as they were `elapsed_ms` after the requests were sent."""
        return tuple(self._pane_at(pane, elapsed_ms) for pane in self.panes)

    def _pane_at(self, pane: Pane, elapsed_ms: float) -> Pane:
        if elapsed_ms >= self._end_ms(pane):
            return pane
        times = self.chunk_ms.get(pane.index, ())
        arrived = bisect_right(times, elapsed_ms)
        shown = round(len(pane.reasoning + pane.text) * arrived / len(times)) if times else 0
        return replace(
            pane,
            state="streaming" if arrived else "waiting",
            reasoning=pane.reasoning[:shown],
            text=pane.text[: max(0, shown - len(pane.reasoning))],
            tool_calls=0,
            ttft_ms=times[0] if arrived else None,
            output_tokens=arrived or None,
            is_estimate=True,
            output_tps=_rate(times[:arrived]),
            duration_ms=elapsed_ms,
            cost_usd=None,
            reply=None,
            error=None,
        )

    def _end_ms(self, pane: Pane) -> float:
        times = self.chunk_ms.get(pane.index) or (0.0,)
        return max(pane.duration_ms or 0.0, times[-1])


def read_race(store: Store, board_id: str, panes: tuple[Pane, ...]) -> Race | None:
    """The race of a board, or None where no time of a chunk was recorded.

    Raises:
        StoreError: the database cannot be read.
    """
    found: dict[int, Sequence[float]] = {}
    for row in chunk_time_rows(store, board_id):
        if times := _times(row):
            found[int(row["position"])] = times
    return Race(panes=panes, chunk_ms=found) if found else None


def _times(row: Mapping[str, Any]) -> list[float]:
    return sorted(offset / 1000 for offset in row["chunk_offsets_us"] or ())


def _rate(times: Sequence[float]) -> float | None:
    span_ms = times[-1] - times[0] if times else 0.0
    return (len(times) - 1) * 1000 / span_ms if span_ms > 0 else None
