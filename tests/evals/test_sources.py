"""One reading of inputs and targets, whatever the source: files, frames, lists."""

from __future__ import annotations

import json
import math
import re
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from toolkit.errors import InvalidInput
from toolkit.evals.dataset import Dataset


def load(tmp_path, name, content, **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Dataset.from_file(path, **options)


def pairs(dataset):
    return [(sample.input, sample.target) for sample in dataset]


TWO = [("q1", "a1"), ("q2", "a2")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", "input,target\nq1,a1\nq2,a2\n"),
        ("bom.csv", b"\xef\xbb\xbfinput,target\nq1,a1\nq2,a2\n"),
        ("semicolon.csv", "input;target\nq1;a1\nq2;a2\n"),
        ("tab.csv", "input\ttarget\nq1\ta1\nq2\ta2\n"),
        ("bar.csv", "input|target\nq1|a1\nq2|a2\n"),
        ("sep.csv", "sep=;\ninput;target\nq1;a1\nq2;a2\n"),
        ("x.TSV", "input\ttarget\nq1\ta1\nq2\ta2\n"),
        ("cr.csv", "input,target\rq1,a1\rq2,a2\r"),
        ("crlf.csv", "input,target\r\nq1,a1\r\nq2,a2\r\n"),
        ("utf16.csv", "input,target\nq1,a1\nq2,a2\n".encode("utf-16")),
        ("utf16be.csv", "input,target\nq1,a1\nq2,a2\n".encode("utf-16-be")),
        ("blank.csv", "input,target\nq1,a1\n\n   \nq2,a2\n,\n"),
        ("spaces.csv", 'input , target\nq1, a1\nq2, "a2"\n'),
        ("case.csv", "Input,TARGET\nq1,a1\nq2,a2\n"),
        ("trailing.csv", "input,target\nq1,a1,\nq2,a2,\n"),
        ("x.jsonl", '{"input":"q1","target":"a1"}\n\n{"input":"q2","target":"a2"}\n  \n'),
        ("x.ndjson", '{"input":"q1","target":"a1"}\n{"input":"q2","target":"a2"}'),
        ("list.jsonl", '[{"input":"q1","target":"a1"},\n{"input":"q2","target":"a2"}]\n'),
        ("commas.jsonl", '{"input":"q1","target":"a1"},\n{"input":"q2","target":"a2"},\n'),
        ("tall.jsonl", '{\n"input":"q1",\n"target":"a1"\n}\n{\n"input":"q2",\n"target":"a2"}'),
        ("wrapped.json", '{"version": 1, "data":[{"input":"q1","target":"a1"},'
                         '{"input":"q2","target":"a2"}]}'),
        ("columns.json", '{"input":["q1","q2"],"target":["a1","a2"]}'),
    ],
)  # fmt: skip
def test_dialects_and_encodings_are_recognised(tmp_path, name, content):
    assert pairs(load(tmp_path, name, content)) == TWO


def test_windows_1252_is_recognised_and_said(tmp_path):
    dataset = load(tmp_path, "x.csv", "input,target\nCafé?,naïve\n".encode("cp1252"))
    assert pairs(dataset) == [("Café?", "naïve")]
    assert "Windows-1252" in dataset.notes[0]
    given = load(tmp_path, "y.csv", "input\n日本\n".encode("shift_jis"), encoding="shift_jis")
    assert given.samples[0].input == "日本"


def test_quoted_newlines_and_long_cells_are_kept(tmp_path):
    long = "x" * 400_000
    dataset = load(tmp_path, "x.csv", f'input,target\n"line1\nline2 ""q"", x","{long}"\n')
    assert pairs(dataset) == [('line1\nline2 "q", x', long)]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.csv", "input,target\nq1,a1,surplus\n", r"x\.csv: row 1 \(line 2\) has 3 cells"),
        ("x.csv", "input,input\nq1,a1\n", "two columns 'input'"),
        ("x.csv", 'input,target\n"q1,a1\n', "line 2 cannot be read"),
        ("x.csv", b"PAR1....", "is a Parquet file"),
        ("x.jsonl", b"PK\x03\x04....", "ZIP archive"),
        ("x.csv", b"input\nq\x001\n", "row 1, column 'input' holds a NUL"),
        ("x.csv", b"\x00\x01\x02\xff\xfe\x81", "binary"),
        ("x.jsonl", '{"input":"q1"}\n{"input":"q2","tar', r"row 2 \(line 2\).*cut off"),
        ("x.jsonl", '{"input": "x \\ud83d y"}\n', "row 1, column 'input' holds half of a char"),
        ("x.jsonl", '{"input": "q", "n": Infinity}\n', "row 1 .*Infinity is not JSON"),
        ("x.jsonl", '["q"]\n', "row 1 .* is a list"),
        ("x.json", '{"a": 1}', "one object with 'a'"),
        ("x.json", '[{"input": ["a", 1]}]', "row 1 has a column 'input' that is a list"),
        ("x.json", '[{"input": [{"role": "boss", "content": "x"}]}]', "the role 'boss'"),
        ("x.jsonl", '{"vars": {"a": 1}}\n', "column 'input'.*It has 'vars'"),
        ("x.xlsx", "a", "unsupported file type"),
    ],
)
def test_what_cannot_be_used_is_refused_by_file_row_and_column(tmp_path, name, content, words):
    with pytest.raises(InvalidInput) as caught:
        load(tmp_path, name, content)
    assert re.search(words, str(caught.value))


def test_all_bad_rows_are_named_at_once():
    rows = [{"input": "a"}, {"input": ""}, {"input": b"x"}, {"input": None}]
    with pytest.raises(InvalidInput, match="row 3, column 'input' holds binary data"):
        Dataset.from_rows(rows)
    with pytest.raises(InvalidInput, match=r"row 2 .*; row 4 "):
        Dataset.from_rows([rows[0], rows[1], {"input": "c"}, rows[3]])


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ("a", "a"), ("", None), ("  ", None), (None, None), (math.nan, None), (pd.NaT, None),
        (4, "4"), (4.5, "4.5"), (True, "true"), (np.int64(4), "4"), (np.bool_(False), "false"),
        ({"a": 1}, '{"a": 1}'), (["x", None, ""], ("x",)), ([], None), (["", None], None),
        (np.array(["Paris", "Lyon"]), ("Paris", "Lyon")), ([1, 2], ("1", "2")),
        ('["Paris", "Lyon"]', ("Paris", "Lyon")), ("['Paris', 'Lyon']", ("Paris", "Lyon")),
        ("[1, 2]", "[1, 2]"), ('{"a": 1}', '{"a": 1}'), (date(2026, 3, 1), "2026-03-01"),
        (pd.Timestamp("2026-03-01"), "2026-03-01"), ([["a"], "b"], ('["a"]', "b")),
    ],
)  # fmt: skip
def test_a_target_is_read_the_same_from_every_source(given, target):
    assert Dataset.from_rows([{"input": "q", "target": given}]).samples[0].target == target


TALK = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi"}]


def test_a_conversation_comes_from_every_source(tmp_path):
    rows = [{"input": TALK, "target": ["x", "y"]}]
    frame = pd.DataFrame(rows)
    frame.to_parquet(tmp_path / "x.parquet")
    as_text = pd.DataFrame([{"input": json.dumps(TALK), "target": json.dumps(["x", "y"])}])
    as_text.to_csv(tmp_path / "x.csv", index=False)
    (tmp_path / "x.jsonl").write_text(json.dumps(rows[0]))
    found = [Dataset.from_rows(rows), Dataset.from_frame(frame), Dataset.from_frame(as_text)]
    found += [Dataset.from_file(tmp_path / f"x.{kind}") for kind in ("parquet", "csv", "jsonl")]
    assert {dataset.digest for dataset in found} == {found[0].digest}
    assert found[0].samples[0].target == ("x", "y")


def test_integers_beside_gaps_stay_integers(tmp_path):
    frame = pd.DataFrame({"id": [1, 2, None], "input": ["a", "b", "c"], "target": [4, None, 5]})
    frame.to_parquet(tmp_path / "x.parquet")
    for dataset in (Dataset.from_frame(frame), Dataset.from_file(tmp_path / "x.parquet")):
        assert [s.target for s in dataset] == ["4", None, "5"]
        assert [s.sample_id for s in dataset][:2] == ["1", "2"]
    floats = pd.DataFrame({"input": ["a", "b"], "target": [4.0, 4.5]})
    assert [s.target for s in Dataset.from_frame(floats)] == ["4.0", "4.5"]


def test_lists_of_texts_and_pairs_are_datasets():
    assert pairs(Dataset.from_rows(["q1", "q2"])) == [("q1", None), ("q2", None)]
    assert pairs(Dataset.from_rows([("q1", "a1"), ("q2", "a2")])) == TWO


def test_large_ids_and_unknown_columns_are_kept(tmp_path):
    dataset = load(
        tmp_path,
        "x.jsonl",
        '{"id":9007199254740993,"input":"a","topic":"t"}\n{"id":9007199254740992,"input":"b"}\n',
    )
    assert [s.sample_id for s in dataset] == ["9007199254740993", "9007199254740992"]
    assert dataset.samples[0].metadata == {"topic": "t"}


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("shift_jis", "東京はどこですか"),
        ("gb18030", "北京在哪里"),
        ("big5", "台北在哪裡"),
        ("euc_kr", "서울은 어디입니까"),
        ("cp1251", "Где Москва"),
        ("cp1253", "Πού είναι"),
    ],
)
def test_text_of_another_alphabet_is_refused_and_never_garbled(tmp_path, encoding, text):
    content = f"input,target\n{text},x\n".encode(encoding)
    with pytest.raises(InvalidInput, match="neither UTF-8"):
        load(tmp_path, "x.csv", content)
    assert load(tmp_path, "y.csv", content, encoding=encoding).samples[0].input == text


def test_a_name_that_an_object_has_twice_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"row 1 .*'input' is there twice"):
        load(tmp_path, "x.jsonl", '{"input":"a","input":"b","target":1}\n')


def test_numbers_keep_their_own_digits(tmp_path):
    long = Decimal("0.12345678901234567890123")
    values = [Decimal("1.50"), Decimal("2.00"), long, np.float32(0.1), np.array([0.1, 2], "f4")]
    rows = [{"input": str(n), "target": value} for n, value in enumerate(values)]
    found = [sample.target for sample in Dataset.from_rows(rows)]
    assert found == ["1.5", "2", str(long), "0.1", ("0.1", "2.0")]
    path = tmp_path / "x.parquet"
    pd.DataFrame({"input": ["q"], "target": np.array([0.1], "float32")}).to_parquet(path)
    assert Dataset.from_file(path).samples[0].target == "0.1"


def test_an_object_without_a_text_is_no_target():
    with pytest.raises(InvalidInput, match="row 1, column 'target' holds a Python object"):
        Dataset.from_rows([{"input": "q", "target": object()}])
