"""The app in a real browser: every page at two widths, streams, Stop, failures, hostile answers."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Answer
from tests.ui.hostile import BEACON, HOSTILE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

PAGES = {
    "": "Home",
    "compare": "Compare",
    "leaderboard": "Leaderboard",
    "evals": "Evals",
    "load": "Load tests",
    "regressions": "Regressions",
    "health": "Health",
    "calls": "Calls",
    "spend": "Spend",
    "providers": "Providers & Keys",
    "models": "Models",
    "settings": "Settings",
}
DESKTOP, PHONE = 1440, 390
LINK = "a[href]:not([data-testid^=stPageLink])"  # our own links to other pages are none of theirs
TWENTY = " ".join(f"word{number}" for number in range(20))
AXE = Path(__file__).parents[1] / "judges/node_modules/axe-core/axe.min.js"
# Read now: while a test runs, the toolkit's variables are gone.
JUDGES_REQUIRED = os.environ.get("TOOLKIT_REQUIRE_JUDGES") == "1"
WAIT_MS = 120_000  # a slow machine loads the call path for a long while


def settled(page: Any) -> None:
    """Wait until the script has run to its end and its page reacts to the keyboard.

    Streamlit registers shortcuts in an effect, which React runs some time after it has drawn.
    """
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    page.evaluate(
        """() => new Promise(done => requestAnimationFrame(() =>
             requestAnimationFrame(() => requestIdleCallback(done, {timeout: 10_000}))))"""
    )


def drawn(page: Any) -> None:
    """Wait until nothing is a grey placeholder any more and code has its colours.

    Streamlit loads the parts of its own program when a page first needs them, after the script
    has ended; a check of colours before that would see none.
    """
    settled(page)
    page.wait_for_function(
        """() => !document.querySelector('[data-testid=stSkeleton]') &&
             [...document.querySelectorAll('[data-testid=stCode] code')].every(code =>
               code.textContent.trim() === '' || /language-(plaintext|None)/.test(code.className) ||
               code.querySelector('.token'))"""
    )


@dataclass
class Seen:
    """A page, and what the browser noticed while it was open."""

    page: Any
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def watch(self, own: str) -> None:
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self._note_request(request.url, own))

    def _note(self, message: Any) -> None:
        # Opened at its own address, a page looks for its server below that address first, finds
        # none there, and then at the root: that first look is not an error.
        is_probe = "/_stcore/" in message.location.get("url", "")
        if message.type == "error" and not is_probe:
            self.errors.append(message.text)

    def _note_request(self, url: str, own: str) -> None:
        if not url.startswith((own, own.replace("http", "ws"), "data:", "blob:")):
            self.outside.append(url)

    def ask(self, prompt: str, *models: str) -> None:
        page = self.page
        for model in models:
            box = page.get_by_label("Add a model").first
            box.click()
            box.fill(model)
            page.keyboard.press("Enter")
            page.locator("[class*=st-key-draft-]", has_text=model.rpartition("/")[2]).wait_for()
            settled(page)  # the box for the next model is there
        page.get_by_label("Prompt").fill(prompt)
        assert page.get_by_role("button", name="Run").is_enabled()
        page.get_by_label("Prompt").press("Control+Enter")


@pytest.fixture
def open_browser(stage, chromium):
    """Open an address of the app in a fresh profile; afterwards nothing may have gone wrong."""
    contexts, opened = [], []

    def open_at(path: str = "", width: int = DESKTOP, scheme: str = "light") -> Seen:
        size = {"width": width, "height": 900}
        contexts.append(chromium.new_context(viewport=size, color_scheme=scheme))
        seen = Seen(contexts[-1].new_page())
        seen.page.set_default_timeout(WAIT_MS)
        seen.watch(stage.app.url)
        opened.append(seen)
        seen.page.goto(f"{stage.app.url}/{path}")
        seen.page.locator("h1").first.wait_for()
        return seen

    yield open_at
    for seen in opened:
        assert seen.outside == []
        assert seen.errors == []
        if not seen.page.is_closed():
            assert seen.page.locator("[data-testid=stException]").count() == 0
    for context in contexts:
        context.close()


def overflow(page: Any) -> int:
    """How many pixels the page is wider than the window."""
    return page.evaluate(
        """() => {
          const main = document.querySelector('[data-testid=stMain]');
          return Math.max(main.scrollWidth - main.clientWidth,
                          document.documentElement.scrollWidth - window.innerWidth);
        }"""
    )


def test_every_page_opens_at_both_widths_without_error_or_foreign_request(open_browser):
    for width, scheme in ((DESKTOP, "light"), (PHONE, "dark")):
        for path, title in PAGES.items():
            page = open_browser(path, width, scheme).page
            assert page.locator("h1").first.inner_text() == title
            settled(page)
            assert overflow(page) <= 0, (path, width)


def test_two_panes_stream_at_the_same_time_and_count_while_they_do(stage, open_browser):
    stage.mock.default = Answer(text=TWENTY, chunk_delay_s=0.4)
    seen = open_browser("compare")
    seen.ask("Count", "mock/mock-small", "mock/mock-large")
    page = seen.page
    streaming = page.get_by_text("… answering")
    streaming.nth(1).wait_for()
    page.get_by_text(re.compile(r"TTFT [\d.]+ m?s · ~\d+ tok/s · ~\d+ tokens")).nth(1).wait_for()
    assert streaming.count() == 2  # both count, and neither is done
    page.get_by_text("✓ done").nth(1).wait_for()
    assert page.get_by_text("word19").count() == 2
    page.get_by_text("Timeline of 2 panes, n = 2 calls").wait_for()
    assert "board=" in page.url
    page.reload()  # the board comes back from its address
    page.get_by_text("word19").nth(1).wait_for()
    first = [request.stamps for request in stage.mock.requests]
    assert max(stamps[0] for stamps in first) < min(stamps[-1] for stamps in first)


def test_stop_works_at_once_and_the_calls_are_recorded_as_cancelled(stage, open_browser):
    stage.mock.default = Answer(text=TWENTY, chunk_delay_s=1.0)
    seen = open_browser("compare", PHONE)
    seen.ask("Count", "mock/mock-small", "mock/mock-large")
    page = seen.page
    page.get_by_text("… answering").first.wait_for()
    page.get_by_role("button", name="Stop", exact=True).first.click()
    page.get_by_text("■ stopped").first.wait_for()
    assert overflow(page) <= 0
    assert stage.newest_statuses() == ["cancelled", "cancelled"]
    assert all(0 < len(request.stamps) < 20 for request in stage.mock.requests)


def test_a_failing_pane_is_a_card_while_the_other_finishes(stage, open_browser):
    stage.mock.default = Answer(text=TWENTY, chunk_delay_s=0.1)
    seen = open_browser("compare")
    seen.ask("Count", "mock/mock-small", "nowhere/model")
    page = seen.page
    page.get_by_text("Provider not found").first.wait_for()
    page.get_by_text("What to do:").wait_for()
    page.get_by_text("✓ done").first.wait_for()
    assert page.get_by_text("word19").count() == 1
    assert page.get_by_role("button", name="Send again").count() == 1


def test_a_closed_page_stops_its_run(stage, open_browser):
    stage.mock.default = Answer(text=TWENTY * 5, chunk_delay_s=2.0)  # three minutes, if left
    seen = open_browser("compare")
    seen.ask("Count", "mock/mock-small", "mock/mock-large")
    seen.page.get_by_text("… answering").nth(1).wait_for()
    seen.page.close()
    end = time.monotonic() + 60
    while time.monotonic() < end and len(stage.newest_statuses()) < 2:
        time.sleep(0.5)
    assert stage.newest_statuses() == ["cancelled", "cancelled"]


def test_hostile_answers_cause_no_request_and_become_no_element(stage, open_browser):
    text = "\n\n".join(payload for payload in HOSTILE if len(payload) < 1_000)
    stage.mock.default = Answer(chunks=[text, " done"])
    seen = open_browser("compare")
    seen.ask("Attack", "mock/mock-small", "mock/mock-large")
    page = seen.page
    page.get_by_text("✓ done").nth(1).wait_for()
    settled(page)
    panes = page.locator("[class*=st-key-pane-]")
    assert panes.count() == 2
    assert panes.locator(f"img, iframe, script, {LINK}, video, audio, form, object").count() == 0
    assert panes.locator(".katex").count() == 0
    assert BEACON in panes.first.inner_text()


def test_hostile_names_and_errors_cause_no_request_and_no_link(stage, open_browser):
    stage.mock.default = Answer(text=f"see {BEACON} ![x]({BEACON}) <img src={BEACON}>", status=400)
    seen = open_browser("compare")
    seen.ask("Attack", "mock/mock-small", "mock/mock-large")
    page = seen.page
    page.get_by_text("✕ failed").nth(1).wait_for()
    settled(page)
    panes = page.locator("[class*=st-key-pane-]")
    assert panes.locator(f"img, {LINK}").count() == 0
    assert "leak" in panes.first.inner_text()


def test_a_key_typed_into_the_page_is_in_no_address_and_in_no_page_afterwards(open_browser):
    key = "sk-" + "w" * 40
    seen = open_browser("providers?provider=mock")
    page = seen.page
    box = page.get_by_label("New key")
    assert box.input_value() == "" and box.get_attribute("type") == "password"
    box.fill(key)
    page.get_by_role("button", name="Save key").click()
    page.get_by_text("What to do:").first.wait_for()  # no keyring here: it says so
    settled(page)
    assert page.get_by_label("New key").input_value() == ""
    assert key not in page.content() and key not in page.url


def test_search_finds_a_page_from_the_keyboard(open_browser):
    page = open_browser("calls").page
    settled(page)
    page.keyboard.press("Control+k")
    box = page.get_by_placeholder("A name, text of a prompt or answer, or an id")
    box.fill("sky blue")
    page.get_by_role("dialog").locator("[data-testid=stDataFrame]").wait_for()
    assert page.get_by_text("No results.").count() == 0


def test_eight_panes_are_seen_without_scrolling(stage, open_browser):
    stage.mock.default = Answer(text=TWENTY)
    models = "&".join(f"model=mock/model-{number}" for number in range(8))
    page = open_browser(f"compare?{models}&prompt=Count").page
    page.get_by_role("button", name="Run").click()
    page.get_by_text("✓ 8 of 8 done").wait_for()
    settled(page)
    boxes = [page.locator(f".st-key-pane-{n}").bounding_box() for n in range(8)]
    assert all(box["y"] + box["height"] <= 900 for box in boxes), boxes


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_text_of_a_primary_button_can_be_read(open_browser, scheme):
    page = open_browser("providers", DESKTOP, scheme).page
    button = page.get_by_role("button", name="Add provider")
    ink, ground = button.evaluate(
        """node => [getComputedStyle(node.querySelector('p')).color,
                    getComputedStyle(node).backgroundColor]"""
    )
    assert contrast(ink, ground) >= 4.5


def require_axe() -> None:
    if not AXE.is_file():
        reason = "axe-core is not installed (`make judges` installs it; it needs Node.js)"
        pytest.fail(reason) if JUDGES_REQUIRED else pytest.skip(reason)


def serious(page: Any) -> list[Any]:
    """What axe-core finds on the page once it is drawn: rule and first elements."""
    drawn(page)
    page.evaluate(AXE.read_text("utf-8"))
    return page.evaluate(
        """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
            .filter(one => ['serious', 'critical'].includes(one.impact))
            .map(one => [one.id, one.nodes.slice(0, 3).map(node => node.html.slice(0, 200))])"""
    )


@pytest.mark.parametrize(
    ("width", "scheme"), [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")]
)
def test_axe_finds_nothing_serious(stage, open_browser, width, scheme):
    require_axe()
    opened = {
        (DESKTOP, "light"): (*PAGES, "models?model=mock/model-1", "compare?boards=all"),
        (DESKTOP, "dark"): (
            "evals?tab=New run", "providers?add=yes", "providers?provider=mock",
            "settings?setting=max_retries", "compare?model=mock/a&model=mock/b&prompt=Hi",
        ),
        (PHONE, "light"): tuple(PAGES),
        (PHONE, "dark"): ("", "compare?model=mock/a&model=mock/b&prompt=Hi", "calls",
                          "providers?provider=mock", "models?model=mock/model-1"),
    }[width, scheme]  # fmt: skip
    page = open_browser("", width, scheme).page
    found = {}
    for path in opened:
        page.goto(f"{stage.app.url}/{path}")
        page.locator("h1").first.wait_for()
        if violations := serious(page):
            found[path] = violations
    assert found == {}


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_axe_finds_nothing_serious_in_dialogs_and_popovers(stage, open_browser, width):
    require_axe()
    stage.mock.default = Answer(text=TWENTY)
    page = open_browser("compare?model=mock/a&model=mock/b&prompt=Hi", width).page
    page.get_by_role("button", name="Run").click()
    page.get_by_text("✓ 2 of 2 done").wait_for()
    found = {"board": serious(page)}
    page.get_by_role("button", name="Branch").first.click()
    page.get_by_role("dialog").get_by_text("Branch here").first.wait_for()
    found["conversation"] = serious(page)
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.keyboard.press("Control+k")
    page.get_by_placeholder("A name, text of a prompt or answer, or an id").wait_for()
    found["search"] = serious(page)
    for path in ("compare", "calls"):
        page.goto(f"{stage.app.url}/{path}")
        page.locator("h1").first.wait_for()
        settled(page)
        popovers = page.locator("[data-testid=stPopover] button:enabled")
        for number in range(popovers.count()):
            popovers.nth(number).click()
            page.locator("[data-testid=stPopoverBody]").wait_for()
            found[f"{path} {popovers.nth(number).inner_text()}"] = serious(page)
            page.keyboard.press("Escape")
            page.locator("[data-testid=stPopoverBody]").wait_for(state="detached")
    assert {name: violations for name, violations in found.items() if violations} == {}


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG between two colours as CSS writes them."""
    lights = []
    for colour in (one, other):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)
