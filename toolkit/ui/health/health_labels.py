"""States and shares of the Health page in words: shape, word and colour, and never a bare share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from toolkit.charts.numbers import MIN_FOR_SHARE, UNKNOWN, count, duration

Colour = Literal["red", "orange", "blue", "green", "violet", "gray"]

STATES: Final[Mapping[str, tuple[str, str, Colour]]] = {
    "healthy": ("●", "healthy", "green"),
    "degraded": ("◐", "degraded", "orange"),
    "down": ("○", "down", "red"),
    "unknown": ("◌", "unknown", "gray"),
    "auth_error": ("⚿", "auth error", "violet"),
    "rate_limited": ("⏳", "rate-limited", "blue"),
    "paused": ("‖", "paused", "gray"),
}
# Not every machine has a font for these shapes; icons come with the page.
_ICONS: Final = {
    "auth_error": ":material/key_off:",
    "rate_limited": ":material/hourglass_top:",
    "paused": ":material/pause:",
}
TROUBLE: Final = ("down", "auth_error", "degraded", "rate_limited")
_NAMED: Final = 3


def mark(state: str) -> tuple[str, Colour]:
    """`● healthy`, and the colour of its badge."""
    shape, word, colour = STATES.get(state, ("?", state, "gray"))
    return f"{shape} {word}", colour


def badge(state: str) -> tuple[str, str | None, Colour]:
    """Label, icon and colour of a badge."""
    shown, colour = mark(state)
    icon = _ICONS.get(state)
    return (STATES[state][1] if icon else shown), icon, colour


def how_things_are(rows: Sequence[Mapping[str, Any]]) -> str:
    """One sentence about all providers: how many are in trouble, which, and how many are silent."""
    bad = [row for row in rows if row["state"] in TROUBLE]
    silent = sum(row["state"] == "unknown" for row in rows)
    held = sum(row["state"] == "paused" for row in rows)
    seen = len(rows) - silent - held
    quiet = f" {count(silent)} {_are(silent)} not known: nothing was seen lately." if silent else ""
    quiet += f" {count(held)} {_are(held)} paused." if held else ""
    if not seen:
        told = f" {count(held)} {_are(held)} paused." if held else ""
        return f"No provider was seen lately, so nothing is known of any.{told}"
    if not bad:
        whole = "The one provider" if seen == 1 else f"All {count(seen)} providers"
        return f"{whole} seen lately {_are(seen)} healthy.{quiet}"
    named = ", ".join(f"{row['provider']} is {STATES[row['state']][1]}" for row in bad[:_NAMED])
    more = f" and {count(len(bad) - _NAMED)} more" if len(bad) > _NAMED else ""
    of_all = f"{count(len(bad))} of {count(len(rows))} providers {_are(len(bad))} in trouble"
    return f"{of_all}: {named}{more}.{quiet}"


def what_was_lost(losses: Mapping[str, Any]) -> str:
    """What the last day cost the user: failed attempts, those made good, requests lost."""
    failed, rescued, lost = (int(losses[name]) for name in ("failed", "rescued", "lost"))
    if not losses["attempts"]:
        return "You made no call in the last 24 hours."
    if not failed:
        return "No attempt of yours failed by a provider's fault in the last 24 hours."
    told = f"{count(failed)} attempt{_s(failed)} of yours failed in the last 24 hours"
    if not lost:
        return f"{told}; all were made good by a later attempt."
    made_good = f"{count(rescued)} made good by a later attempt, " if rescued else ""
    return f"{told}: {made_good}{count(lost)} request{_s(lost)} lost."


def rate_words(row: Mapping[str, Any], window: str) -> tuple[str, str]:
    """An error rate and its interval: (`4.3 %`, `1–18 %`); few events are told as a count."""
    n, bad = int(row[f"n_{window}"]), int(row[f"errors_{window}"])
    if not n:
        return UNKNOWN, UNKNOWN
    if n < MIN_FOR_SHARE:
        return f"{bad} of {n}", "too few"
    low, high = row[f"error_low_{window}"], row[f"error_high_{window}"]
    return f"{100 * bad / n:.1f} %", f"{100 * low:.0f}–{100 * high:.0f} %"


def percentile_words(row: Mapping[str, Any], name: str) -> tuple[str, str, str]:
    """p50, p95 and n of a duration; with too few calls the maximum stands for p95, and says so."""
    n = int(row[f"{name}_n"])
    p50, p95, top = (row[f"{name}_{what}_ms"] for what in ("p50", "p95", "max"))
    last = duration(p95) if p95 is not None or not n else f"max {duration(top)}"
    return duration(p50), last, count(n)


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _s(n: int) -> str:
    return "" if n == 1 else "s"
