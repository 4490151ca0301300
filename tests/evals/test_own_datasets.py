"""Datasets that grow by single samples, such as recorded calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import InvalidInput
from toolkit.evals.own_datasets import (
    add_sample,
    own_dataset_names,
    own_dataset_path,
    read_own_dataset,
)


def add(home: Path, sample_id: str = "call-1", **changes: Any) -> int:
    sample: dict[str, Any] = {
        "input": "Capital of France?",
        "target": "Paris",
        "metadata": {"model": "a/b"},
    }
    return add_sample(home, "from-calls", sample_id=sample_id, **{**sample, **changes})


def test_samples_are_added_one_by_one_and_read_back(tmp_path: Path) -> None:
    assert own_dataset_names(tmp_path) == []
    assert add(tmp_path) == 1
    conversation = [{"role": "system", "content": "Short."}, {"role": "user", "content": "Hi ✓"}]
    assert add(tmp_path, "call-2", input=conversation, target=None) == 2
    assert own_dataset_names(tmp_path) == ["from-calls"]
    dataset = read_own_dataset(tmp_path, "from-calls")
    first, second = dataset.samples
    assert (first.sample_id, first.input, first.target) == (
        "call-1",
        "Capital of France?",
        "Paris",
    )
    assert first.metadata["model"] == "a/b"
    assert (second.input, second.target) == (conversation, None)


def test_a_sample_is_in_a_dataset_only_once(tmp_path: Path) -> None:
    add(tmp_path)
    with pytest.raises(InvalidInput, match="already has the sample call-1"):
        add(tmp_path)
    assert len(read_own_dataset(tmp_path, "from-calls")) == 1


def test_what_a_person_wrote_into_the_file_stays(tmp_path: Path) -> None:
    path = own_dataset_path(tmp_path, "from-calls")
    path.parent.mkdir(parents=True)
    path.write_text('{"id": "mine",  "input": "Hello"}', "utf-8")
    assert add(tmp_path) == 2
    assert path.read_text("utf-8").splitlines()[0] == '{"id": "mine",  "input": "Hello"}'


def test_a_broken_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = own_dataset_path(tmp_path, "from-calls")
    path.parent.mkdir(parents=True)
    path.write_text("{no JSON", "utf-8")
    with pytest.raises(InvalidInput):
        add(tmp_path)
    assert path.read_text("utf-8") == "{no JSON"


@pytest.mark.parametrize("name", ["", "../x", "A", "con", "x" * 64, "a b", ".hidden", "a/b"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="valid name of a dataset"):
        own_dataset_path(tmp_path, name)
    assert not list(tmp_path.iterdir())
