"""Which models to ask: a box that adds one, and the parameters of each."""

from __future__ import annotations

from typing import Any

import streamlit as st

from toolkit.compare.new_board import MAX_PANES
from toolkit.errors import ToolkitError
from toolkit.toolkit import Toolkit
from toolkit.ui.compare.session import Choice, CompareState
from toolkit.ui.components.health_marks import (
    Troubles,
    mark_of,
    read_troubles,
    warning_of,
    without_mark,
)
from toolkit.ui.components.text import plain

LOCAL_MODEL = "local/smollm2-135m"


def draw_add_model(toolkit: Toolkit, state: CompareState) -> None:
    """A box that adds one more model to the next question."""
    if len(state.choices) >= MAX_PANES:
        st.button("Add model", icon=":material/add:", disabled=True, key="add-full",
                  help=f"A board has at most {MAX_PANES} panes.")  # fmt: skip
        return
    troubles = read_troubles(toolkit)
    st.selectbox(
        "Add a model",
        model_names(toolkit),
        index=None,
        format_func=lambda model: f"{model}{mark_of(model, troubles)}",
        key=f"compare-add-{state.added}",
        placeholder="Add model",
        accept_new_options=True,
        label_visibility="collapsed",
        disabled=state.is_running,
        on_change=_add,
        args=(state,),
        width=240,
    )


def model_names(toolkit: Toolkit) -> list[str]:
    """What can be asked: the built-in model, each provider's default, enabled models."""
    names = {LOCAL_MODEL: None}
    try:
        for provider in toolkit.providers.list():
            if provider.is_active and provider.default_model:
                names.setdefault(f"{provider.name}/{provider.default_model}")
        for model in toolkit.catalog.choices():
            names.setdefault(model)
    except ToolkitError as error:
        st.caption(f"The list of models could not be read: {plain(error.message)}")
    return list(names)


def _add(state: CompareState) -> None:
    # The next box is a new widget: a late echo of this one's value must not add the model twice.
    model = st.session_state.get(f"compare-add-{state.added}")
    if model and model.strip():
        state.add(without_mark(model))


def draw_parameters(index: int, choice: Choice, state: CompareState, troubles: Troubles) -> None:
    """The head of a pane that was not asked yet: its model, and the parameters behind it."""
    label = f"**{index + 1} {plain(choice.model.rpartition('/')[2])}**"
    changed = f" · {len(choice.params)} set" if choice.params else ""
    with st.container(horizontal=True, vertical_alignment="center", wrap=False):
        with st.popover(f"{label}{changed}", key=f"chip-{choice.uid}", type="tertiary"):
            _form(choice)
        st.space("stretch")
        st.button(
            "Remove",
            key=f"remove-{choice.uid}",
            icon=":material/close:",
            type="tertiary",
            on_click=state.remove,
            args=(choice.uid,),
        )
    if trouble := warning_of(choice.model, troubles):
        st.caption(trouble)
    else:
        st.caption(_words(choice))


def _words(choice: Choice) -> str:
    provider = plain(choice.model.partition("/")[0])
    chosen = {name: value for name, value in choice.params.items() if name != "system"}
    if not chosen:
        return f"{provider} · the provider's own defaults"
    return f"{provider} · {plain(', '.join(f'{name} {value}' for name, value in chosen.items()))}"


def _form(choice: Choice) -> None:
    st.caption(f"Parameters of {plain(choice.model)}; leave a field empty for the default.")
    draw_params(choice.params, str(choice.uid))


def draw_params(params: dict[str, Any], uid: str) -> None:
    """Fields for the parameters of one pane, or of all of them."""
    _number(params, uid, "temperature", "Temperature", 0.0, 2.0, 0.1)
    _number(params, uid, "top_p", "Top p", 0.0, 1.0, 0.05)
    _number(params, uid, "max_tokens", "Max output tokens", 1, 200_000, 1)
    _number(params, uid, "seed", "Seed", 0, 2**31 - 1, 1)
    system = st.text_area("System prompt", value=params.get("system", ""), key=f"system-{uid}")
    _set(params, "system", system)


def _number(
    params: dict[str, Any], uid: str, name: str, label: str, low: Any, high: Any, step: Any
) -> None:
    value = st.number_input(
        label,
        min_value=low,
        max_value=high,
        step=step,
        value=params.get(name),
        key=f"{name}-{uid}",
        placeholder="default",
    )
    _set(params, name, value)


def _set(params: dict[str, Any], name: str, value: Any) -> None:
    if value in (None, ""):
        params.pop(name, None)
    else:
        params[name] = value
