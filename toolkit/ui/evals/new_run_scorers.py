"""The scorers of a new run on the Evals page, each with its own options."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import streamlit as st

from toolkit.errors import InvalidInput
from toolkit.evals.scoring.scoring import scorer_names
from toolkit.ui.components.text import own


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a scorer: its name, what to call it, and how it is given."""

    name: str
    label: str
    kind: Literal["toggle", "text", "long", "number", "whole", "model", "json"]
    default: Any = None
    is_needed: bool = False


_PASS: Final = Option("pass_at", "Minimum score to pass", "number")
OPTIONS: Final[Mapping[str, Sequence[Option]]] = {
    "exact": (
        Option("ignore_case", "Ignore case", "toggle", False),
        Option("normalize", "Ignore case, punctuation and articles", "toggle", False),
    ),
    "contains": (Option("ignore_case", "Ignore case", "toggle", True),),
    "regex": (Option("pattern", "Pattern (empty: the target is the pattern)", "text"),),
    "numeric": (
        Option("tolerance", "Largest difference", "number", 0.0),
        Option("relative", "Or as a share of the target", "number", 0.0),
    ),
    "choice": (Option("letters", "Letters", "text", "ABCD"),),
    "json_schema": (Option("schema", "JSON schema", "json", None, True),),
    "fuzzy": (_PASS,),
    "bleu": (_PASS,),
    "chrf": (_PASS,),
    "rouge_l": (_PASS,),
    "latency": (
        Option("ttft_ms", "First token within, ms", "number"),
        Option("duration_ms", "Whole answer within, ms", "number"),
    ),
    "cost": (Option("at_most_usd", "Maximum USD per answer", "number", None, True),),
    "tool_call": (
        Option("name", "Tool that must be called", "text", None, True),
        Option("arguments", "With at least these arguments (JSON)", "json"),
    ),
    "similarity": (
        Option("model", "Embedding model (provider/model)", "model", None, True),
        _PASS,
    ),
    "judge": (
        Option("model", "Judge (provider/model)", "model", None, True),
        Option("rubric", "What makes an answer good", "long", None, True),
        Option("top", "Maximum points", "whole", 5),
        _PASS,
    ),
    "judge_pair": (
        Option("model", "Judge (provider/model)", "model", None, True),
        Option("rubric", "What makes one answer better than the target", "long", None, True),
    ),
}


def choose_scorers(models: Sequence[str], *, has_targets: bool) -> tuple[list[Any], list[str]]:
    """The scorers as `tk.evaluate` takes them, and what is still missing, in words."""
    chosen = st.multiselect(
        "Scorers",
        scorer_names(),
        default=["contains"] if has_targets else [],
        key=f"eval-scorers-{has_targets}",
        help="Scorers to apply. Without one, answers are stored and can be scored later.",
    )
    specs, missing = [], []
    for kind in chosen:
        options = OPTIONS.get(kind, ())
        given = _draw_options(kind, options, models) if options else {}
        specs.append({"type": kind, **given} if given else kind)
        missing += [
            f"{kind}: {option.label}"
            for option in options
            if option.is_needed and option.name not in given
        ]
    return specs, missing


def _draw_options(kind: str, options: Sequence[Option], models: Sequence[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    with st.container(border=True):
        st.markdown(f"**{own(kind)}**")
        for option in options:
            try:
                value = _draw_option(option, f"eval-{kind}-{option.name}", models)
            except InvalidInput as error:
                st.caption(own(f"{option.label}: {error.message}"))
                continue
            if value not in (None, "") and value != option.default:
                given[option.name] = value
    return given


def _draw_option(option: Option, key: str, models: Sequence[str]) -> Any:
    if option.kind == "toggle":
        return st.toggle(option.label, value=option.default, key=key)
    if option.kind == "number":
        return st.number_input(
            option.label, value=option.default, min_value=0.0, key=key, format="%g", width=280
        )
    if option.kind == "whole":
        return st.number_input(option.label, value=option.default, min_value=1, key=key, width=280)
    if option.kind == "model":
        return st.selectbox(
            option.label, models, index=None, key=key, accept_new_options=True, width=480
        )
    if option.kind == "text":
        return st.text_input(option.label, value=option.default, key=key)
    text = st.text_area(option.label, value=option.default, key=key, height=90)
    return _read_json(text) if option.kind == "json" else text


def _read_json(text: str | None) -> Any:
    if not text or not text.strip():
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"invalid JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidInput("this must be a JSON object")
    return value
