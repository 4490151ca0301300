"""One request opened: messages, answer, wire timeline, attempts, receipt, ids and flags."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from toolkit.charts import waterfall
from toolkit.charts.phases import number
from toolkit.store.queries import Query
from toolkit.ui.components.chart_block import draw_chart
from toolkit.ui.components.format import UNKNOWN, ago, at, count, duration, money, rate, tokens
from toolkit.ui.components.text import plain, show_text

Row = Mapping[str, Any]
_IDS = ("call_id", "request_id", "origin_id", "provider_request_id", "system_fingerprint")
_TOKENS = {
    "input_tokens": "input",
    "cached_input_tokens": "of it cached",
    "cache_write_tokens": "written to the cache",
    "output_tokens": "output",
    "reasoning_tokens": "of it reasoning",
}
_LIMITS = ("limit_requests", "remaining_requests", "limit_tokens", "remaining_tokens")


def draw_request(attempts: Sequence[Row], query: Query) -> None:
    """Draw it; `attempts` are rows of `calls`, first attempt first."""
    last = attempts[-1]
    st.markdown(f"**{plain(last['model'])}** · {_state(last)}")
    st.caption(f"{at(last['started_at'], st.context.timezone)} · {ago(last['started_at'])}")
    st.markdown(_numbers(last))
    if last.get("error_code"):
        st.error(plain(last.get("error_message") or ""), title=plain(last["error_code"]))
    _conversation(last)
    draw_chart(
        waterfall(list(attempts)),
        key="waterfall",
        sql=query.text,
        python=f"import toolkit as tk\n\ntk.charts.waterfall({query.python})",
    )
    _attempts(attempts)
    _receipt(last)
    _ids(last)


def _state(row: Row) -> str:
    status = str(row["status"])
    mark = {"ok": "● ok", "error": "○ error", "cancelled": "■ cancelled"}.get(status, status)
    finish = row.get("finish_reason")
    return mark + (f", finish {plain(finish)}" if finish else "")


def _numbers(row: Row) -> str:
    parts = [
        f"TTFT {duration(number(row, 'ttft_ms'))}",
        rate(number(row, "output_tps")),
        f"{tokens(number(row, 'output_tokens'), is_estimate=row['usage_source'] == 'estimated')}",
        f"{duration(number(row, 'duration_ms'))} in all",
        money(row.get("cost_usd")),
    ]
    return plain(" · ".join(parts))


def _conversation(row: Row) -> None:
    for message in _json(row.get("messages")) or []:
        with st.container(border=True):
            st.caption(plain(message.get("role", "")))
            content = message.get("content")
            show_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    if row.get("messages") is None:
        st.caption("The conversation was not recorded (setting `recording`).")
    if row.get("reasoning_text"):
        with st.expander("Reasoning"):
            show_text(str(row["reasoning_text"]))
    for call in _json(row.get("tool_calls")) or []:
        st.code(json.dumps(call, indent=1), language="json", wrap_lines=True)
    if row.get("output_text"):
        with st.container(border=True):
            st.caption("answer")
            show_text(str(row["output_text"]))


def _attempts(attempts: Sequence[Row]) -> None:
    with st.expander(f"Attempts ({len(attempts)})", expanded=len(attempts) > 1):
        for index, row in enumerate(attempts):
            branch = "└" if index == len(attempts) - 1 else "├"
            what = row.get("error_code") or row.get("status")
            http = f" · HTTP {int(row['http_status'])}" if number(row, "http_status") else ""
            wait_s = number(row, "retry_after_s")
            waits = f" · asked to wait {duration(wait_s * 1000)}" if wait_s is not None else ""
            st.text(
                f"{branch} {row['attempt_kind']}: {row['model']} · {what}{http}"
                f" · {duration(number(row, 'duration_ms'))} · {money(row.get('cost_usd'))}{waits}"
            )


def _receipt(row: Row) -> None:
    with st.expander("Receipt"):
        st.dataframe(
            {
                "class": list(_TOKENS.values()),
                "tokens": [count(number(row, column)) for column in _TOKENS],
            },
            hide_index=True,
            alt="Tokens by class",
        )
        source = {"provider": "the provider", "estimated": "an estimate", "none": "nobody"}
        st.caption(f"Counted by {source.get(str(row['usage_source']), 'nobody')}.")
        st.text(f"Cost: {money(row.get('cost_usd'))}")
        reported = row.get("cost_reported_usd")
        if reported is not None:
            st.text(f"The provider says: {money(reported)}")
        st.caption(f"Price row: {plain(row.get('price_id') or 'none is known for this model')}")


def _ids(row: Row) -> None:
    with st.expander("Ids, limits and flags"):
        told = {name: row.get(name) for name in _IDS}
        told |= {name: row.get(f"ratelimit_{name}") for name in _LIMITS}
        told |= {
            "key": row.get("key_fingerprint"),
            "connection reused": row.get("connection_reused"),
        }
        told |= {"recorded by": row.get("recorded_by"), "litellm": row.get("litellm_version")}
        told["flags"] = ", ".join(row.get("flags") or ())
        told["parameters"] = json.dumps(_json(row.get("params")) or {})
        lines = [
            f"{name}: {UNKNOWN if value in (None, '') else value}" for name, value in told.items()
        ]
        st.text("\n".join(lines))


def _json(value: Any) -> Any:
    """A JSON column as values, whether the store gives text or values."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None
