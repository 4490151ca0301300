"""A provider that echoes its key in every form: the key is in no element of a page and no frame."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.test_canary import CANARIES, KEY, found_in, in_pieces
from tests.servers import Answer, MockProvider
from tests.ui.conftest import RunningApp
from toolkit.providers.registry import Registry
from toolkit.settings import Settings

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

PAGES = ("", "leaderboard", "health", "calls", "spend", "providers?provider=leaky", "models")
WAIT_MS = 120_000
VARIABLE = "CANARY_VALUE"


@pytest.fixture
def leaky_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Any]]:
    """The app, and a provider in it whose key is the canary."""
    monkeypatch.setitem(os.environ, VARIABLE, KEY)
    settings = Settings(home=tmp_path / "home")
    with MockProvider() as provider:
        Registry(settings).add(
            "leaky",
            base_url=provider.base_url,
            is_local=True,
            auto_sync=False,
            key_env=[VARIABLE],
            max_retries=0,
        )
        app = RunningApp(settings.home, tmp_path)
        try:
            app.wait()
            yield app.url, provider
        finally:
            app.stop()


class Frames:
    """All that a page received and sent over websockets."""

    def __init__(self, page: Any) -> None:
        self.sent: list[bytes] = []
        page.on("websocket", self._watch)

    def _watch(self, socket: Any) -> None:
        for event in ("framereceived", "framesent"):
            socket.on(event, self._keep)

    def _keep(self, payload: str | bytes) -> None:
        self.sent.append(payload if isinstance(payload, bytes) else payload.encode())


def test_an_echoed_key_is_in_no_page_and_no_frame(leaky_app: Any, chromium: Any) -> None:
    url, provider = leaky_app
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    frames = Frames(page)
    seen: dict[str, bytes] = {}

    def ask(answer: Answer, mark: str) -> None:
        provider.default = answer
        page.goto(f"{url}/compare?model=leaky/m-one&model=leaky/m-two")
        page.locator("h1").first.wait_for()
        for model in ("leaky/m-one", "leaky/m-two"):
            box = page.get_by_label("Add a model").first
            box.click()
            box.fill(model)
            page.keyboard.press("Enter")
            page.locator("[class*=st-key-draft-]", has_text=model[6:]).wait_for()
        page.get_by_label("Prompt").fill("Hello")
        page.get_by_label("Prompt").press("Control+Enter")
        page.get_by_text(mark).nth(1).wait_for()
        seen[f"compare, {mark}"] = page.content().encode()

    ask(in_pieces(9), "✓ done")
    assert b"[redacted]" in seen["compare, ✓ done"]
    text = " | ".join(CANARIES.values())
    ask(Answer(status=401, body={"error": {"message": text, "type": KEY}}), "✕ failed")
    for path in PAGES:
        page.goto(f"{url}/{path}")
        page.locator("h1").first.wait_for()
        page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        seen[path or "home"] = page.content().encode()
    context.close()
    assert len(frames.sent) > 20
    seen["frames"] = b"\n".join(frames.sent)
    leaks = {where: forms for where, content in seen.items() if (forms := found_in(content))}
    assert leaks == {}
