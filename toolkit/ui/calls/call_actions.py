"""What can be done with a recorded call: send it again, make a test or a sample of it, copy it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.evals.own_datasets import add_sample, own_dataset_names
from toolkit.records import Reply
from toolkit.replay.from_call import make_case
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.format import count
from toolkit.ui.components.model_picker import model_names
from toolkit.ui.components.page_head import leave_notice

Row = Mapping[str, Any]
_KEY: Final = "asked-again"
_FIRST_DATASET: Final = "from-calls"
_LOOK_EVERY_S: Final = 0.5


@dataclass(slots=True)
class AskedAgain:
    """A recorded request that is being sent again."""

    model: str
    future: Future[Reply]
    began: float = field(default_factory=time.monotonic)


def draw_actions(toolkit: Toolkit, row: Row) -> None:
    """The buttons over an opened call."""
    messages = _messages(row)
    with st.container(horizontal=True):
        if messages:
            with st.popover("Send again", icon=":material/replay:", type="primary"):
                _ask_form(toolkit, row, messages)
        with st.popover("Create a test", icon=":material/science:"):
            _test_form(toolkit, row)
        with st.popover("Add to dataset", icon=":material/dataset:"):
            _dataset_form(toolkit, row)
        with st.popover("Copy", icon=":material/content_copy:"):
            st.caption("Python")
            st.code(python_of(row), language="python", wrap_lines=True)
            st.caption("curl, through the gateway of this app")
            st.code(curl_of(row), language="bash", wrap_lines=True)


def _ask_form(toolkit: Toolkit, row: Row, messages: list[Any]) -> None:
    names = model_names(toolkit)
    current = str(row["model"])
    options = list(dict.fromkeys([current, *names]))
    model = st.selectbox("Model", options, key="again-model", accept_new_options=True)
    st.caption("Sends the same messages and parameters. Cloud models are charged at their price.")
    with st.container(horizontal=True):
        if st.button("Ask", type="primary", key="again-ask"):
            options_sent = {**_params(row), "origin": "chat"}
            task = toolkit.acomplete(model or current, messages, **options_sent)
            st.session_state[_KEY] = AskedAgain(model or current, toolkit.portal.start(task))
            st.rerun()
        if st.button("Open in Compare", key="again-compare", icon=":material/view_column_2:"):
            query: dict[str, Any] = {"model": [current], "prompt": _last_text(messages)}
            st.switch_page("compare.py", query_params=query)


def draw_asking(toolkit: Toolkit) -> None:
    """The progress of a request that was asked again, and its end."""
    asked: AskedAgain | None = st.session_state.get(_KEY)
    if asked is None:
        return
    if not asked.future.done():
        _watch()
        return
    del st.session_state[_KEY]
    try:
        reply = asked.future.result()
    except ToolkitError as error:
        error_card(error)
        return
    st.query_params["call"] = reply.request_id
    leave_notice(f"{asked.model} answered.")
    st.rerun()


@st.fragment(run_every=_LOOK_EVERY_S)  # type: ignore[untyped-decorator]
def _watch() -> None:
    asked: AskedAgain | None = st.session_state.get(_KEY)
    if asked is None or asked.future.done():
        st.rerun()
    assert asked is not None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(f"… asking, {time.monotonic() - asked.began:.0f} s", color="blue")
        if st.button("Stop", key="again-stop", type="tertiary", icon=":material/stop_circle:"):
            asked.future.cancel()
            del st.session_state[_KEY]
            st.rerun()


def _test_form(toolkit: Toolkit, row: Row) -> None:
    st.caption("The recorded answer becomes a case of a suite, which can be replayed offline.")
    call_id = str(row["call_id"])
    if (made := st.session_state.get(f"test-made-{call_id}")) is not None:
        st.success(f"Saved in `{made}`.")
        st.page_link("regressions.py", label="Go to Regressions", icon=":material/rule:")
    suite = st.text_input("Suite", value="from-calls", key="test-suite")
    name = st.text_input("Case", value=f"call-{call_id[-8:]}", key=f"test-name-{call_id}")
    if not st.button("Create the test", type="primary", key="test-make"):
        return
    try:
        _, cases = make_case(toolkit, call_id, suite=suite.strip(), name=name.strip() or None)
    except ToolkitError as error:
        error_card(error)
        return
    st.session_state[f"test-made-{call_id}"] = str(cases.parent)
    st.rerun()


def _dataset_form(toolkit: Toolkit, row: Row) -> None:
    messages = _messages(row)
    if not messages:
        st.caption("The prompt was not recorded, so there is nothing to add.")
        return
    home, call_id = toolkit.settings.home, str(row["call_id"])
    st.caption("The prompt becomes a sample of a dataset, which an eval runs through models.")
    names = own_dataset_names(home) or [_FIRST_DATASET]
    name = st.selectbox("Dataset", names, key="dataset-name", accept_new_options=True)
    target = st.text_area(
        "Expected answer", value=str(row.get("output_text") or ""), height=96,
        key=f"dataset-target-{call_id}", help="Leave it empty for scorers that need no target.",
    )  # fmt: skip
    if not st.button("Add", type="primary", key="dataset-add"):
        return
    try:
        samples = add_sample(
            home,
            (name or "").strip(),
            sample_id=f"call-{call_id[-12:]}",
            input=_input_of(messages),
            target=target.strip() or None,
            metadata={"call_id": call_id, "model": row["model"]},
        )
    except ToolkitError as error:
        error_card(error)
        return
    st.success(f"Added. The dataset has {count(samples)} sample{'' if samples == 1 else 's'}.")
    st.page_link("evals.py", label="Start an eval", icon=":material/fact_check:",
                 query_params={"new": "true"})  # fmt: skip


def _input_of(messages: list[Any]) -> str | list[Any]:
    """The text of a single question; a conversation as it is."""
    first = messages[0]
    if len(messages) == 1 and first.get("role") == "user" and isinstance(first["content"], str):
        return str(first["content"])
    return messages


def python_of(row: Row) -> str:
    """Python that sends the same request again."""
    params = "".join(f",\n    {name}={value!r}" for name, value in _params(row).items())
    prompt = json.dumps(_messages(row), indent=4, ensure_ascii=False).replace("\n", "\n    ")
    return (
        "import toolkit as tk\n\n"
        f"reply = tk.complete(\n    {row['model']!r},\n    {prompt}{params},\n)\nprint(reply)"
    )


def curl_of(row: Row) -> str:
    """A curl command that sends the same request through the gateway of this app."""
    body = {"model": row["model"], "messages": _messages(row), **_params(row)}
    text = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    address = (st.context.url or "http://127.0.0.1:8501").split("/calls")[0].rstrip("/")
    return (
        f"curl {address}/v1/chat/completions \\\n"
        '  -H "Authorization: Bearer $TOOLKIT_TOKEN" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d '{text}'"
    )


def _messages(row: Row) -> list[Any]:
    value = row.get("messages")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return []
    return list(value or ())


def _params(row: Row) -> dict[str, Any]:
    value = row.get("params")
    found = json.loads(value) if isinstance(value, str) else value
    return dict(found or {})


def _last_text(messages: list[Any]) -> str:
    content = messages[-1].get("content") if messages else ""
    return content if isinstance(content, str) else ""
