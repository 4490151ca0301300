"""One opened request: what happened, what to do about it, messages, attempts, receipt, raw."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import streamlit as st

from toolkit.charts import waterfall
from toolkit.charts.phases import number
from toolkit.charts.states import call_state
from toolkit.store.queries import Query
from toolkit.toolkit import Toolkit
from toolkit.ui.calls.call_actions import Row, draw_actions
from toolkit.ui.calls.call_table import request_state
from toolkit.ui.components.chart_block import draw_chart
from toolkit.ui.components.error_advice import headline, what_to_do
from toolkit.ui.components.format import UNKNOWN, ago, count, duration, exactly, money
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.components.text import plain, show_text

_TOKENS: Final = {
    "input_tokens": "input",
    "cached_input_tokens": "of it cached",
    "cache_write_tokens": "written to the cache",
    "output_tokens": "output",
    "reasoning_tokens": "of it reasoning",
}
_TABS: Final = ("Messages", "Attempts and time", "Receipt", "Headers", "Raw")
_IDS: Final = ("call_id", "request_id", "origin_id", "provider_request_id", "system_fingerprint")
_LIMITS: Final = (
    "ratelimit_limit_requests",
    "ratelimit_remaining_requests",
    "ratelimit_limit_tokens",
    "ratelimit_remaining_tokens",
)


def draw_request(
    toolkit: Toolkit, attempts: Sequence[Row], query: Query, *, on_close: Callable[[], None]
) -> None:
    """Draw it; `attempts` are rows of `calls`, first attempt first."""
    last = attempts[-1]
    _head(attempts, on_close)
    if last["status"] == "error":
        _failure(last)
    draw_actions(toolkit, last)
    _facts(attempts)
    messages, time, receipt, headers, raw = st.tabs(
        list(_TABS), key="call-tab", bind="query-params", on_change="rerun"
    )
    if messages.open:
        with messages:
            _conversation(last)
    if time.open:
        with time:
            python = f"import toolkit as tk\n\ntk.charts.waterfall({query.python})"
            figure = waterfall(list(attempts))
            draw_chart(figure, key="waterfall", sql=query.text, python=python)
            _attempts(attempts)
    if receipt.open:
        with receipt:
            _receipt(last)
    if headers.open:
        with headers:
            _ids(last)
    if raw.open:
        with raw:
            text = json.dumps(dict(last), indent=1, default=_jsonable)
            st.code(text, language="json", wrap_lines=True)


def _head(attempts: Sequence[Row], on_close: Callable[[], None]) -> None:
    last = attempts[-1]
    state = request_state({**last, "attempts": len(attempts)})
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(state.label, color=state.colour)
        st.markdown(f"**{plain(last['model'])}**", width="stretch")
        st.button(
            "Close",
            icon=":material/close:",
            type="tertiary",
            key="close-request",
            on_click=on_close,
        )
    tags = "".join(f" · {plain(key)} {plain(value)}" for key, value in _tags(last))
    st.caption(
        f"{exactly(last['started_at'], st.context.timezone)} · {ago(last['started_at'])} · "
        f"{plain(str(last['request_id'])[-8:])} · from {plain(last['origin'])}{tags}"
    )


def _tags(row: Row) -> list[tuple[str, str]]:
    tags = row.get("tags") or {}
    return list(tags.items()) if isinstance(tags, Mapping) else list(tags)


def _failure(row: Row) -> None:
    status = number(row, "http_status")
    http = f" (HTTP {int(status)})" if status else ""
    lines = []
    if row.get("error_message"):
        lines.append(f"Message: “{plain(row['error_message'], limit=600)}”")
    lines.append(f"**What to do:** {what_to_do(str(row['error_code'] or ''), row)}")
    title = f"{plain(row['provider'])}: {headline(str(row['error_code'] or ''))}{http}"
    st.error("\n\n".join(lines), title=title, icon=":material/error:")


def _facts(attempts: Sequence[Row]) -> None:
    last = attempts[-1]
    tokens = f"{count(last['input_tokens'])} / {count(last['output_tokens'])}"
    costs = [row["cost_usd"] for row in attempts if row["cost_usd"] is not None]
    values = {
        "TTFT": duration(number(last, "ttft_ms")),
        "Total": duration(sum(number(row, "duration_ms") or 0.0 for row in attempts)),
        "Attempts": count(len(attempts)),
        "Tokens in / out": tokens,
        "Cost": money(sum(costs, Decimal(0)) if costs else None).replace("$", "\\$"),
    }
    with st.container(horizontal=True, gap="medium"):
        for name, value in values.items():
            with st.container(gap=2, width="content"):
                st.caption(name)
                st.markdown(f"**{value}**")


def _conversation(row: Row) -> None:
    messages = _json(row.get("messages"))
    if messages is None:
        st.caption("The conversation was not recorded: the setting `recording` is not `full`.")
    for message in messages or ():
        st.caption(plain(message.get("role", "")))
        content = message.get("content")
        show_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    if row.get("reasoning_text"):
        with st.expander("Reasoning", type="compact"):
            show_text(str(row["reasoning_text"]))
    for call in _json(row.get("tool_calls")) or []:
        st.caption("tool call")
        st.code(json.dumps(call, indent=1), language="json", wrap_lines=True)
    st.caption("answer")
    if row.get("output_text"):
        show_text(str(row["output_text"]))
    else:
        st.caption("No answer text was recorded.")


def _attempts(attempts: Sequence[Row]) -> None:
    states = [call_state(str(row["status"]), row["error_code"]) for row in attempts]
    draw_table(
        {
            "State": Column(states, 110, "state", on_phone=True),
            "Kind": Column([str(row["attempt_kind"]) for row in attempts], 66),
            "Model": Column([str(row["model"]) for row in attempts], 150, on_phone=True),
            "HTTP": Column([number(row, "http_status") for row in attempts], 48, "number"),
            "Total ms": Column([number(row, "duration_ms") for row in attempts], 66, "number"),
            "Cost": Column([row["cost_usd"] for row in attempts], 74, "money"),
        },
        key="attempts",
        alt="Attempts of this request, first attempt first",
    )
    for row in attempts:
        if (wait_s := number(row, "retry_after_s")) is not None:
            st.caption(f"The provider asked to wait {duration(wait_s * 1000)}.")


def _receipt(row: Row) -> None:
    draw_table(
        {
            "Tokens": Column(list(_TOKENS.values()), 170, on_phone=True),
            "n": Column([number(row, name) for name in _TOKENS], 90, "number", on_phone=True),
        },
        key="receipt",
        alt="Tokens by class",
    )
    source = {"provider": "by the provider", "estimated": "as an estimate"}
    st.caption(f"Counted {source.get(str(row['usage_source']), 'by an unknown source')}.")
    lines = [f"Cost: {money(row.get('cost_usd'))}"]
    if row.get("cost_reported_usd") is not None:
        lines.append(f"The provider reports: {money(row['cost_reported_usd'])}")
    lines.append(f"Price row: {row.get('price_id') or 'no known price for this model'}")
    st.text("\n".join(lines))


def _ids(row: Row) -> None:
    values: dict[str, Any] = {name: row.get(name) for name in (*_IDS, *_LIMITS)}
    values["key"] = row.get("key_fingerprint")
    values["connection reused"] = row.get("connection_reused")
    values["recorded by"] = row.get("recorded_by")
    values["flags"] = ", ".join(row.get("flags") or ())
    values["parameters"] = json.dumps(_json(row.get("params")) or {})
    shown = {name: str(value) for name, value in values.items() if value not in (None, "")}
    draw_table(
        {
            "Field": Column([name.replace("_", " ") for name in shown], 170, on_phone=True),
            "Value": Column(list(shown.values()) or [UNKNOWN], 330, on_phone=True),
        },
        key="ids",
        alt="Ids, limits and flags of the last attempt",
    )


def _json(value: Any) -> Any:
    """A JSON column as values, whether the store gives text or values."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None


def _jsonable(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
