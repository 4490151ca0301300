"""A provider's whole life by clicks in a real browser, against a real llama.cpp server."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.local_model import shared_local
from tests.ui.conftest import Stage
from toolkit.local.local_server import find_base_url
from toolkit.providers.provider import Provider
from toolkit.providers.registry import Registry
from toolkit.settings import Settings

__all__ = ["shared_local"]

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(400)]

WAIT_MS = 60_000
NAME = "mine"


@pytest.fixture
def page(stage: Stage, chromium: Any) -> Any:
    """The Providers page in a fresh profile; afterwards nothing may have gone wrong."""
    context = chromium.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{stage.app.url}/providers")
    page.get_by_role("button", name="Add provider").wait_for()
    yield page
    assert errors == [] and page.locator("[data-testid=stException]").count() == 0
    context.close()


def settled(page: Any) -> None:
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()


def told(page: Any, text: str) -> None:
    """Wait until the page says something, and until the run that said it is over."""
    page.get_by_text(text).first.wait_for()
    page.wait_for_timeout(500)  # between a panel's run and the page's, nothing runs for a moment
    settled(page)


def saved(stage: Stage, *, removed: bool = False) -> Provider:
    found = Registry(Settings(home=stage.app.home)).list(removed=removed)
    return next(provider for provider in found if provider.name == NAME)


def open_panel(page: Any) -> Any:
    row = page.locator(f"[class*=st-key-row-{NAME}]")
    row.get_by_role("button", name="Open").click()
    panel = page.get_by_role("dialog")
    panel.get_by_role("button", name="Test now").wait_for()
    settled(page)
    return panel


def close_panel(page: Any) -> None:
    """Close it; one that was closed just when a run ended is drawn once more, and closed again."""
    panel = page.get_by_role("dialog")
    for _ in range(5):
        page.keyboard.press("Escape")
        panel.wait_for(state="detached")
        page.wait_for_timeout(1_000)
        settled(page)
        if panel.count() == 0:
            return
    raise AssertionError("the panel does not stay closed")


def test_add_test_sync_call_disable_remove_and_restore_by_clicks(
    stage: Stage, shared_local: Settings, page: Any
) -> None:
    url = find_base_url(shared_local)
    assert url is not None

    page.get_by_role("button", name="Add provider").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Base URL").fill("https://api.anthropic.com")
    form.get_by_text("Type: anthropic").wait_for()  # while typing, before anything is sent
    form.get_by_label("Base URL").fill(url)
    form.get_by_text("Type: openai-compatible").wait_for()
    settled(page)
    form.get_by_label("Name", exact=True).fill(NAME)
    form.get_by_role("button", name="Test and save").click()
    told(page, f"{NAME} is saved.")
    assert saved(stage).is_local and saved(stage).base_url == url

    page.get_by_role("tab", name="Local").click()
    panel = open_panel(page)
    panel.get_by_role("button", name="Test now").click()
    told(page, "it lists 1 model")
    checks = [
        text for text in panel.locator(".stMarkdownBadge").all_inner_texts() if "work" in text
    ]
    assert len(checks) >= 3 and set(checks) == {"● works"}

    panel.get_by_role("button", name="List models now").click()
    told(page, f"{NAME} lists 1 model: 1 new, 0 gone.")
    panel.get_by_text("Switch single models").wait_for()
    box = panel.get_by_label("Model to try")
    box.click()
    box.fill("smollm2-135m")
    page.keyboard.press("Enter")
    settled(page)
    panel.get_by_role("button", name="Try it").click()
    panel.get_by_text(re.compile(r"smollm2.* · [\d.,]+ m?s · ")).wait_for()
    settled(page)
    (call,) = stage.store.rows("SELECT status, output_text FROM calls WHERE provider = ?", [NAME])
    assert call["status"] == "ok" and call["output_text"]

    panel.get_by_role("button", name="Make it the default").click()
    told(page, f"{NAME} is the default now.")
    panel.get_by_role("button", name="Default no more").wait_for()
    assert saved(stage).is_default
    close_panel(page)

    row = page.locator(f"[class*=st-key-row-{NAME}]")
    row.locator("label").first.click()
    row.get_by_text("paused").first.wait_for()
    settled(page)
    assert not saved(stage).is_active
    row.locator("label").first.click()
    row.get_by_text("paused").first.wait_for(state="detached")
    settled(page)
    assert saved(stage).is_active

    panel = open_panel(page)
    panel.get_by_text(f"Remove {NAME}", exact=True).click()
    settled(page)
    panel.get_by_role("button", name="Remove", exact=True).click()
    told(page, f"{NAME} is removed")
    assert saved(stage, removed=True).is_removed

    page.get_by_text("Removed (1)").click()
    page.get_by_role("button", name="Restore").click()
    page.locator(f"[class*=st-key-row-{NAME}]").wait_for(state="attached")
    assert saved(stage).is_active and saved(stage).base_url == url
