"""The Leaderboard page: ratings from votes with their intervals, beside TTFT and cost."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import streamlit as st

from toolkit.charts.numbers import UNKNOWN
from toolkit.compare.board_history import votes_of
from toolkit.compare.model_judge import agreement_with_people
from toolkit.compare.preferences import Preferences, read_preferences
from toolkit.compare.ranking import leaderboard
from toolkit.files import csv_of
from toolkit.stats.agreement import Agreement
from toolkit.store.queries.app_pages import measured_models
from toolkit.store.queries.boards import judged_rows
from toolkit.toolkit import Toolkit
from toolkit.ui.components import pictures
from toolkit.ui.components.format import count
from toolkit.ui.components.page_head import empty, page_head, section
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.home.first_use import ask_two_models

FEW_VOTES: Final = 5
MATRIX_MODELS: Final = 10
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
        _export(toolkit, votes, rows)
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
        _draw_judges(every)
    with right:
        _draw_matrix(votes, [str(row["model"]) for row in rows])


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


def _draw_matrix(votes: Sequence[Mapping[str, Any]], models: Sequence[str]) -> None:
    """Who wins against whom, best model first; a cell has the wins of its row's model."""
    section("Wins by pair")
    shown = models[:MATRIX_MODELS]
    wins = count_wins(votes)
    columns = {
        "Won": Column([f"{n} {name}" for n, name in enumerate(shown, 1)], 170, on_phone=True)
    }
    for number, against in enumerate(shown, 1):
        columns[f"{number}"] = Column(
            [_pair_text(wins.get((model, against))) for model in shown], 52, "right", against,
            on_phone=True,
        )  # fmt: skip
    draw_table(
        columns,
        key="pairs",
        alt="Wins of each model against each other model",
        height=min(28 * len(shown) + 38, 480),
    )
    st.caption("Wins of the row against the column, of all votes on that pair; ties are neither.")
    if len(models) > len(shown):
        st.caption(f"The best {len(shown)} of {len(models)} models are shown.")


def count_wins(votes: Sequence[Mapping[str, Any]]) -> Mapping[tuple[str, str], tuple[int, int]]:
    """For each ordered pair of models: how often the first won, and how many votes there were."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for vote in votes:
        a, b = str(vote["model_a"]), str(vote["model_b"])
        if a == b:
            continue
        for pair, winner in (((a, b), "a"), ((b, a), "b")):
            won, all_votes = found.get(pair, (0, 0))
            found[pair] = (won + (vote["outcome"] == winner), all_votes + 1)
    return found


def _pair_text(found: tuple[int, int] | None) -> str:
    return UNKNOWN if found is None else f"{found[0]}/{found[1]}"


def _draw_judges(every: Sequence[Mapping[str, Any]]) -> None:
    """How far each model judge agrees with people; nothing where no judge has voted."""
    judges = sorted({str(vote["voter"]) for vote in every if vote["voter"] is not None})
    if not judges:
        return
    found = agreement_with_people(every)
    section("Judges against people")
    draw_table(
        {
            "Judge": Column(judges, 210, on_phone=True),
            "kappa": Column([_kappa(found.get(name)) for name in judges], 130, "right",
                            "Cohen's kappa with its 95 % interval: 1 is full agreement, 0 chance",
                            on_phone=True),
            "agree": Column([_share(found.get(name)) for name in judges], 110, "right"),
            "votes": Column([sum(vote["voter"] == name for vote in every) for name in judges],
                            60, "number"),
        },
        key="judges",
        alt="Agreement of each judge with people",
    )  # fmt: skip


def _kappa(found: Agreement | None) -> str:
    if found is None or math.isnan(found.kappa):
        return UNKNOWN
    return f"{found.kappa:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _share(found: Agreement | None) -> str:
    return "no shared pair" if found is None else f"{found.observed:.0%} of {count(found.n)}"


def _export(
    toolkit: Toolkit, votes: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> None:
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
        st.download_button(
            "Preference data (DPO)", lambda: _preferences(toolkit, votes).as_jsonl(),
            "preferences.jsonl", "application/jsonl", on_click="ignore",
            help="JSON lines with prompt, chosen and rejected, as TRL reads them; ties and answers "
            "that were not recorded are left out.",
        )  # fmt: skip


def _preferences(toolkit: Toolkit, votes: Sequence[Mapping[str, Any]]) -> Preferences:
    shown = {vote["vote_id"] for vote in votes}
    return read_preferences(row for row in judged_rows(toolkit.store) if row["vote_id"] in shown)
