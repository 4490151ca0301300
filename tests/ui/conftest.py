"""Pages against a home with recorded calls, and the app in a process of its own for browsers."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from tests.servers import Answer, MockProvider
from toolkit.compare.board import start_board
from toolkit.errors import ToolkitError
from toolkit.ui.server import app_script_path, streamlit_flags
from toolkit.workbench.bench import Workbench, current

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "toolkit" / "ui" / "pages"


@pytest.fixture
def mock() -> Iterator[MockProvider]:
    with MockProvider() as server:
        yield server


@pytest.fixture
def bench(mock: MockProvider) -> Workbench:
    """A workbench whose provider `mock` is a scripted server on a real socket."""
    workbench = current()
    workbench.providers.registry.add("mock", base_url=mock.base_url, is_local=True)
    return workbench


@pytest.fixture
def recorded(bench: Workbench, mock: MockProvider) -> Workbench:
    """The same with calls in its ledger: good ones, a refused one, a board."""
    mock.default = Answer(text="The sky is blue.", reasoning="Think of light.")
    start_board(bench, "Why is the sky blue?", ["mock/mock-small", "mock/mock-large"]).wait(30)
    mock.enqueue("no such thing here", status=404)
    with contextlib.suppress(ToolkitError):
        bench.complete("mock/missing", "Hello")
    bench.complete("mock/mock-small", "Hello")
    return bench


@pytest.fixture
def open_page() -> Callable[..., AppTest]:
    """Draw a page by its file name; `query` is the address's query."""

    def draw(name: str, **query: str) -> AppTest:
        app = AppTest.from_file(str(PAGES / "frame.py"), default_timeout=30)
        app.switch_page(f"{name}.py")
        for key, value in query.items():
            app.query_params[key] = value
        return app.run()

    return draw


class RunningApp:
    """The app in a process of its own on a free port, with a home of its own."""

    def __init__(self, home: Path, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.home = home
        self.log = folder / "app.log"
        command = [sys.executable, "-m", "streamlit", "run", str(app_script_path())]
        own = {"TOOLKIT_HOME": str(home), "PYTHON_KEYRING_BACKEND": _NO_KEYRING}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *streamlit_flags(self.port)],
                cwd=folder,
                env={**os.environ, **own},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self, timeout_s: float = 60.0) -> None:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            assert self._process.poll() is None, self.log.read_text("utf-8", "replace")
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/_stcore/health", trust_env=False).status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError("the app did not start: " + self.log.read_text("utf-8", "replace"))

    def stop(self) -> None:
        print(self.log.read_text("utf-8", "replace")[-8_000:])  # pytest shows it on failure
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(15)


_NO_KEYRING = "keyring.backends.fail.Keyring"


@pytest.fixture
def app(bench: Workbench, tmp_path: Path) -> Iterator[RunningApp]:
    """The app over the test's own home, whose provider `mock` is scripted."""
    bench.store.ingest()
    running = RunningApp(bench.settings.home, tmp_path)
    try:
        running.wait()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Debian's Chromium with a fresh profile, driven by playwright."""
    path = shutil.which("chromium")
    if path is None:
        if os.environ.get("TOOLKIT_REQUIRE_BROWSER") == "1":
            pytest.fail("TOOLKIT_REQUIRE_BROWSER=1, and there is no `chromium` on PATH")
        pytest.skip("no `chromium` on PATH; Debian has it in the package `chromium`")
    from playwright.sync_api import sync_playwright

    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--headless", "--no-sandbox", "--disable-gpu", *quiet]
        )
        yield browser
        browser.close()
