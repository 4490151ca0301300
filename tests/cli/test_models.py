"""`toolkit models` end to end: real arguments, a real listing server, a real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.catalog.listing_server import ListingServer
from toolkit.cli import main
from toolkit.records import Call
from toolkit.toolkit import Toolkit, current


@pytest.fixture
def server() -> Iterator[ListingServer]:
    with ListingServer() as running:
        yield running


@pytest.fixture
def toolkit(server: ListingServer) -> Toolkit:
    """One provider, `acme`, with two models listed."""
    opened = current()
    opened.providers.registry.add(
        "acme", base_url=f"{server.origin}/v1", is_local=True, needs_key=False
    )
    put(server, item("small", "0.1", "0.2"), item("large", "1", "2", context_length=128_000))
    return opened


def item(model_id: str, usd_in: str, usd_out: str, **fields: Any) -> dict[str, Any]:
    features = {"supported_features": ["tools", "reasoning"]}
    pricing = {"input": float(usd_in), "output": float(usd_out), "unit": "usd_per_1m_tokens"}
    return {"id": model_id, "pricing": pricing, **features, **fields}


def put(server: ListingServer, *items: Any) -> None:
    server.put("/v1/models", {"data": list(items)})


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `toolkit models ARGS`; returns exit code, stdout (parsed with --json) and stderr."""

    def call(*args: str) -> tuple[int, Any, str]:
        code = main(["models", *args])
        out, err = capsys.readouterr()
        return code, json.loads(out) if "--json" in args else out, err

    return call


def record(toolkit: Toolkit, model_id: str, **fields: Any) -> None:
    call = Call(
        call_id=f"call-{model_id}-{len(fields)}",
        request_id="request",
        attempt=1,
        attempt_kind="first",
        origin="api",
        started_at=datetime.now(UTC) - timedelta(hours=1),
        seq=0,
        provider="acme",
        model=f"acme/{model_id}",
        status="ok",
        input_tokens=1000,
        output_tokens=100,
        cost_usd=Decimal("0.01"),
        **fields,
    )
    toolkit.store.append("calls", call.as_row())


def test_sync_prints_one_row_per_provider(toolkit: Toolkit, run: Any) -> None:
    code, rows, _ = run("sync", "acme", "--json")
    assert code == 0
    assert [(r["provider"], r["status"], r["models"], r["new"]) for r in rows] == [
        ("acme", "ok", 2, 2)
    ]
    code, out, err = run("sync", "--provider", "acme")
    assert code == 0 and "acme" in out and "Listing models" in err


def test_a_sync_that_fails_says_why_and_ends_with_one(
    toolkit: Toolkit, server: ListingServer, run: Any
) -> None:
    run("sync", "acme")
    server.put("/v1/models", "<html>log in</html>")
    code, rows, _ = run("sync", "acme", "--json")
    assert code == 1
    assert (rows[0]["status"], rows[0]["cause"]) == ("error", "html")
    code, _, err = run("sync", "acme")
    assert code == 1 and "web page" in err
    _, listed, _ = run("list", "--json")
    assert {row["sync_status"] for row in listed} == {"error"} and len(listed) == 2


def test_an_unknown_provider_is_told_without_a_traceback(toolkit: Toolkit, run: Any) -> None:
    code, out, _ = run("sync", "nobody", "--json")
    assert code == 1 and out["error"]["code"] == "PROVIDER_NOT_FOUND"


def test_list_searches_and_filters(toolkit: Toolkit, run: Any) -> None:
    run("sync", "acme")
    assert [r["model"] for r in run("list", "--json")[1]] == ["acme/large", "acme/small"]
    assert [r["model"] for r in run("list", "LARGE", "--json")[1]] == ["acme/large"]
    assert run("list", "--provider", "other", "--json")[1] == []
    assert len(run("list", "--can", "tools", "--can", "reasoning", "--json")[1]) == 2
    assert run("list", "--can", "vision", "--json")[1] == []
    row = run("list", "large", "--json")[1][0]
    assert (row["input_usd_per_mtok"], row["context_window"]) == (1.0, 128_000)
    code, out, err = run("list", "--limit", "1")
    assert code == 0 and "$1.00 / $2.00" in out and "1 more" in err


def test_an_empty_catalog_says_how_to_fill_it(run: Any) -> None:
    code, out, err = run("list")
    assert code == 0 and out == "" and "toolkit models sync" in err


def test_callable_lists_only_what_answered_a_live_call(toolkit: Toolkit, run: Any) -> None:
    run("sync", "acme")
    assert run("list", "--callable", "--json")[1] == []
    record(toolkit, "small")
    record(toolkit, "large", source="replay")
    rows = run("list", "--callable", "--json")[1]
    assert [row["model"] for row in rows] == ["acme/small"]
    matrix = {row["model"]: row for row in run("truth", "--json")[1]}
    assert matrix["acme/small"]["called"] is True
    assert matrix["acme/large"]["called"] is None


def test_vanished_models_are_hidden_unless_asked_for(
    toolkit: Toolkit, server: ListingServer, run: Any
) -> None:
    run("sync", "acme")
    put(server, item("small", "0.1", "0.2"))
    run("sync", "acme")
    assert [r["model"] for r in run("list", "--json")[1]] == ["acme/small"]
    assert len(run("list", "--gone", "--json")[1]) == 2


def test_changes_since_a_day_tell_exactly_the_differences(
    toolkit: Toolkit, server: ListingServer, run: Any
) -> None:
    run("sync", "acme")
    between = datetime.now(UTC).isoformat()
    put(server, item("large", "3", "2", context_length=128_000), item("next", "1", "1"))
    run("sync", "acme")
    rows = run("changes", "--since", between, "--json")[1]
    told = sorted((r["model"], r["kind"], r["field"], r["old"], r["new"]) for r in rows)
    assert [tuple(map(str, row)) for row in told] == [
        ("acme/large", "price", "input", "1", "3"),
        ("acme/next", "new", "None", "None", "None"),
        ("acme/small", "gone", "None", "active", "None"),
    ]
    today = datetime.now(UTC).date().isoformat()
    assert len(run("changes", "--since", today, "--json")[1]) == 5
    assert len(run("changes", "--kind", "price", "--json")[1]) == 1
    out = run("changes", "--kind", "new")[1]
    assert "2 models listed for the first time" in out and "acme/*" in out
    out = run("changes", "--since", between, "--kind", "price")[1]
    assert "input $1 → $3 per million (+200 %)" in out
    code, failure, _ = run("changes", "--since", "someday", "--json")
    assert code == 2 and failure["error"]["code"] == "INVALID_INPUT"


def test_show_prints_sources_history_and_changes(toolkit: Toolkit, run: Any) -> None:
    run("sync", "acme")
    found = run("show", "acme/large", "--json")[1]
    assert found["claims"]["price:input"][0]["source"] == "provider"
    assert {row["token_class"] for row in found["price_history"]} == {"input", "output"}
    code, out, _ = run("show", "acme/large")
    assert code == 0 and "Facts by source" in out and "Prices over time" in out
    code, failure, _ = run("show", "acme/nothing", "--json")
    assert code == 1 and failure["error"]["code"] == "MODEL_NOT_FOUND"


def test_models_are_switched_by_pattern(toolkit: Toolkit, run: Any) -> None:
    run("sync", "acme")
    assert run("disable", "acme/*", "--json")[1] == {"switched": 2, "to": "off"}
    assert {row["is_enabled"] for row in run("list", "--json")[1]} == {False}
    assert run("enable", "acme/small", "--json")[1]["switched"] == 1
    assert run("enable", "acme/none", "--json")[0] == 1


def test_an_override_is_in_force_and_can_be_undone(toolkit: Toolkit, run: Any) -> None:
    run("sync", "acme")
    run("override", "acme/large", "input=0.5", "context=99", "vision=yes", "--on", "2026-01-01")
    row = run("list", "large", "--json")[1][0]
    assert (row["input_usd_per_mtok"], row["price_source"]) == (0.5, "override")
    assert row["context_window"] == 99 and "vision" in row["capabilities"]
    run("override", "acme/large", "input=", "context=", "vision=")
    row = run("list", "large", "--json")[1][0]
    assert (row["input_usd_per_mtok"], row["context_window"]) == (1.0, 128_000)
    assert run("override", "acme/large", "input=-1", "--json")[0] == 2
    assert run("override", "acme/large", "nonsense", "--json")[0] == 2


def test_reprice_compares_what_calls_cost_with_what_they_would_cost(
    toolkit: Toolkit, run: Any
) -> None:
    run("sync", "acme")
    record(toolkit, "large")
    (row,) = run("reprice", "--since", "1d", "--json")[1]
    assert (row["recorded_usd"], row["repriced_usd"]) == (0.01, 0.0012)
    (there,) = run("reprice", "--since", "1d", "--as", "acme/small", "--json")[1]
    assert there["repriced_as"] == "acme/small" and there["repriced_usd"] == 0.00012
    (then,) = run("reprice", "--since", "1d", "--at", "2020-01-01", "--json")[1]
    assert then["repriced_usd"] is None and then["unpriced_calls"] == 1
    assert "$0.0012" in run("reprice", "--since", "1d")[1]
    assert run("reprice", "--at", "monday", "--json")[0] == 2
    assert run("reprice", "--as", "nomodel", "--json")[0] == 2


def test_retiring_lists_what_ends(toolkit: Toolkit, run: Any) -> None:
    run("sync", "acme")
    soon = (datetime.now(UTC).date() + timedelta(days=20)).isoformat()
    run("override", "acme/small", f"retires_on={soon}", "successor=large")
    (row,) = run("retiring", "--json")[1]
    assert (row["model"], row["retires_on"], row["days_left"]) == ("acme/small", soon, 20)
    assert (row["warning"], row["successor"]) == (30, "large")
    assert run("retiring", "--days", "10", "--json")[1] == []
