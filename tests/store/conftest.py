"""A store in a home of its own, and programs that use one in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.preloaded import Program, start_program
from toolkit.settings import Settings
from toolkit.store.store import Store

PREAMBLE = """
import os, sys, time
from pathlib import Path
from toolkit.settings import Settings
from toolkit.store.store import Store
from tests.store.rows import call_row, model_row
home = Path(sys.argv[1])
settings = Settings(home=home)
"""

Start = Callable[..., Program]


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
    running: list[Program] = []

    def begin(code: str, *arguments: str) -> Program:
        process = start_program(PREAMBLE + code, str(home), *arguments)
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
