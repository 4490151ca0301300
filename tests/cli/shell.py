"""Runs the real command line in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "toolkit"]


def child_environment() -> dict[str, str]:
    """This test's environment, with the checkout to be found from any folder."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"}


def run(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run `toolkit ARGS` to its end."""
    return subprocess.run(
        [*COMMAND, *args],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=child_environment(),
    )


def run_json(*args: str) -> Any:
    """Run `toolkit ARGS --json`, which must succeed and print one JSON document."""
    done = run(*args, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
