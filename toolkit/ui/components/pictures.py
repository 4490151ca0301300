"""Small pictures in tables and tiles, as SVG of our own making; they hold numbers only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from toolkit.charts.health_charts import FEW
from toolkit.ui.components.theme import bar_colour

_GOOD, _PARTLY = 0.99, 0.9
_STRIP_HEIGHT: Final = 20
_TILE_WIDTH, _TILE_HEIGHT = 150, 34

Days = Sequence[tuple[Any, float | None, int]]


def as_image(svg: str) -> str:
    """An SVG as an address that a table's image column shows without asking any server."""
    return f"data:image/svg+xml;utf8,{quote(svg)}"


def strip(days: Days) -> str:
    """Ninety days as thin bars: pale where all was well, strong where it was not."""
    width = len(days) * 2 - 0.5
    cells = "".join(_day(index, share, n) for index, (_, share, n) in enumerate(days))
    return _svg(width, _STRIP_HEIGHT, cells)


def bars(values: Sequence[float], *, is_bad: bool = False) -> str:
    """A bar for each value, the last one darker: it is the running one."""
    top = max(values, default=0) or 1
    gap = _TILE_WIDTH / max(len(values), 1)
    normal, last = ("faint_bad", "bad") if is_bad else ("quiet", "now")
    shapes = ""
    for index, value in enumerate(values):
        height = max(1.0, value / top * (_TILE_HEIGHT - 2))
        colour = bar_colour(last if index == len(values) - 1 else normal)
        if not value:
            colour = bar_colour("none")
        shapes += _rect(index * gap, _TILE_HEIGHT - height, gap * 0.7, height, colour)
    return _svg(_TILE_WIDTH, _TILE_HEIGHT, shapes)


def line(values: Sequence[float | None]) -> str:
    """A line with gaps where there is no value."""
    known = [value for value in values if value is not None]
    if not known:
        return _svg(_TILE_WIDTH, _TILE_HEIGHT, "")
    low, high = min(known), max(known)
    span = (high - low) or 1
    across = (_TILE_WIDTH - 6) / max(len(values) - 1, 1)
    points, parts = [], []
    for index, value in enumerate([*values, None]):
        if value is not None:
            y = _TILE_HEIGHT - 5 - (value - low) / span * (_TILE_HEIGHT - 10)
            points.append(f"{3 + index * across:.1f},{y:.1f}")
        elif points:
            parts.append(" ".join(points))
            points = []
    ink = bar_colour("now")
    shapes = "".join(
        f'<polyline points="{part}" fill="none" stroke="{ink}" stroke-width="1.5"/>'
        for part in parts
    )
    last_x, last_y = parts[-1].rpartition(" ")[2].split(",")
    dot = f'<circle cx="{last_x}" cy="{last_y}" r="2.5" fill="{ink}"/>'
    return _svg(_TILE_WIDTH, _TILE_HEIGHT, shapes + dot)


def interval(low: float, value: float, high: float, ends: tuple[float, float]) -> str:
    """A dot with its interval on a common scale."""
    width = 158
    first, last = ends
    scale = (width - 8) / ((last - first) or 1)
    a, x, b = (4 + (v - first) * scale for v in (low, value, high))
    ink, quiet = bar_colour("ink"), bar_colour("quiet")
    return _svg(
        width,
        _STRIP_HEIGHT,
        f'<line x1="{a:.1f}" x2="{b:.1f}" y1="10" y2="10" stroke="{quiet}" stroke-width="3"/>'
        f'<circle cx="{x:.1f}" cy="10" r="3.5" fill="{ink}"/>',
    )


def letter_tile(letter: str) -> str:
    """A provider's first letter; one ASCII letter or digit, nothing else."""
    shown = letter.upper() if letter.isascii() and letter.isalnum() else "?"
    ground, ink = bar_colour("none"), bar_colour("ink")
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="24" height="24">'
        f'<rect width="24" height="24" rx="4" fill="{ground}"/>'
        f'<text x="12" y="17" text-anchor="middle" font-family="sans-serif" font-size="14" '
        f'font-weight="600" fill="{ink}">{shown}</text></svg>'
    )


def logo() -> str:
    """Three bars and the name on two lines."""
    ink = bar_colour("ink")
    shapes = (
        _rect(0, 22, 7, 14, "#0072B2")
        + _rect(10, 12, 7, 24, "#E69F00")
        + _rect(20, 2, 7, 34, "#009E73")
    )
    text = "".join(
        f'<text x="38" y="{y}" font-family="sans-serif" font-size="15" font-weight="700" '
        f'fill="{ink}">{name}</text>'
        for y, name in ((16, "LLM Provider"), (35, "Toolkit"))
    )
    return _svg(150, 38, shapes + text, stretch=False)


def _day(index: int, share: float | None, n: int) -> str:
    x = index * 2
    if share is None:
        return _rect(x, _STRIP_HEIGHT - 2, 1.5, 2, bar_colour("none"))
    name = "good" if share >= _GOOD else "partly" if share >= _PARTLY else "bad"
    height = _STRIP_HEIGHT if n >= FEW else _STRIP_HEIGHT * 0.6
    return _rect(x, _STRIP_HEIGHT - height, 1.5, height, bar_colour(name))


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'
    )


def _svg(width: float, height: float, shapes: str, *, stretch: bool = True) -> str:
    how = ' preserveAspectRatio="none"' if stretch else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}"{how}>{shapes}</svg>'
    )
