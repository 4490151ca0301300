"""`toolkit eval`: from a file to a result and an exit code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shell import run, run_json
from tests.servers.dialects import Answer
from tests.servers.mock_provider import MockProvider
from toolkit.cli.commands.eval import _is_worse
from toolkit.toolkit import Toolkit

FILE = """
dataset = "data.jsonl"
models = ["mock/mock-model", "mock/mock-small"]
scorers = ["exact", {type = "fuzzy", pass_at = 0.8}]
epochs = 2
[params]
max_tokens = 20
[[solvers]]
name = "plain"
[[solvers]]
name = "terse"
prompt = "One word. {{ input }}"
[[thresholds]]
scorer = "exact"
at_least = 0.9
"""


@pytest.fixture
def file(tmp_path: Path, home: Path) -> Iterator[Path]:
    rows = [{"id": i, "input": f"q{i}", "target": "Paris"} for i in range(3)]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = tmp_path / "first.toml"
    path.write_text(FILE)
    with MockProvider(Answer(text="Paris")) as server:
        url = server.base_url
        assert run("providers", "add", "mock", "--url", url, "--local", "--no-test").returncode == 0
        yield path


def test_a_comparison_fails_where_the_second_run_is_worse(home: Path, tmp_path: Path) -> None:
    with MockProvider(Answer(text="Paris")) as server:
        url = server.base_url
        assert run("providers", "add", "mock", "--url", url, "--local", "--no-test").returncode == 0
        for name, target in (("good", "Paris"), ("bad", "Rome")):
            rows = [{"id": i, "input": f"q{i}", "target": target} for i in range(10)]
            (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
            config = f'name = "{name}"\ndataset = "d.jsonl"\nmodels = ["mock/mock-model"]\n'
            (tmp_path / f"{name}.toml").write_text(config + 'scorers = ["exact"]\n')
            assert run("eval", "run", str(tmp_path / f"{name}.toml")).returncode == 0
    assert run("eval", "compare", "good", "bad", "--fail-if-worse").returncode == 1
    assert run("eval", "compare", "good", "bad").returncode == 0
    assert run("eval", "compare", "bad", "good", "--fail-if-worse").returncode == 0
    assert run("eval", "compare", "good", "good", "--fail-if-worse").returncode == 0


@pytest.mark.parametrize(
    ("scorer", "difference", "p", "is_worse"),
    [
        ("exact", -0.2, 0.01, True),
        ("exact", -0.2, 0.06, False),
        ("exact", 0.2, 0.01, False),
        ("ttft_ms", 90.0, 0.01, True),
        ("cost_usd", -0.1, 0.01, False),
        ("exact", 0.0, 0.01, False),
    ],
)
def test_worse_is_a_lower_score_or_more_time_or_cost(scorer, difference, p, is_worse):
    entry = {"scorer": scorer, "difference": difference, "p_adjusted": p}
    assert _is_worse(entry) is is_worse


def test_a_run_from_a_file_is_listed_shown_resumed_and_compared(file: Path) -> None:
    done = run_json("eval", "run", str(file))
    assert done["status"] == "done" and done["passed"] and done["done"] == 3 * 2 * 2 * 2
    assert [row["run_id"] for row in run_json("eval", "list")] == [done["run_id"]]
    assert run_json("eval", "show", "first")["summary"] == done["summary"]
    assert run_json("eval", "resume", "first")["done"] == done["done"]
    again = run_json("eval", "run", str(file))
    found = run_json("eval", "compare", done["run_id"], again["run_id"])
    assert {entry["difference"] for entry in found} == {0.0}
    shown = run("eval", "show", again["run_id"])
    assert "terse" in shown.stdout and "24 of 24 answers" in shown.stdout


def test_a_run_without_its_process_is_shown_as_far_as_it_came(file: Path) -> None:
    """Every command says that the process is gone, and how to continue."""
    done = run_json("eval", "run", str(file))
    with Toolkit() as toolkit:
        facts = dict(toolkit.evaluation.get("first").facts)
        lost = {"status": "running", "summary": {}, "ended_at": None, "samples": 30, "done": 2}
        lost["config"] = json.loads(facts["config"])
        toolkit.store.append("eval_runs", {**facts, **lost})
    commands = (["show"], ["export"], ["report", "--html", "r.html"], ["rescore", "-s", "exact"])
    for command, *options in commands:
        shown = run("eval", command, "first", *options)
        assert shown.returncode == 0, shown.stderr
        assert f"toolkit eval resume {done['run_id']}" in shown.stderr, command
    compared = run("eval", "compare", "first", "first")
    assert compared.returncode == 0
    assert compared.stderr.count("toolkit eval resume") == 1
    shown = run("eval", "show", "first")
    assert "interrupted: 24 of 30 answers, 6 not asked yet" in shown.stdout
    assert "exact" in shown.stdout
    assert run_json("eval", "list")[0]["done"] == 24
    assert not run_json("eval", "show", "first")["passed"]


def test_sql_that_fails_is_wrong_usage(file: Path) -> None:
    file.write_text(FILE.replace('"data.jsonl"', '{sql = "SELECT input FROM nothing"}', 1))
    done = run("eval", "run", str(file))
    assert done.returncode == 2
    assert "the SQL of the dataset failed" in done.stderr and "nothing" in done.stderr


def test_each_comparison_names_its_scorer_where_there_are_several(file: Path) -> None:
    """One entry per scorer: which of them is better by so much?"""
    file.write_text(FILE.replace(', "mock/mock-small"', "", 1))
    sentence = run_json("eval", "run", str(file))["summary"]["sentence"]
    assert ". exact: " in sentence and ". fuzzy: " in sentence


def test_a_missed_threshold_has_exit_code_1(file: Path) -> None:
    file.write_text(FILE.replace("at_least = 0.9", "at_least = 1.1"))
    done = run("eval", "run", str(file))
    assert done.returncode == 1 and "Threshold missed" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"exact"', '"exakt"', "no scorer"),
        ("epochs = 2", "epochs = 0", "epochs"),
        ("epochs = 2", "epoch = 2", "Did you mean 'epochs'"),
        ('"data.jsonl"', '"none.jsonl"', "no file"),
        ("{{ input }}", "{{ nothing }}", "nothing"),
        ("epochs = 2", "epochs = = 2", "not a valid TOML"),
    ],
)
def test_a_wrong_file_is_wrong_usage(file: Path, old: str, new: str, words: str) -> None:
    file.write_text(FILE.replace(old, new, 1))
    done = run("eval", "run", str(file))
    assert done.returncode == 2, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr


def test_scores_that_are_missing_are_a_dash_and_never_a_traceback(file: Path) -> None:
    """No target and an unpriced model: nothing can be scored, and every command says so."""
    file.write_text(
        'dataset = "data.jsonl"\nmodels = ["mock/mock-model"]\nname = "bare"\n'
        'scorers = ["contains", "cost_usd"]\n'
    )
    (file.parent / "data.jsonl").write_text('{"input": "q1"}\n{"input": "q2"}\n')
    done = run("eval", "run", str(file), "--yes")
    assert done.returncode == 0 and "Traceback" not in done.stderr + done.stdout
    assert "TARGET_MISSING" in json.dumps(run_json("eval", "show", "bare"))
    for command in (["show", "bare"], ["resume", "bare"], ["rescore", "bare", "--scorer", "exact"]):
        shown = run("eval", *command)
        assert shown.returncode == 0 and "Traceback" not in shown.stderr
    html = file.parent / "report.html"
    assert run("eval", "report", "bare", "--html", str(html)).returncode == 0


def test_no_interval_shows_a_rounding_error(file: Path) -> None:
    (file.parent / "data.jsonl").write_text('{"input": "q", "target": "x"}\n')
    done = run(
        "eval", "run", str(file.parent / "data.jsonl"), "-m", "mock/mock-model", "-s", "exact"
    )
    assert not re.search(r"\b\d(\.\d+)?e-\d", done.stdout) and done.returncode == 0


def test_unreadable_answers_are_counted_apart(file: Path) -> None:
    (file.parent / "data.jsonl").write_text('{"input": "q", "target": "4"}\n')
    arguments = ["-m", "mock/mock-model", "-s", "numeric"]
    done = run_json("eval", "run", str(file.parent / "data.jsonl"), *arguments)
    (score,) = done["summary"]["scores"]
    assert (score["mean"], score["unreadable"], score["unscored"]) == (0.0, 1, 0)
    assert "1 unreadable" in done["summary"]["sentence"]


def test_init_writes_an_eval_that_runs(file: Path) -> None:
    folder = file.parent / "new"
    assert run("eval", "init", str(folder), "-m", "mock/mock-model").returncode == 0
    done = run_json("eval", "run", str(folder / "eval.toml"))
    assert done["status"] == "done" and done["samples"] == 8
    again = run("eval", "init", str(folder))
    assert again.returncode == 2 and "already exists" in again.stderr


def test_the_transcript_of_a_sample_is_shown(file: Path) -> None:
    run_json("eval", "run", str(file))
    calls = run_json("eval", "show", "first", "--sample", "1", "--variant", "terse", "--epoch", "2")
    (call,) = [call for call in calls if call["model"] == "mock/mock-model"]
    assert call["messages"][-1]["content"] == "One word. q1" and call["output_text"] == "Paris"
    assert "[assistant] Paris" in run("eval", "show", "first", "--sample", "1").stdout
    assert run("eval", "show", "first", "--sample", "99").returncode == 2
