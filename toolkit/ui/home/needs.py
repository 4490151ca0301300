"""The lists of the Home page: items that need attention, worst first, and other changes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import streamlit as st

from toolkit.catalog.changes import describe
from toolkit.charts.numbers import UNKNOWN, count
from toolkit.charts.states import State, cause_of, provider_state, reason_words
from toolkit.store.queries import app_pages as queries
from toolkit.toolkit import Toolkit
from toolkit.ui.components.format import at, span_of
from toolkit.ui.components.health_marks import read_troubles
from toolkit.ui.evals.eval_labels import best_of

_ACTIONS: Final = {
    "auth_error": ("Change the key", "providers.py"),
    "rate_limited": ("Its calls", "calls.py"),
}
_CHANGES: Final = {"price": "Price", "new": "New model", "gone": "Model gone", "back": "Model back"}
_REGRESSED, _ENDS = State("✕", "regressed", "red"), State("!", "ends", "orange")
_FAILED: Final = State("✕", "failed", "red")
_MOST_FAILING: Final = 6
_LINE_CHARS: Final = 38


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One item that needs attention.

    Attributes:
        state: how it is.
        what: its name.
        why: the reason in words.
        since: for how long.
        action: what the button does, in words.
        page: the page it leads to, with the query of its address.
        query: the query of that address.
    """

    state: State
    what: str
    why: str
    since: str
    action: str
    page: str
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change that needs no attention."""

    at: datetime
    when: str
    what: str
    name: str
    how: str
    page: str
    query: Mapping[str, str] = field(default_factory=dict)


def find_needs(toolkit: Toolkit, since: datetime, now: datetime) -> list[Need]:
    """Providers in trouble, failures, regressions, models that end.

    Raises:
        StoreError: the database cannot be read.
    """
    troubles = read_troubles(toolkit)
    needs = [_trouble(row, now) for row in troubles.values()]
    with toolkit.store.reading() as reader:
        failures = queries.failures(since).rows(reader)
        verdicts = queries.newest_verdicts().rows(reader)
    needs += [_regressed(row, now) for row in verdicts if row["failed"]]
    failed = [row for row in failures if row["provider"] not in troubles]
    return needs + _failing(failed, since, now)[:_MOST_FAILING] + _ending(toolkit)


def _failing(rows: Sequence[Mapping[str, Any]], since: datetime, now: datetime) -> list[Need]:
    """One item per provider with failed calls, most of them first; `rows` are by cause."""
    by_provider: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_provider.setdefault(str(row["provider"]), []).append(row)
    totals = {name: sum(int(row["n"]) for row in of) for name, of in by_provider.items()}
    window = {"span": "…", "from": since.isoformat(timespec="seconds")}
    needs = []
    for provider in sorted(totals, key=lambda name: -totals[name]):
        causes = by_provider[provider]
        words = [cause_of(row["error_code"]) for row in causes]
        if len(causes) > 1:
            words = [f"{count(row['n'])} {word}" for row, word in zip(causes, words, strict=True)]
        needs.append(
            Need(
                state=_FAILED,
                what=provider,
                why=f"{count(totals[provider])} failed: {', '.join(words)}",
                since=span_of(max(row["last_at"] for row in causes), now),
                action="Its calls",
                page="calls.py",
                query={"provider": provider, "state": "error", **window},
            )
        )
    return needs


def _trouble(row: Mapping[str, Any], now: datetime) -> Need:
    name, state = str(row["provider"]), str(row["state"])
    action, page = _ACTIONS.get(state, ("Incident", "health.py"))
    return Need(
        state=provider_state(state),
        what=name,
        why=reason_words(row["reason"]),
        since=span_of(row["since"], now),
        action=action,
        page=page,
        query={"provider": name},
    )


def _regressed(row: Mapping[str, Any], now: datetime) -> Need:
    names = list(row["names"] or ())
    named = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
    return Need(
        state=_REGRESSED,
        what=f"suite {row['suite']}",
        why=f"{count(row['failed'])} of {count(row['cases'])} cases: {named}",
        since=span_of(row["judged_at"], now),
        action="Difference",
        page="regressions.py",
        query={"run": str(row["run_id"])},
    )


def _ending(toolkit: Toolkit) -> list[Need]:
    ending = toolkit.catalog.retirements()
    return [
        Need(
            state=_ENDS,
            what=str(row["model"]),
            why=f"retires {row['retires_on']:%d %b %Y}; {count(row['calls_30d'])} calls in 30 days",
            since="",
            action="Replace it",
            page="models.py",
            query={"model": str(row["model"])},
        )
        for row in ending.to_dict("records")
        if row["calls_30d"]
    ]


def find_changes(toolkit: Toolkit, since: datetime, now: datetime) -> list[Change]:
    """Changes of models in use, eval runs that ended, new boards; newest first.

    Raises:
        StoreError: the database cannot be read.
    """
    with toolkit.store.reading() as reader:
        models = queries.changes_of_used(since, now).rows(reader)
        runs = queries.ended_runs(since).rows(reader)
        boards = queries.new_boards(since).rows(reader)
    found = [_of_model(row) for row in models]
    found += [_of_run(row) for row in runs]
    found += [_of_board(row) for row in boards]
    return sorted(found, key=lambda change: change.at, reverse=True)


def _when(moment: datetime) -> str:
    return at(moment, st.context.timezone)


def _of_model(row: Mapping[str, Any]) -> Change:
    return Change(
        at=row["changed_at"],
        when=_when(row["changed_at"]),
        what=_CHANGES.get(str(row["kind"]), str(row["kind"]).capitalize()),
        name=str(row["model"]),
        how=describe(dict(row)),
        page="models.py",
        query={"model": str(row["model"])},
    )


def _of_run(row: Mapping[str, Any]) -> Change:
    models = len(row["models"] or ())
    failed = f", {count(row['errors'])} errors" if row["errors"] else ""
    best = best_of(row)
    answers = f"{count(row['done'])} of {count(row['samples'])} answers"
    return Change(
        at=row["ended_at"],
        when=_when(row["ended_at"]),
        what=f"Eval {row['status']}",
        name=f"{row['name'] or row['dataset']}, {models} model{'' if models == 1 else 's'}",
        how=f"{answers if best == UNKNOWN else f'best {best}'}{failed}",
        page="evals.py",
        query={"run": str(row["run_id"])},
    )


def _of_board(row: Mapping[str, Any]) -> Change:
    return Change(
        at=row["created_at"],
        when=_when(row["created_at"]),
        what="Board",
        name=shorten(str(row["title"] or first_line(row["messages"])), _LINE_CHARS),
        how=f"{count(row['panes'])} models",
        page="compare.py",
        query={"board": str(row["board_id"])},
    )


def shorten(text: str, most: int) -> str:
    """A text of at most so many characters, cut between two words."""
    if len(text) <= most:
        return text
    kept = text[:most].rpartition(" ")[0] or text[: most - 1]
    return f"{kept.rstrip(' ,.;:-')}…"


def first_line(messages: str | None) -> str:
    """The last message of a conversation, in one short line; JSON as the store keeps it."""
    try:
        content = json.loads(messages or "[]")[-1]["content"]
    except (ValueError, LookupError, TypeError):
        return "a conversation"
    return " ".join(content.split())[:120] if isinstance(content, str) else "a conversation"
