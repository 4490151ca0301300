"""Every way to end: an exit code, a few words, never a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.cli.shell import COMMAND, child_environment, run
from toolkit.cli import command_runner as run_module
from toolkit.cli.command_runner import run_command
from toolkit.cli.command_table import Command
from toolkit.errors import InvalidInput, RateLimited, ToolkitError


@pytest.fixture
def failing(monkeypatch):
    """Run a command whose body raises what it is given."""

    def invoke(error: BaseException, *args: str) -> int:
        def body(_command: Command, _args: list[str]) -> int:
            raise error

        monkeypatch.setattr(run_module, "_invoke", body)
        return run_command(Command("chat", "", ""), args)

    return invoke


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ToolkitError("it broke"), 1),
        (RateLimited("slow down", provider="p"), 1),
        (InvalidInput("no such thing"), 2),
        (OSError(28, "No space left on device", "/home/x"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_the_exit_code_tells_how_it_ended(failing, error, code, capsys):
    assert failing(error) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.strip()
    assert "Traceback" not in captured.err


def test_a_failure_says_what_where_and_what_to_do(failing, capsys):
    error = RateLimited(
        "too many requests",
        provider="acme",
        retry_after=12,
        hint="Wait a little.",
        provider_message="calm down\x1b[31m",
    )
    failing(error)
    said = capsys.readouterr().err
    assert said.splitlines() == [
        "RATE_LIMIT_EXCEEDED [acme]: too many requests",
        "  Provider message: calm down[31m",
        "  Try again in 12 s.",
        "  Wait a little.",
    ]


def test_a_failure_with_json_is_one_object_on_stdout(failing, capsys):
    assert failing(RateLimited("slow", model="a/b"), "--json") == 1
    captured = capsys.readouterr()
    assert captured.err == ""
    told = json.loads(captured.out)["error"]
    assert (told["code"], told["model"]) == ("RATE_LIMIT_EXCEEDED", "a/b")


def test_a_bug_is_not_hidden(failing):
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError())


@pytest.mark.parametrize(
    "args",
    [
        ["local", "strat"],
        ["local", "start", "--nope"],
        ["calls", "list", "--limit", "many"],
        ["calls", "list", "--limit", "0"],
        ["store", "sql"],
    ],
)
def test_wrong_usage_is_two_and_points_to_the_help(args):
    done = run(*args)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "--help" in done.stderr
    assert not done.stdout


def test_wrong_usage_with_json_is_json():
    done = run("calls", "list", "--nope", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "USAGE"


@pytest.mark.parametrize("group", ["keys", "health", "store"])
def test_a_group_without_a_command_shows_its_help_once(group):
    done = run(group)
    assert done.returncode == 2
    assert done.stdout.count("Usage:") == 1


def test_a_bad_setting_is_named_and_its_value_is_not(monkeypatch):
    monkeypatch.setenv("TOOLKIT_MAX_RETRIES", "swordfish")
    done = run("store", "info")
    assert done.returncode == 2
    assert "max_retries" in done.stderr
    assert "swordfish" not in done.stderr


def test_a_home_that_cannot_be_made_is_a_clear_failure(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path / "file" / "home"))
    done = run("local", "start")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


@pytest.mark.skipif(os.name != "posix", reason="pipes close differently on Windows")
@pytest.mark.parametrize("command", ["--help", "local models --json", "store info"])
def test_a_reader_that_leaves_is_silent(command):
    """The pipe's reading end is closed before anything is written."""
    child = subprocess.Popen(
        [*COMMAND, *command.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=child_environment(),
    )
    assert child.stdout is not None and child.stderr is not None
    child.stdout.close()
    said = child.stderr.read().decode()
    child.stderr.close()
    child.wait(60)
    assert said == ""


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent otherwise on Windows")
def test_ctrl_c_is_130_and_one_short_line():
    """`store sql -` waits for its query on stdin, so the signal meets a command at work."""
    code = (
        "import sys, builtins\nfrom toolkit.cli import main\n"
        "real = sys.stdin\n"
        "class Told:\n"
        "    def read(self):\n"
        "        print('reading', file=sys.__stdout__, flush=True)\n"
        "        return real.read()\n"
        "sys.stdin = Told()\n"
        "sys.exit(main(['store', 'sql', '-']))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "reading\n"
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert said.strip() == "Interrupted."
