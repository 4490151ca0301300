"""One answer of a board: `Pane` is what anyone may look at, `LivePane` is it while it happens.

The live one is written by the event loop and read by pages and terminals in other threads; a
lock keeps each snapshot whole.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from toolkit.records import Call, Reply
from toolkit.secret import current_matcher
from toolkit.secret_streams import StreamRedactor

if TYPE_CHECKING:
    from toolkit.calls.client import Delta
    from toolkit.errors import ToolkitError

PaneState = Literal["waiting", "streaming", "done", "failed", "stopped"]

STALL_AFTER_S = 1.0
"""A silence at least this long, in a stream that had begun, is shown as a stall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pane:
    """One answer of a board, at one moment.

    Attributes:
        pane_id: UUIDv7 text of this try; a retried pane gets a new one.
        index: place on the board, from 0.
        model: `provider/model_id` that is asked.
        params: options of this pane alone and those it shares with the board.
        state: `waiting`, `streaming`, `done`, `failed` or `stopped`.
        text: the answer so far.
        reasoning: the reasoning so far.
        tool_calls: number of tools the model wants called.
        ttft_ms: request sent to first token, milliseconds.
        ttfo_ms: request sent to first answer token, milliseconds.
        output_tps: output tokens per second; an estimate while `is_estimate`.
        output_tokens: output tokens so far; an estimate while `is_estimate`.
        is_estimate: tokens are counted by pieces because the provider has not counted yet.
        duration_ms: since the pane was asked, milliseconds.
        silent_s: seconds since the last piece while streaming, else None.
        cost_usd: cost of the call, None when unpriced or not yet known.
        reply: the whole reply of a pane that is done.
        error: why a failed pane failed.
        attempts: rows of every attempt, failed ones first.
    """

    pane_id: str
    index: int
    model: str
    params: Mapping[str, Any] = field(default_factory=dict)
    state: PaneState = "waiting"
    text: str = ""
    reasoning: str = ""
    tool_calls: int = 0
    ttft_ms: float | None = None
    ttfo_ms: float | None = None
    output_tps: float | None = None
    output_tokens: int | None = None
    is_estimate: bool = False
    duration_ms: float | None = None
    silent_s: float | None = None
    cost_usd: Decimal | None = None
    reply: Reply | None = None
    error: ToolkitError | None = None
    attempts: tuple[Call, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to this pane by itself."""
        return self.state in ("done", "failed", "stopped")

    @property
    def is_stalled(self) -> bool:
        """Whether a stream that had begun is silent for longer than `STALL_AFTER_S`."""
        return self.silent_s is not None and self.silent_s >= STALL_AFTER_S

    @property
    def call_id(self) -> str | None:
        """Id of the attempt that answered, or of the last one that failed."""
        if self.reply is not None:
            return self.reply.call_id
        return self.attempts[-1].call_id if self.attempts else None


class LivePane:
    """A pane while it happens: fed by the event loop, read from anywhere.

    Panes are shown on pages and terminals, so that their texts come without secrets in use.
    """

    def __init__(self, pane: Pane) -> None:
        self._pane = pane
        self._lock = threading.Lock()
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._redactors = {"text": StreamRedactor(), "reasoning": StreamRedactor()}
        self._pieces = 0
        self._first_at_ms: float | None = None
        self._last_at_ms = 0.0
        self._asked_at = time.perf_counter()
        self._heard_at = self._asked_at

    def feed(self, delta: Delta) -> None:
        """Take one piece of the stream; empty ones do not count as a token."""
        if not delta.text and delta.kind != "tool_call":
            return
        with self._lock:
            self._heard_at = time.perf_counter()
            self._pieces += 1
            self._last_at_ms = delta.at_ms
            changes: dict[str, Any] = {"state": "streaming"}
            if self._first_at_ms is None:
                self._first_at_ms = changes["ttft_ms"] = delta.at_ms
            if delta.kind == "reasoning":
                self._reasoning.append(self._redactors["reasoning"].feed(delta.text))
            elif self._pane.ttfo_ms is None:
                changes["ttfo_ms"] = delta.at_ms
            if delta.kind == "text":
                self._text.append(self._redactors["text"].feed(delta.text))
            self._pane = replace(self._pane, **changes)

    def finish(self, reply: Reply) -> None:
        """The reply is whole: its own numbers replace the estimates."""
        with self._lock:
            self._pane = replace(
                self._pane,
                state="done",
                text=current_matcher().redact(reply.text),
                reasoning=current_matcher().redact(reply.reasoning),
                tool_calls=len(reply.tool_calls),
                ttft_ms=reply.timing.ttft_ms,
                ttfo_ms=reply.timing.ttfo_ms,
                output_tps=reply.timing.output_tps,
                output_tokens=reply.usage.output_tokens,
                is_estimate=reply.usage.source == "estimated",
                duration_ms=self._elapsed_ms(),
                cost_usd=reply.receipt.cost_usd,
                reply=reply,
                attempts=reply.attempts,
            )

    def fail(self, error: ToolkitError) -> None:
        """The request failed for good; what had arrived is kept."""
        with self._lock:
            self._release()
            now = self._measured()
            self._pane = replace(
                now,
                state="failed",
                text=now.text or current_matcher().redact(getattr(error, "partial_text", "")),
                error=error,
                attempts=tuple(getattr(error, "attempts", ())),
                silent_s=None,
            )

    def stop(self, attempts: tuple[Call, ...] = ()) -> None:
        """Someone stopped it; what had arrived is kept."""
        with self._lock:
            self._release()
            self._pane = replace(
                self._measured(), state="stopped", attempts=attempts, silent_s=None
            )

    def snapshot(self) -> Pane:
        """A snapshot of the pane."""
        with self._lock:
            return self._pane if self._pane.is_over else self._measured()

    def _release(self) -> None:
        """Nothing more will come: what might have begun a secret is shown."""
        self._text.append(self._redactors["text"].finish())
        self._reasoning.append(self._redactors["reasoning"].finish())

    def _elapsed_ms(self) -> float:
        return (time.perf_counter() - self._asked_at) * 1000

    def _measured(self) -> Pane:
        streaming = self._pane.state == "streaming"
        span_ms = self._last_at_ms - (self._first_at_ms or 0.0)
        return replace(
            self._pane,
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            output_tokens=self._pieces or None,
            is_estimate=self._pieces > 0,
            # The same arithmetic as `Timing.output_tps`: gaps, not tokens, over the time they took.
            output_tps=(self._pieces - 1) * 1000 / span_ms if span_ms > 0 else None,
            duration_ms=self._elapsed_ms(),
            silent_s=time.perf_counter() - self._heard_at if streaming else None,
        )
