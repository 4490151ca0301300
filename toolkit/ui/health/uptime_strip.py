"""The uptime strip of a card: one cell per day, drawn as a small picture of our own making.

The height of a cell says what its colour says; a day that nobody knows anything of is a gap
with a dot in it, never a good or a bad day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from toolkit.charts.health import FEW, uptime_colour
from toolkit.charts.palette import GREEN, GREY, ORANGE

_CELL, _GAP, _HEIGHT = 6, 2, 60
_HEIGHTS: Final = {GREEN: 1.0, ORANGE: 0.72}
_LOW: Final = 0.44

Days = Sequence[tuple[Any, float | None, int]]


def strip_svg(days: Days) -> str:
    """The strip as SVG; it holds numbers of ours only."""
    width = len(days) * (_CELL + _GAP) - _GAP
    cells = "".join(_cell(index, share, n) for index, (_, share, n) in enumerate(days))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" '
        f'width="{width}" height="{_HEIGHT}" preserveAspectRatio="none">{cells}</svg>'
    )


def strip_words(days: Days) -> str:
    """The strip for those who cannot see it."""
    known = [share for _, share, _ in days if share is not None]
    bad = sum(uptime_colour(share) != GREEN for share in known)
    return f"{len(days)} days: {len(known)} with evidence, {bad} of them below 99 % good"


def _cell(index: int, share: float | None, n: int) -> str:
    x = index * (_CELL + _GAP)
    if share is None:
        return f'<rect x="{x + 2}" y="{_HEIGHT - 4}" width="2" height="4" fill="{GREY}"/>'
    colour = uptime_colour(share)
    height = round(_HEIGHT * _HEIGHTS.get(colour, _LOW))
    faint = ' opacity="0.5"' if n < FEW else ""
    return (
        f'<rect x="{x}" y="{_HEIGHT - height}" width="{_CELL}" height="{height}" '
        f'fill="{colour}"{faint}/>'
    )
