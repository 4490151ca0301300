"""The table of commands is lazy, whole and helpful."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.shell import child_environment, run
from toolkit.cli.command_table import COMMANDS, find_close_names, help_text

HEAVY = {"litellm", "pandas", "duckdb", "plotly", "streamlit", "pyarrow", "vcr", "pydantic"}


@pytest.mark.parametrize("args", [["--help"], ["--version"], []])
def test_help_and_version_load_no_command_and_no_heavy_library(args):
    code = (
        "import sys\nfrom toolkit.cli import main\n"
        f"assert main({args!r}) == 0\nprint('MODULES', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=child_environment(),
    )
    loaded = set(done.stdout.rsplit("MODULES", 1)[1].split())
    assert not (HEAVY | {"typer", "rich"}) & loaded
    assert {m for m in loaded if m.startswith("toolkit.cli.")} == {"toolkit.cli.command_table"}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_help_of_each_command_loads_no_heavy_library(command):
    code = (
        "import sys\nfrom toolkit.cli import main\n"
        f"assert main([{command.name!r}, '--help']) == 0\nprint('MODULES', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=child_environment(),
    )
    shown, loaded = done.stdout.rsplit("MODULES", 1)
    assert f"toolkit {command.name}" in shown
    assert not (HEAVY - {"pydantic"}) & set(loaded.split())


def test_every_command_has_one_line_in_the_help():
    lines = help_text().splitlines()
    for command in COMMANDS:
        assert sum(line.split()[:1] == [command.name] for line in lines) == 1
    assert max(map(len, lines)) <= 88


def test_the_names_are_unique_and_their_modules_carry_them():
    names = [command.name for command in COMMANDS]
    assert len(names) == len(set(names))
    assert all(command.module.endswith(f".{command.name}") for command in COMMANDS)


@pytest.mark.parametrize(
    ("typed", "meant"), [("chta", "chat"), ("stor", "store"), ("cal", "calls")]
)
def test_an_unknown_command_is_refused_with_the_nearest_one(typed, meant):
    done = run(typed)
    assert done.returncode == 2
    assert meant in done.stderr
    assert not done.stdout


def test_nothing_close_means_no_suggestion():
    assert find_close_names("xyzzy") == []
