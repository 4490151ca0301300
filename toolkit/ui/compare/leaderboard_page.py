"""The Leaderboard page: ratings from votes with their intervals, beside TTFT and cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import streamlit as st

from toolkit.charts.numbers import UNKNOWN
from toolkit.compare.board_history import votes_of
from toolkit.compare.ranking import leaderboard
from toolkit.files import csv_of
from toolkit.store.queries.app_pages import measured_models
from toolkit.toolkit import Toolkit
from toolkit.ui.components import pictures
from toolkit.ui.components.format import count
from toolkit.ui.components.page_head import empty, page_head, section
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.home.first_use import ask_two_models

FEW_VOTES: Final = 5
_VOTERS: Final = ("people", "judges", "both")


def draw_leaderboard(toolkit: Toolkit) -> None:
    """The whole page."""
    every = votes_of(toolkit.store)
    voter = st.session_state.get("voter") or "people"
    votes = [
        vote for vote in every if voter == "both" or (vote["voter"] is None) == (voter == "people")
    ]
    rows: list[dict[str, Any]] = leaderboard(votes).to_dict("records")  # type: ignore[assignment]
    with page_head("Leaderboard", _sentence(votes, rows)):
        st.segmented_control("Voters", _VOTERS, default="people", required=True, key="voter",
                             label_visibility="collapsed")  # fmt: skip
        _export(votes, rows)
    if not rows:
        empty("No votes yet. Compare models with hidden names, and vote for the better answer.")
        st.page_link("compare.py", label="Compare two models", icon=":material/view_column_2:")
        if not every:
            from toolkit.ui.compare.session import compare_state

            ask_two_models(toolkit, compare_state())
        return
    left, right = st.columns((62, 38), gap="medium")
    with left:
        _draw_ratings(toolkit, rows)
    with right:
        _draw_pairs(votes)


def _sentence(votes: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> str:
    if not votes:
        return ""
    boards = len({vote["board_id"] for vote in votes})
    return (
        f"**{count(len(votes))} votes** on {len(rows)} models, {count(boards)} boards. "
        "Bradley-Terry with ties; intervals 95 %."
    )


def _draw_ratings(toolkit: Toolkit, rows: Sequence[Mapping[str, Any]]) -> None:
    with toolkit.store.reading() as reader:
        measured = {row["model"]: row for row in measured_models(datetime.now(UTC)).rows(reader)}
    ends = (min(row["low"] for row in rows), max(row["high"] for row in rows))
    facts = [measured.get(row["model"], {}) for row in rows]
    draw_table(
        {
            "Rank": Column([_rank(row, rows) for row in rows], 54, on_phone=True),
            "Model": Column([str(row["model"]) for row in rows], 210, on_phone=True),
            "Rating": Column([_rating(row) for row in rows], 60, "number", on_phone=True),
            "95 %": Column([_interval(row, ends) for row in rows], 160, "image",
                           f"From {ends[0]:.0f} to {ends[1]:.0f}"),
            "votes": Column([row["votes"] for row in rows], 54, "number", on_phone=True),
            "won": Column([row["wins"] for row in rows], 48, "number"),
            "TTFT ms": Column([fact.get("p50_ms") for fact in facts], 66, "number"),
            "$ / 1,000": Column([fact.get("usd_per_thousand") for fact in facts], 74, "number",
                                "Per 1,000 of your own calls", style="%.2f"),
        },
        key="ratings",
        alt="Ratings of models from votes, best first",
    )  # fmt: skip
    if len({row["group"] for row in rows}) > 1:
        st.warning(
            "Some models were never compared with each other, directly or through other models. "
            "Ratings of different groups are not comparable.",
            icon=":material/link_off:",
        )


def _rank(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The ranks that the intervals allow: `3–5`."""
    if row["votes"] < FEW_VOTES:
        return UNKNOWN
    last = len(rows) - sum(other["high"] < row["low"] for other in rows)
    return str(row["rank"]) if row["rank"] == last else f"{row['rank']}–{last}"


def _rating(row: Mapping[str, Any]) -> float | None:
    return row["rating"] if row["votes"] >= FEW_VOTES else None


def _interval(row: Mapping[str, Any], ends: tuple[float, float]) -> str:
    return pictures.as_image(pictures.interval(row["low"], row["rating"], row["high"], ends))


def _draw_pairs(votes: Sequence[Mapping[str, Any]]) -> None:
    section("Wins by pair")
    pairs: dict[tuple[str, str], list[int]] = {}
    for vote in votes:
        a, b = str(vote["model_a"]), str(vote["model_b"])
        key = (min(a, b), max(a, b))
        won = pairs.setdefault(key, [0, 0, 0])
        winner = {"a": a, "b": b}.get(str(vote["outcome"]))
        won[2 if winner is None else 0 if winner == key[0] else 1] += 1
    names = sorted(pairs, key=lambda pair: -sum(pairs[pair]))
    draw_table(
        {
            "Model": Column([a for a, _ in names], 150, on_phone=True),
            "won": Column([pairs[pair][0] for pair in names], 46, "number", on_phone=True),
            "ties": Column([pairs[pair][2] for pair in names], 46, "number"),
            "lost": Column([pairs[pair][1] for pair in names], 46, "number", on_phone=True),
            "Against": Column([b for _, b in names], 150, on_phone=True),
        },
        key="pairs",
        alt="Votes by pair of models",
        height=min(28 * len(names) + 38, 480),
    )


def _export(votes: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return

    def ratings() -> bytes:
        import pandas as pd

        return csv_of(pd.DataFrame(list(rows)))

    def as_lines() -> str:
        return "\n".join(json.dumps(dict(vote), default=str) for vote in votes)

    with st.popover("Export", icon=":material/download:"):
        st.download_button("Ratings as CSV", ratings, "leaderboard.csv", "text/csv",
                           on_click="ignore")  # fmt: skip
        st.download_button("Votes as JSON lines", as_lines, "votes.jsonl", "application/jsonl",
                           on_click="ignore")  # fmt: skip
