"""Model chips: the models to ask, each with its own parameters folded under it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from toolkit.compare.board import MAX_PANES
from toolkit.errors import ToolkitError
from toolkit.toolkit import Toolkit
from toolkit.ui.compare.session import Choice, CompareState
from toolkit.ui.components.text import plain
from toolkit.ui.health.troubles import Troubles, mark_of, read_troubles, warning_of, without_mark

LOCAL_MODEL = "local/smollm2-135m"


def draw_choices(toolkit: Toolkit, state: CompareState) -> None:
    """One chip per model with its parameters, and a box that adds another."""
    troubles = read_troubles(toolkit)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for choice in state.choices:
            _chip(choice, state, troubles)
        if len(state.choices) < MAX_PANES:
            st.selectbox(
                "Add a model",
                model_names(toolkit),
                index=None,
                format_func=lambda model: f"{model}{mark_of(model, troubles)}",
                key=f"compare-add-{state.added}",
                placeholder="+ add model (provider/model)",
                accept_new_options=True,
                label_visibility="collapsed",
                disabled=state.is_running,
                on_change=_add,
                args=(state,),
                width=280,
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


def _chip(choice: Choice, state: CompareState, troubles: Troubles) -> None:
    told = f" · {len(choice.params)} set" if choice.params else ""
    told += mark_of(choice.model, troubles)
    with st.popover(
        f"{plain(choice.model)}{told}", key=f"chip-{choice.uid}", disabled=state.is_running
    ):
        if trouble := warning_of(choice.model, troubles):
            st.caption(trouble)
        st.caption(f"Parameters of {plain(choice.model)}; empty is the provider's default.")
        _number(choice, "temperature", "Temperature", 0.0, 2.0, 0.1)
        _number(choice, "top_p", "Top p", 0.0, 1.0, 0.05)
        _number(choice, "max_tokens", "Most output tokens", 1, 200_000, 1)
        _number(choice, "seed", "Seed", 0, 2**31 - 1, 1)
        _set(
            choice,
            "system",
            st.text_area(
                "System prompt", value=choice.params.get("system", ""), key=f"system-{choice.uid}"
            ),
        )
        st.button(
            "Remove",
            key=f"remove-{choice.uid}",
            icon=":material/close:",
            on_click=state.remove,
            args=(choice.uid,),
        )


def _number(choice: Choice, name: str, label: str, low: Any, high: Any, step: Any) -> None:
    value = st.number_input(
        label,
        min_value=low,
        max_value=high,
        step=step,
        value=choice.params.get(name),
        key=f"{name}-{choice.uid}",
        placeholder="default",
    )
    _set(choice, name, value)


def _set(choice: Choice, name: str, value: Any) -> None:
    if value in (None, ""):
        choice.params.pop(name, None)
    else:
        choice.params[name] = value
