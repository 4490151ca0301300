"""A new run on the Evals page: what to ask whom, what it will cost, and only then the start."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.evals.dataset import Dataset
from toolkit.evals.estimate import Estimate
from toolkit.evals.template import find_variables
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.format import count, money
from toolkit.ui.components.health_marks import mark_of, read_troubles, warning_of, without_mark
from toolkit.ui.components.model_picker import LOCAL_MODEL, model_names
from toolkit.ui.components.text import own
from toolkit.ui.evals.new_run_inputs import choose_data, choose_scorers, variables_of

MOST_PROMPTS: Final = 6
_STATE: Final = "eval-draft"


@dataclass(slots=True)
class Draft:
    """What one browser session holds of a run that is being put together.

    Attributes:
        prompts: how many prompts are shown.
        summary: the order that was estimated last, as text, and its estimates.
    """

    prompts: int = 1
    summary: tuple[str, Sequence[Estimate]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A run as it was put together: the arguments of `tk.evaluate`."""

    dataset: Dataset
    models: Sequence[str]
    options: Mapping[str, Any]

    @property
    def as_text(self) -> str:
        """All of it; two that are the same ask the same."""
        return json.dumps([self.dataset.digest, list(self.models), self.options], default=str)


def draw_start_button() -> None:
    """The button that opens the form; the address then has `new=true`, so a link opens it too."""
    if st.button("New run", type="primary", icon=":material/add:", key="eval-new"):
        st.query_params["new"] = "true"


def draw_start(toolkit: Toolkit, *, is_first: bool) -> None:
    """The form: on the page while there is no run yet, later in a panel at the side."""
    if is_first:
        with st.container(border=True):
            _draw_form(toolkit, _draft())
    elif st.query_params.get("new") == "true":
        _start_panel(toolkit)


def _forget_panel() -> None:
    """The panel was closed."""
    st.query_params.pop("new", None)


@st.dialog("New run", width=720, position="right", on_dismiss=_forget_panel)  # type: ignore[untyped-decorator]
def _start_panel(toolkit: Toolkit) -> None:
    """The form in a panel at the side."""
    _draw_form(toolkit, _draft())


def _draw_form(toolkit: Toolkit, draft: Draft) -> None:
    dataset = choose_data(toolkit)
    models = _choose_models(toolkit)
    solvers = _choose_prompts(draft, dataset)
    has_targets = dataset is not None and any(s.target is not None for s in dataset)
    scorers, missing = choose_scorers(model_names(toolkit), has_targets=has_targets)
    with st.expander("Repeats, limits and parameters", icon=":material/tune:"):
        limits = _choose_limits()
    options = {"scorers": scorers, "solvers": solvers, **limits}
    if dataset is None:
        missing.insert(0, "data")
    if not models:
        missing.insert(0, "a model")
    if missing:
        st.caption(own(f"Still missing: {', '.join(missing)}."))
    wanted = None
    if dataset is not None and models and not missing:
        wanted = Wanted(dataset=dataset, models=models, options=options)
    # No callback: it would get the values from before the change that came with the click.
    is_pressed = st.button(
        "Estimate the cost",
        icon=":material/calculate:",
        key="eval-estimate",
        disabled=wanted is None,
        help="No calls are made. The estimate uses prices and the lengths of recorded answers.",
    )
    if is_pressed and wanted is not None:
        _estimate(toolkit, draft, wanted)
    if wanted is not None and draft.summary is not None:
        if draft.summary[0] == wanted.as_text:
            _draw_estimate(toolkit, draft, wanted, draft.summary[1])
        else:
            st.caption("The settings changed after the estimate; estimate again, then start.")


def _choose_models(toolkit: Toolkit) -> list[str]:
    troubles = read_troubles(toolkit)
    names = model_names(toolkit)
    chosen = st.multiselect(
        "Models",
        names,
        default=[LOCAL_MODEL] if names == [LOCAL_MODEL] else [],
        format_func=lambda model: f"{model}{mark_of(model, troubles)}",
        key="eval-models",
        placeholder="one or more (provider/model)",
        accept_new_options=True,
    )
    models = list(dict.fromkeys(without_mark(model) for model in chosen))
    for model in models:
        if warning := warning_of(model, troubles):
            st.caption(warning)
    return models


def _choose_prompts(draft: Draft, dataset: Dataset | None) -> list[dict[str, Any]]:
    """The variants; a prompt that is left empty sends the input as it is."""
    known = variables_of(dataset) if dataset is not None else []
    if known:
        names = " ".join(f"`{{{{ {name} }}}}`" for name in known)
        st.caption(own(f"Variables available in the prompt: {names}"))
    solvers = []
    for number in range(1, draft.prompts + 1):
        prompt = st.text_area(
            "Prompt" if draft.prompts == 1 else f"Prompt {number}",
            key=f"eval-prompt-{number}",
            height=80,
            placeholder="Empty: the input alone. Example: One word only. {{ input }}",
        )
        system = st.text_input(
            "System prompt" if draft.prompts == 1 else f"System prompt {number}",
            key=f"eval-system-{number}",
            placeholder="none",
        )
        name = "plain" if not prompt and not system else f"prompt {number}"
        solver = {"name": name, "prompt": prompt or None, "system": system or None}
        solvers.append({key: value for key, value in solver.items() if value})
        lacking = [v for v in find_variables(prompt + system) if v.partition(".")[0] not in known]
        if lacking and known:
            summary = ", ".join(f"`{{{{ {name} }}}}`" for name in lacking)
            st.caption(own(f"Not every sample has {summary}: those samples would fail."))
    if draft.prompts < MOST_PROMPTS:
        st.button("Add a prompt to compare", key="eval-more", on_click=_add_prompt, args=(draft,),
                  type="tertiary", icon=":material/add:")  # fmt: skip
    return solvers


def _choose_limits() -> dict[str, Any]:
    with st.container(horizontal=True):
        epochs = st.number_input("Repeats", 1, 1_000, 1, key="eval-epochs", width=150)
        cap = st.number_input(
            "Cap, USD", 0.0, None, None, key="eval-cap", format="%g", width=150,
            placeholder="none",
            help="Maximum cost of the run, checked before each call is sent.",
        )  # fmt: skip
        tokens = st.number_input(
            "Max output tokens", 1, 200_000, 256, key="eval-max-tokens", width=180,
            help="Per answer. It makes the estimate precise and the cap strict.",
        )  # fmt: skip
        temperature = st.number_input(
            "Temperature", 0.0, 2.0, None, 0.1, key="eval-temperature", width=150,
            placeholder="default",
        )  # fmt: skip
        width = st.number_input(
            "Concurrent calls", 1, 1_000, None, key="eval-concurrency", width=150,
            placeholder="adapts",
            help="Maximum per provider. It starts at 8 and adapts to the provider's limits.",
        )  # fmt: skip
    again = st.toggle(
        "Ignore cached answers",
        key="eval-again",
        help="Otherwise answers to identical requests in earlier runs are reused at no cost.",
    )
    params = {"max_tokens": tokens, "temperature": temperature}
    found = {"epochs": epochs, "cap_usd": cap, "concurrency": width, "reuse": not again}
    return {
        **{name: value for name, value in found.items() if value is not None},
        "params": {name: value for name, value in params.items() if value is not None},
    }


def _draw_estimate(
    toolkit: Toolkit, draft: Draft, wanted: Wanted, estimates: Sequence[Estimate]
) -> None:
    right = st.column_config.TextColumn(alignment="right")
    ways = ("low_usd", "expected_usd", "high_usd")
    st.dataframe(
        {
            "Model": [_named(entry) for entry in estimates],
            "Calls": [count(entry.calls) for entry in estimates],
            "Tokens in": [f"~{count(entry.input_tokens)}" for entry in estimates],
            **{way[:-4].capitalize(): [_about(getattr(e, way)) for e in estimates] for way in ways},
            "Basis": [entry.basis for entry in estimates],
        },
        hide_index=True,
        column_config={
            "Model": st.column_config.TextColumn(pinned=True),
            **{name: right for name in ("Calls", "Tokens in", "Low", "Expected", "High")},
        },
        alt="Estimated cost by model",
    )
    st.markdown(own(say_cost(estimates, wanted.options.get("cap_usd"))))
    if st.button("Start", type="primary", icon=":material/play_arrow:", key="eval-start"):
        _start(toolkit, draft, wanted)
    st.caption(
        "The run continues when you leave this page and stops with the app; it can be resumed. "
        "The estimate and the cap include judges, and leave embeddings out."
    )


def _named(entry: Estimate) -> str:
    return entry.model if entry.role == "model" else f"{entry.model} ({entry.role})"


def say_cost(estimates: Sequence[Estimate], cap_usd: float | None) -> str:
    """The estimates together, in words: `About $0.12 (low $0.02, high $0.31), at most $0.20.`"""
    priced = [entry for entry in estimates if entry.expected_usd is not None]
    unpriced = len(estimates) - len(priced)
    if not priced:
        return "No price is known, so the cost cannot be estimated and a cap has no effect."
    low, expected, high = (
        sum(getattr(entry, way) for entry in priced)
        for way in ("low_usd", "expected_usd", "high_usd")
    )
    text = f"About {money(expected)} (low {money(low)}, high {money(high)})"
    if cap_usd is not None:
        text += f"; the run stops at {money(cap_usd) if cap_usd else '$0'}"
    if unpriced:
        text += f"; {count(unpriced)} of {count(len(estimates))} models have no known "
        text += "price and are not included"
    return f"{text}."


def _about(usd: Any) -> str:
    return money(usd) if usd is None else f"~{money(usd)}"


def _estimate(toolkit: Toolkit, draft: Draft, wanted: Wanted) -> None:
    draft.summary = None
    try:
        with st.spinner("Estimating"):
            found = toolkit.evaluation.estimate(wanted.dataset, wanted.models, **wanted.options)
    except ToolkitError as error:
        error_card(error)
        return
    draft.summary = (wanted.as_text, found)


def _start(toolkit: Toolkit, draft: Draft, wanted: Wanted) -> None:
    try:
        running = toolkit.evaluation.start(wanted.dataset, wanted.models, **wanted.options)
    except ToolkitError as error:
        error_card(error)
        return
    draft.summary = None
    st.query_params.from_dict({"run": running.run_id})
    st.rerun()


def _add_prompt(draft: Draft) -> None:
    draft.prompts += 1


def _draft() -> Draft:
    if _STATE not in st.session_state:
        st.session_state[_STATE] = Draft()
    draft: Draft = st.session_state[_STATE]
    return draft
