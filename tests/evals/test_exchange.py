"""Exports come back as they were; logs of other tools are read with the scores they tell."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.evals.answers import COLUMNS, failed, row, run, skipped, two_models
from toolkit.errors import InvalidInput
from toolkit.evals import scorers
from toolkit.evals.dataset import Sample
from toolkit.evals.exchange import inspect_log
from toolkit.evals.exchange.row_files import read_table
from toolkit.evals.exchange.run_files import read_file, write_run
from toolkit.evals.scorers import Answer, score

FIXTURES = Path(__file__).parent / "fixtures"
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
FOUND = st.fixed_dictionaries(
    {
        "result_id": TEXT.filter(bool),
        "run_id": st.just("r"),
        "sample_id": TEXT.filter(bool),
        "model": TEXT.filter(bool),
        "scored_at": TIMES,
    },
    optional={
        "input": JSON.filter(lambda v: v is not None).map(json.dumps),
        "output": TEXT,
        "score": st.floats(allow_nan=False, allow_infinity=False),
        "is_pass": st.booleans(),
        "is_cached": st.booleans(),
        "epoch": st.integers(1, 2**31),
        "input_tokens": st.integers(0, 2**40),
        "cost_usd": st.decimals(0, 10**6, places=12),
    },
)


def as_read(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with every column, JSON as values: what a reader gives."""
    whole = [dict.fromkeys(COLUMNS) | r for r in rows]
    return [r | {"input": json.loads(r["input"]) if r["input"] else None} for r in whole]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
@given(rows=st.lists(FOUND, min_size=1, max_size=4))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_export_comes_back_as_it_was(kind, rows, tmp_path):
    """CSV alone reads an empty text as unknown."""
    file = tmp_path / f"out.{kind}"
    file.write_bytes(write_run(run(), rows, kind))
    wanted = as_read(rows)
    if kind == "csv":
        wanted = [{**r, "output": r["output"] or None} for r in wanted]
    assert read_table(file) == wanted


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_a_whole_run_comes_back_with_the_same_scores(kind, tmp_path):
    file = tmp_path / f"first.{kind}"
    file.write_bytes(write_run(run(), two_models(), kind))
    found = read_file(file)
    assert found.run["run_id"] == "run-1" and found.run["name"] == "first"
    assert (found.run["done"], found.run["errors"]) == (40, 1)
    assert found.run["cost_usd"] == Decimal("0.039")
    means = {s["model"]: s["mean"] for s in found.run["summary"]["scores"]}
    assert means == {"mock/a": 0.8, "mock/b": pytest.approx(10 / 19)}


def test_junit_tells_failures_errors_and_times_and_is_always_xml():
    rows = [row(1), row(2, score=0.0, output="\x00no", explanation="\ufffe <&"), failed(3)]
    rows += [row(4, score=0.3, is_pass=None, scorer="fuzzy"), skipped(5)]
    suite = ET.fromstring(write_run(run(), rows, "junit"))
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5", "failures": "1", "errors": "1", "skipped": "1"
    }  # fmt: skip
    cases = {case.get("name"): case for case in suite}
    assert cases["q1 repeat 1 exact"].get("time") == "0.101"
    assert cases["q2 repeat 1 exact"].find("failure").text == "\ufffdno"
    assert cases["q3 repeat 1"].find("error").get("type") == "TIMEOUT"
    assert cases["q4 repeat 1 fuzzy"].find("system-out").text == "score 0.3"
    assert cases["q5 repeat 1"].find("skipped").get("message") == "raise the cap"


def test_cells_are_escaped_unless_the_caller_wants_them_raw(tmp_path):
    formula = {**row(1), "output": "=1+1"}
    assert b"'=1+1" in write_run(run(), [formula], "csv")
    raw = write_run(run(), [formula], "csv", escape=False)
    assert b"=1+1" in raw and b"'=1+1" not in raw


def test_what_a_cap_left_out_comes_back_from_an_export_as_left_out(tmp_path):
    file = tmp_path / "stopped.csv"
    file.write_bytes(write_run(run(), [row(1), failed(2), skipped(3)], "csv"))
    found = read_file(file)
    told = {name: found.run["summary"][name] for name in ("answers", "failed", "skipped")}
    assert told == {"answers": 1, "failed": 1, "skipped": 1}
    assert (found.run["status"], found.run["done"]) == ("stopped", 2)
    assert found.run["summary"]["errors"] == {"TIMEOUT": 1}


@pytest.mark.parametrize("name", ["inspect-ten-questions.eval", "inspect-ten-questions.json"])
def test_a_log_of_inspect_ai_becomes_a_run(name):
    found = read_file(FIXTURES / name)
    assert found.run["models"] == ["mockllm/model"] and found.run["dataset"] == "ten-questions"
    assert found.run["scorers"] == ["match", "includes", "exact"] and found.run["epochs"] == 2
    assert (found.run["done"], found.run["errors"], len(found.rows)) == (20, 1, 19 * 3 + 1)
    one = next(r for r in found.rows if r["sample_id"] == "q1" and r["scorer"] == "exact")
    assert (one["output"], one["target"], one["score"]) == ("It is Paris.", "Paris", 0.0)
    assert one["metadata"] == {"topic": "first"} and one["output_tokens"]
    assert one["cost_usd"] is None and one["duration_ms"] is not None
    (bad,) = [r for r in found.rows if r["status"] == "error"]
    assert bad["scorer"] is None and bad["error_message"] and bad["output"] is None


@pytest.mark.parametrize("kind", ["eval", "json"])
def test_our_scorers_give_the_scores_that_inspect_ai_gave_to_the_same_answers(kind):
    """`includes` is our `contains`, `exact` our SQuAD-normalised `exact`, letters our `choice`."""
    ours = {
        "includes": scorers.contains(),
        "exact": scorers.exact(normalize=True),
        "choice": scorers.choice(letters="ABC"),
    }
    rows = [*read_file(FIXTURES / f"inspect-ten-questions.{kind}").rows]
    rows += read_file(FIXTURES / "inspect-letters.eval").rows
    compared = set()
    for told in (r for r in rows if r["scorer"] in ours):
        sample = Sample(sample_id=told["sample_id"], input=told["input"], target=told["target"])
        again = score(ours[told["scorer"]], Answer(sample=sample, text=told["output"]))
        assert again.value == told["score"], told
        compared.add((told["scorer"], told["score"]))
    assert len(compared) == 6  # each scorer found right and wrong answers


def test_results_of_promptfoo_become_a_run_and_its_repeats_one_sample():
    found = read_file(FIXTURES / "promptfoo-towns.json")
    assert found.run["name"] == "towns" and found.run["models"] == ["broken", "echo"]
    assert (found.run["done"], found.run["errors"], found.run["epochs"]) == (24, 4, 2)
    assert {r["sample_id"] for r in found.rows} == {"0", "1", "2"}
    echo = {
        r["scorer"]: r
        for r in found.rows
        if (r["sample_id"], r["variant"], r["model"]) == ("0", "Say {{word}}", "echo")
    }
    assert (echo["contains"]["score"], echo["contains 2"]["score"]) == (1.0, 0.0)
    assert echo["promptfoo"]["score"] == 0.5 and echo["promptfoo"]["output"] == "Say Paris"
    assert echo["promptfoo"]["is_pass"] is False and echo["promptfoo"]["cost_usd"] is None
    assert echo["promptfoo"]["metadata"] == {"word": "Paris"}


def test_a_failed_call_of_promptfoo_is_an_error_and_no_wrong_answer():
    rows = read_file(FIXTURES / "promptfoo-towns.json").rows
    bad = [r for r in rows if r["status"] == "error"]
    assert len(bad) == 4 and {(r["scorer"], r["model"]) for r in bad} == {(None, "broken")}
    assert all(r["error_message"] and r["score"] is None for r in bad)


@pytest.mark.parametrize(
    ("value", "number"),
    [("C", 1.0), ("I", 0.0), ("P", 0.5), ("N", 0.0), (True, 1.0), (0.25, 0.25), ("0.75", 0.75),
     ("yes", 1.0), ("maybe", None), (float("nan"), None), (None, None)],
)  # fmt: skip
def test_values_of_inspect_ai_are_read_as_it_reads_them(value, number):
    assert inspect_log._number(value) == number


def test_a_score_with_several_values_becomes_several_scorers_and_an_error_one_row():
    about = {"eval_id": "e", "task": "t", "model": "m/x", "created": "2026-01-01T00:00:00Z"}
    good = {"id": 1, "input": "?", "output": {"completion": "!"},
            "scores": {"judge": {"value": {"style": 0.5, "facts": "C"}}}}  # fmt: skip
    bad = {"id": 2, "input": "?", "error": {"message": "boom"}, "scores": {}}
    found = inspect_log.read_inspect_json({"eval": about, "samples": [good, bad]}, "x")
    assert [(r["scorer"], r["score"], r["status"]) for r in found.rows] == [
        ("judge/style", 0.5, "ok"), ("judge/facts", 1.0, "ok"), (None, None, "error")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.eval", b"no archive"),
        ("x.json", b"{"),
        ("x.json", b"[1]"),
        ("x.json", b'{"eval": {}, "samples": [{}]}'),
        ("x.json", b'{"eval": [], "samples": 3}'),
        ("x.json", b'{"results": {"results": [{}], "timestamp": "2026-01-01"}}'),
        ("x.json", b'{"results": {}}'),
        ("x.jsonl", b'{"a": 1}'),
        ("x.jsonl", b"[]"),
        ("x.csv", b"a,b\n1,2\n"),
        ("x.parquet", b"PAR1"),
        ("x.csv", b""),
        ("x.txt", b""),
    ],
)
def test_a_file_that_is_no_run_is_refused_in_words(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput) as refused:
        read_file(tmp_path / name)
    assert "x" in refused.value.message


def test_what_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(inspect_log, "MAX_MEMBER_BYTES", 1_000)
    with zipfile.ZipFile(tmp_path / "big.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", b"{}" + b" " * 2_000)
    with pytest.raises(InvalidInput, match="unpacks to more"):
        read_file(tmp_path / "big.eval")


def test_an_unfinished_log_and_a_missing_file_say_what_to_do(tmp_path):
    with zipfile.ZipFile(tmp_path / "begun.eval", "w") as archive:
        archive.writestr("_journal/start.json", b"{}")
    with pytest.raises(InvalidInput, match="was not finished"):
        read_file(tmp_path / "begun.eval")
    with pytest.raises(InvalidInput, match="no file"):
        read_file(tmp_path / "nothing.eval")
    with pytest.raises(InvalidInput, match="is a folder"):
        read_file(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"version": 3, "results": {"results": "x"}}, "the field 'timestamp' is missing"),
        ({"eval": [], "samples": []}, "another type than expected"),
    ],
)
def test_a_log_with_a_defect_is_refused_without_the_names_of_python(content, message, tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(InvalidInput) as refused:
        read_file(tmp_path / "x.json")
    assert message in refused.value.message
    assert "Error(" not in refused.value.message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "results_2026-01-01.json",
            {"results": {"gsm8k": {"exact_match,strict-match": 0.5}}, "n-shot": {"gsm8k": 5}},
        ),
        (
            "samples_gsm8k.jsonl",
            {"doc_id": 0, "doc": {"question": "?"}, "target": "4", "resps": [["4"]]},
        ),
    ],
)
def test_logs_of_lm_evaluation_harness_are_refused_by_its_name(name, content, tmp_path):
    (tmp_path / name).write_text(json.dumps(content) + "\n")
    with pytest.raises(InvalidInput, match="lm-evaluation-harness") as refused:
        read_file(tmp_path / name)
    assert name in refused.value.message and "Inspect AI" in refused.value.hint


def test_hostile_text_stays_text_in_junit():
    hostile = ']]><x a="\'">&amp;<!-- \x00\x1b\ud800 -->'
    rows = [row(1, score=0.0, output=hostile, explanation=hostile, scorer=hostile, model=hostile)]
    suite = ET.fromstring(write_run({**run(), "name": hostile}, rows, "junit"))
    clean = ']]><x a="\'">&amp;<!-- \ufffd\ufffd\ufffd -->'
    failure = suite.find("testcase/failure")
    assert suite.get("name") == clean and [child.tag for child in suite] == ["testcase"]
    assert failure.text == failure.get("type") == clean and clean in failure.get("message")
