"""`toolkit eval`: from a file to a result and an exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shell import run, run_json
from tests.servers.dialects import Answer
from tests.servers.mock_provider import MockProvider

pytestmark = pytest.mark.slow

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


def test_a_missed_threshold_has_exit_code_1(file: Path) -> None:
    file.write_text(FILE.replace("at_least = 0.9", "at_least = 1.1"))
    done = run("eval", "run", str(file))
    assert done.returncode == 1 and "Missed" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"exact"', '"exakt"', "no scorer"),
        ("epochs = 2", "epochs = 0", "epochs"),
        ("epochs = 2", "epoch = 2", "no option"),
        ('"data.jsonl"', '"none.jsonl"', "no file"),
        ("{{ input }}", "{{ nothing }}", "nothing"),
        ("epochs = 2", "epochs = = 2", "no TOML"),
    ],
)
def test_a_wrong_file_is_wrong_usage(file: Path, old: str, new: str, words: str) -> None:
    file.write_text(FILE.replace(old, new, 1))
    done = run("eval", "run", str(file))
    assert done.returncode == 2, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr
