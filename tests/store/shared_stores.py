"""Databases that several homes share, started for a test, and programs that write to them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from toolkit.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
# Generous: only a test that fails waits so long.
PATIENCE_S = 60.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def python(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start a Python program in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


class QuackService:
    """`toolkit store serve` in a process of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"quack:127.0.0.1:{self.port}"
        self.log: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "toolkit", "store", "serve", "--port", str(self.port)],
            cwd=ROOT,
            env={**os.environ, "TOOLKIT_HOME": str(self.home), "TOOLKIT_STORE": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._process = process
        output: IO[str] | None = process.stdout
        assert output is not None
        for line in output:
            self.log.append(line)
            if "token" in line:
                return
        raise AssertionError("".join(self.log))

    @property
    def token(self) -> str:
        return (self.home / "store_token").read_text().strip()

    def settings(self, home: Path, **changes: object) -> Settings:
        """The settings of a client's home."""
        values = {"home": home, "store": self.url, "store_token": self.token, **changes}
        return Settings.model_validate(values)

    def environment(self, home: Path) -> dict[str, str]:
        return {
            "TOOLKIT_HOME": str(home),
            "TOOLKIT_STORE": self.url,
            "TOOLKIT_STORE_TOKEN": self.token,
        }

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(PATIENCE_S)
            assert process.stdout is not None
            self.log += process.stdout.readlines()
            process.stdout.close()


def wait_until(condition: object, message: str) -> None:
    """Wait until a condition holds."""
    assert callable(condition)
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.05)
