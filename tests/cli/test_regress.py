"""`toolkit regress`: exit codes a CI can trust, JSON, JUnit and HTML, and calm words for misuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

import toolkit as tk
from tests.servers.mock_provider import MockProvider
from toolkit.cli import main

Run = Callable[..., tuple[int, str, str]]
FOLDER = Path("cassettes/talk")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_command(*args: str) -> tuple[int, str, str]:
        code = main(list(args))
        out, err = capsys.readouterr()
        return code, out, err

    return run_command


@pytest.fixture
def provider() -> Iterator[MockProvider]:
    with MockProvider() as server:
        tk.providers.add("mock", base_url=server.base_url, local=True, test=False)
        yield server


def write_suite(word: str = "hello") -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "suite.toml").write_text('models = ["mock/m"]\nrepeats = 2\n')
    cases = [
        {"id": "greet", "prompt": "say hello", "contains": word},
        {"id": "count", "prompt": "say one two", "stream": True, "contains": "one two"},
    ]
    (FOLDER / "cases.yaml").write_text(yaml.safe_dump(cases))


@pytest.fixture
def accepted(run: Run, provider: MockProvider) -> MockProvider:
    write_suite()
    assert run("cassette", "record", "talk")[0] == 0
    code, out, err = run("regress", "talk", "--accept")
    assert (code, "2 new" in out, "2 outcomes accepted as the baseline" in err) == (0, True, True)
    return provider


def test_an_unchanged_suite_passes_with_code_0_and_asks_nobody(run, accepted):
    asked = len(accepted.requests)
    code, out, _ = run("regress", "talk")
    assert (code, out.strip()) == (0, "talk (replay): 2 pass")
    assert len(accepted.requests) == asked


def test_a_regression_ends_with_code_1_and_names_the_case(run, accepted):
    write_suite(word="farewell")
    code, out, _ = run("regress", "talk")
    assert code == 1
    assert "▼ regressed" in out
    assert "greet" in out
    assert "contains 'farewell'" in out
    assert "1 regressed, 1 pass" in out


def test_reports_are_written_even_when_it_fails(run, accepted):
    write_suite(word="farewell")
    assert run("regress", "talk", "--junit", "out/junit.xml", "--html", "out/report.html")[0] == 1
    suite = ElementTree.parse("out/junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert "1 regressed" in Path("out/report.html").read_text()


def test_json_is_one_document_with_all_verdicts(run, accepted):
    code, out, _ = run("regress", "talk", "--json")
    told = json.loads(out)
    assert (code, told["passed"], told["mode"]) == (0, True, "replay")
    assert [case["verdict"] for case in told["cases"]] == ["pass", "pass"]


def test_live_asks_the_provider_as_often_as_told(run, accepted):
    asked = len(accepted.requests)
    code, out, _ = run("regress", "talk", "--live", "--repeats", "3", "--accept")
    assert (code, "2 new" in out) == (0, True)
    assert len(accepted.requests) == asked + 6
    code, out, _ = run("regress", "talk", "--live", "--case", "greet", "--json")
    told = json.loads(out)
    assert told["comparison"]["p_value"] == 1.0
    assert [case["repeats"] for case in told["cases"]] == [2]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("regress", "nowhere"), "there is no suite 'nowhere'"),
        (("regress", "talk", "--case", "none"), "has no case 'none'"),
        (("regress", "talk", "--repeats", "0"), "greater than or equal to 1"),
        (("regress", "--live"), "Missing argument"),
    ],
)
def test_misuse_is_code_2_without_a_traceback(run, accepted, args, words):
    code, out, err = run(*args)
    assert code == 2
    assert words in out + err
    assert "Traceback" not in out + err


def test_a_report_that_cannot_be_written_is_a_clear_error(run, accepted):
    Path("blocked").write_text("a file")
    code, _, err = run("regress", "talk", "--junit", "blocked/junit.xml")
    assert code == 1
    assert "could not be written" in err
