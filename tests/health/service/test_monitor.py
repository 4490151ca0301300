"""The monitor under a simulated clock, on a real store and real sockets: a day in seconds."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import timedelta

import pytest

from tests.health.simulated import (
    LISTING,
    START,
    SimulatedClock,
    good,
    listing_server,
    new_monitor,
    new_toolkit,
    play,
)
from toolkit.errors import StoreLocked
from toolkit.health.monitoring.monitor import probe_quietly
from toolkit.health.probe_runner import probe_listing
from toolkit.keys.service import ResolvedKey
from toolkit.providers.provider import Provider
from toolkit.secret import Secret

HOUR = 3600.0


@pytest.fixture
def toolkit(home):
    toolkit = new_toolkit(health_interval_s=900.0)
    yield toolkit
    toolkit.close()


def add(toolkit, name, url, **fields):
    fields = {"is_local": True, "needs_key": False} | fields
    toolkit.providers.registry.add(name, base_url=url, **fields)


def rows_of(toolkit, table, order):
    return toolkit.store.rows(f"SELECT * FROM {table} ORDER BY {order}")


def probes_of(toolkit, name):
    return [row for row in rows_of(toolkit, "probes", "probed_at") if row["provider"] == name]


def a_scripted_day(clock):
    """Outage 3-4 h, 429 storm 15-16 h, flapping 17-19 h, expired key 21-22 h."""

    def respond():
        hour = clock.t / HOUR
        if 3 <= hour < 4:
            return 503, "", {}
        if 15 <= hour < 16:
            return 429, "", {"retry-after": "600"}
        if 17 <= hour < 19 and clock.t % 1800 < 600:
            return 500, "", {}
        if 21 <= hour < 22:
            return 401, '{"error": {"message": "bad key"}}', {}
        return good()

    return respond


def test_a_scripted_day_is_told_as_it_was(toolkit, caplog):
    """One alert per outage, noticed within three probes, and nothing was paid for."""
    caplog.set_level(logging.INFO, "toolkit.health")
    clock = SimulatedClock()

    async def probe(toolkit, provider, at):
        """The time that a slow answer takes passes on the simulated clock only: 7-11 h."""
        row = await probe_quietly(toolkit, provider, at)
        late_ms = 60_000.0 if 7 <= clock.t / HOUR < 11 else 0.0
        return row | {"latency_ms": row["latency_ms"] + late_ms}

    monitor = new_monitor(toolkit, clock, probe=probe)
    with listing_server(a_scripted_day(clock)) as server:
        add(toolkit, "acme", server.url, default_model="small")
        asyncio.run(play(monitor, clock, 24 * HOUR))
    incidents = rows_of(toolkit, "incidents", "opened_at")
    told = [record.getMessage() for record in caplog.records if "incident" in record.getMessage()]

    def hours(when):
        return (when - START).total_seconds() / HOUR

    outage, slow, *flapping, key = incidents
    assert (outage["state"], outage["scope"]) == ("down", "provider")
    assert {(row["state"], row["scope"]) for row in flapping} == {("down", "provider")}
    assert (key["state"], key["scope"]) == ("auth_error", "key")
    assert 3 <= hours(outage["opened_at"]) < 3.3
    assert 4 <= hours(outage["closed_at"]) < 4.3
    assert (slow["state"], "slow" in slow["reason"]) == ("degraded", True)
    assert 7 <= hours(slow["opened_at"]) < 11 <= hours(slow["closed_at"]) < 11.5
    assert 1 <= len(flapping) <= 4  # it was down four times
    assert all(17 <= hours(row["opened_at"]) < 19 for row in flapping)
    assert 21 <= hours(key["opened_at"]) < 21.3
    assert 22 <= hours(key["closed_at"]) < 22.3
    n = len(incidents)
    assert Counter(line.split()[1] for line in told) == {"opened:": n, "closed:": n}
    probes = probes_of(toolkit, "acme")
    bad = [row["state"] for row in probes if 3 <= hours(row["probed_at"]) < 4]
    assert bad.index("down") <= 2
    assert {row["cost_usd"] for row in probes} == {0}
    assert {method for method, _ in server.asked} == {"GET"}
    storm = [row for row in probes if 15 <= hours(row["probed_at"]) < 16]
    assert {row["state"] for row in storm} == {"rate_limited"}
    assert rows_of(toolkit, "calls", "started_at") == []


def test_a_restart_finds_the_same_incident_and_tells_only_its_end(toolkit, caplog):
    caplog.set_level(logging.INFO, "toolkit.health")
    clock, is_down = SimulatedClock(), True
    with listing_server(lambda: (503, "", {}) if is_down else good()) as server:
        add(toolkit, "acme", server.url)
        first = new_monitor(toolkit, clock)
        asyncio.run(play(first, clock, HOUR))
        first.lease.release()
        is_down = False
        asyncio.run(play(new_monitor(toolkit, clock), clock, 2 * HOUR))
    (row,) = rows_of(toolkit, "incidents", "opened_at")
    assert row["closed_at"] is not None
    told = [record.getMessage().split(":")[0] for record in caplog.records]
    assert [line for line in told if "incident" in line] == ["incident opened", "incident closed"]


def test_real_calls_make_probes_needless(toolkit):
    clock = SimulatedClock()
    with listing_server(good) as server:
        add(toolkit, "busy", server.url)
        add(toolkit, "quiet", server.url.replace("127.0.0.1", "localhost"))

        def call():
            for number in range(6):
                toolkit.store.append(
                    "calls",
                    {
                        "call_id": f"{clock.t}-{number}",
                        "request_id": f"{clock.t}-{number}",
                        "provider": "busy",
                        "model": "busy/small",
                        "started_at": clock.now() - timedelta(minutes=number),
                        "status": "ok",
                        "source": "live",
                        "origin": "api",
                    },
                )

        async def some_hours():
            for _ in range(3):
                clock.t += 300.0
                call()
            for _ in range(10):
                await play(monitor, clock, 300.0)
                call()

        monitor = new_monitor(toolkit, clock)
        asyncio.run(some_hours())
    assert len(probes_of(toolkit, "busy")) == 0
    assert len(probes_of(toolkit, "quiet")) >= 3


class FakeWorld:
    """Remote providers of whom some answer; the tests may not leave this machine."""

    def __init__(self, *reachable):
        self.reachable = set(reachable)
        self.asked = []

    async def probe(self, toolkit, provider: Provider, at):
        self.asked.append((provider.name, at))
        row = {
            "probe_id": f"{provider.name}-{len(self.asked)}",
            "probed_at": at,
            "provider": provider.name,
            "kind": "list",
            "status": "ok",
            "cost_usd": 0,
        }
        if provider.name in self.reachable:
            return row
        code = {"error_code": "FETCH_MODELS_FAILED", "error_cause": "connect"}
        return {**row, **code, "status": "error", "blame": "network"}


def add_remote(toolkit, *names):
    for name in names:
        add(toolkit, name, f"https://{name}.example/v1", is_local=False)


@pytest.mark.parametrize("route", [True, False])
def test_when_this_machine_is_offline_nobody_is_down(toolkit, route, caplog):
    clock, world = SimulatedClock(), FakeWorld("one", "two", "three")
    add_remote(toolkit, "one", "two", "three")
    has_way_out = True
    monitor = new_monitor(toolkit, clock, probe=world.probe, route=lambda: has_way_out)

    async def story():
        nonlocal has_way_out
        await play(monitor, clock, HOUR / 2)
        world.reachable.clear()
        has_way_out = route
        before = len(world.asked)
        await play(monitor, clock, HOUR / 2)
        assert monitor.is_offline
        assert len(world.asked) - before < 40  # one scout a minute, not everybody
        world.reachable |= {"one", "two", "three"}
        has_way_out = True
        await play(monitor, clock, HOUR / 2)

    asyncio.run(story())
    assert not monitor.is_offline
    states = {row["state"] for row in rows_of(toolkit, "probes", "probed_at")}
    assert states == {"healthy"}
    lost = [row for row in rows_of(toolkit, "probes", "probed_at") if row["status"] == "error"]
    assert {(row["blame"], row["outcome"]) for row in lost} == {("local", "neutral")}
    assert rows_of(toolkit, "incidents", "opened_at") == []
    assert "this machine is offline" in caplog.text


def test_one_provider_that_is_lost_while_others_answer_is_down(toolkit):
    clock, world = SimulatedClock(), FakeWorld("one", "two")
    add_remote(toolkit, "one", "two", "gone")
    monitor = new_monitor(toolkit, clock, probe=world.probe)
    asyncio.run(play(monitor, clock, 2 * HOUR))
    assert not monitor.is_offline
    (row,) = rows_of(toolkit, "incidents", "opened_at")
    assert (row["provider"], row["state"], row["scope"]) == ("gone", "down", "provider")


def test_a_paused_provider_is_left_alone_until_it_is_resumed(toolkit):
    clock, world = SimulatedClock(), FakeWorld("one", "two")
    add_remote(toolkit, "one", "two")
    toolkit.health.pause("two")
    monitor = new_monitor(toolkit, clock, probe=world.probe)
    asyncio.run(play(monitor, clock, HOUR))
    assert {name for name, _ in world.asked} == {"one"}
    states = {row["provider"]: row["state"] for row in toolkit.health.status()}
    assert states["two"] == "paused"
    toolkit.health.resume("two")
    asyncio.run(play(monitor, clock, 2 * HOUR))
    assert {name for name, _ in world.asked} == {"one", "two"}


def test_a_store_that_is_locked_stops_no_probe_and_loses_none(toolkit, monkeypatch, caplog):
    clock, world = SimulatedClock(), FakeWorld("one", "two")
    add_remote(toolkit, "one", "two")
    monitor = new_monitor(toolkit, clock, probe=world.probe)

    def locked(*args, **more):
        raise StoreLocked("the store is in use by process 1")

    asyncio.run(play(monitor, clock, HOUR))
    with monkeypatch.context() as patch:
        patch.setattr(toolkit.store, "rows", locked)
        asyncio.run(play(monitor, clock, HOUR))
    asyncio.run(play(monitor, clock, HOUR))
    assert len(rows_of(toolkit, "probes", "probed_at")) == len(world.asked)
    assert len(world.asked) >= 2 * 3 * 3
    assert caplog.text.count("continues without the database") == 1


@pytest.mark.parametrize("jump_h", [-48, 1, 48])
def test_a_clock_that_jumps_makes_no_burst_and_no_silence(toolkit, jump_h):
    clock, world = SimulatedClock(), FakeWorld("one", "two", "three")
    add_remote(toolkit, "one", "two", "three")
    monitor = new_monitor(toolkit, clock, probe=world.probe)
    asked = []

    async def story():
        await play(monitor, clock, HOUR)
        clock.utc_offset = timedelta(hours=jump_h)
        before = len(world.asked)
        await play(monitor, clock, HOUR, lambda: asked.append((clock.t, len(world.asked))))
        assert 9 <= len(world.asked) - before <= 15

    asyncio.run(story())
    assert {row["state"] for row in rows_of(toolkit, "probes", "probed_at")} == {"healthy"}
    assert rows_of(toolkit, "incidents", "opened_at") == []


def test_five_hundred_providers_start_without_a_burst(toolkit):
    clock, names = SimulatedClock(), [f"p{i}" for i in range(500)]
    providers = {
        n: Provider(name=n, base_url=f"https://{n}.example/v1", needs_key=False) for n in names
    }
    world = FakeWorld(*names)
    monitor = new_monitor(toolkit, clock, probe=world.probe)
    monitor._book.update = lambda now: ({}, [])
    watched = toolkit.health.evidence.watched()
    toolkit.health.evidence.watched = lambda: type(watched)(None, 0.0, providers)
    asyncio.run(play(monitor, clock, 900.0))
    started = Counter(at.replace(microsecond=0) for _, at in world.asked)
    assert max(started.values()) <= 25
    assert {name for name, _ in world.asked} == set(names)


def test_a_provider_that_hangs_holds_up_nobody_else(toolkit):
    """The hanging one is in flight for all the time; the other is asked all the same."""
    clock, world = SimulatedClock(), FakeWorld("quick")
    add_remote(toolkit, "hangs", "quick")

    async def probe(toolkit, provider, at):
        if provider.name == "hangs":
            await asyncio.Event().wait()
        return await world.probe(toolkit, provider, at)

    monitor = new_monitor(toolkit, clock, probe=probe)

    async def story():
        for _ in range(30):
            clock.t += await monitor.tick()
            await asyncio.sleep(0.01)
        assert len([task for task in monitor._flights if not task.done()]) == 1
        for flight in monitor._flights:
            flight.cancel()
        await monitor.idle()

    asyncio.run(story())
    assert len(world.asked) >= 3


@pytest.mark.parametrize(
    ("answer", "status", "outcome"),
    [
        ((200, '{"error": {"message": "internal failure"}}'), "error", "bad"),
        ((200, '{"error": {"message": "Incorrect API key"}}'), "error", "auth"),
        ((401, '{"error": {"message": "no"}}'), "error", "auth"),
        ((429, ""), "error", "limited"),
        ((403, ""), "ok", "good"),
        ((404, ""), "ok", "good"),
        ((200, '{"hello": "world"}'), "skipped", "neutral"),
        ((500, ""), "error", "bad"),
        ((200, LISTING), "ok", "good"),
    ],
)
def test_what_a_listing_says(toolkit, answer, status, outcome):
    with listing_server(lambda: (*answer, {})) as server:
        add(toolkit, "acme", server.url)
        (row,) = toolkit.health.check("acme")
    assert (row["status"], row["outcome"]) == (status, outcome)


def test_a_key_that_its_own_check_refuses_is_no_outage(toolkit):
    """The listing is public, the key's own address answers 401."""
    answers = iter([good(), (401, "", {})] * 4)
    with listing_server(lambda: next(answers)) as server:
        provider = Provider(
            name="acme", base_url=server.url, is_local=True, key_check_path="/key", needs_key=True
        )
        toolkit.keys.resolve = lambda provider, given: ResolvedKey(
            secret=Secret("k" * 40), source="argument", name="given", fingerprint="…kkkk"
        )
        row = asyncio.run(probe_listing(toolkit, provider, START, is_manual=False))
    assert (row["error_code"], row["blame"]) == ("AUTHENTICATION_FAILED", "client")
