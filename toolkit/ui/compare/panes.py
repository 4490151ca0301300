"""The panes of a board on the page: streaming text, a footer that counts, a card for a failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from toolkit.compare.pane import Pane
from toolkit.compare.view import pane_footer, state_mark
from toolkit.errors import ToolkitError
from toolkit.ui.components.text import own, plain, show_text

_PER_ROW = 2
_BODY_HEIGHT_PX = 260


@dataclass(frozen=True, slots=True)
class PaneActions:
    """What a person can do to a pane; each is called with the pane's index."""

    stop: Callable[[int], None]
    retry: Callable[[int], None]


def draw_panes(
    panes: Sequence[Pane], names: Sequence[str], key: str, actions: PaneActions | None
) -> None:
    """Panes side by side, two per row; the rows keep their height, so nothing jumps."""
    for first in range(0, len(panes), _PER_ROW):
        columns = st.columns(_PER_ROW)
        for column, pane in zip(columns, panes[first : first + _PER_ROW], strict=False):
            with column, st.container(border=True, key=f"{key}-{pane.index}"):
                _draw(pane, names[pane.index], actions)


def error_card(error: ToolkitError) -> None:
    """What happened, the provider's own words, what to do."""
    lines = [own(error.message)]
    if error.provider_message:
        lines.append(f"The provider says: “{plain(error.provider_message, limit=600)}”")
    if error.hint:
        lines.append(f"**What to do:** {own(error.hint)}")
    lines.append(f"`{error.code}`" + (f" · HTTP {error.status}" if error.status else ""))
    st.error("\n\n".join(lines), title=_headline(error), icon=":material/error:")


def _draw(pane: Pane, name: str, actions: PaneActions | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", wrap=False):
        st.markdown(f"**{plain(name)}**")
        st.caption(state_mark(pane), width="content")
        _button(pane, actions)
    with st.container(height=_BODY_HEIGHT_PX, border=False, autoscroll=not pane.is_over):
        _body(pane)
    st.caption(plain(pane_footer(pane)), help=_help(pane))


def _button(pane: Pane, actions: PaneActions | None) -> None:
    if actions is None:
        return
    if not pane.is_over:
        st.button(
            "Stop",
            key=f"stop-{pane.pane_id}",
            on_click=actions.stop,
            args=(pane.index,),
            type="tertiary",
            icon=":material/stop_circle:",
        )
    elif pane.state in ("failed", "stopped"):
        st.button(
            "Retry",
            key=f"retry-{pane.pane_id}",
            on_click=actions.retry,
            args=(pane.index,),
            type="tertiary",
            icon=":material/replay:",
        )


def _body(pane: Pane) -> None:
    if pane.reasoning:
        with st.expander("Reasoning", expanded=not pane.text and not pane.is_over):
            show_text(pane.reasoning)
    if pane.text:
        show_text(pane.text)
    if pane.tool_calls and pane.reply is not None:
        for call in pane.reply.tool_calls:
            st.code(f"{call.name}({call.arguments})", language=None, wrap_lines=True)
    if pane.error is not None:
        error_card(pane.error)
    elif pane.state == "waiting":
        st.skeleton(height=80)
    elif pane.is_over and not (pane.text or pane.reasoning or pane.tool_calls):
        st.caption("No text came." if pane.state == "done" else "Stopped before the first token.")


def _help(pane: Pane) -> str:
    told = ["TTFT: request sent to first token, measured on the wire."]
    if pane.is_estimate:
        told.append("~ counts pieces of the stream; the provider has not counted tokens.")
    if pane.is_over and pane.cost_usd is None:
        note = pane.reply.receipt.note if pane.reply is not None else None
        told.append(plain(note or "No price is known for this call."))
    return " ".join(told)


def _headline(error: ToolkitError) -> str:
    return {
        "API_KEY_REQUIRED": "No key",
        "AUTHENTICATION_FAILED": "The key was refused",
        "PERMISSION_DENIED": "Not allowed",
        "MODEL_NOT_FOUND": "No such model",
        "CLIENT_ERROR": "The request was refused",
        "CONTEXT_WINDOW_EXCEEDED": "The input is too long",
        "CONTENT_FILTERED": "Refused by a safety system",
        "RATE_LIMIT_EXCEEDED": "Too many requests",
        "QUOTA_EXCEEDED": "No credit left",
        "SERVER_ERROR": "The provider failed",
        "TIMEOUT": "No answer in time",
        "REQUEST_FAILED": "No connection",
        "STREAM_ERROR": "The answer was cut short",
        "PARSE_ERROR": "Not an answer of this API",
        "MAX_RETRIES_EXCEEDED": "Every try failed",
        "NO_PROVIDER": "No provider available",
        "BUDGET_EXCEEDED": "Over the budget",
        "PROVIDER_NOT_FOUND": "No such provider",
        "INVALID_INPUT": "That cannot be asked",
    }.get(error.code, "It failed")
