"""The data and the scorers of a new run on the Evals page, each with its own options.

Data are a bundled dataset, a file, recorded calls, or a dataset of the user's own.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import streamlit as st

from toolkit.errors import InvalidInput, ToolkitError
from toolkit.evals.config import find_dataset
from toolkit.evals.dataset import Dataset, bundled_names
from toolkit.evals.own_datasets import own_dataset_names, read_own_dataset
from toolkit.evals.results.cell_values import say_value
from toolkit.evals.scoring.scoring import scorer_names
from toolkit.store.queries.eval_pages import RECORDED_CALLS
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.format import count
from toolkit.ui.components.text import own, visible

KINDS: Final = ("bundled", "a file", "recorded calls")
OWN: Final = "yours"
FILE_TYPES: Final = ("csv", "jsonl", "json", "parquet")
_SHOWN: Final = 3


def choose_data(toolkit: Toolkit) -> Dataset | None:
    """The dataset that was chosen, with a look into it; None while there is none, and why."""
    kinds = [*KINDS, OWN] if own_dataset_names(toolkit.settings.home) else list(KINDS)
    kind = st.segmented_control(
        "Data",
        kinds,
        default=KINDS[0],
        key="eval-data",
        help="Each row has an input and, for scorers that compare, a target. Prompts can use all "
        "other columns as variables.",
    )
    choosers = {KINDS[1]: _choose_file, KINDS[2]: _choose_calls, OWN: _choose_own}
    chooser = choosers.get(kind or "", _choose_bundled)
    try:
        dataset = chooser(toolkit)
    except ToolkitError as error:
        error_card(error)
        return None
    if dataset is not None:
        _draw_look(dataset)
    return dataset


def variables_of(dataset: Dataset) -> list[str]:
    """The names that a prompt may use with every sample."""
    shared: set[str] | None = None
    for sample in dataset:
        own_names = {name for name, value in sample.variables.items() if value is not None}
        shared = own_names if shared is None else shared & own_names
    first = ["input", "target"]
    return sorted(shared or (), key=lambda name: (name not in first, name))


def _choose_bundled(toolkit: Toolkit) -> Dataset | None:
    name = st.selectbox("Dataset", bundled_names(), key="eval-bundled")
    return Dataset.bundled(name) if name else None


def _choose_own(toolkit: Toolkit) -> Dataset | None:
    home = toolkit.settings.home
    name = st.selectbox("Dataset", own_dataset_names(home), key="eval-own",
                        help="Datasets that you added calls to on the page Calls.")  # fmt: skip
    return read_own_dataset(home, name) if name else None


def _choose_file(toolkit: Toolkit) -> Dataset | None:
    file = st.file_uploader("File", list(FILE_TYPES), key="eval-file")
    columns = _choose_columns()
    if file is None:
        return None

    def read() -> Dataset:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"data{Path(file.name).suffix.lower()}"
            path.write_bytes(file.getbuffer())
            return Dataset.from_file(path, name=Path(file.name).stem, **columns)

    return _read_once((file.file_id, columns), read)


def _choose_calls(toolkit: Toolkit) -> Dataset | None:
    query = st.text_area(
        "Query",
        value=RECORDED_CALLS,
        key="eval-sql",
        height=130,
        help="A read-only SQL query over the database with the column `input` and, optionally, "
        "`target` and `id`. It cannot access files or the network.",
    )
    if not query.strip():
        return None
    return _read_once(
        ("sql", query),
        lambda: find_dataset({"sql": query, "name": "recorded calls"}, toolkit.store),
    )


def _choose_columns() -> dict[str, str]:
    labels = {"input": "Input column", "target": "Target column", "id": "Id column"}
    with st.container(horizontal=True):
        return {
            name: st.text_input(label, value=name, key=f"eval-column-{name}", width=180).strip()
            for name, label in labels.items()
        }


def _read_once(what: Any, read: Callable[[], Dataset]) -> Dataset:
    """What was read last, as long as the same is wanted: the page runs again at every key."""
    kept = st.session_state.get("eval-dataset")
    if kept is None or kept[0] != what:
        kept = st.session_state["eval-dataset"] = (what, read())
    dataset: Dataset = kept[1]
    return dataset


def _draw_look(dataset: Dataset) -> None:
    without = sum(sample.target is None for sample in dataset)
    summary = f"{count(len(dataset))} sample{'' if len(dataset) == 1 else 's'}"
    summary += f", {count(without)} of them without a target" if without else ""
    st.caption(own(f"{summary}. The first ones:"))
    shown = dataset.samples[:_SHOWN]
    st.dataframe(
        {
            "Sample": [sample.sample_id for sample in shown],
            "Input": [visible(say_value(sample.input))[:200] for sample in shown],
            "Target": [
                visible(say_value(list(t) if isinstance(t := sample.target, tuple) else t))[:200]
                for sample in shown
            ],
        },
        hide_index=True,
        height="content",
        column_config={"Sample": st.column_config.TextColumn(pinned=True)},
        alt="First samples of the data",
    )


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
