"""A home of its own for every test, no key of the user's, no network but this machine."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import keyring
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

from tests import durations
from toolkit import secret
from toolkit.keys import os_keyring

# One profile for all property tests. No deadline and no check of how fast examples are made: both
# fail on a busy machine and say nothing of the code. The same examples in every run, so that a
# failure is found where it was made; `make fuzz` draws new ones.
hypothesis_settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=5000,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
hypothesis_settings.load_profile(os.environ.get("TOOLKIT_TEST_PROFILE", "repeatable"))

# A shell ignores Ctrl+C in what it starts in the background, and child processes inherit that:
# tests that interrupt a child would wait for ever.
if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    and threading.current_thread() is threading.main_thread()
):
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-durations", action="store_true", help="write tests/durations.json after the run"
    )


def pytest_configure(config: pytest.Config) -> None:
    # A worker process reports to the one that started it, which writes.
    if config.getoption("--record-durations") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(durations.Recorder())


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process more than there are cores: a third of the time tests wait for other processes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (cores or 1) + 1


@pytest.hookimpl(tryfirst=True)  # before `-m` selects by mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    durations.mark_slow(items, durations.read())


_MAIN = sys.modules["__main__"]
_KEY_VARIABLES = ("_API_KEY", "_BASE_URL", "_KEY", "_TOKEN")
_NO_MACHINE_IDENTITY = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AZURE_TOKEN_CREDENTIALS": "dev",
    "NO_GCE_CHECK": "true",
}
_LOOPBACK = ("127.", "localhost", "::1", "0.0.0.0")


class MemoryKeyring(KeyringBackend):
    """A keyring that lives as long as one test."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.entries:
            raise PasswordDeleteError("no such entry")
        del self.entries[service, username]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary `TOOLKIT_HOME`, an environment without keys, and an in-memory keyring."""
    for name in list(os.environ):
        if name.startswith(("TOOLKIT_", "OTEL_")) or name.endswith(_KEY_VARIABLES):
            monkeypatch.delenv(name)
    for name, value in _NO_MACHINE_IDENTITY.items():  # a machine of CI may have one
        monkeypatch.setenv(name, value)
    folder = tmp_path / "home"
    monkeypatch.setenv("TOOLKIT_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    before = keyring.get_keyring()
    keyring.set_keyring(MemoryKeyring())
    monkeypatch.setattr(os_keyring, "_trusted", {MemoryKeyring})
    yield folder
    _close_toolkit(folder)
    keyring.set_keyring(before)


def _close_toolkit(folder: Path) -> None:
    toolkit = sys.modules.get("toolkit.toolkit")
    if toolkit is not None and folder.exists():
        # Nobody reads this home again, and moving its journal takes longer than most tests.
        with mock.patch("toolkit.store.store.Store.ingest"):
            toolkit.current().close()


@pytest.fixture(autouse=True)
def no_known_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what earlier tests revealed, or a row that holds such a text would be redacted."""
    monkeypatch.setattr(secret, "_revealed", {})


@pytest.fixture(autouse=True)
def restored_main() -> Iterator[None]:
    """Put `__main__` back before and after each test.

    Streamlit's AppTest leaves the page as `__main__`, and a process that is spawned later imports
    it, which runs the page. The module of the start is kept, not that before the test: a fixture
    of a module or of the session may have run a page already.
    """
    sys.modules["__main__"] = _MAIN
    yield
    sys.modules["__main__"] = _MAIN


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that would leave this machine."""
    real_connect = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(_LOOPBACK):
            raise OSError(f"tests may not connect to {address[0]}")
        real_connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
