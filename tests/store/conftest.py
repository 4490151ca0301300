"""A store in a home of its own, and programs that use one in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from toolkit.settings import Settings
from toolkit.store.store import Store

ROOT = Path(__file__).resolve().parents[2]

PREAMBLE = """
import os, sys, time
from pathlib import Path
from toolkit.settings import Settings
from toolkit.store.store import Store
from tests.store.rows import call_row, model_row
home = Path(sys.argv[1])
settings = Settings(home=home)
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = Store(settings)
    yield opened
    opened.close()


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Start a Python program over the same home; it is killed when the test ends."""
    running: list[subprocess.Popen[str]] = []

    def begin(code: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + code, str(home), *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


@pytest.fixture
def run(start: Start) -> Callable[..., str]:
    """Run such a program to its end and return what it printed."""

    def finish(code: str, *arguments: str, exit_code: int = 0) -> str:
        process = start(code, *arguments)
        out, err = process.communicate(timeout=60)
        assert process.returncode == exit_code, err
        return out

    return finish
