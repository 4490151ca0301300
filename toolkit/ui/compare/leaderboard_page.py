"""The Leaderboard page: ratings from votes with their intervals, beside TTFT and cost."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import streamlit as st

from toolkit.charts import rating_tradeoff
from toolkit.charts.numbers import UNKNOWN
from toolkit.compare.model_judge import agreement_with_people
from toolkit.compare.ranking import leaderboard
from toolkit.compare.vote import Preferences, read_preferences
from toolkit.compare.vote_analysis import (
    NextPair,
    Voters,
    controlled_leaderboard,
    count_tags,
    next_pairs,
    of_voters,
    pareto_front,
    with_tags,
)
from toolkit.files import csv_of
from toolkit.stats.agreement import Agreement
from toolkit.store.queries.app_pages import measured_models
from toolkit.store.queries.boards import (
    board_models,
    counted_votes,
    judged_rows,
    vote_rows,
    vote_rows_with_lengths,
)
from toolkit.store.queries.query import Query
from toolkit.toolkit import Toolkit
from toolkit.ui.compare.session import compare_state
from toolkit.ui.components import pictures
from toolkit.ui.components.chart_block import draw_chart
from toolkit.ui.components.format import count
from toolkit.ui.components.page_head import empty, page_head, section
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.components.text import plain
from toolkit.ui.components.theme import is_phone
from toolkit.ui.home.first_use import ask_two_models

FEW_VOTES: Final = 5
_SIDES: Final = (59, 41)
_VOTERS: Final[tuple[Voters, ...]] = ("people", "judges", "both")


def draw_leaderboard(toolkit: Toolkit) -> None:
    """The whole page."""
    is_controlled = st.query_params.get("control") == "true"
    read = vote_rows_with_lengths if is_controlled else vote_rows
    every: list[Mapping[str, Any]] = list(read(toolkit.store))
    voter = st.session_state.get("voter") or st.query_params.get("voter")
    of_voter = of_voters(every, next((name for name in _VOTERS if name == voter), "people"))
    votes = with_tags(of_voter, st.query_params.get_all("tag"))
    controlled = controlled_leaderboard(votes) if is_controlled else None
    table = controlled.table if controlled else leaderboard(votes)
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    pairs = next_pairs(votes, board_models(toolkit.store, _CANDIDATES)) if rows else []
    with page_head("Leaderboard", _sentence(votes, rows, is_controlled=is_controlled)):
        if every:
            st.segmented_control("Voters", _VOTERS, default="people", required=True, key="voter",
                                 bind="query-params", label_visibility="collapsed")  # fmt: skip
        _export(toolkit, votes, rows)
        _draw_vote_button(pairs)
    if every:
        _draw_filters(of_voter)
    if not rows:
        _draw_empty(toolkit, has_votes=bool(every))
        return
    measured = measured_models(datetime.now(UTC))
    with toolkit.store.reading() as reader:
        facts = {row["model"]: row for row in measured.rows(reader)}
    rows = _with_facts(rows, facts)
    left, right = st.columns(_SIDES, gap="medium")
    with left:
        _draw_ratings(rows)
        if controlled is not None:
            st.caption(controlled.sentence)
        draw_matrix(votes, [str(row["model"]) for row in rows])
    with right:
        draw_tradeoff(rows, measured)
        draw_next_pairs(pairs)
        draw_judges(every)


def _draw_filters(votes: Sequence[Mapping[str, Any]]) -> None:
    """Slices by tag, and the switch that controls for length and position; in the address."""
    counts = count_tags(votes)
    with st.container(horizontal=True, vertical_alignment="center"):
        names = list(dict.fromkeys([*counts, *st.query_params.get_all("tag")]))
        if names:
            st.pills("Tags of the votes", names, selection_mode="multi", key="tag",
                     format_func=lambda tag: f"#{tag} {counts.get(tag, 0)}", bind="query-params",
                     label_visibility="collapsed")  # fmt: skip
        st.toggle(
            "Control for length and position", key="control", bind="query-params",
            help="Rates the models as for answers of equal length, with neither side preferred: "
            "both are covariates of the fit.",
        )  # fmt: skip


def _draw_empty(toolkit: Toolkit, *, has_votes: bool) -> None:
    if has_votes:
        empty("No votes match: choose other voters, or take away a tag.")
        return
    empty("No votes yet. Compare models with hidden names, and vote for the better answer.")
    if board_models(toolkit.store, 2):
        st.page_link("compare.py", label="Compare two models", icon=":material/view_column_2:",
                     query_params={"blind": "on"})  # fmt: skip
    else:
        ask_two_models(toolkit, compare_state())


def _with_facts(
    rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The rows with cost and TTFT of each model, and whether it is on the Pareto front."""
    names = ("p50_ms", "usd_per_thousand")
    made = [
        {**row, **{name: facts.get(row["model"], {}).get(name) for name in names}} for row in rows
    ]
    fronts = pareto_front(made)
    return [{**row, "is_front": is_front} for row, is_front in zip(made, fronts, strict=True)]


def _sentence(
    votes: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], *, is_controlled: bool
) -> str:
    if not votes:
        return ""
    boards = len({vote["board_id"] for vote in votes})
    control = ", controlled for length and position" if is_controlled else ""
    return (
        f"**{count(len(votes))} vote{'' if len(votes) == 1 else 's'}** on {len(rows)} models, "
        f"{count(boards)} board{'' if boards == 1 else 's'}. "
        f"Bradley-Terry with ties{control}; intervals 95 %."
    )


def _draw_ratings(rows: Sequence[Mapping[str, Any]]) -> None:
    ends = (min(row["low"] for row in rows), max(row["high"] for row in rows))
    draw_table(
        {
            "Rank": Column([_rank(row, rows) for row in rows], 54, on_phone=True),
            "Model": Column([str(row["model"]) for row in rows],
                            160 if is_phone() else 184, on_phone=True),
            "Rating": Column([_rating(row) for row in rows], 60, "number", on_phone=True),
            f"95 %, {ends[0]:.0f} to {ends[1]:.0f}": Column(
                [_interval(row, ends) for row in rows], 140, "image"),
            "Votes": Column([row["votes"] for row in rows], 54, "number", on_phone=True),
            "Won": Column([row["wins"] for row in rows], 48, "number"),
            "TTFT ms": Column([row["p50_ms"] for row in rows], 66, "number"),
            "$ / 1,000": Column([row["usd_per_thousand"] for row in rows], 74, "number",
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


MATRIX_MODELS: Final = 10
_CANDIDATES: Final = 40


def draw_matrix(votes: Sequence[Mapping[str, Any]], models: Sequence[str]) -> None:
    """Who wins against whom, best model first; a cell has the wins of its row's model."""
    section("Wins by pair")
    shown = models[:MATRIX_MODELS]
    wins = count_wins(votes)
    columns = {
        "Wins": Column([f"{n} {name}" for n, name in enumerate(shown, 1)], 170, on_phone=True)
    }
    for number, against in enumerate(shown, 1):
        columns[f"{number}"] = Column(
            [_pair_text(wins.get((model, against))) for model in shown], 50, "right", against,
            on_phone=True,
        )  # fmt: skip
    draw_table(
        columns,
        key="pairs",
        alt="Wins of each model against each other model",
        most_px=480,
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
            "Judge": Column(judges, 146, on_phone=True),
            "Kappa": Column([_kappa(found.get(name)) for name in judges], 124, "right",
                            "Cohen's kappa with its 95 % interval: 1 is full agreement, 0 chance",
                            on_phone=True),
            "Agreement": Column([_share(found.get(name)) for name in judges], 98, "right"),
            "Votes": Column([sum(vote["voter"] == name for vote in every) for name in judges],
                            46, "number"),
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


def _draw_vote_button(pairs: Sequence[NextPair]) -> None:
    """The way to the vote that tells most, in the head of the page."""
    if not pairs:
        return
    if st.button("Vote on the next pair", type="primary", icon=":material/how_to_vote:"):
        st.switch_page("compare.py", query_params=_blind(pairs[0]))


def _blind(pair: NextPair) -> dict[str, Any]:
    """The query of Compare with both models and their names hidden."""
    return {"model": [pair.model_a, pair.model_b], "blind": "on"}


def draw_next_pairs(pairs: Sequence[NextPair]) -> None:
    """The pairs whose next vote tells most, each with a link that opens it blind on Compare."""
    if not pairs:
        return
    section("Next pair to vote on")
    for number, pair in enumerate(pairs):
        label = f"{plain(pair.model_a)} and {plain(pair.model_b)}"
        st.page_link(
            "compare.py",
            label=f"**{label}**" if number == 0 else label,
            icon=":material/compare_arrows:",
            query_params=_blind(pair),
            help=_gain(pair),
        )
    st.caption(
        "The pairs whose next vote is expected to tell most about the ratings. A link opens the "
        "two models on Compare with hidden names."
    )


def _gain(pair: NextPair) -> str:
    votes = "no vote yet" if not pair.votes else f"{count(pair.votes)} votes so far"
    return f"Expected information: {pair.bits:.2f} bits; {votes}."


def short_label(number: int, row: Mapping[str, Any]) -> str:
    """The name of a model; on a phone, off the Pareto front, its line in the table of wins."""
    is_named = row["is_front"] or not is_phone()  # all names would cover each other there
    return str(row["model"]).rpartition("/")[2] if is_named else str(number)


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
    drawn = pd.DataFrame(list(rows))
    drawn["label"] = [short_label(number, row) for number, row in enumerate(rows, 1)]
    draw_chart(rating_tradeoff(drawn), key="tradeoff", sql=sql, python=python)
    if is_phone():
        st.caption("A number is the line of the model in the table of wins.")
    st.caption(
        "Filled: no other model is at least as good in rating, cost and TTFT at once (the Pareto "
        "front). Cost and TTFT are those of your own calls of the last 7 days."
    )
