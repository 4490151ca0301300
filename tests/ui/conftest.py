"""Pages against a home with recorded calls, and the app in a process of its own for browsers."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from streamlit.testing.v1 import AppTest
from uuid_utils import uuid7

from tests.servers import Answer, MockProvider
from toolkit.compare.new_board import start_board
from toolkit.errors import ToolkitError
from toolkit.providers.registry import Registry
from toolkit.records import Call
from toolkit.settings import Settings
from toolkit.store.store import Store
from toolkit.toolkit import Toolkit, current
from toolkit.ui.server import app_script_path, streamlit_flags

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "toolkit" / "ui" / "pages"


@pytest.fixture
def mock() -> Iterator[MockProvider]:
    with MockProvider() as server:
        yield server


@pytest.fixture
def toolkit(mock: MockProvider) -> Toolkit:
    """A toolkit whose provider `mock` is a scripted server on a real socket."""
    toolkit = current()
    toolkit.providers.registry.add("mock", base_url=mock.base_url, is_local=True)
    return toolkit


@pytest.fixture
def recorded(toolkit: Toolkit, mock: MockProvider) -> Toolkit:
    """The same with calls in its ledger: good ones, a refused one, a board."""
    mock.default = Answer(text="The sky is blue.", reasoning="Think of light.")
    start_board(toolkit, "Why is the sky blue?", ["mock/mock-small", "mock/mock-large"]).wait(120)
    mock.enqueue("no such thing here", status=404)
    with contextlib.suppress(ToolkitError):
        toolkit.complete("mock/missing", "Hello")
    toolkit.complete("mock/mock-small", "Hello")
    return toolkit


@pytest.fixture
def open_page() -> Callable[..., AppTest]:
    """Draw a page by its file name; `query` is the address's query."""

    def draw(name: str, **query: str | list[str]) -> AppTest:
        app = AppTest.from_file(str(PAGES / "frame.py"), default_timeout=120)
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
        # Tests count what a provider is asked, so that nobody may probe it meanwhile.
        quiet = {"TOOLKIT_HEALTH_INTERVAL_S": "0", "PYTHON_KEYRING_BACKEND": _NO_KEYRING}
        own = {"TOOLKIT_HOME": str(home), **quiet}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *streamlit_flags(self.port)],
                cwd=folder,
                env={**_without_keys(os.environ), **own},
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


def _without_keys(environment: Mapping[str, str]) -> dict[str, str]:
    ends = ("_API_KEY", "_BASE_URL", "_KEY", "_TOKEN")
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith("TOOLKIT_") and not name.endswith(ends)
    }


@dataclass(frozen=True)
class Stage:
    """The app in a process of its own, the scripted provider it may call, and its ledger."""

    app: RunningApp
    mock: MockProvider
    store: Store

    def newest_statuses(self) -> list[str]:
        """How the calls of the newest board ended."""
        rows = self.store.rows(
            "SELECT status FROM calls WHERE origin_id = "
            "(SELECT board_id FROM boards ORDER BY created_at DESC LIMIT 1)"
        )
        return [row["status"] for row in rows]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One app for all tests of a file; its home knows the provider `mock` and a few calls."""
    folder = tmp_path_factory.mktemp("app")
    settings = Settings(home=folder / "home")
    with MockProvider() as mock:
        Registry(settings).add("mock", base_url=mock.base_url, is_local=True, auto_sync=False)
        store = Store(settings)
        store.append_many("calls", [call.as_row() for call in past_calls()])
        app = RunningApp(settings.home, folder)
        try:
            app.wait()
            yield Stage(app, mock, store)
        finally:
            app.stop()
            store.close()


@pytest.fixture
def stage(running: Stage) -> Stage:
    """The same with a provider that has forgotten what other tests scripted and sent."""
    running.mock.default = Answer()
    running.mock.requests.clear()
    return running


def past_calls() -> list[Call]:
    """Forty calls of two days, one in eight of them failed."""
    now = datetime.now(UTC)
    return [
        Call(
            call_id=str(uuid7()),
            request_id=str(uuid7()),
            attempt=1,
            attempt_kind="first",
            origin="api",
            started_at=now - timedelta(hours=number),
            seq=number,
            provider="mock",
            model=f"mock/model-{number % 3}",
            status="error" if number % 8 == 0 else "ok",
            error_code="SERVER_ERROR" if number % 8 == 0 else None,
            ttft_ms=None if number % 8 == 0 else 100.0 + number,
            duration_ms=500.0 + number,
            output_tokens=None if number % 8 == 0 else 100,
            messages=[{"role": "user", "content": "Why is the sky blue?"}],
            output_text="Because of light.",
        )
        for number in range(40)
    ]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's Chromium with a fresh profile, driven by playwright.

    For one file only: while it is open, an event loop of playwright's runs in this thread, and
    tests of other files could not start one of their own.
    """
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
