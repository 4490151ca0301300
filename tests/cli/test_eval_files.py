"""`toolkit eval import`, `export` and `report`."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.cli.shell import run, run_json

FIXTURES = Path(__file__).resolve().parents[1] / "evals" / "fixtures"


@pytest.fixture
def imported(home: Path) -> str:
    return str(run_json("eval", "import", str(FIXTURES / "inspect-ten-questions.eval"))["run_id"])


def test_an_imported_run_is_listed_with_its_scores(imported: str) -> None:
    (listed,) = run_json("eval", "list")
    assert listed["run_id"] == imported and listed["done"] == 20
    shown = run("eval", "show", imported)
    assert shown.returncode == 0 and "includes" in shown.stdout


def test_an_imported_run_is_scored_again_and_says_that_it_cannot_be_asked(imported: str) -> None:
    mine = '{"type": "regex", "name": "mine", "pattern": "P"}'
    again = run_json("eval", "rescore", imported, "--scorer", "contains", "--scorer", mine)
    assert {entry["scorer"] for entry in again["summary"]["scores"]} >= {"contains", "mine"}
    wrong = run("eval", "rescore", imported, "--scorer", "{nonsense")
    assert wrong.returncode == 2 and "not valid JSON" in wrong.stderr
    asked = run("eval", "resume", imported)
    assert asked.returncode == 2 and "imported" in asked.stderr


def test_the_same_file_is_not_taken_twice(imported: str) -> None:
    again = run("eval", "import", str(FIXTURES / "inspect-ten-questions.eval"))
    assert again.returncode == 2 and "imported already" in again.stderr
    assert len(run_json("eval", "list")) == 1


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_export_can_be_imported_on_another_machine(
    imported: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / f"out.{kind}"
    told = run_json("eval", "export", imported, "--format", kind, "--output", str(file))
    assert told["run_id"] == imported
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = run_json("eval", "show", imported)["summary"]["scores"]
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path / "other"))
    assert run_json("eval", "import", str(file), "--name", "elsewhere")["name"] == "elsewhere"
    assert run_json("eval", "show", "elsewhere")["summary"]["scores"] == before


def test_lines_and_junit_go_to_standard_output(imported: str) -> None:
    lines = run("eval", "export", imported).stdout.splitlines()
    assert len(lines) == 58 and json.loads(lines[0])["run_id"] == imported
    assert run_json("eval", "export", imported) == [json.loads(line) for line in lines]
    suite = ET.fromstring(run("eval", "export", imported, "--format", "junit").stdout.encode())
    assert suite.get("tests") == "58"


def test_a_report_is_one_html_file(imported: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    done = run("eval", "report", imported, "--html", str(file))
    assert done.returncode == 0 and "Wrote" in done.stderr
    assert "What is the capital of France?" in file.read_text("utf-8")


def test_wrong_usage_is_said_in_words(imported: str, tmp_path: Path) -> None:
    assert run("eval", "export", "nobody").returncode == 2
    assert "--output" in run("eval", "export", imported, "--format", "parquet").stderr
    mixed = run("eval", "export", imported, "--format", "csv", "--json")
    assert mixed.returncode == 2 and "--format csv is not JSON" in mixed.stdout + mixed.stderr
    assert run("eval", "export", imported, "--format", "doc").returncode == 2
    nowhere = str(tmp_path / "no" / "where.html")
    assert "cannot be written" in run("eval", "report", imported, "--html", nowhere).stderr
    assert run("eval", "import", str(tmp_path / "nothing.json")).returncode == 2


def test_an_imported_run_cannot_be_asked_again_and_says_so(imported: str) -> None:
    done = run("eval", "resume", imported)
    assert done.returncode == 2 and "was imported" in done.stderr
