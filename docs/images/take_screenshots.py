"""Take the README's screenshot from the running app: two panes of the built-in model.

Run it from the repository's root: `python docs/images/take_screenshots.py`. It starts the app on
a free port with a home folder of its own, presses the first button, waits for both answers and
writes `compare.png` beside this file. It needs Chromium and the extra `local`.
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
from pathlib import Path

import httpx

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from toolkit.ui.server import serve_command  # noqa: E402 - the checkout is not installed

SIZE = {"width": 1280, "height": 1160}
WAIT_MS = 180_000


def main() -> None:
    """Start the app, take the picture, stop the app."""
    with tempfile.TemporaryDirectory() as home:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command, here = serve_command(port), {**os.environ, "TOOLKIT_HOME": home}  # the child's
        app = subprocess.Popen(command, env=here)
        try:
            take(wait_for(f"http://127.0.0.1:{port}"))
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


def take(url: str) -> None:
    """Press the first button and photograph what comes of it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--headless", "--no-sandbox", "--disable-gpu"],
        )
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(WAIT_MS)
        page.goto(url)
        page.get_by_role("button", name="Ask two models now, no key needed").click()
        page.get_by_text("Timeline of 2 panes").wait_for()
        page.locator(".js-plotly-plot .bars").first.wait_for()
        page.wait_for_timeout(2_000)  # what is drawn last settles
        page.mouse.move(5, 5)
        page.screenshot(path=HERE / "compare.png")
        browser.close()


if __name__ == "__main__":
    main()
