"""The data of a new run on the Evals page: a bundled set, a file, or recorded calls."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.evals.config import find_dataset
from toolkit.evals.dataset import Dataset, bundled_names
from toolkit.evals.results.cell_values import say_value
from toolkit.store.queries.eval_pages import RECORDED_CALLS
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.format import count
from toolkit.ui.components.text import own, visible

KINDS: Final = ("bundled", "a file", "recorded calls")
FILE_TYPES: Final = ("csv", "jsonl", "json", "parquet")
_SHOWN: Final = 3


def choose_data(toolkit: Toolkit) -> Dataset | None:
    """The dataset that was chosen, with a look into it; None while there is none, and why."""
    kind = st.segmented_control(
        "Data",
        list(KINDS),
        default=KINDS[0],
        key="eval-data",
        help="Each row has an input and, for scorers that compare, a target. Prompts can use all "
        "other columns as variables.",
    )
    chooser = {KINDS[1]: _choose_file, KINDS[2]: _choose_calls}.get(kind or "", _choose_bundled)
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
    summary = f"{count(len(dataset))} samples"
    summary += f", {count(without)} of them without a target" if without else ""
    st.caption(own(f"{summary}. The first ones:"))
    shown = dataset.samples[:_SHOWN]
    st.dataframe(
        {
            "sample": [sample.sample_id for sample in shown],
            "input": [visible(say_value(sample.input))[:200] for sample in shown],
            "target": [
                visible(say_value(list(t) if isinstance(t := sample.target, tuple) else t))[:200]
                for sample in shown
            ],
        },
        hide_index=True,
        height="content",
        column_config={"sample": st.column_config.TextColumn(pinned=True)},
        alt="First samples of the data",
    )
