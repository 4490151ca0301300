"""Providers on the Health page: a card each, or one dense table where there are many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from toolkit.health.health_queries import WINDOWS
from toolkit.ui.components.format import UNKNOWN, ago, at, count, share
from toolkit.ui.components.text import plain
from toolkit.ui.health.health_labels import badge, mark, percentile_words, rate_words
from toolkit.ui.health.model_states import troubled_words
from toolkit.ui.health.uptime_strip import Days, strip_svg, strip_words

MOST_CARDS: Final = 24
_TITLES: Final = {"5m": "5 min", "30m": "30 min", "1d": "1 day"}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CardActs:
    """What the buttons of a card do; each is called with the provider's name.

    Attributes:
        check: ask it now.
        show: choose it for the lower half of the page.
        hold: probe it no more, or (second argument true: it is paused) again.
    """

    check: Callable[[str], None]
    show: Callable[[str], None]
    hold: Callable[[str, bool], None]


def draw_cards(
    rows: Sequence[Row], strips: Mapping[str, Days], acts: CardActs, *, is_checking: bool
) -> None:
    """One card per provider, in the order of the rows."""
    with st.grid(3, min_column_width=300):
        for row in rows:
            with st.container(border=True, key=f"card-{row['provider']}"):
                _card(row, strips.get(row["provider"], ()))
                _buttons(row, acts, is_checking)


def _card(row: Row, days: Days) -> None:
    word, icon, colour = badge(row["state"])
    since = row["since"]
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.markdown(f"**{plain(row['provider'])}**", width="content")
        st.badge(word, icon=icon, color=colour, help=f"Since {at(since, st.context.timezone)}")
    held = f", since {ago(since)}" if since else ""
    st.caption(f"{plain(row['reason'])}{held} · last success {ago(row['last_success_at'])}")
    if (troubled := troubled_words(row)) is not None:
        st.caption(f"◐ {troubled}")
    if row["uptime_n"]:
        st.image(strip_svg(days), width="stretch", alt=strip_words(days))
        st.caption(f"{share(row['uptime_good'], row['uptime_n'])} good in {len(days)} days")
    else:
        st.caption(f"no evidence in {len(days) or 90} days")
    if row["calls_1d"]:
        st.markdown(f"{_latency(row, 'ttft', 'TTFT')}  \n{_latency(row, 'duration', 'Duration')}")
        st.markdown(_error_table(row))
    else:
        st.caption("no call of yours in the last day")
    _draw_headroom(row)


def _latency(row: Row, name: str, title: str) -> str:
    p50, p95, n = percentile_words(row, name)
    high = f"**{p95}** p95" if row[f"{name}_p95_ms"] is not None else f"**{p95}**"
    return f"{title} **{p50}** p50 · {high} · n = {n}"


def _error_table(row: Row) -> str:
    rates = [rate_words(row, window) for window in WINDOWS]
    return "\n".join(
        (
            f"| Errors | {' | '.join(_TITLES.values())} |",
            "|:--|--:|--:|--:|",
            f"| rate | {' | '.join(rate for rate, _ in rates)} |",
            f"| 95 % | {' | '.join(interval for _, interval in rates)} |",
            f"| n | {' | '.join(count(row[f'n_{window}']) for window in WINDOWS)} |",
        )
    )


def _draw_headroom(row: Row) -> None:
    """What the provider said is left; the bar is of whatever is scarcer."""
    parts, told = [], []
    for name in ("requests", "tokens"):
        left, limit = row[f"{name}_remaining"], row[f"{name}_limit"]
        if left is not None and limit:
            parts.append(min(max(left / limit, 0.0), 1.0))
            told.append(f"{count(left)} of {count(limit)} {name}")
    if parts:
        words = f"{' · '.join(told)} left, {ago(row['headroom_seen_at'])}"
        st.progress(min(parts), text=f":small[{words}]")


def _buttons(row: Row, acts: CardActs, is_checking: bool) -> None:
    name, is_paused = row["provider"], row["state"] == "paused"
    with st.container(horizontal=True):
        st.button(
            "Check now",
            key=f"check-{name}",
            icon=":material/network_check:",
            on_click=acts.check,
            args=(name,),
            disabled=is_checking,
            help="Asks for the free model listing.",
        )
        st.button(
            "Details",
            key=f"show-{name}",
            type="tertiary",
            icon=":material/monitoring:",
            on_click=acts.show,
            args=(name,),
        )
        st.button(
            "Resume" if is_paused else "Pause",
            key=f"hold-{name}",
            type="tertiary",
            icon=":material/play_arrow:" if is_paused else ":material/pause:",
            on_click=acts.hold,
            args=(name, is_paused),
            help="Probes it again." if is_paused else "Probes it no more; it can still be called.",
        )


def draw_table(rows: Sequence[Row]) -> None:
    """The same facts of many providers, one line each, the worst first."""
    right = st.column_config.TextColumn(alignment="right")
    percent = st.column_config.ProgressColumn(min_value=0.0, max_value=1.0, format="percent")
    shown = {
        "provider": [row["provider"] for row in rows],
        "state": [mark(row["state"])[0] for row in rows],
        "reason": [row["reason"] for row in rows],
        "since": [ago(row["since"]) if row["since"] else UNKNOWN for row in rows],
        "last success": [ago(row["last_success_at"]) for row in rows],
        **{
            f"errors {title}": [_rate_of(row, window) for row in rows]
            for window, title in _TITLES.items()
        },
        "TTFT p50": [percentile_words(row, "ttft")[0] for row in rows],
        "TTFT p95": [percentile_words(row, "ttft")[1] for row in rows],
        "duration p50": [percentile_words(row, "duration")[0] for row in rows],
        "duration p95": [percentile_words(row, "duration")[1] for row in rows],
        "n": [count(row["ttft_n"]) for row in rows],
        "good, 90 days": [
            share(row["uptime_good"], row["uptime_n"]) if row["uptime_n"] else UNKNOWN
            for row in rows
        ],
        "requests left": [_part_left(row) for row in rows],
    }
    numbers = [
        name for name in shown if name.startswith(("errors", "TTFT", "duration", "n", "good"))
    ]
    st.dataframe(
        shown,
        hide_index=True,
        height=min(36 * (len(rows) + 1) + 4, 520),
        key="health-table",
        column_config={
            "provider": st.column_config.TextColumn(pinned=True),
            "requests left": percent,
            **dict.fromkeys(numbers, right),
        },
        alt="Health of all providers in use, worst first",
    )


def _rate_of(row: Row, window: str) -> str:
    rate, interval = rate_words(row, window)
    return f"{rate} of {count(row[f'n_{window}'])}" if interval[-1] == "%" else rate


def _part_left(row: Row) -> float | None:
    left, limit = row["requests_remaining"], row["requests_limit"]
    return None if left is None or not limit else min(max(left / limit, 0.0), 1.0)
