"""`toolkit cassette`: record, lint, from-call and serve, from the shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

import toolkit as tk
from tests.servers.mock_provider import MockProvider
from toolkit.cli import main

Run = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).resolve().parents[2]
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


def write_suite(cases: str = "- {id: greet, prompt: say hello, contains: hello}\n") -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "suite.toml").write_text('models = ["mock/m"]\n')
    (FOLDER / "cases.yaml").write_text(cases)


def test_record_writes_a_cassette_per_case_and_lint_is_content(run, provider):
    write_suite()
    code, out, _ = run("cassette", "record", "talk", "--json")
    assert (code, json.loads(out)[0]["checks"]) == (0, "pass")
    assert (FOLDER / "greet.yaml").is_file()
    code, _, err = run("cassette", "lint")
    assert (code, err.strip()) == (0, "1 cassettes are valid.")


def test_lint_finds_each_kind_of_wrong(run, provider):
    write_suite()
    run("cassette", "record", "talk")
    whole = (FOLDER / "greet.yaml").read_text()
    (FOLDER / "half.yaml").write_text(whole[: len(whole) // 2])
    (FOLDER / "empty.yaml").write_text("")
    leaking = tk.cassette("talk/leaky", mode="record", secrets=())
    with leaking:
        httpx.post(f"{provider.base_url}/chat/completions", json={"n": 1})
    write_suite(
        "- {id: greet, prompt: say hello, contains: hello}\n- {id: gap, prompt: x, exact: x}\n"
    )
    code, out, _ = run("cassette", "lint", "--json", "--max-age-days", "-1")
    found = {(row["rule"], Path(row["path"]).stem, row["level"]) for row in json.loads(out)}
    assert code == 1
    assert found == {
        ("format", "half", "error"),
        ("format", "empty", "error"),
        ("age", "greet", "note"),
        ("age", "leaky", "note"),
        ("unused", "half", "note"),
        ("unused", "empty", "note"),
        ("unused", "leaky", "note"),
        ("missing", "gap", "error"),
    }


def test_lint_finds_a_key_that_became_known_after_the_recording(run, provider, monkeypatch):
    key = "plain-looking-" + "z" * 12
    write_suite(f"- {{id: greet, prompt: 'say {key}', contains: say}}\n")
    run("cassette", "record", "talk")
    assert run("cassette", "lint")[0] == 0
    monkeypatch.setenv("OPENAI_API_KEY", key)
    code, out, _ = run("cassette", "lint", "--json")
    assert code == 1
    assert ("leak", "greet") in {(r["rule"], Path(r["path"]).stem) for r in json.loads(out)}
    assert key not in out


def test_a_row_becomes_a_case_that_replays(run, provider):
    call_id = tk.complete("mock/m", "remember this").call_id
    asked = len(provider.requests)
    code, out, _ = run("cassette", "from-call", call_id, "--suite", "kept", "--json")
    assert code == 0
    assert Path(json.loads(out)["cassette"]).is_file()
    assert run("regress", "kept")[0] == 0
    assert len(provider.requests) == asked


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("record", "nowhere"), 2, "there is no suite"),
        (("lint", "nowhere"), 2, "there is no folder"),
        (("from-call", "nothing"), 2, "there is no call"),
        (("serve", "nowhere"), 2, "there is no folder"),
        (("serve", ".", "--speed", "-1"), 2, "invalid speed"),
        (("play",), 2, "play"),
    ],
)
def test_misuse_is_told_without_a_traceback(run, provider, args, code, words):
    got, out, err = run("cassette", *args)
    assert got == code
    assert words in out + err
    assert "Traceback" not in out + err


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts a process with a signal")
def test_serve_plays_until_it_is_interrupted(run, provider):
    write_suite()
    run("cassette", "record", "talk")
    command = [sys.executable, "-m", "toolkit", "cassette", "serve", "cassettes", "--json"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        told = ""
        while not told.endswith("}\n}\n"):
            told += process.stdout.readline()
        url = json.loads(told)["url"]
        assert list(json.loads(told)["routes"]) == ["POST /v1/chat/completions (m)"]
        body = provider.requests[-1].json
        answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=10)
        assert "say hello" in answer.json()["choices"][0]["message"]["content"]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert (process.returncode, "Traceback" in err) == (130, False)
    finally:
        process.kill()
        process.communicate()
