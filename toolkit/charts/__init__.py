"""DataFrame -> plotly figure, as pure functions: no page, no store, no network.

Every chart says in its title what it shows, of what, and how many; gaps stay gaps; the same
provider or model has the same colour everywhere. plotly is loaded when a chart is first drawn.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

_HOMES: Mapping[str, str] = {
    "calls_by_time": "over_time",
    "ecdf": "distribution",
    "errors_over_time": "over_time",
    "eval_scores": "eval_charts",
    "eval_tradeoff": "eval_charts",
    "health_errors": "health_charts",
    "health_latency": "health_charts",
    "latency_against": "health_charts",
    "load_by_step": "load_charts",
    "load_steps": "load_charts",
    "percentiles_over_time": "over_time",
    "price_against": "prices",
    "price_steps": "prices",
    "pane_bars": "bars",
    "rating_tradeoff": "rating_charts",
    "spend_bars": "spend_charts",
    "timeline": "wire",
    "uptime_bars": "health_charts",
    "waterfall": "wire",
}

__all__ = [
    "calls_by_time",
    "ecdf",
    "errors_over_time",
    "eval_scores",
    "eval_tradeoff",
    "health_errors",
    "health_latency",
    "latency_against",
    "load_by_step",
    "load_steps",
    "pane_bars",
    "percentiles_over_time",
    "price_against",
    "price_steps",
    "rating_tradeoff",
    "spend_bars",
    "timeline",
    "uptime_bars",
    "waterfall",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        frames = importlib.import_module("toolkit.charts.frame_kinds")
        draw = getattr(importlib.import_module(f"toolkit.charts.{_HOMES[name]}"), name)
        return frames.takes_frames(draw)
    raise AttributeError(f"module 'toolkit.charts' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
