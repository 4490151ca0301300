"""`tk.catalog` over a real store, real providers and recorded calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import toolkit as tk
from tests.catalog.listing_server import ListingServer
from toolkit.errors import InvalidInput, ModelNotFound, ProviderNotFound
from toolkit.records import Call
from toolkit.toolkit import Toolkit, current

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)


@pytest.fixture
def toolkit() -> Toolkit:
    return current()


@pytest.fixture
def server() -> Iterator[ListingServer]:
    with ListingServer() as running:
        yield running


def add(toolkit: Toolkit, server: ListingServer, name: str = "acme", **fields: Any) -> None:
    plain = {"base_url": f"{server.origin}/{name}/v1", "is_local": True, "needs_key": False}
    toolkit.providers.registry.add(name, **{**plain, **fields})


def put(server: ListingServer, *items: Any, provider: str = "acme") -> None:
    data = [item if isinstance(item, dict) else {"id": item} for item in items]
    server.put(f"/{provider}/v1/models", {"data": data})


def called(toolkit: Toolkit, model: str, **fields: Any) -> None:
    provider = model.partition("/")[0]
    number = len(toolkit.store.rows("SELECT call_id FROM calls"))
    plain: dict[str, Any] = {
        "call_id": f"call-{number:04}",
        "request_id": f"request-{number:04}",
        "attempt": 1,
        "attempt_kind": "first",
        "origin": "api",
        "started_at": NOON,
        "seq": number,
        "status": "ok",
        "input_tokens": 1000,
        "output_tokens": 100,
    }
    call = Call(provider=provider, model=model, **{**plain, **fields})
    toolkit.store.append("calls", call.as_row())


def priced(model_id: str, usd_in: str, usd_out: str, **fields: Any) -> dict[str, Any]:
    pricing = {"input": float(usd_in), "output": float(usd_out), "unit": "usd_per_1m_tokens"}
    return {"id": model_id, "pricing": pricing, **fields}


def test_what_tk_models_gives_is_what_the_catalog_gives(
    toolkit: Toolkit, server: ListingServer
) -> None:
    add(toolkit, server)
    put(server, "a", priced("b", "1", "2"))
    report = tk.catalog.sync("acme")
    assert [(r.provider, r.status, r.models) for r in report] == [("acme", "ok", 2)]
    assert report.frame()["new"].tolist() == [2]
    plain, face = tk.models(), tk.catalog.frame()
    assert plain["model"].tolist() == face["model"].tolist() == ["acme/a", "acme/b"]
    assert list(face.columns)[: len(plain.columns)] == list(plain.columns)
    assert tk.models(model_id="b")["input_usd_per_mtok"].tolist() == [Decimal(1)]


def test_an_unknown_provider_is_refused_and_one_out_of_use_is_left_alone(
    toolkit: Toolkit, server: ListingServer
) -> None:
    add(toolkit, server)
    put(server, "a")
    with pytest.raises(ProviderNotFound):
        tk.catalog.sync(["nobody"])
    toolkit.providers.registry.disable("acme")
    assert "acme" not in {result.provider for result in tk.catalog.sync()}


def test_search_and_filters_narrow_the_frame(toolkit: Toolkit, server: ListingServer) -> None:
    add(toolkit, server)
    put(server, {"id": "org/Alpha-Chat", "owned_by": "Org"}, {"id": "beta", "owned_by": "org"})
    tk.catalog.sync("acme")
    assert tk.catalog.frame("ORG alpha")["model_id"].tolist() == ["org/Alpha-Chat"]
    assert tk.catalog.frame("org")["model_id"].tolist() == ["beta", "org/Alpha-Chat"]
    assert tk.catalog.frame("100%_").empty
    assert tk.catalog.frame(is_enabled=False).empty
    with pytest.raises(InvalidInput):
        tk.catalog.frame(colour="red")


def test_callable_means_that_a_live_call_was_answered(
    toolkit: Toolkit, server: ListingServer
) -> None:
    add(toolkit, server)
    put(server, "good", "refused", "untried", "replayed")
    tk.catalog.sync("acme")
    called(toolkit, "acme/good", key_fingerprint="…abcd")
    called(toolkit, "acme/good", status="error", started_at=NOON + timedelta(hours=1))
    called(toolkit, "acme/refused", status="error", error_code="PERMISSION_DENIED")
    called(toolkit, "acme/replayed", source="replay")
    called(toolkit, "acme/secret-model")
    assert tk.catalog.frame(callable=True)["model_id"].tolist() == ["good"]
    assert len(tk.catalog.frame(callable=False)) == 3
    truth = tk.catalog.truth().set_index("model")
    tried = truth["called"].dropna().to_dict()
    assert tried == {"acme/good": True, "acme/refused": False, "acme/secret-model": True}
    assert set(truth.index) - set(tried) == {"acme/replayed", "acme/untried"}
    good = truth.loc["acme/good"]
    assert good["called_at"] == NOON and good["last_status"] == "error"
    assert good["key_fingerprint"] == "…abcd"
    assert truth.loc["acme/refused", "error_code"] == "PERMISSION_DENIED"
    assert not truth.loc["acme/secret-model", "listed"]
    assert truth["listed"].sum() == 4


def test_the_matrix_says_which_maps_know_a_model(toolkit: Toolkit) -> None:
    """The rows of a well-known host, written as a sync would write them."""
    from toolkit.catalog.listings.listed_model import ListedModel, Listing
    from toolkit.catalog.sync_diff import SyncInput, compare_listing

    openai = toolkit.providers.registry.require("openai")
    models = (ListedModel(model_id="gpt-5-mini"), ListedModel(model_id="gpt-unheard-of"))
    step = SyncInput(openai, Listing(models=models), NOON, "sync")
    toolkit.catalog.catalog_store.write_sync(step, compare_listing(step, {}, {}))
    truth = tk.catalog.truth("openai").set_index("model_id")
    known, unheard = truth.loc["gpt-5-mini"], truth.loc["gpt-unheard-of"]
    assert known["in_litellm"] and known["in_genai_prices"]
    assert known["litellm_key"] == "gpt-5-mini"
    assert "context_window_tokens" in list(known["conflicts"])  # 272,000 against 400,000
    assert not unheard["in_litellm"] and not unheard["in_genai_prices"]
    row = tk.catalog.show("openai/gpt-5-mini")
    assert [claim["source"] for claim in row["claims"]["price:input"]] == [
        "litellm",
        "genai-prices",
    ]
    assert row["input_usd_per_mtok"] == Decimal("0.25")


def test_changes_can_be_asked_for_by_day_kind_and_model(
    toolkit: Toolkit, server: ListingServer
) -> None:
    add(toolkit, server)
    put(server, priced("a", "1", "2"), "b")
    tk.catalog.sync("acme")
    between = datetime.now(UTC)
    put(server, priced("a", "3", "2"), "c")
    tk.catalog.sync("acme")
    later = tk.catalog.changes(since=between)
    assert sorted(later["words"]) == [
        "input $1 → $3 per million (+200 %)",
        "new",
        "no longer listed",
    ]
    assert len(tk.catalog.changes(since=date.today() - timedelta(days=1))) == 5
    assert tk.catalog.changes(since="2999-01-01").empty
    assert tk.catalog.changes(kinds=["gone"])["model"].tolist() == ["acme/b"]
    assert len(tk.catalog.changes(model="acme/a")) == 2
    with pytest.raises(InvalidInput):
        tk.catalog.changes(kinds=["sunshine"])
    with pytest.raises(InvalidInput):
        tk.catalog.changes(since="last tuesday")


def test_models_are_switched_by_name_and_pattern(toolkit: Toolkit, server: ListingServer) -> None:
    add(toolkit, server)
    put(server, "x/one", "x/two", "y")
    tk.catalog.sync("acme")
    assert tk.catalog.disable("acme/x/*") == 2
    assert tk.catalog.disable("acme/x/*") == 0
    assert tk.catalog.choices() == ["acme/y"]
    assert tk.catalog.enable("acme/x/one") == 1
    with pytest.raises(ModelNotFound):
        tk.catalog.enable("acme/z")
    tk.catalog.sync("acme")
    assert tk.catalog.choices() == ["acme/x/one", "acme/y"]


def test_retirements_warn_at_ninety_sixty_and_thirty_days(
    toolkit: Toolkit, server: ListingServer
) -> None:
    add(toolkit, server)
    today = date(2026, 11, 21)
    days = {"past": -1, "soon": 30, "later": 31, "far": 90, "never": 91}
    put(server, *days)
    tk.catalog.sync("acme")
    for name, left in days.items():
        fact = {"retires_on": today + timedelta(days=left), "successor": "next"}
        tk.catalog.override(f"acme/{name}", fact)
    called(toolkit, "acme/soon")
    frame = tk.catalog.retirements(today=today).set_index("model")
    assert frame["warning"].to_dict() == {
        "acme/past": 0,
        "acme/soon": 30,
        "acme/later": 60,
        "acme/far": 90,
    }
    assert frame.loc["acme/soon", "calls_30d"] == 1
    assert frame.loc["acme/soon", "successor"] == "next"
    assert tk.catalog.retirements(30, today=today).shape[0] == 2


def test_an_override_stands_before_the_listing_and_survives_syncs(
    toolkit: Toolkit, server: ListingServer
) -> None:
    add(toolkit, server)
    put(server, priced("a", "1", "2", context_length=8000))
    tk.catalog.sync("acme")
    tk.catalog.override(
        "acme/a", {"price:input": "0.5", "capability:tools": True}, on=date(2026, 11, 1)
    )
    put(server, priced("a", "1.5", "2", context_length=9000))
    tk.catalog.sync("acme")
    row = tk.catalog.show("acme/a")
    assert row["input_usd_per_mtok"] == Decimal("0.5") and row["price_source"] == "override"
    assert row["context_window"] == 9000 and "tools" in row["capabilities"]
    assert "price:input" in row["conflicts"]
    assert [c["value"] for c in row["claims"]["price:input"]] == ["0.5", "1.5"]
    tk.catalog.override("acme/a", {"price:input": None, "capability:tools": None})
    assert tk.catalog.show("acme/a")["input_usd_per_mtok"] == Decimal("1.5")
    for values in ({"price:input": -1}, {"price:input": "cheap"}, {"colour": "red"}):
        with pytest.raises(InvalidInput):
            tk.catalog.override("acme/a", values)


def test_repricing_answers_what_calls_would_have_cost_and_rewrites_nothing(
    toolkit: Toolkit, server: ListingServer
) -> None:
    add(toolkit, server)
    tiered = {
        "id": "tiered",
        "model_spec": {
            "pricing": {
                "input": {"usd": 1},
                "output": {"usd": 2},
                "extended": {
                    "context_token_threshold": 5000,
                    "input": {"usd": 10},
                    "output": {"usd": 20},
                },
            }
        },
    }
    put(server, priced("a", "1", "2"), priced("cheap", "0.1", "0.2"), tiered, "unpriced")
    tk.catalog.sync("acme")
    called(toolkit, "acme/a", cost_usd=Decimal("0.5"))
    called(toolkit, "acme/a", cost_usd=Decimal("0.5"), cached_input_tokens=400)
    called(toolkit, "acme/a", input_tokens=None, output_tokens=None)
    called(toolkit, "acme/a", source="replay", cost_usd=Decimal(100))
    called(toolkit, "acme/tiered")
    called(toolkit, "acme/tiered", input_tokens=6000)
    called(toolkit, "acme/unpriced")
    before = tk.sql("SELECT * FROM calls")
    now = tk.catalog.reprice().set_index("model")
    a = now.loc["acme/a"]
    assert (a["calls"], a["unpriced_calls"]) == (3, 1)
    assert a["recorded_usd"] == Decimal(1)
    assert a["repriced_usd"] == Decimal("0.0024")  # 2,000 x $1 + 200 x $2, per million
    assert a["difference_usd"] == Decimal("-0.9976")
    # 1,000 and 100 tokens at $1 and $2; 6,000 and 100 above the threshold at $10 and $20
    assert now.loc["acme/tiered", "repriced_usd"] == Decimal("0.0632")
    assert now.loc["acme/unpriced", "repriced_usd"] is None
    assert now.loc["acme/unpriced", "unpriced_calls"] == 1
    there = tk.catalog.reprice(as_="acme/cheap").set_index("model")
    assert there.loc["acme/a", "repriced_usd"] == Decimal("0.00024")
    assert set(there["repriced_as"]) == {"acme/cheap"}
    assert tk.catalog.reprice(since=NOON + timedelta(days=1)).empty
    assert tk.sql("SELECT * FROM calls").equals(before)


def test_repricing_on_a_day_takes_the_price_of_that_day(
    toolkit: Toolkit, server: ListingServer
) -> None:
    add(toolkit, server)
    put(server, priced("a", "1", "2"))
    tk.catalog.sync("acme")
    called(toolkit, "acme/a")
    tk.catalog.override("acme/a", {"price:input": 7, "price:output": 9}, on=date(2026, 6, 1))
    june = tk.catalog.reprice(at="2026-07-01").iloc[0]
    assert june["repriced_usd"] == Decimal("0.0079") and june["price_source"] == "override"
    may = tk.catalog.reprice(at="2026-05-01").iloc[0]
    assert may["repriced_usd"] is None and may["unpriced_calls"] == 1
    called(toolkit, "openai/o3")
    old = tk.catalog.reprice(at="2025-06-01").set_index("model").loc["openai/o3"]
    new = tk.catalog.reprice(at="2025-07-01").set_index("model").loc["openai/o3"]
    assert old["repriced_usd"] == Decimal("0.014") and new["repriced_usd"] == Decimal("0.0028")
    assert old["price_source"] == "genai-prices"


def test_price_history_has_every_step(toolkit: Toolkit, server: ListingServer) -> None:
    add(toolkit, server)
    for usd in ("1", "0.5", "0.25"):
        put(server, priced("a", usd, "2"))
        tk.catalog.sync("acme")
    history = tk.catalog.price_history("acme/a")
    inputs = history[history["token_class"] == "input"]["usd_per_million"]
    assert [str(usd.normalize()) for usd in inputs] == ["1", "0.5", "0.25"]
    with pytest.raises(ModelNotFound):
        tk.catalog.price_history("acme/nobody")


def test_the_same_model_elsewhere_is_found_by_the_end_of_its_id(
    toolkit: Toolkit, server: ListingServer
) -> None:
    for name in ("acme", "other"):
        add(toolkit, server, name)
    put(server, "llama-4-70b")
    put(server, priced("meta/Llama-4-70B", "1", "2"), provider="other")
    tk.catalog.sync(["acme", "other"])
    shown = tk.catalog.show("acme/llama-4-70b")
    assert [row["model"] for row in shown["elsewhere"]] == ["other/meta/Llama-4-70B"]


def test_only_what_is_due_is_synced_on_schedule(toolkit: Toolkit, server: ListingServer) -> None:
    add(toolkit, server)
    add(toolkit, server, "manual", auto_sync=False)
    put(server, "a")
    toolkit.providers.registry.disable("local")
    due = asyncio.run(tk.catalog.sync_due())
    assert [result.provider for result in due] == ["acme"]
    assert len(asyncio.run(tk.catalog.sync_due())) == 0
    tomorrow = datetime.now(UTC) + timedelta(hours=25)
    assert len(asyncio.run(tk.catalog.sync_due(tomorrow))) == 1


def test_the_last_sync_of_each_provider_is_told_even_where_it_has_no_models(
    toolkit: Toolkit, server: ListingServer
) -> None:
    add(toolkit, server)
    add(toolkit, server, "broken")
    put(server, "a")
    tk.catalog.sync(["acme", "broken"])
    syncs = tk.catalog.syncs().set_index("provider")
    assert syncs["status"].to_dict() == {"acme": "ok", "broken": "error"}
    assert "404" in syncs.loc["broken", "error"]
    assert syncs.loc["acme", "models"] == "1"
