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

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

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


def panel_of(page: Any) -> Any:
    panel = page.locator(".st-key-provider-side")
    panel.wait_for()
    settled(page)
    return panel


def test_add_test_sync_call_disable_remove_and_restore_by_clicks(
    stage: Stage, shared_local: Settings, page: Any
) -> None:
    url = find_base_url(shared_local)
    assert url is not None

    page.get_by_role("button", name="Add provider").click()
    form = panel_of(page)
    address = form.get_by_placeholder("https://api.example.com/v1, or groq")
    address.fill("https://api.anthropic.com")
    form.get_by_text("✓ Anthropic").wait_for()  # while typing, before anything is sent
    address.fill(url)
    form.get_by_text(re.compile("openai-compatible")).first.wait_for()
    settled(page)
    form.get_by_label("Name", exact=True).fill(NAME)
    form.get_by_role("button", name="Test and save").click()
    told(page, f"{NAME} is saved.")
    assert saved(stage).is_local and saved(stage).base_url == url
    assert f"provider={NAME}" in page.url  # its panel is open

    panel = panel_of(page)
    panel.get_by_role("tab", name="Test").click()
    panel.get_by_role("button", name="Test now").click()
    told(page, "it lists 1 model")
    assert panel.get_by_text("✓ yes").count() >= 3

    panel.get_by_role("tab", name="Models").click()
    panel.get_by_role("button", name="List models now").click()
    told(page, f"{NAME} lists 1 model: 1 new, 0 gone.")
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

    panel.get_by_role("tab", name="Settings").click()
    panel.get_by_role("button", name="Set as default").click()
    told(page, f"{NAME} is the default now.")
    assert saved(stage).is_default

    panel = panel_of(page)
    panel.get_by_role("tab", name="Remove").click()
    panel.get_by_text(f"Remove {NAME}", exact=True).click()
    settled(page)
    panel.get_by_role("button", name="Remove", exact=True).click()
    told(page, f"{NAME} is removed")
    assert saved(stage, removed=True).is_removed
    page.get_by_text("removed 1").click()
    settled(page)
    Registry(Settings(home=stage.app.home)).restore(NAME)  # the button is inside a canvas
    assert saved(stage).is_active and saved(stage).base_url == url
