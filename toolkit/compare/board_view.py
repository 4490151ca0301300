"""A board as a table, as a figure and as a notebook card; model text is shown as text only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from toolkit.charts.numbers import duration, money, rate, tokens
from toolkit.display import NO_FORMULAS, TEXT_CHARS, Card, inert_html, shown_text

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.compare.pane import Pane

_STATE_MARK = {
    "waiting": "◌ waiting",
    "streaming": "◐ streaming",
    "done": "● done",
    "failed": "○ failed",
    "stopped": "■ stopped",
}


def panes_frame(panes: Sequence[Pane]) -> pd.DataFrame:
    """One row per pane, in the order of the board; unknown numbers are missing, never zero."""
    import pandas as pd

    columns = list(_row_of(panes[0])) if panes else []
    frame = pd.DataFrame([_row_of(pane) for pane in panes], columns=columns)
    numbers = ("ttft_ms", "ttfo_ms", "tpot_ms", "output_tps", "duration_ms")
    whole = ("input_tokens", "output_tokens", "reasoning_tokens")
    kinds = {name: "Float64" for name in numbers} | {name: "Int64" for name in whole}
    return frame.astype({name: kind for name, kind in kinds.items() if name in frame})


def panes_figure(panes: Sequence[Pane]) -> Any:
    """All panes on one time axis that begins when each was asked."""
    from toolkit.charts.phases import phases_of_attempts
    from toolkit.charts.wire import timeline

    lanes = [
        phases_of_attempts(_attempt_rows(pane), f"{pane.index + 1}. {name}")
        for pane, name in zip(panes, pane_names(panes), strict=True)
    ]
    calls = sum(len(_attempt_rows(pane)) for pane in panes)
    title = f"Timeline of {len(panes)} panes, n = {calls} call{'' if calls == 1 else 's'}"
    return timeline([phase for lane in lanes for phase in lane], title)


def pane_names(panes: Sequence[Pane]) -> list[str]:
    """The models, and and, for one used more than once, how its panes differ."""
    names = []
    for pane in panes:
        twins = [other.params for other in panes if other.model == pane.model]
        differences = [
            f"{name} {_short(value)}"
            for name, value in pane.params.items()
            if any(twin.get(name) != value for twin in twins)
        ]
        names.append(" · ".join([pane.model, *differences]))
    return names


def pane_footer(pane: Pane) -> str:
    """`TTFT 312 ms · 84 tok/s · 412 tokens · $0.00210`, with `~` while tokens are estimated."""
    if pane.is_over and pane.output_tokens is None and pane.ttft_ms is None:
        tries = f" · {len(pane.attempts)} attempts" if len(pane.attempts) > 1 else ""
        return f"{pane.state} after {duration(pane.duration_ms)}{tries}"
    mark = "~" if pane.is_estimate else ""
    speed = f"{mark}{rate(pane.output_tps, digits=0)}" if pane.output_tps is not None else "– tok/s"
    parts = [
        f"TTFT {duration(pane.ttft_ms)}",
        speed,
        tokens(pane.output_tokens, is_estimate=pane.is_estimate),
    ]
    if pane.is_over:
        parts.append(money(pane.cost_usd))
    return " · ".join(parts)


def state_mark(pane: Pane) -> str:
    """The state as shape and word (`● done`), with what a stream is doing while it is silent."""
    if pane.state == "streaming" and pane.is_stalled and pane.silent_s is not None:
        return f"◔ silent for {pane.silent_s:.0f} s"
    if pane.state == "streaming" and pane.reasoning and not pane.text:
        return "◐ reasoning"
    return _STATE_MARK[pane.state]


def board_texts(prompt: object, panes: Sequence[Pane]) -> Card:
    """The same as text, for where a notebook shows no HTML."""
    asked = prompt if isinstance(prompt, str) else "a conversation"
    # Every answer has a part of the card, beside its name and figures.
    chars = TEXT_CHARS // max(1, len(panes)) - 200
    answers = [
        f"[{shown_text(name, 80)}] {state_mark(pane)}\n{shown_text(_body(pane), chars)}\n"
        f"{pane_footer(pane)}"
        for pane, name in zip(panes, pane_names(panes), strict=True)
    ]
    return Card(title=asked, text="\n\n".join(answers))


def board_card(prompt: object, panes: Sequence[Pane]) -> str:
    """The notebook card: escaped text in plain boxes, no script, no link, no image."""
    asked = prompt if isinstance(prompt, str) else f"{len(list(prompt))} messages"  # type: ignore[call-overload]
    cells = "".join(
        "<div style='flex:1 1 20rem;border:1px solid #8a8f9855;border-radius:6px;padding:.6rem'>"
        f"<div><b>{inert_html(name)}</b> <span>{inert_html(state_mark(pane))}</span></div>"
        f"<div style='white-space:pre-wrap;margin:.4rem 0'>{inert_html(_body(pane))}</div>"
        "<div style='font-variant-numeric:tabular-nums;opacity:.75'>"
        f"{inert_html(pane_footer(pane))}</div></div>"
        for pane, name in zip(panes, pane_names(panes), strict=True)
    )
    return (
        f"<div class='{NO_FORMULAS}'>"
        f"<div style='white-space:pre-wrap;opacity:.75'>{inert_html(asked)}</div>"
        f"<div style='display:flex;flex-wrap:wrap;gap:.6rem;margin-top:.4rem'>{cells}</div></div>"
    )


def _attempt_rows(pane: Pane) -> list[Mapping[str, Any]]:
    """The pane's rows; a stopped pane has none at hand, but it has its own measurements."""
    if pane.attempts or pane.ttft_ms is None:
        return [attempt.as_row() for attempt in pane.attempts]
    return [
        {
            "ttft_ms": pane.ttft_ms,
            "ttfo_ms": pane.ttfo_ms,
            "duration_ms": pane.duration_ms,
            "reasoning_text": pane.reasoning,
            "status": "cancelled",
        }
    ]


def _row_of(pane: Pane) -> dict[str, Any]:
    reply = pane.reply
    usage = None if reply is None else reply.usage
    return {
        "pane": pane.index,
        "model": pane.model,
        "params": dict(pane.params),
        "state": pane.state,
        "text": pane.text,
        "reasoning": pane.reasoning,
        "finish_reason": None if reply is None else reply.finish_reason,
        "ttft_ms": pane.ttft_ms,
        "ttfo_ms": pane.ttfo_ms,
        "tpot_ms": None if reply is None else reply.timing.tpot_ms,
        "output_tps": pane.output_tps,
        "duration_ms": pane.duration_ms if reply is None else reply.timing.duration_ms,
        "input_tokens": None if usage is None else usage.input_tokens,
        # Pieces counted while it streamed are an estimate; a table of facts has no place for them.
        "output_tokens": None if usage is None else usage.output_tokens,
        "reasoning_tokens": None if usage is None else usage.reasoning_tokens,
        "cost_usd": pane.cost_usd,
        "attempts": len(pane.attempts),
        "error_code": None if pane.error is None else pane.error.code,
        "error": None if pane.error is None else pane.error.message,
        "call_id": pane.call_id,
    }


def _body(pane: Pane) -> str:
    if pane.error is not None:
        said = f"\n“{pane.error.provider_message}”" if pane.error.provider_message else ""
        return f"{pane.error.message}{said}\n{pane.error.hint}".strip()
    return pane.text or pane.reasoning or "–"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else text[:23] + "…"
