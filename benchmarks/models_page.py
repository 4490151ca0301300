"""How long a filter takes on the Models page, in a real browser, inside the page.

A home with several thousand models is served by the app in a process of its own. Headless Chromium
types words into the search box; the clock of the page runs from the key that sends them
(`performance.now()` in a capturing listener) to the first frame after the table has another
number of rows and the line above it the new count. The bar (the project's own): 300 ms.
`every_second` splits the rounds in two: the control.

    python -m benchmarks.models_page [--models 4000] [--rounds 20]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.rounds import report
from tests.ui.conftest import RunningApp
from toolkit.settings import Settings
from toolkit.store.store import Store

BAR_MS: Final = 300.0
_WAIT_MS: Final = 20_000
_WATCH: Final = """
() => {
  const state = {sent: 0, took: null};
  window.filterClock = state;
  document.addEventListener("keydown", event => {
    if (event.key === "Enter") { state.sent = performance.now(); state.took = null; }
  }, true);
  const shown = () => {
    const grid = document.querySelector('[data-testid="stDataFrame"] table[role="grid"]');
    const told = [...document.querySelectorAll('[data-testid="stCaptionContainer"]')]
      .map(one => one.innerText).find(text => / of .* models$/.test(text));
    return (grid ? grid.getAttribute("aria-rowcount") : "0") + "|" + told;
  };
  state.shown = shown;
  const look = () => {
    if (state.sent && state.took === null && shown() === state.wanted) {
      state.took = performance.now() - state.sent;
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""


def fill(home: Path, count: int) -> None:
    """A catalog of so many models of eight providers, some with prices and abilities."""
    now = datetime.now(UTC)
    can = ["tools", "vision", "reasoning", "json_schema", "streaming"]
    store = Store(Settings(home=home))
    rows = [
        {
            "provider": f"p{number % 8}",
            "model_id": f"maker-{number % 97}/model-{number}-instruct",
            "model": f"p{number % 8}/maker-{number % 97}/model-{number}-instruct",
            "owner": f"maker-{number % 97}",
            "kind": "chat",
            "status": "active",
            "context_window": 8_192 << (number % 6),
            "input_usd_per_mtok": str((number % 90) / 10),
            "output_usd_per_mtok": str((number % 90) / 5),
            "capabilities": can[: number % 6],
            "flags": [],
            "is_enabled": True,
            "first_seen_at": now,
            "last_seen_at": now,
            "facts": {"claims": {}, "conflicts": [], "sources": {}},
        }
        for number in range(count)
    ]
    store.append_many("models", rows)
    store.ingest()
    store.close()


def words_of(number: int, count: int) -> tuple[str, int]:
    """What is typed in one round, and how many models have it: never twice the same number."""
    maker = f"maker-{1 + number % 20}/"
    names = [f"p{n % 8}/maker-{n % 97}/model-{n}-instruct" for n in range(count)]
    word = f"{maker} p7/" if number % 2 else maker
    found = sum(all(part in name for part in word.split()) for name in names)
    return word, found


def measure(page: Any, word: str, found: int, count: int) -> float:
    """Milliseconds from the key to the changed table."""
    from playwright.sync_api import TimeoutError

    rows = f"{found + 1 if found else 0}|{found:,} of {count:,} models"
    page.evaluate("wanted => { filterClock.wanted = wanted }", rows)
    box = page.get_by_role("searchbox", name="Search")
    box.fill(word)
    box.press("Enter")
    try:
        page.wait_for_function("filterClock.took !== null", timeout=_WAIT_MS)
    except TimeoutError:
        shown = page.evaluate("filterClock.shown()")
        raise SystemExit(f"the page never showed {rows!r} but {shown!r}") from None
    page.wait_for_timeout(300)  # the page is to be at rest before the next word
    return float(page.evaluate("filterClock.took"))


def in_browser(url: str, count: int, rounds: int) -> dict[str, Any]:
    """All rounds in one page that has been open for a while."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{url}/models")
        page.get_by_text(f"{count:,} of {count:,} models").wait_for(timeout=_WAIT_MS)
        page.evaluate(_WATCH)
        measure(page, *words_of(rounds + 1, count), count)  # the first one warms up
        took = [measure(page, *words_of(number, count), count) for number in range(rounds)]
        browser.close()
    return {
        "filter_ms": spread(took),
        "holds": spread(took)["p95"] <= BAR_MS,
        "every_second": [spread(took[::2]), spread(took[1::2])],
        "all_ms": [round(one, 1) for one in took],
    }


def spread(values: list[float]) -> dict[str, float]:
    """p50, p95 and the maximum."""
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return {"p50": round(cuts[9], 1), "p95": round(cuts[18], 1), "max": round(max(values), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        fill(home, options.models)
        app = RunningApp(home, Path(folder))
        try:
            app.wait()
            load = [round(one, 2) for one in os.getloadavg()] if hasattr(os, "getloadavg") else None
            measured = in_browser(app.url, options.models, options.rounds)
        finally:
            with contextlib.redirect_stdout(sys.stderr):  # it prints its log
                app.stop()
    about = {"models": options.models, "bar_ms": BAR_MS, "load_before": load}
    report("models_page", about | measured)


if __name__ == "__main__":
    main()
