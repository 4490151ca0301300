"""Openings and ends of incidents are told once: tried again when nobody heard, never doubled."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from tests.health.simulated import SimulatedClock, good, listing_server, new_monitor, new_toolkit
from tests.health.simulated import play as run_for
from tests.servers.threaded import QuietHandler, ThreadedServer
from toolkit.errors import ToolkitError
from toolkit.health.monitoring.incident_tracker import post
from toolkit.settings import Settings

TOKEN = "T" + "x" * 30
TOLD = {"incident_id": "i1", "event": "opened", "text": "acme is down"}


class Hook(ThreadedServer):
    """A webhook that answers as it is told to, and keeps what it heard."""

    def __init__(self):
        self.heard, self.statuses = [], []
        outer = self

        class Handler(QuietHandler):
            def do_POST(self):
                body = json.loads(self.read_body())
                status = outer.statuses.pop(0) if outer.statuses else 204
                outer.heard.append((status, body, self.headers["idempotency-key"], self.path))
                self.answer(status=status)

        super().__init__(Handler)
        self.url = f"{self.origin}/hooks/{TOKEN}?wait=true"

    @property
    def taken(self):
        return [body for status, body, _, _ in self.heard if status < 300]


@pytest.fixture
def hook():
    with Hook() as hook:
        yield hook


def test_each_event_is_told_once_though_the_webhook_fails_at_first(hook, caplog):
    caplog.set_level(logging.INFO, "toolkit.health")
    hook.statuses += [500, 500]
    toolkit = new_toolkit(health_interval_s=900.0, health_webhook_url=hook.url)
    clock, answer = SimulatedClock(), [(503, "", {})]
    with listing_server(lambda: answer[0]) as server:
        toolkit.providers.registry.add("acme", base_url=server.url, is_local=True, needs_key=False)
        asyncio.run(run_for(new_monitor(toolkit, clock), clock, 4 * 3600.0))
        answer[0] = good()
        first = new_monitor(toolkit, clock)
        first.lease = new_monitor(toolkit, clock).lease
        (toolkit.settings.home / "health-lease.json").unlink()  # the first monitor was killed
        asyncio.run(run_for(first, clock, 3 * 3600.0))
    events = [(body["event"], body["provider"], body["state"]) for body in hook.taken]
    assert events == [("opened", "acme", "down"), ("closed", "acme", "down")]
    assert len({key for _, _, key, _ in hook.heard}) == 2  # repetitions carry the same key
    assert caplog.text.count("incident opened") == caplog.text.count("incident closed") == 1
    (row,) = toolkit.health.incidents(days=100_000)
    assert row["alerted_at"] < row["end_alerted_at"]
    assert TOKEN not in caplog.text
    toolkit.close()


def test_the_query_of_the_address_is_kept(hook):
    asyncio.run(post(Settings(health_webhook_url=hook.url), TOLD))
    assert hook.heard[0][3] == f"/hooks/{TOKEN}?wait=true"


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "https://10.0.0.1/hook",
        "http://hooks.example/x",
        "ftp://127.0.0.1/x",
        "https://user:pass@hooks.example/x",
        "https://metadata.google.internal/x",
    ],
)
def test_addresses_that_no_provider_may_have_are_refused(url):
    with pytest.raises(ToolkitError):
        asyncio.run(post(Settings(health_webhook_url=url), TOLD))


def test_what_went_wrong_names_the_host_and_nothing_else_of_the_address(hook):
    hook.statuses += [404]
    with pytest.raises(ToolkitError) as caught:
        asyncio.run(post(Settings(health_webhook_url=hook.url), TOLD))
    assert "127.0.0.1" in caught.value.message
    assert TOKEN not in str(caught.value)
    assert TOKEN not in repr(Settings(health_webhook_url=hook.url))
