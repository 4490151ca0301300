"""What the app costs: its start beside an empty Streamlit app, and its traffic in a real browser.

Three figures, each with the bar of the project:

- `start`: from the start of the process until it answers, against an empty Streamlit script, in
  interleaved rounds with an A/A control (bar: 1.3 times), by the clock and by processor time.
- `idle_health`: bytes that Health receives in 25 seconds without anybody touching it (5 KB).
- `streams`: eight panes that receive 100 tokens a second each: bytes a second that the browser
  receives (50 KB/s), and the longest time that its main thread was blocked (200 ms).

    python -m benchmarks.app_figures [--rounds 7] [--only start]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.rounds import ratio, report, serving
from tests.ui.conftest import RunningApp, past_calls
from toolkit.providers.registry import Registry
from toolkit.settings import Settings
from toolkit.store.store import Store
from toolkit.ui.server import app_script_path, streamlit_flags

START_BAR: Final = 1.3
IDLE_BAR_BYTES: Final = 5_000
WIRE_BAR_BYTES_S: Final = 50_000
BLOCKED_BAR_MS: Final = 200.0
IDLE_S: Final = 25.0
PANES: Final = 8
TOKENS: Final = 600
_WAIT_MS: Final = 120_000
_LONG_TASKS: Final = """() => {
  window.longTasks = [];
  new PerformanceObserver(list => {
    for (const entry of list.getEntries()) window.longTasks.push(entry.duration);
  }).observe({type: "longtask"});
}"""


def measure_start(folder: Path, rounds: int) -> dict[str, Any]:
    """The app and an empty Streamlit script, in turn; the empty one twice as the control."""
    empty = folder / "empty.py"
    empty.write_text('import streamlit as st\n\nst.title("Empty")\n', encoding="utf-8")
    sides = {"app": app_script_path(), "empty": empty, "empty again": empty}
    clock: dict[str, list[float]] = {name: [] for name in sides}
    processor: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        names = list(sides) if number % 2 else list(reversed(sides))
        for name in names:
            wall_s, cpu_s = _start(sides[name], folder)
            if number:  # the first round fills the caches of files
                clock[name].append(wall_s)
                processor[name].append(cpu_s)
    by_clock, by_cpu = ratio(clock["app"], clock["empty"]), ratio(*_pair(processor))
    return {
        "ratio": by_clock,
        "ratio_of_processor_time": by_cpu,
        "aa_control": ratio(clock["empty again"], clock["empty"]),
        "seconds": {
            name: round(sorted(all_s)[len(all_s) // 2], 2) for name, all_s in clock.items()
        },
        "bar": START_BAR,
    }


def _pair(sides: dict[str, list[float]]) -> tuple[Sequence[float], Sequence[float]]:
    return sides["app"], sides["empty"]


def _start(script: Path, folder: Path) -> tuple[float, float]:
    """Seconds until a server of this script answers, and the processor time until it ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), *streamlit_flags(port)]
    own = {"TOOLKIT_HOME": str(folder / "start-home"), "TOOLKIT_HEALTH_INTERVAL_S": "0"}
    before, began = _children_s(), time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=folder, env={**os.environ, **own}, **quiet) as process:  # type: ignore[call-overload]
        _wait_for(port)
        took = time.perf_counter() - began
        process.terminate()
    return took, _children_s() - before


def _wait_for(port: int) -> None:
    for _ in range(6_000):
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{port}/_stcore/health", trust_env=False).is_success:
                return
        time.sleep(0.01)
    raise SystemExit("the app did not start")


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def browsing(folder: Path, base_url: str) -> Iterator[tuple[Any, str, Callable[[], int]]]:
    """A page of a filled app: the page, the app's address, and a count of the bytes received."""
    from playwright.sync_api import sync_playwright

    settings = Settings(home=folder / "home")
    if not settings.home.exists():
        Registry(settings).add("mock", base_url=base_url, is_local=True, auto_sync=False)
        store = Store(settings)
        store.append_many("calls", [call.as_row() for call in past_calls()])
        store.close()
    received = [0]
    app = RunningApp(settings.home, folder)

    def watch(socket_: Any) -> None:
        socket_.on("framereceived", lambda frame: received.append(len(frame)))

    try:
        app.wait()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox"]
            )
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.set_default_timeout(_WAIT_MS)
            page.on("websocket", watch)
            yield page, app.url, lambda: sum(received)
            browser.close()
    finally:
        with contextlib.redirect_stdout(sys.stderr):  # it prints its log
            app.stop()


def measure_idle(folder: Path, base_url: str) -> dict[str, Any]:
    """What Health receives while nobody touches it."""
    with browsing(folder, base_url) as (page, url, received):
        page.goto(f"{url}/health")
        page.locator("[data-testid=stDataFrame]").first.wait_for()
        page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        page.wait_for_timeout(5_000)
        before = received()
        page.wait_for_timeout(IDLE_S * 1000)
        idle = received() - before
    return {
        "bytes": idle,
        "seconds": IDLE_S,
        "bar": IDLE_BAR_BYTES,
        "holds": idle <= IDLE_BAR_BYTES,
    }


def measure_streams(folder: Path, base_url: str) -> dict[str, Any]:
    """Eight panes at once: bytes a second, and how long the main thread was blocked."""
    models = "&".join(f"model=mock/model-{number}" for number in range(PANES))
    with browsing(folder, base_url) as (page, url, received):
        page.goto(f"{url}/compare?{models}&prompt=Count")
        page.get_by_role("button", name="Run").wait_for()
        page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        page.get_by_role("button", name="Run").click()
        page.get_by_text("… answering").nth(PANES - 1).wait_for()
        page.evaluate(_LONG_TASKS)
        before, began = received(), time.perf_counter()
        page.wait_for_timeout(3_000)
        bytes_s = (received() - before) / (time.perf_counter() - began)
        blocked = page.evaluate("Math.max(0, ...window.longTasks)")
        page.get_by_text(f"✓ {PANES} of {PANES} done").wait_for()
    return {
        "bytes_a_second": round(bytes_s),
        "longest_blocked_ms": round(blocked, 1),
        "bars": [WIRE_BAR_BYTES_S, BLOCKED_BAR_MS],
        "holds": {"wire": bytes_s <= WIRE_BAR_BYTES_S, "blocked": blocked <= BLOCKED_BAR_MS},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=("start", "idle_health", "streams"), action="append")
    options = parser.parse_args()
    wanted = options.only or ("start", "idle_health", "streams")
    results: dict[str, Any] = {}
    text = " ".join(f"word{number}" for number in range(TOKENS))
    with tempfile.TemporaryDirectory() as name, serving(text=text, chunk_delay_s=0.01) as server:
        folder = Path(name)
        if "start" in wanted:
            results["start"] = measure_start(folder, options.rounds)
        if "idle_health" in wanted:
            results["idle_health"] = measure_idle(folder, server.base_url)
        if "streams" in wanted:
            results["streams"] = measure_streams(folder, server.base_url)
    report("app_figures", results)


if __name__ == "__main__":
    main()
