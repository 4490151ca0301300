"""Datasets from every source, with ids that stay, and templates that miss nothing."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import InvalidInput
from toolkit.evals.dataset import Dataset, Sample, stable_id
from toolkit.evals.template import fill, fill_messages, find_variables

ROWS = [
    {"input": "2+2?", "target": "4", "topic": "sums"},
    {"input": "Capital of France?", "target": "Paris", "topic": "places"},
]


def write(tmp_path, suffix):
    path = tmp_path / f"qa{suffix}"
    if suffix == ".parquet":
        pd.DataFrame(ROWS).to_parquet(path)
    elif suffix == ".csv":
        pd.DataFrame(ROWS).to_csv(path, index=False)
    elif suffix == ".json":
        path.write_text(json.dumps(ROWS))
    else:
        path.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json", ".parquet"])
def test_the_same_rows_are_the_same_dataset_in_every_file(tmp_path, suffix):
    dataset = Dataset.from_file(write(tmp_path, suffix))
    assert dataset.name == "qa"
    assert dataset.digest == Dataset.from_rows(ROWS).digest
    assert dataset.samples[1].target == "Paris"
    assert dataset.samples[1].metadata == {"topic": "places"}


def test_an_id_column_gives_the_ids_and_content_gives_the_others():
    rows = [{"id": 7, "input": "a"}, {"input": "b"}]
    assert [s.sample_id for s in Dataset.from_rows(rows)] == ["7", stable_id(["b", None])]


@given(st.dictionaries(st.sampled_from("abcd"), st.integers() | st.text(), min_size=1))
def test_ids_do_not_depend_on_the_order_of_fields(content):
    assert stable_id(content) == stable_id(dict(reversed(content.items())))


def test_other_column_names_can_be_named():
    frame = pd.DataFrame({"question": ["q"], "answer": [None]})
    sample = Dataset.from_frame(frame, input="question", target="answer").samples[0]
    assert (sample.input, sample.target) == ("q", None)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "empty"),
        ([{"input": ""}], "row 1 has nothing in the column 'input'"),
        ([{"input": "a"}, {"question": "b"}], "row 2"),
        ([{"input": "a"}, {"input": "a"}], "twice"),
    ],
)
def test_bad_rows_are_named(rows, words):
    with pytest.raises(InvalidInput, match=words):
        Dataset.from_rows(rows)


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.txt", "a"), ("x.json", "{}"), ("x.json", "["), ("x.jsonl", "[1]\n"), ("x.csv", '"a\n')],
)
def test_bad_files_are_refused_by_name(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InvalidInput, match=r"x\.|empty"):
        Dataset.from_file(path)
    with pytest.raises(InvalidInput, match="no file"):
        Dataset.from_file(tmp_path / "absent.csv")


def test_a_template_is_filled_once_and_strictly():
    sample = Sample(sample_id="s1", input={"city": "Bonn {{ x }}"}, metadata={"land": {"de": "D"}})
    assert fill("{{city}}/{{ land.de }}", sample.variables, row="s1") == "Bonn {{ x }}/D"
    with pytest.raises(InvalidInput, match="'s1' has no value for the variable 'river'"):
        fill("{{ river }}", sample.variables, row="s1")


@pytest.mark.parametrize(
    "text",
    ["{{ city | upper }}", "{{ city[0] }}", "{{ city * 1000000000 }}", "{{ city", "{{-city-}}"],
)
def test_an_expression_over_a_variable_is_refused_and_never_sent_as_it_is(text):
    with pytest.raises(InvalidInput, match="only a name is filled in"):
        fill(f"Say: {text}", {"city": "Bonn"}, row="s1")
    assert fill("Vue: {{ town | upper }}", {"city": "Bonn"}, row="s1") == "Vue: {{ town | upper }}"


def test_a_missing_value_is_a_missing_variable():
    sample = Sample(sample_id="s1", input="q", metadata={"river": None})
    with pytest.raises(InvalidInput, match="river"):
        fill("{{ river }}", sample.variables, row="s1")


def test_messages_are_filled_in_every_turn():
    sample = Sample(sample_id="s1", input="q", metadata={"tone": "kind"})
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "{{ input }}"}]},
        {"role": "assistant", "content": "ok"},
    ]
    filled = fill_messages(turns, sample, system="Be {{ tone }}.")
    assert filled[0] == {"role": "system", "content": "Be kind."}
    assert filled[1]["content"][0]["text"] == "q"
    assert fill_messages("{{ input }}", sample) == [{"role": "user", "content": "q"}]


def test_variables_are_found_in_order():
    assert find_variables("{{b}} {{ a }} {{b}} {c} {{ 1x }}") == ("b", "a")
