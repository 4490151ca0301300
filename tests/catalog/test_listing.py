"""Asking for a listing over a real socket: addresses, keys, pages, and every way it goes wrong."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.catalog.listing_server import Answer, Asked, ListingServer
from toolkit.catalog.dialects import read_item
from toolkit.catalog.listings.fetch import (
    MAX_PAGES,
    Gathering,
    fetch_listing,
    find_items,
    next_cursor,
)
from toolkit.catalog.listings.listed_model import Listing
from toolkit.errors import CatalogSyncFailed
from toolkit.providers.provider import Provider
from toolkit.secret import Secret


@pytest.fixture
def server() -> Iterator[ListingServer]:
    with ListingServer() as running:
        yield running


def provider(base_url: str, type: Any = "openai-compatible", **fields: Any) -> Provider:
    return Provider(name="some", type=type, base_url=base_url, is_local=True, **fields)


def fetch(asked: Any, key: str | None = None, deadline_s: float = 10.0) -> Listing:
    async def run() -> Listing:
        async with httpx.AsyncClient(trust_env=False) as http:
            secret = None if key is None else Secret(key)
            return await fetch_listing(asked, secret, http, deadline_s=deadline_s)

    return asyncio.run(run())


def refuse(asked: Any, **options: Any) -> CatalogSyncFailed:
    with pytest.raises(CatalogSyncFailed) as caught:
        fetch(asked, **options)
    assert caught.value.hint
    return caught.value


def ids(listing: Listing) -> list[str]:
    return [model.model_id for model in listing.models]


@pytest.mark.parametrize(
    ("type", "base", "path", "query"),
    [
        ("openai", "/v1", "/v1/models", {}),
        ("openai-compatible", "/openai/v1/", "/openai/v1/models", {}),
        ("anthropic", "", "/v1/models", {"limit": "1000"}),
        ("anthropic", "/v1", "/v1/models", {"limit": "1000"}),
        ("gemini", "", "/v1beta/models", {"pageSize": "1000"}),
        ("gemini", "/v1beta", "/v1beta/models", {"pageSize": "1000"}),
        ("gemini", "/v1beta/openai", "/v1beta/models", {"pageSize": "1000"}),
        ("ollama", "", "/api/tags", {}),
        ("ollama", "/v1", "/api/tags", {}),
        ("azure", "/openai", "/openai/v1/models", {}),
        ("azure", "/openai/v1", "/openai/v1/models", {}),
    ],
)
def test_each_type_is_asked_where_it_lists(
    server: ListingServer, type: str, base: str, path: str, query: dict[str, str]
) -> None:
    server.put(path, {"data": [{"id": "m"}]})
    listing = fetch(provider(server.origin + base, type))
    assert ids(listing) == ["m"]
    assert listing.url == server.origin + path
    asked = next(a for a in server.asked if a.method == "GET")
    assert (asked.path, asked.query) == (path, query)


@pytest.mark.parametrize(
    ("type", "header", "prefix"),
    [
        ("openai", "authorization", "Bearer "),
        ("anthropic", "x-api-key", ""),
        ("gemini", "x-goog-api-key", ""),
        ("azure", "api-key", ""),
        ("ollama", "authorization", "Bearer "),
    ],
)
def test_the_key_goes_where_each_type_wants_it_and_nowhere_else(
    server: ListingServer, type: str, header: str, prefix: str
) -> None:
    key = "sk-" + "x" * 40
    for path in ("/v1/models", "/models", "/v1beta/models", "/api/tags", "/openai/v1/models"):
        server.put(path, [{"id": "m"}])
    fetch(provider(server.origin, type, headers={"X-Team": "7"}), key=key)
    asked = next(a for a in server.asked if a.method == "GET")
    assert asked.headers[header] == prefix + key
    assert [name for name, value in asked.headers.items() if key in value] == [header]
    assert asked.headers["x-team"] == "7"
    assert ("anthropic-version" in asked.headers) is (type == "anthropic")


def test_a_listing_under_v1_is_found_where_the_base_url_leaves_it_out(
    server: ListingServer,
) -> None:
    server.put("/v1/models", {"data": [{"id": "sonar"}]})
    assert ids(fetch(provider(server.origin))) == ["sonar"]
    assert [asked.path for asked in server.asked] == ["/models", "/v1/models"]


def test_lm_studio_is_asked_for_its_own_listing_first(server: ListingServer) -> None:
    asked = provider(server.origin + "/v1", listing="lm-studio")
    server.put("/v1/models", {"data": [{"id": "q"}]})
    assert fetch(asked).models[0].context_window_tokens is None
    own = {"id": "q", "type": "llm", "arch": "qwen2", "max_context_length": 32768}
    server.put("/api/v0/models", {"data": [own]})
    assert fetch(asked).models[0].context_window_tokens == 32_768


def test_azure_falls_back_to_its_dated_api(server: ListingServer) -> None:
    server.put("/openai/models", {"data": [{"id": "gpt"}]})
    assert ids(fetch(provider(server.origin, "azure"))) == ["gpt"]
    assert server.asked[-1].query == {"api-version": "2024-10-21"}


def test_anthropic_pages_are_followed_by_the_last_id(server: ListingServer) -> None:
    def page(asked: Asked) -> Answer:
        start = int(asked.query.get("after_id", "m0").removeprefix("m")) + 1
        names = [f"m{i}" for i in range(start, min(start + 2, 6))]
        items = [{"type": "model", "id": n, "display_name": n} for n in names]
        return Answer({"data": items, "has_more": start + 2 < 6, "last_id": names[-1]})

    server.routes["/v1/models"] = page
    listing = fetch(provider(server.origin, "anthropic"))
    assert ids(listing) == ["m1", "m2", "m3", "m4", "m5"]
    assert listing.complete and listing.pages == 3


def test_gemini_pages_are_followed_by_token(server: ListingServer) -> None:
    pages = {
        "": {"models": [{"name": "models/a"}], "nextPageToken": "t/2="},
        "t/2=": {"models": [{"name": "models/b"}]},
    }
    server.routes["/v1beta/models"] = lambda asked: Answer(pages[asked.query.get("pageToken", "")])
    listing = fetch(provider(server.origin, "gemini"))
    assert ids(listing) == ["a", "b"] and listing.complete


def test_coheres_token_on_the_last_page_ends_quietly(server: ListingServer) -> None:
    last = {"models": [{"name": "command", "endpoints": ["chat"]}], "next_page_token": "S_-x=="}
    server.put("/v1/models", last)
    listing = fetch(provider(server.origin + "/v1"))
    assert ids(listing) == ["command"]
    assert listing.complete and listing.notes == ()


def test_a_page_loop_ends_and_says_that_the_rest_is_unknown(server: ListingServer) -> None:
    turns = {"": ("a", "1"), "1": ("b", "2"), "2": ("a", "1")}

    def page(asked: Asked) -> Answer:
        name, token = turns[asked.query.get("pageToken", "")]
        return Answer({"models": [{"name": f"models/{name}"}], "nextPageToken": token})

    server.routes["/v1beta/models"] = page
    listing = fetch(provider(server.origin, "gemini"))
    assert ids(listing) == ["a", "b"]
    assert not listing.complete and listing.notes == ("paging:loop",)
    assert len(server.asked) == 3


def test_endless_pages_of_ever_new_models_end_at_the_limit(server: ListingServer) -> None:
    def page(asked: Asked) -> Answer:
        number = int(asked.query.get("pageToken", "0")) + 1
        return Answer({"models": [{"name": f"models/m{number}"}], "nextPageToken": str(number)})

    server.routes["/v1beta/models"] = page
    listing = fetch(provider(server.origin, "gemini"), deadline_s=60)
    assert len(listing.models) == listing.pages == MAX_PAGES
    assert not listing.complete and listing.notes == ("paging:limit",)


def test_a_page_that_fails_fails_the_whole_listing(server: ListingServer) -> None:
    """Half a listing would make the other half look gone."""

    def page(asked: Asked) -> Answer:
        if asked.query.get("pageToken"):
            return Answer({"error": {"message": "boom"}}, 500)
        return Answer({"models": [{"name": "models/a"}], "nextPageToken": "2"})

    server.routes["/v1beta/models"] = page
    assert refuse(provider(server.origin, "gemini")).cause == "server_error"


def test_ollama_is_asked_about_each_model_and_one_silent_model_costs_nothing(
    server: ListingServer,
) -> None:
    tags = [
        {"name": n, "model": n, "digest": "d", "modified_at": "", "size": 5, "details": {}}
        for n in ("llama:8b", "odd:1b")
    ]

    def show(asked: Asked) -> Answer:
        if asked.body["model"] == "odd:1b":
            return Answer({"error": "no such model"}, 404)
        info = {"general.architecture": "llama", "llama.context_length": 131072}
        can = ["completion", "tools", "vision"]
        return Answer({"capabilities": can, "model_info": info, "template": "x" * 9000})

    server.put("/api/tags", {"models": tags})
    server.routes["/api/show"] = show
    first, second = fetch(provider(server.origin, "ollama")).models
    assert first.context_window_tokens == 131_072 and first.kind == "chat"
    assert first.capabilities == {"tools": True, "vision": True, "reasoning": False}
    assert "template" not in json.dumps(dict(first.raw))
    assert second.flags == ("show:unavailable",)


@pytest.mark.parametrize(
    ("body", "status", "cause"),
    [
        (b"", 200, "not_json"),
        (b"<!DOCTYPE html><html>log in</html>", 200, "html"),
        (b"OK", 200, "not_json"),
        (b'{"data": null}', 200, "no_list"),
        (b'{"data": {"a": 1}}', 200, "no_list"),
        (b"null", 200, "no_list"),
        (b"17", 200, "no_list"),
        (b'{"id": "gpt", "object": "model"}', 200, "no_list"),
        (b"[" * 100_000, 200, "not_json"),
        (b'{"data": [' + b"9" * 5000 + b"]}", 200, "not_json"),
        (b'{"error": {"message": "no credit"}}', 200, "error_in_body"),
        (b'{"error": {"message": "Invalid API Key"}}', 401, "auth"),
        (b'{"error": {"code": 400, "message": "API key not valid."}}', 400, "auth"),
        (b'{"detail": "no"}', 400, "http_status"),
        (b"", 403, "forbidden"),
        (b"", 404, "not_found"),
        (b"slow down", 429, "rate_limited"),
        (b"<html>bad gateway</html>", 502, "server_error"),
        (b"", 307, "redirect"),
    ],
)
def test_what_is_no_listing_fails_with_a_cause_and_a_hint(
    server: ListingServer, body: bytes, status: int, cause: str
) -> None:
    server.put("/v1/models", body, status, Location="/elsewhere")
    failure = refuse(provider(server.origin + "/v1"))
    assert failure.cause == cause
    assert failure.status == status
    assert failure.code == "FETCH_MODELS_FAILED"
    assert [asked.path for asked in server.asked] == ["/v1/models"]


def test_the_providers_words_are_kept_without_the_key(server: ListingServer) -> None:
    key = "sk-" + "y" * 40
    server.put("/v1/models", {"error": {"message": f"Incorrect API key provided: {key}"}}, 401)
    failure = refuse(provider(server.origin + "/v1"), key=key)
    assert failure.provider_message is not None and "Incorrect API key" in failure.provider_message
    assert key not in str(failure) + str(failure.as_dict()) and "y" * 8 not in str(failure)


def test_a_wait_that_the_provider_asks_for_is_kept(server: ListingServer) -> None:
    server.routes["/v1/models"] = Answer("slow down", 429, {"Retry-After": "7"})
    assert refuse(provider(server.origin + "/v1")).retry_after == 7.0


def test_nobody_listening_is_told_as_such() -> None:
    with ListingServer() as gone:
        origin = gone.origin
    failure = refuse(provider(origin + "/v1"))
    assert (failure.cause, failure.blame) == ("connect", "network")


def test_a_slow_listing_ends_at_its_deadline(server: ListingServer) -> None:
    def slow(_: Asked) -> Answer:
        time.sleep(1.0)
        return Answer([])

    server.routes["/v1/models"] = slow
    assert refuse(provider(server.origin + "/v1"), deadline_s=0.2).cause == "timeout"


def test_an_empty_list_is_a_listing(server: ListingServer) -> None:
    server.put("/v1/models", {"data": []})
    listing = fetch(provider(server.origin + "/v1"))
    assert listing.models == () and listing.complete


def test_odd_items_are_flagged_and_the_rest_goes_in(server: ListingServer) -> None:
    long_id = "org/" + "x" * 2000
    items: list[Any] = [
        {"id": "a b/c:d"},
        {"id": "名前/模型"},
        {"id": long_id},
        {"id": 17},
        {"id": "tab\there"},
        {"id": "\ud800broken"},
        {"id": "twice"},
        {"id": "twice"},
        {"id": "differs", "created": 5},
        {"id": "differs", "created": 1_700_000_000},
        "bare",
        {"id": ""},
        {"name": None},
        None,
        3,
        [],
        {"id": "numbers", "context_length": "128000", "max_completion_tokens": -5},
        {"id": "more", "context_length": 2**64 - 1, "created": "yesterday"},
        {"id": "p1", "pricing": {"prompt": "-0.5", "completion": "free"}},
        {"id": "p2", "pricing": {"prompt": "3", "completion": "0.000002"}},
        {"id": "p3", "pricing": {"input": 0.0000003, "output": "$0.60"}},
        {"id": "p4", "pricing": {"input": 3, "output": 4, "unit": "eur_per_page"}},
        {"id": "ok", "context_length": 8192},
    ]
    server.put("/v1/models", json.dumps({"data": items}))
    listing = fetch(provider(server.origin + "/v1"))
    flags = {model.model_id: set(model.flags) for model in listing.models}
    assert flags == {
        "a b/c:d": {"id:spaces"},
        "名前/模型": {"id:not_ascii"},
        long_id: {"id:long"},
        "17": {"id:not_text"},
        "tab\there": {"id:spaces", "id:unprintable"},
        "\ufffdbroken": {"id:characters_replaced", "id:not_ascii"},
        "twice": {"id:duplicate"},
        "differs": {"id:duplicate_differs", "created_at:out_of_range"},
        "bare": {"item:bare_name"},
        "numbers": {"context_window:number_as_text", "max_output:out_of_range"},
        "more": {"context_window:out_of_range", "created_at:unreadable"},
        "p1": {"price_input:negative", "price_output:unreadable"},
        "p2": {"price_input:doubtful_unit"},
        "p3": {"price_input:doubtful_unit"},
        "p4": {"price:unknown_unit"},
        "ok": set(),
    }
    assert listing.notes == ("items_without_id:5",)
    by_id = {model.model_id: model for model in listing.models}
    assert by_id["numbers"].context_window_tokens == 128_000
    assert [str(p.usd_per_million) for p in by_id["p2"].prices] == ["2"]
    assert [str(p.usd_per_million) for p in by_id["p3"].prices] == ["0.6"]
    json.dumps(flags, default=sorted).encode()  # nothing that UTF-8 cannot hold


def test_a_hundred_thousand_models_go_in(server: ListingServer) -> None:
    server.put("/v1/models", {"data": [{"id": f"org/m-{i}"} for i in range(100_000)]})
    listing = fetch(provider(server.origin + "/v1"), deadline_s=60)
    assert len(listing.models) == 100_000 and listing.complete


_WORDS = """
id name created created_at owned_by type pricing prompt completion input output unit usd
context_length max_model_len architecture top_provider capabilities completion_chat
chat_completion supportedGenerationMethods providers status model_spec endpoints digest
modified_at details show model_info x.context_length meta n_ctx n_params aliases n_ctx_train
arch key max_context_length modelId modelLifecycle deprecation display_name publisher
supported_parameters input_modalities expiration_date prompt_text_token_price rate_limit_tier
limits max_input_tokens extended context_token_threshold converse hourly
"""
_NAMES = st.sampled_from(_WORDS.split())
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_NAMES | st.text(max_size=5), inner)
    ),
    max_leaves=20,
)


@settings(max_examples=200)
@given(st.dictionaries(_NAMES, _JSON, max_size=12) | _JSON)
def test_no_item_of_any_shape_crashes_a_reader(raw: Any) -> None:
    model = read_item(raw)
    if model is None:
        return
    assert model.model_id.strip()
    assert model.context_window_tokens is None or 0 < model.context_window_tokens <= 10**12
    for price in model.prices:
        assert price.usd_per_million.is_finite() and price.usd_per_million >= 0
    texts = (model.model_id, model.display_name, model.owner, model.family, *model.flags)
    "".join(text for text in texts if text).encode()


@settings(max_examples=200)
@given(_JSON)
def test_no_answer_of_any_shape_crashes_the_search_for_items_and_cursors(payload: Any) -> None:
    items = find_items(payload)
    assert all(isinstance(v, str) for v in next_cursor(payload).values())
    if items is not None:
        gathering = Gathering()
        gathering.add(items)
        names = [model.model_id for model in gathering.models]
        assert len(names) == len(set(names))
