"""Take the pictures of README and docs from the running app, with invented traffic in it.

Run it from the repository's root: `python docs/images/take_screenshots.py`. It fills a home folder
of its own (`sample_home.py`), starts the app on a free port and writes one picture for each page
beside this file, and some more in the dark and on a phone. It needs Chromium, and the extra `local`
for the picture of Compare.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

HERE: Final = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from sample_home import fill  # noqa: E402 - the checkout is not installed

from toolkit.settings import Settings  # noqa: E402
from toolkit.store.store import Store  # noqa: E402
from toolkit.ui.home.first_use import LABEL  # noqa: E402
from toolkit.ui.server import serve_command  # noqa: E402

WIDE: Final = {"width": 1440, "height": 900}
PHONE: Final = {"width": 390, "height": 844}
PHONE_AGENT: Final = "Mozilla/5.0 (Linux; Android 14) Chrome/120 Mobile Safari/537.36 Mobi"
ON_PHONE: Final[dict[str, Any]] = {"viewport": PHONE, "user_agent": PHONE_AGENT}
WAIT_MS: Final = 180_000
SETTLE_MS: Final = 3_000
PAGES: Final = {
    "home": "",
    "leaderboard": "leaderboard",
    "evals": "evals",
    "load": "load",
    "health": "health",
    "calls": "calls?span=24+h",
    "spend": "spend",
    "models": "models",
    "regressions": "regressions",
    "providers": "providers",
    "settings": "settings",
}


def main() -> None:
    """Fill a home, start the app, take the pictures, stop the app."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        home = Path(folder) / "home"
        fill(home)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--headless", "--no-sandbox", "--disable-gpu"],
        )
        with running(home) as url:
            for name, path in PAGES.items():
                take(browser, f"{url}/{path}", name)
            take(browser, url, "home-dark", color_scheme="dark")
            failed = f"{url}/calls?call={newest_failure(home)}"
            take(browser, failed, "call-dark", color_scheme="dark")
            for name, path in ("home", ""), ("health", "health"):
                take(browser, f"{url}/{path}", f"{name}-phone", **ON_PHONE)
        with running(Path(folder) / "empty") as url:
            take(browser, url, "empty-phone", **ON_PHONE)
            board = take_compare(browser, url)
            take(browser, board, "compare-phone", **ON_PHONE)
        browser.close()


@contextmanager
def running(home: Path) -> Iterator[str]:
    """The app over a home folder, as its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"TOOLKIT_HOME": str(home), "TOOLKIT_HEALTH_INTERVAL_S": "0"}
    command = serve_command(port)
    app = subprocess.Popen(command, env={**os.environ, **own})
    try:
        yield wait_for(f"http://127.0.0.1:{port}")
    finally:
        app.terminate()
        app.wait(30)


def wait_for(url: str) -> str:
    """Wait until the app answers and return its address."""
    for _ in range(300):
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"{url}/_stcore/health", trust_env=False)
            return url
        time.sleep(0.2)
    raise SystemExit("the app did not start")


def take(browser: Any, url: str, name: str, **options: Any) -> None:
    """Open an address and photograph the settled page."""
    page = browser.new_page(**{"viewport": WIDE, **options})
    page.set_default_timeout(WAIT_MS)
    page.goto(url)
    page.locator("h1").first.wait_for()
    settle(page)
    page.screenshot(path=HERE / f"{name}.png")
    page.close()


def settle(page: Any) -> None:
    """Wait until the page, its tables and its charts are drawn."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')")
    page.wait_for_timeout(SETTLE_MS)
    page.mouse.move(5, 5)


def newest_failure(home: Path) -> str:
    """The request that failed last."""
    store = Store(Settings(home=home))
    rows = store.rows(
        "SELECT request_id FROM calls WHERE status = 'error' ORDER BY started_at DESC LIMIT 1"
    )
    store.close()
    return str(rows[0]["request_id"])


def take_compare(browser: Any, url: str) -> str:
    """Press the first button of an empty home, photograph both answers, and return the address."""
    page = browser.new_page(viewport=WIDE)
    page.set_default_timeout(WAIT_MS)
    page.goto(url)
    page.get_by_role("button", name=LABEL).click()
    page.get_by_text("✓ 2 of 2 done").wait_for()
    settle(page)
    page.screenshot(path=HERE / "compare.png")
    address = str(page.url)
    page.close()
    return address


if __name__ == "__main__":
    main()
