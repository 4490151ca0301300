"""A process that runs for long keeps the catalog fresh and watches over health, unasked."""

from __future__ import annotations

import time

from tests.servers import MockProvider
from toolkit.workbench.bench import current
from toolkit.workbench.tending import tend


def test_a_provider_that_was_never_listed_is_listed_and_watched(home):
    bench = current()
    with MockProvider() as provider:
        bench.providers.registry.add(
            "mock", base_url=provider.base_url, is_local=True, needs_key=False
        )
        tend(bench, "serve")
        until = time.monotonic() + 60
        while time.monotonic() < until and not bench.store.rows("SELECT model FROM models"):
            time.sleep(0.05)
        models = {row["model"] for row in bench.store.rows("SELECT model FROM models")}
        bench.close()
    assert "mock/mock-model" in models
    assert {request.method for request in provider.requests} == {"GET"}


def test_a_provider_that_is_not_to_be_listed_is_left_alone(home):
    bench = current()
    with MockProvider() as provider:
        bench.providers.registry.add(
            "quiet", base_url=provider.base_url, is_local=True, needs_key=False, auto_sync=False
        )
        bench.providers.registry.add(
            "mock", base_url=provider.base_url, is_local=True, needs_key=False
        )
        tend(bench, "serve")
        until = time.monotonic() + 60
        while time.monotonic() < until and not bench.store.rows("SELECT model FROM models"):
            time.sleep(0.05)
        found = bench.store.rows("SELECT DISTINCT provider FROM models")
        bench.close()
    assert [row["provider"] for row in found] == ["mock"]
