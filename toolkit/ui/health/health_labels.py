"""Health in words: how all providers are, what was lost, rates that are never a bare share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from toolkit.charts.numbers import MIN_FOR_SHARE, UNKNOWN, count, duration
from toolkit.charts.states import TROUBLE, provider_state
from toolkit.ui.components.text import plain

_NAMED: Final = 3


def how_things_are(rows: Sequence[Mapping[str, Any]]) -> str:
    """One sentence about all providers, as Markdown: how many need attention, and which."""
    bad = [row for row in rows if row["state"] in TROUBLE]
    unknown = sum(row["state"] == "unknown" for row in rows)
    paused = sum(row["state"] == "paused" for row in rows)
    seen = len(rows) - unknown - paused
    more = f" The state of {count(unknown)} is unknown." if unknown else ""
    more += f" {count(paused)} {_are(paused)} paused." if paused else ""
    if not rows:
        return ""
    if not seen:
        return f"No provider was called or checked recently.{more if paused else ''}"
    if not bad:
        whole = "The one provider" if seen == 1 else f"All {count(seen)} providers"
        return f"**{whole} called or checked recently {_are(seen)} healthy.**{more}"
    named = ", ".join(
        f"{plain(row['provider'])} is {provider_state(row['state']).word}"
        if row["state"] != "auth_error"
        else f"{plain(row['provider'])} rejects its key"
        for row in bad[:_NAMED]
    )
    others = f" and {count(len(bad) - _NAMED)} more" if len(bad) > _NAMED else ""
    verb = "needs" if len(bad) == 1 else "need"
    share = f"{count(len(bad))} of {count(len(rows))}"
    return f"**{share} providers {verb} attention:** {named}{others}.{more}"


def what_was_lost(losses: Mapping[str, Any]) -> str:
    """What the last day cost the user: failed attempts, those made good, requests lost."""
    failed, rescued, lost = (int(losses[name]) for name in ("failed", "rescued", "lost"))
    if not losses["attempts"]:
        return "No call was made in the last 24 hours."
    if not failed:
        return "No attempt failed because of a provider in the last 24 hours."
    start = f"{count(failed)} attempt{_s(failed)} failed in the last 24 hours"
    if not lost:
        return f"{start}; a later attempt answered each of these requests."
    answered = f"{count(rescued)} answered by a later attempt, " if rescued else ""
    return f"{start}: {answered}{count(lost)} request{_s(lost)} lost."


def rate_words(row: Mapping[str, Any], window: str) -> tuple[str, str]:
    """An error rate and its interval: (`4.3 %`, `1–18 %`); few events are given as a count."""
    n, bad = int(row[f"n_{window}"]), int(row[f"errors_{window}"])
    if not n:
        return UNKNOWN, UNKNOWN
    if n < MIN_FOR_SHARE:
        return f"{bad} of {n}", "too few"
    low, high = row[f"error_low_{window}"], row[f"error_high_{window}"]
    return f"{100 * bad / n:.1f} %", f"{100 * low:.0f}–{100 * high:.0f} %"


def percentile_words(row: Mapping[str, Any], name: str) -> tuple[str, str, str]:
    """p50, p95 and n of a duration; with too few calls the maximum is shown instead of p95."""
    n = int(row[f"{name}_n"])
    p50, p95, top = (row[f"{name}_{what}_ms"] for what in ("p50", "p95", "max"))
    last = duration(p95) if p95 is not None or not n else f"max {duration(top)}"
    return duration(p50), last, count(n)


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _s(n: int) -> str:
    return "" if n == 1 else "s"
