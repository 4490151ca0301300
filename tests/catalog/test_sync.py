"""Syncing over real sockets into a real store: ten providers, twice, and everything that fails."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.catalog import corpus
from tests.catalog.listing_server import Answer, Asked, ListingServer
from tests.catalog.replayed import EDITS, TEN, serve
from toolkit.catalog.catalog_store import CatalogStore
from toolkit.catalog.listings.listed_model import Listing
from toolkit.catalog.model_row import FLAPPING
from toolkit.catalog.sync import Syncer, SyncResult
from toolkit.errors import CatalogSyncFailed
from toolkit.providers.provider import Provider
from toolkit.secret import Secret
from toolkit.settings import Settings
from toolkit.store.store import Store


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    settings = Settings(home=home)
    settings.make_home()
    opened = Store(settings)
    yield opened
    opened.close()


@pytest.fixture
def server() -> Iterator[ListingServer]:
    with ListingServer() as running:
        yield running


def sync(
    store: Store, *providers: Provider, key: str | None = None, deadline_s: float = 20.0
) -> list[SyncResult]:
    secret = None if key is None else Secret(key)
    syncer = Syncer(store.settings, CatalogStore(store), lambda _: secret, deadline_s)
    return asyncio.run(syncer.sync(providers))


def provider(server: ListingServer, name: str = "acme", **fields: Any) -> Provider:
    plain = {"base_url": f"{server.origin}/{name}/v1", "is_local": True, "needs_key": False}
    return Provider(name=name, **{**plain, **fields})


def put(server: ListingServer, *names: str, provider: str = "acme") -> None:
    server.put(f"/{provider}/v1/models", {"data": [{"id": name} for name in names]})


def changes(store: Store, sync_ids_after: int = 0) -> list[tuple[Any, ...]]:
    rows = store.rows(
        "SELECT provider, model_id, kind, field, old, new FROM model_changes "
        "WHERE kind <> 'sync' ORDER BY changed_at, change_id"
    )
    return [tuple(row.values()) for row in rows][sync_ids_after:]


@corpus.needs_corpus
def test_ten_providers_are_synced_twice_and_exactly_the_differences_are_told(
    store: Store, server: ListingServer
) -> None:
    providers = [replayed.provider(server.origin) for replayed in TEN]
    for replayed in TEN:
        serve(server, replayed, replayed.payload())
    first = sync(store, *providers)
    assert [result.status for result in first] == ["ok"] * 10
    listed = {r.name: len(r.list_of(r.payload())) for r in TEN}
    assert {result.provider: result.models for result in first} == listed
    assert {result.provider: result.new for result in first} == listed
    told_first = len(changes(store))
    assert told_first == sum(listed.values())

    expected = []
    for replayed in TEN:
        payload = replayed.payload()
        for edit in EDITS[replayed.name]:
            told = edit(replayed.list_of(payload))
            expected += [(replayed.name, *row) for row in told]
        serve(server, replayed, payload)
    second = sync(store, *providers)
    assert sorted(changes(store, told_first), key=str) == sorted(expected, key=str)
    assert sum(result.new + result.gone + result.changed for result in second) == len(
        {row[:2] for row in expected}
    )
    third = sync(store, *providers)
    assert len(changes(store)) == told_first + len(expected)
    assert all(result.new == result.gone == result.changed == 0 for result in third)


@corpus.needs_corpus
def test_two_real_listings_seven_weeks_apart_differ_as_their_ids_do(
    store: Store, server: ListingServer
) -> None:
    before, after = "openrouter__models__2025-12-31__n353", "openrouter__models__2026-02-19__n344"
    ids = {name: {m["id"] for m in corpus.payload(name)["data"]} for name in (before, after)}
    for name in (before, after):
        server.put("/acme/v1/models", corpus.payload(name))
        (result,) = sync(store, provider(server))
    assert (result.new, result.gone) == (
        len(ids[after] - ids[before]),
        len(ids[before] - ids[after]),
    )
    rows = store.rows("SELECT model_id FROM models WHERE gone_at IS NULL")
    assert {row["model_id"] for row in rows} == ids[after]


def test_a_failing_provider_leaves_its_models_as_they_were_and_others_are_synced(
    store: Store, server: ListingServer
) -> None:
    put(server, "m", provider="good")
    put(server, "m", provider="bad")
    good, bad = provider(server, "good"), provider(server, "bad")
    sync(store, good, bad)
    before = store.rows("SELECT * FROM models WHERE provider = 'bad'")[0]
    server.put("/bad/v1/models", "<html>maintenance</html>", 503)
    results = {result.provider: result for result in sync(store, good, bad)}
    assert results["good"].status == "ok"
    failed = results["bad"]
    assert (failed.status, failed.cause) == ("error", "server_error")
    assert failed.message is not None and failed.hint
    after = store.rows("SELECT * FROM models WHERE provider = 'bad'")[0]
    differing = {name for name in before if before[name] != after[name]}
    assert differing == {"sync_status", "sync_error"}
    assert (after["sync_status"], after["sync_error"]) == ("error", failed.message)
    put(server, "m", provider="bad")
    sync(store, bad)
    row = store.rows("SELECT sync_status, sync_error FROM models WHERE provider = 'bad'")[0]
    assert row == {"sync_status": "ok", "sync_error": None}


def test_a_hanging_provider_holds_nobody_up(store: Store, server: ListingServer) -> None:
    """The slow one answers only after the quick one is written and told."""
    release = threading.Event()

    def hang(_: Asked) -> Answer:
        release.wait(60)
        return Answer("at last", 503)

    server.routes["/slow/v1/models"] = hang
    put(server, "m", provider="quick")
    heard: list[str] = []

    def hear(result: SyncResult) -> None:
        heard.append(result.provider)
        if result.provider == "quick":
            assert store.rows("SELECT model FROM models") == [{"model": "quick/m"}]
            release.set()

    syncer = Syncer(store.settings, CatalogStore(store), lambda _: None, 90)
    results = asyncio.run(syncer.sync([provider(server, "slow"), provider(server, "quick")], hear))
    assert heard == ["quick", "slow"]
    assert [result.status for result in results] == ["error", "ok"]


def test_a_missing_key_is_skipped_without_asking(store: Store, server: ListingServer) -> None:
    put(server, "m")
    (result,) = sync(store, provider(server, needs_key=True))
    assert result.status == "skipped" and result.message is not None
    assert server.asked == []
    (result,) = sync(store, provider(server, needs_key=True), key="sk-" + "x" * 40)
    assert result.status == "ok"
    assert server.asked[-1].headers["authorization"] == "Bearer sk-" + "x" * 40


def test_a_cloud_provider_that_suddenly_lists_nothing_is_not_believed(
    store: Store, server: ListingServer
) -> None:
    """A key of another project lists nothing; that does not make every model gone."""
    catalog_store = CatalogStore(store)
    syncer = Syncer(store.settings, catalog_store, lambda _: None)
    put(server, "m")
    sync(store, provider(server))
    put(server)
    (result,) = sync(store, provider(server))
    assert (result.status, result.gone) == ("ok", 1)  # a local server may really be empty
    put(server, "m")
    sync(store, provider(server))
    cloud = provider(server, is_local=False)
    with pytest.raises(CatalogSyncFailed) as caught:
        syncer._require_believable(cloud, Listing(models=()))
    assert caught.value.cause == "empty"


def test_an_address_that_is_not_allowed_is_an_error_of_that_provider_alone(
    store: Store, server: ListingServer
) -> None:
    put(server, "m")
    refused = provider(server, "other", is_local=False)
    results = sync(store, refused, provider(server))
    assert [result.status for result in results] == ["error", "ok"]
    assert results[0].message and "127.0.0.1" in results[0].message


def test_a_model_that_flickers_is_flagged_in_the_store(store: Store, server: ListingServer) -> None:
    for turn in range(5):
        put(server, "steady", *(["flicker"] if turn % 2 == 0 else []))
        sync(store, provider(server))
    flags = {r["model_id"]: r["flags"] for r in store.rows("SELECT model_id, flags FROM models")}
    assert flags == {"steady": [], "flicker": [FLAPPING]}
    for _ in range(8):
        put(server, "steady", "flicker")
        sync(store, provider(server))
    row = store.rows("SELECT flags FROM models WHERE model_id = 'flicker'")[0]
    assert row["flags"] == []


def test_a_switched_off_model_stays_off_through_syncs(store: Store, server: ListingServer) -> None:
    put(server, "a", "b")
    sync(store, provider(server))
    catalog_store = CatalogStore(store)
    row = catalog_store.find_row("acme", "a")
    assert row is not None
    catalog_store.write_edits([{**row, "is_enabled": False}], [], row["synced_at"])
    put(server, "b")
    sync(store, provider(server))
    put(server, "a", "b")
    sync(store, provider(server))
    rows = store.rows("SELECT model_id, is_enabled FROM models ORDER BY model_id")
    assert [row["is_enabled"] for row in rows] == [False, True]


def test_odd_items_reach_the_store_with_their_flags(store: Store, server: ListingServer) -> None:
    body = (
        '{"data": [{"id": "\\ud800x"}, {"id": "a/b c"}, {"id": "big", "extra": 1e999},'
        ' {"id": "deep", "extra": ' + "[" * 300 + "]" * 300 + "}, null,"
        ' {"id": "neg", "context_length": "-5", "pricing": {"prompt": "-3"}},'
        ' {"id": "' + "y" * 2000 + '", "blob": "' + "z" * 50_000 + '"}]}'
    )
    server.put("/acme/v1/models", body)
    (result,) = sync(store, provider(server))
    assert (result.status, result.models) == ("ok", 6)
    assert result.notes == ("items_without_id:1",)
    rows = {r["model_id"]: r for r in store.rows("SELECT model_id, flags, raw FROM models")}
    assert set(rows["neg"]["flags"]) == {"context_window:unreadable", "price_input:negative"}
    assert rows["a/b c"]["flags"] == ["id:spaces"]
    assert "left_out" in rows["y" * 2000]["raw"]
    (again,) = sync(store, provider(server))
    assert (again.new, again.gone, again.changed) == (0, 0, 0)


def test_prices_are_dated_rows_and_an_unchanged_price_is_no_new_row(
    store: Store, server: ListingServer
) -> None:
    def list_at(usd: str) -> None:
        item = {"id": "m", "pricing": {"prompt": usd, "completion": "0.000002"}}
        server.put("/acme/v1/models", [item])
        sync(store, provider(server))

    for usd in ("0.000001", "0.000001", "0.0000005"):
        list_at(usd)
    rows = store.rows("SELECT * FROM prices ORDER BY recorded_at, token_class")
    found = [(r["token_class"], float(r["usd_per_million"]), r["source"]) for r in rows]
    assert found == [
        ("input", 1.0, "listing"),
        ("output", 2.0, "listing"),
        ("input", 0.5, "listing"),
    ]
    model = store.rows("SELECT * FROM models")[0]
    assert model["price_id"] == rows[-1]["price_id"]
    assert float(model["input_usd_per_mtok"]) == 0.5


def test_a_store_that_cannot_be_written_is_told_and_nothing_is_raised(
    store: Store, server: ListingServer, home: Path
) -> None:
    put(server, "m")
    settings = Settings(home=home, store="quack:nowhere:1")
    syncer = Syncer(settings, CatalogStore(Store(settings)), lambda _: None)
    (result,) = asyncio.run(syncer.sync([provider(server)]))
    assert result.status == "error" and result.message
    server.put("/acme/v1/models", "down", 503)
    (result,) = asyncio.run(syncer.sync([provider(server)]))
    assert result.cause == "server_error"


def test_two_syncs_at_once_tell_each_change_once(store: Store, server: ListingServer) -> None:
    put(server, "a", "b")
    syncer = Syncer(store.settings, CatalogStore(store), lambda _: None)
    acme = provider(server)
    asyncio.run(syncer.sync([acme, acme, acme]))
    assert sorted(row[1:3] for row in changes(store)) == [("a", "new"), ("b", "new")]


# A process that takes its time between reading the rows and writing them back.
SYNCS = """
import asyncio, sys, time
from pathlib import Path
from toolkit.catalog import sync
from toolkit.catalog.catalog_store import CatalogStore
from toolkit.catalog.sync import Syncer
from toolkit.providers.provider import Provider
from toolkit.settings import Settings
from toolkit.store.store import Store

def compare_slowly(*args, compare=sync.compare_listing):
    outcome = compare(*args)
    time.sleep(1)
    return outcome

sync.compare_listing = compare_slowly
settings = Settings(home=Path(sys.argv[1]))
store = Store(settings)
acme = Provider(name="acme", base_url=sys.argv[2], is_local=True, needs_key=False)
(result,) = asyncio.run(Syncer(settings, CatalogStore(store), lambda _: None).sync([acme]))
assert result.status == "ok", result
store.close()
"""


def test_processes_that_sync_at_once_tell_each_change_once(
    store: Store, server: ListingServer
) -> None:
    started = threading.Barrier(3)

    def answer(_: Asked) -> Answer:
        started.wait(60)  # nobody has written when the last one asks
        return Answer({"data": [{"id": "a"}, {"id": "b"}]})

    server.routes["/acme/v1/models"] = answer
    command = [sys.executable, "-c", SYNCS, str(store.settings.home), f"{server.origin}/acme/v1"]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert sorted(row[1:3] for row in changes(store)) == [("a", "new"), ("b", "new")]
