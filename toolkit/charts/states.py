"""The one vocabulary of states: symbol, word and colour of everything that has a state.

Pages, the command line, notebooks and reports all read it, so that the same thing looks the same
everywhere. The symbol says by its shape what the colour says; the shapes are in the fonts that
come with every browser and terminal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Colour = Literal["green", "orange", "red", "blue", "violet", "gray"]


@dataclass(frozen=True, slots=True)
class State:
    """How one state is shown.

    Attributes:
        symbol: one character that identifies the state by shape alone.
        word: the state in words.
        colour: a colour of the theme; never the only difference between two states.
    """

    symbol: str
    word: str
    colour: Colour

    @property
    def label(self) -> str:
        """Symbol and word, as tables and badges show them."""
        return f"{self.symbol} {self.word}"


PROVIDER: Final[Mapping[str, State]] = {
    "healthy": State("●", "healthy", "green"),
    "degraded": State("◐", "degraded", "orange"),
    "down": State("○", "down", "red"),
    "auth_error": State("◆", "key refused", "violet"),
    "rate_limited": State("◷", "rate limited", "blue"),
    "paused": State("‖", "paused", "gray"),
    "unknown": State("◌", "unknown", "gray"),
}
PANE: Final[Mapping[str, State]] = {
    "waiting": State("◌", "waiting", "gray"),
    "streaming": State("…", "answering", "blue"),
    "done": State("✓", "done", "green"),
    "failed": State("✕", "failed", "red"),
    "stopped": State("■", "stopped", "gray"),
}
VERDICT: Final[Mapping[str, State]] = {
    "pass": State("✓", "passed", "green"),
    "fixed": State("✓", "fixed", "green"),
    "regressed": State("✕", "regressed", "red"),
    "error": State("✕", "error", "red"),
    "flaky": State("!", "flaky", "orange"),
    "changed": State("!", "changed", "orange"),
    "new": State("+", "new", "blue"),
}
RUN: Final[Mapping[str, State]] = {
    "running": State("…", "running", "blue"),
    "done": State("✓", "done", "green"),
    "stopped": State("■", "stopped", "gray"),
    "failed": State("✕", "failed", "red"),
}
CHECK: Final[Mapping[str, State]] = {
    "works": State("✓", "yes", "green"),
    "refused": State("✕", "no", "red"),
    "could_not_check": State("◌", "not checked", "gray"),
}
OBJECTIVE: Final[Mapping[str, State]] = {
    "met": State("✓", "met", "green"),
    "at_risk": State("!", "at risk", "orange"),
    "missed": State("✕", "missed", "red"),
    "not enough data": State("◌", "not enough data", "gray"),
}
INCIDENT: Final[Mapping[str, State]] = {
    "open": State("…", "open", "blue"),
    "over": State("✓", "over", "green"),
}
BUDGET: Final[Mapping[str, State]] = {
    "fine": State("✓", "fine", "green"),
    "near": State("!", "near", "orange"),
    "used up": State("✕", "used up", "red"),
}
_CAUSES: Final[Mapping[str, str]] = {
    "API_KEY_REQUIRED": "no key",
    "AUTHENTICATION_FAILED": "key refused",
    "PERMISSION_DENIED": "not allowed",
    "MODEL_NOT_FOUND": "no such model",
    "CLIENT_ERROR": "request refused",
    "CONTEXT_WINDOW_EXCEEDED": "input too long",
    "CONTENT_FILTERED": "filtered",
    "RATE_LIMIT_EXCEEDED": "rate limited",
    "QUOTA_EXCEEDED": "no credit left",
    "SERVER_ERROR": "server error",
    "TIMEOUT": "timeout",
    "REQUEST_FAILED": "no connection",
    "STREAM_ERROR": "cut off",
    "PARSE_ERROR": "unreadable answer",
    "MAX_RETRIES_EXCEEDED": "every try failed",
    "NO_PROVIDER": "no provider",
    "BUDGET_EXCEEDED": "over the budget",
    "PROVIDER_NOT_FOUND": "no such provider",
    "INVALID_INPUT": "invalid input",
    "CASSETTE_MISSING": "not recorded",
    "CASSETTE_STALE": "recording too old",
}
_CODE: Final = re.compile(r"\b[A-Z]{3,}(?:_[A-Z]+)+\b|\bTIMEOUT\b")
TROUBLE: Final = ("down", "auth_error", "degraded", "rate_limited")
"""Provider states that need attention, worst first."""


def provider_state(name: str) -> State:
    """The state of a provider; a name that is not known is shown as it is."""
    return PROVIDER.get(name) or State("?", name, "gray")


def verdict_state(name: str) -> State:
    """The verdict on a regression case."""
    return VERDICT.get(name) or State("?", name, "gray")


def run_state(name: str) -> State:
    """The state of an eval run."""
    return RUN.get(name) or State("?", name, "gray")


def pane_state(name: str) -> State:
    """The state of a pane."""
    return PANE.get(name) or State("?", name, "gray")


def cause_of(error_code: str | None) -> str:
    """An error code in words: `RATE_LIMIT_EXCEEDED` is `rate limited`."""
    if not error_code:
        return "failed"
    return _CAUSES.get(error_code) or error_code.lower().replace("_", " ")


def call_state(status: str, error_code: str | None = None, attempts: int = 1) -> State:
    """How a request ended, by its last attempt."""
    if status == "ok":
        return State("✓", "ok", "green") if attempts <= 1 else _later_try(attempts)
    if status == "cancelled":
        return State("■", "stopped", "gray")
    return State("✕", cause_of(error_code), "red")


def _later_try(attempts: int) -> State:
    ordinal = {2: "2nd", 3: "3rd"}.get(attempts, f"{attempts}th")
    return State("↻", f"ok, {ordinal} try", "orange")


def reason_words(reason: str | None) -> str:
    """A reason without codes: `8 failures in a row, last: no connection`."""
    return _CODE.sub(lambda found: cause_of(found[0]), reason or "")
