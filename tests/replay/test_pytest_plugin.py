"""The plugin as a project uses it: a pytest of its own, offline by default."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.servers.mock_provider import MockProvider

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "toolkit.replay.pytest_plugin"
TESTS = """
import httpx, os, pytest

URL = os.environ["MOCK_URL"]

def ask(n=1):
    return httpx.post(f"{URL}/chat/completions", json={"n": n, "messages": []}).json()

@pytest.mark.cassette("named/by-hand")
def test_marked():
    assert ask()["choices"]

def test_with_fixture(cassette):
    assert ask()["choices"]

@pytest.mark.cassette
@pytest.mark.parametrize("n", [1, 2])
def test_each_parameter_has_its_own(n):
    assert ask(n)["choices"]

@pytest.mark.cassette
def test_two_calls():
    ask(1)
    if not os.environ.get("ONLY_ONE"):
        ask(2)

def test_without():
    pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    return tmp_path


@pytest.fixture
def provider() -> Iterator[MockProvider]:
    with MockProvider() as server:
        yield server


def run(project: Path, url: str, *options: str, **variables: str) -> tuple[int, str]:
    # Without the other plugins that happen to be installed, which take seconds to import.
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT), "MOCK_URL": url}
    return run_pytest(project, alone | variables, "-p", PLUGIN, *options)


def run_pytest(project: Path, variables: dict[str, str], *options: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-q", *options]
    environment = os.environ | variables
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=170
    )
    return done.returncode, done.stdout + done.stderr


def test_a_project_records_once_and_then_tests_offline(project, provider):
    code, out = run(project, provider.base_url)
    assert code == 1
    assert "there is no cassette" in out
    assert "Record it with `pytest --cassettes=record`" in out
    assert "cassette_file.py" not in out  # one sentence, and no traceback of ours
    assert "1 passed" in out
    assert not provider.requests

    code, out = run(project, provider.base_url, "--cassettes=record")
    assert (code, len(provider.requests)) == (0, 6), out
    names = sorted(str(p.relative_to(project)) for p in project.rglob("*.yaml"))
    assert names == [
        "cassettes/named/by-hand.yaml",
        "cassettes/test_it/test_each_parameter_has_its_own-1.yaml",
        "cassettes/test_it/test_each_parameter_has_its_own-2.yaml",
        "cassettes/test_it/test_two_calls.yaml",
        "cassettes/test_it/test_with_fixture.yaml",
    ]

    code, out = run(project, "http://127.0.0.1:9/v1")
    assert code == 0, out
    assert len(provider.requests) == 6


SAME_NAMES = """
import httpx, os, pytest
pytestmark = pytest.mark.cassette
URL = os.environ["MOCK_URL"]

def ask(n):
    return httpx.post(f"{URL}/chat/completions", json={"n": n, "messages": []})

def test_same(): ask(1)

class TestX:
    def test_same(self): ask(2)

class TestY:
    def test_same(self): ask(3)

@pytest.mark.parametrize("path", ["a/b", "a-b"])
def test_odd(path): ask(path)
"""


def test_folder_module_class_and_test_make_the_name(project, provider):
    for folder in ("tests", "tests/sub"):
        (project / folder).mkdir()
        (project / folder / "test_clash.py").write_text(SAME_NAMES)
        (project / folder / "__init__.py").write_text("")
    code, out = run(project, provider.base_url, "tests", "--cassettes=record")
    assert code == 0, out
    folder = project / "cassettes" / "tests"
    assert (folder / "test_clash" / "TestX" / "test_same.yaml").exists()
    assert (folder / "sub" / "test_clash" / "TestY" / "test_same.yaml").exists()
    assert len(list(folder.rglob("*.yaml"))) == 10
    code, out = run(project, "http://127.0.0.1:9/v1", "tests")
    assert code == 0, out


def test_a_name_that_two_tests_record_is_an_error(project, provider):
    (project / "test_it.py").write_text(
        TESTS + "\n@pytest.mark.cassette('named/by-hand')\ndef test_other():\n    ask(5)\n"
    )
    code, out = run(project, provider.base_url, "--cassettes=record")
    assert code == 1
    assert "named/by-hand was recorded by test_it.py::test_marked already" in out
    assert '"n": 1' in (project / "cassettes" / "named" / "by-hand.yaml").read_text()


def test_a_cassette_of_the_older_name_is_still_replayed(project, provider):
    (project / "tests").mkdir()
    (project / "test_it.py").rename(project / "tests" / "test_it.py")
    code, out = run(project, provider.base_url, "--cassettes=record")
    assert code == 0, out
    (project / "cassettes" / "tests" / "test_it").rename(project / "cassettes" / "test_it")
    code, out = run(project, "http://127.0.0.1:9/v1")
    assert code == 0, out


def test_a_call_that_is_not_made_any_more_fails_the_test(project, provider):
    run(project, provider.base_url, "--cassettes=auto")
    code, out = run(project, provider.base_url, ONLY_ONE="1")
    assert code == 1
    assert "holds calls that the test did not make" in out
    assert len(provider.requests) == 6


def test_a_test_that_fails_while_recording_leaves_no_cassette(project, provider):
    (project / "test_it.py").write_text(
        TESTS + "\n@pytest.mark.cassette('a/b')\ndef test_bad():\n    ask()\n    assert 0\n"
    )
    code, out = run(project, provider.base_url, "--cassettes=record", "-k", "test_bad")
    assert (code, len(provider.requests)) == (1, 1), out
    assert "1 failed" in out
    assert "error" not in out.splitlines()[-1]
    assert not list(project.rglob("*.yaml"))


def test_an_installed_package_loads_the_plugin_by_itself(project, provider):
    if not any(point.value == PLUGIN for point in entry_points(group="pytest11")):
        pytest.skip("the package is not installed here")
    variables = {"PYTHONPATH": str(ROOT), "MOCK_URL": provider.base_url}
    code, out = run_pytest(project, variables, "--cassettes=record", "-k", "test_marked")
    assert (code, len(provider.requests)) == (0, 1), out


def test_the_plugin_costs_a_session_nothing_until_it_is_used():
    code = f"import sys, {PLUGIN}; print(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert not {"vcr", "litellm", "httpx", "aiohttp", "yaml"} & set(done.stdout.split())
