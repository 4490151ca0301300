"""`toolkit board`: recorded comparisons, votes and the leaderboard."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from toolkit.charts.numbers import count, duration, money, rate
from toolkit.cli.output import (
    Column,
    JsonFlag,
    console,
    new_app,
    notice,
    opened_toolkit,
    plain,
    print_json,
    show_facts,
    show_rows,
)
from toolkit.errors import InvalidInput

app: typer.Typer = new_app("Comparisons, votes and the leaderboard.")

BoardId = Annotated[str, typer.Argument(help="A board's id, or its first or last characters.")]

_TITLE_LENGTH = 48


@app.command("list")
def list_(
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="Maximum number of boards.")
    ] = 20,
    as_json: JsonFlag = False,
) -> None:
    """List boards, newest first."""
    from toolkit.compare.board_history import list_boards

    with opened_toolkit() as toolkit:
        rows = list_boards(toolkit.store, limit)
    shown = rows if as_json else [{**row, "title": _title(row)} for row in rows]
    columns = (
        Column("created_at", "UTC", lambda at: f"{at:%Y-%m-%d %H:%M}"),
        Column("board_id", "Board", lambda board_id: str(board_id)[-8:]),
        Column("title", "Asked"),
        Column("models", "Models", ", ".join, is_optional=True),
        Column("panes", "Panes", count, is_number=True),
        Column("votes", "Votes", count, is_number=True),
    )
    empty = "No boards yet. Create one with `toolkit chat PROMPT -m A -m B` or in the app."
    show_rows(shown, columns, as_json=as_json, empty=empty)


@app.command()
def show(board: BoardId, as_json: JsonFlag = False) -> None:
    """Show one board: the question and the answer of every pane."""
    from toolkit.compare.board_history import panes_of, require_board

    with opened_toolkit() as toolkit:
        row = require_board(toolkit.store, board)
        panes = panes_of(toolkit.store, row["board_id"])
    if as_json:
        show_facts({**row, "panes": panes}, as_json=True)
        return
    out = console()
    out.print(plain(f"Board {row['board_id']}, {row['created_at']:%Y-%m-%d %H:%M} UTC"))
    for message in row["messages"]:
        out.print(plain(f"{message.get('role')}: {message.get('content')}"), style="bold")
    for pane in panes:
        out.print(f"\n[{pane['position'] + 1}] {plain(pane['model'])} · {_facts(pane)}")
        said = pane["output_text"] or pane["error_message"] or "(the answer is not recorded)"
        out.print(plain(said))


@app.command()
def vote(
    board: BoardId,
    winner: Annotated[str, typer.Argument(help="The better pane (1, 2, ...), tie or both_bad.")],
    between: Annotated[
        str | None, typer.Option(help="Vote on these two panes only, for example 1,3.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="Why.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Vote for the better answer; votes are used by the leaderboard."""
    from dataclasses import asdict

    from toolkit.compare.board_history import as_panes, panes_of, require_board
    from toolkit.compare.board_rows import append_votes
    from toolkit.compare.vote import judge

    with opened_toolkit() as toolkit:
        row = require_board(toolkit.store, board)
        panes = as_panes(panes_of(toolkit.store, row["board_id"]))
        pair = _read_pair(between)
        choice = _read_winner(winner, len(panes))
        votes = judge(row["board_id"], panes, choice, between=pair, note=note)
        append_votes(toolkit.store, votes)
    if as_json:
        print_json([asdict(item) for item in votes])
    else:
        notice(f"{len(votes)} vote{'s are' if len(votes) > 1 else ' is'} kept.")


@app.command()
def leaderboard(
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", "-t", help="Count only votes with this tag; may be repeated."),
    ] = None,
    voters: Annotated[
        Literal["people", "judges", "both"],
        typer.Option(help="Count the votes of people, of model judges, or of both."),
    ] = "people",
    control: Annotated[
        bool,
        typer.Option(
            "--control", help="Rate as for answers of equal length, with neither side preferred."
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Rank models by the votes: Bradley-Terry ratings with 95 % intervals."""
    from toolkit.compare.board_history import votes_of
    from toolkit.compare.ranking import leaderboard as rank
    from toolkit.compare.vote_analysis import controlled_leaderboard, of_voters, with_tags
    from toolkit.store.queries.boards import vote_rows_with_lengths

    tags = [name.lstrip("#").lower() for name in tag or ()]
    with opened_toolkit() as toolkit:
        every = (vote_rows_with_lengths if control else votes_of)(toolkit.store)
    votes = with_tags(of_voters(every, voters), tags)
    controlled = controlled_leaderboard(votes) if control else None
    rows = (controlled.table if controlled else rank(votes)).to_dict("records")
    show_rows(
        [{str(k): v for k, v in row.items()} for row in rows],
        _RATINGS,
        as_json=as_json,
        empty=_no_ratings(has_votes=bool(every)),
    )
    if as_json or not rows:
        return
    if controlled is not None:
        notice(controlled.sentence)
    if len({row["group"] for row in rows}) > 1:
        notice(
            "Some of these models were never compared with each other, directly or through other "
            "models; ranks of different groups are not comparable."
        )


_RATINGS = (
    Column("rank", "Rank", count, is_number=True),
    Column("model", "Model"),
    Column("rating", "Rating", "{:.0f}".format, is_number=True),
    Column("low", "Low", "{:.0f}".format, is_number=True),
    Column("high", "High", "{:.0f}".format, is_number=True),
    Column("votes", "Votes", count, is_number=True),
    Column("wins", "Won", count, is_number=True),
    Column("losses", "Lost", count, is_number=True),
    Column("ties", "Tied", count, is_number=True),
)


def _no_ratings(*, has_votes: bool) -> str:
    if has_votes:
        return "No vote between different models matches; choose other --voters or tags."
    return "No votes between different models yet. `toolkit board vote BOARD PANE` casts one."


def _title(row: dict[str, Any]) -> str:
    last = (row["messages"] or [{}])[-1].get("content")
    text = row["title"] or (last if isinstance(last, str) else "")
    line = " ".join(str(text).split())
    return line if len(line) <= _TITLE_LENGTH else line[: _TITLE_LENGTH - 1] + "…"


def _facts(pane: dict[str, Any]) -> str:
    if pane["error_code"]:
        return f"{pane['state']}: {pane['error_code']}"
    facts = (
        pane["state"],
        f"TTFT {duration(pane['ttft_ms'])}",
        rate(pane["output_tps"]),
        f"{count(pane['output_tokens'])} tokens",
        money(pane["cost_usd"]),
    )
    return " · ".join(facts)


def _read_winner(text: str, panes: int) -> Any:
    if text in ("tie", "both_bad"):
        return text
    if not text.isdigit() or not 1 <= int(text) <= panes:
        raise InvalidInput(
            f"{text!r} is not a pane of this board", hint=f"Use 1 to {panes}, tie or both_bad."
        )
    return int(text) - 1


def _read_pair(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdigit() for part in parts):
        raise InvalidInput(f"{text!r} does not name two panes", hint="Use the form 1,3.")
    return int(parts[0]) - 1, int(parts[1]) - 1
