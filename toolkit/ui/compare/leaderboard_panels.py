"""What the Leaderboard shows beside the ratings: pairs, judges, the next pair, the trade-off."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st

from toolkit.charts import rating_tradeoff
from toolkit.charts.numbers import UNKNOWN
from toolkit.compare.model_judge import agreement_with_people
from toolkit.compare.vote_analysis import NextPair, next_pairs
from toolkit.stats.agreement import Agreement
from toolkit.store.queries.boards import board_models, counted_votes
from toolkit.store.queries.query import Query
from toolkit.toolkit import Toolkit
from toolkit.ui.components.chart_block import draw_chart
from toolkit.ui.components.format import count
from toolkit.ui.components.page_head import section
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.components.text import plain

MATRIX_MODELS: Final = 10
_CANDIDATES: Final = 40


def draw_matrix(votes: Sequence[Mapping[str, Any]], models: Sequence[str]) -> None:
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


def draw_judges(every: Sequence[Mapping[str, Any]]) -> None:
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


def draw_next_pair(toolkit: Toolkit, votes: Sequence[Mapping[str, Any]]) -> None:
    """The pairs whose next vote tells most, each with a link that opens it blind on Compare."""
    pairs = next_pairs(votes, board_models(toolkit.store, _CANDIDATES))
    if not pairs:
        return
    section("Next pair to vote on")
    for number, pair in enumerate(pairs):
        label = f"{plain(pair.model_a)} and {plain(pair.model_b)}"
        st.page_link(
            "compare.py",
            label=f"**{label}**" if number == 0 else label,
            icon=":material/compare_arrows:",
            query_params={"model": [pair.model_a, pair.model_b], "blind": "on"},
            help=_gain(pair),
        )
    st.caption(
        "The pairs whose next vote is expected to tell most about the ratings. A link opens the "
        "two models on Compare with hidden names."
    )


def _gain(pair: NextPair) -> str:
    votes = "no vote yet" if not pair.votes else f"{count(pair.votes)} votes so far"
    return f"Expected information: {pair.bits:.2f} bits; {votes}."


def draw_tradeoff(rows: Sequence[Mapping[str, Any]], measured: Query) -> None:
    """Rating against cost and TTFT, with the models that no other one beats."""
    import pandas as pd

    votes = counted_votes()
    python = (
        "import toolkit as tk\n"
        "from toolkit.compare.ranking import leaderboard\n"
        "from toolkit.compare.vote_analysis import pareto_front\n\n"
        f"votes = {votes.python}.to_dict('records')\n"
        f"measured = {measured.python}\n"
        "ratings = leaderboard(votes).merge(measured, on='model', how='left')\n"
        "ratings['is_front'] = pareto_front(ratings.to_dict('records'))\n"
        "tk.charts.rating_tradeoff(ratings)"
    )
    sql = f"{votes.text};\n\n{measured.text}"
    draw_chart(rating_tradeoff(pd.DataFrame(list(rows))), key="tradeoff", sql=sql, python=python)
    st.caption(
        "Filled: no other model is at least as good in rating, cost and TTFT at once (the Pareto "
        "front). Cost and TTFT are those of your own calls of the last 7 days; the text beside a "
        "name is its TTFT p50."
    )
