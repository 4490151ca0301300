"""A process that runs for long keeps the catalog fresh and watches over health, unasked."""

from __future__ import annotations

import time

from tests.servers import MockProvider
from toolkit.background import start_background_tasks
from toolkit.toolkit import current


def test_a_provider_that_was_never_listed_is_listed_and_watched(home):
    toolkit = current()
    with MockProvider() as provider:
        toolkit.providers.registry.add(
            "mock", base_url=provider.base_url, is_local=True, needs_key=False
        )
        start_background_tasks(toolkit, "serve")
        until = time.monotonic() + 60
        while time.monotonic() < until and not toolkit.store.rows("SELECT model FROM models"):
            time.sleep(0.05)
        models = {row["model"] for row in toolkit.store.rows("SELECT model FROM models")}
        toolkit.close()
    assert "mock/mock-model" in models
    assert {request.method for request in provider.requests} == {"GET"}


def test_a_provider_that_is_not_to_be_listed_is_left_alone(home):
    toolkit = current()
    with MockProvider() as provider:
        toolkit.providers.registry.add(
            "quiet", base_url=provider.base_url, is_local=True, needs_key=False, auto_sync=False
        )
        toolkit.providers.registry.add(
            "mock", base_url=provider.base_url, is_local=True, needs_key=False
        )
        start_background_tasks(toolkit, "serve")
        until = time.monotonic() + 60
        while time.monotonic() < until and not toolkit.store.rows("SELECT model FROM models"):
            time.sleep(0.05)
        found = toolkit.store.rows("SELECT DISTINCT provider FROM models")
        toolkit.close()
    assert [row["provider"] for row in found] == ["mock"]
