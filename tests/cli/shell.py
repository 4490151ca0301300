"""Runs the command line: in this process where that says the same, else in one of its own."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from toolkit import toolkit as toolkit_module
from toolkit.cli import main

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "toolkit"]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def child_environment() -> dict[str, str]:
    """This test's environment, with the checkout to be found from any folder."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"}


def run(*args: str, stdin: str = "") -> Done:
    """Run `toolkit ARGS` to its end in this process: litellm is loaded once for all tests."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), patch("sys.stdin", io.StringIO(stdin)):
        code = main(args)
    toolkit_module._open.cache_clear()  # a command opens a toolkit of its own
    return Done(code, out.getvalue(), err.getvalue())


def run_json(*args: str) -> Any:
    """Run `toolkit ARGS --json`, which must succeed and print one JSON document."""
    done = run(*args, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)
