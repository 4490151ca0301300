"""Listings of clouds against a local stand-in, and what is said where a cloud has none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.catalog.listing_server import Answer, Asked, ListingServer
from tests.catalog.test_listing import fetch, ids, provider, refuse
from toolkit.catalog.catalog_store import CatalogStore
from toolkit.catalog.sync import Syncer
from toolkit.providers.provider import Provider
from toolkit.secret import Secret
from toolkit.settings import Settings
from toolkit.store.store import Store

KEY = "k" * 44
GRANITE = {
    "model_id": "ibm/granite-3-8b-instruct",
    "label": "granite-3-8b-instruct",
    "provider": "IBM",
    "short_description": "A small model.",
    "functions": [{"id": "text_chat"}, {"id": "text_generation"}, {"id": "text_chat_with_tools"}],
    "model_limits": {"max_sequence_length": 131072, "max_output_tokens": 8192},
    "lifecycle": [{"id": "available", "start_date": "2024-10-21"}],
}
SLATE = {
    "model_id": "ibm/slate-125m-english-rtrvr-v2",
    "functions": [{"id": "embedding"}],
    "model_limits": {"max_sequence_length": 512},
    "lifecycle": [{"id": "available"}, {"id": "deprecated"}],
}


@pytest.fixture
def server() -> Iterator[ListingServer]:
    with ListingServer() as running:
        yield running


def test_watsonx_lists_its_models_on_pages_without_a_key(server: ListingServer) -> None:
    def page(asked: Asked) -> Answer:
        if "start" in asked.query:
            return Answer({"resources": [SLATE]})
        more = "https://us-south.ml.cloud.ibm.com/ml/v1/foundation_model_specs?limit=200&start=g2"
        return Answer({"resources": [GRANITE], "next": {"href": more}})

    server.routes["/ml/v1/foundation_model_specs"] = page
    listing = fetch(provider(server.origin, "watsonx", params={"project_id": "p"}), key=KEY)
    granite, slate = listing.models
    assert (granite.model_id, granite.kind, granite.owner) == (GRANITE["model_id"], "chat", "IBM")
    assert (granite.context_window_tokens, granite.max_output_tokens) == (131072, 8192)
    assert granite.capabilities == {"tools": True}
    assert (slate.kind, slate.status, granite.status) == ("embedding", "deprecated", "active")
    assert server.asked[0].query["version"]
    assert server.asked[1].query["start"] == "g2"
    # The key must be exchanged for a token, and this listing needs none.
    assert not [a for a in server.asked if KEY in str(a.headers)]


@pytest.mark.parametrize(
    ("base", "params"),
    [("/v1/projects/p1/locations/us-central1", {}), ("", {"vertex_project": "p1"})],
)
def test_vertex_lists_googles_models_on_account_of_the_project(
    server: ListingServer, base: str, params: dict[str, Any]
) -> None:
    def page(asked: Asked) -> Answer:
        name = "gemini-2.5-pro" if "pageToken" in asked.query else "gemini-2.5-flash"
        model = {"name": f"publishers/google/models/{name}", "versionId": "default"}
        body: dict[str, Any] = {"publisherModels": [{**model, "launchStage": "GA"}]}
        return Answer(body if "pageToken" in asked.query else {**body, "nextPageToken": "t"})

    server.routes["/v1beta1/publishers/google/models"] = page
    listing = fetch(provider(server.origin + base, "vertex_ai", params=params), key=KEY)
    assert ids(listing) == ["gemini-2.5-flash", "gemini-2.5-pro"]
    for asked in server.asked:
        assert asked.headers["authorization"] == f"Bearer {KEY}"
        assert asked.headers["x-goog-user-project"] == "p1"


def test_a_cloud_identity_lists_where_there_is_no_key(server: ListingServer, tmp_path: Any) -> None:
    server.put("/v1beta1/publishers/google/models",
               {"publisherModels": [{"name": "publishers/google/models/gemini"}]})  # fmt: skip
    settings = Settings(home=tmp_path)
    store = Store(settings)

    async def token_for(asked: Provider) -> Secret | None:
        return Secret("ya29." + "t" * 40)

    syncer = Syncer(settings, CatalogStore(store), lambda _: None, token_for=token_for)
    vertex = provider(server.origin + "/v1/projects/p/locations/l", "vertex_ai", needs_key=True)
    (result,) = asyncio.run(syncer.sync([vertex]))
    assert (result.status, result.models) == ("ok", 1), result.message
    assert server.asked[0].headers["authorization"].startswith("Bearer ya29.")
    store.close()


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("bedrock", 404, "another host"),
        ("bedrock_converse", 403, "another host"),
        ("sap", 404, "deployments"),
        ("oci", 404, "none of a known form"),
        ("replicate", 404, "none of a known form"),
        ("snowflake", 405, "none of a known form"),
    ],
)
def test_where_there_is_no_listing_the_error_says_so_and_what_to_do(
    server: ListingServer, kind: str, status: int, words: str
) -> None:
    server.put("/models", {"message": "unknown operation"}, status=status)
    server.put("/v1/models", {"message": "unknown operation"}, status=status)
    error = refuse(provider(server.origin, kind), key=KEY)
    assert error.message.startswith("some has no model listing that can be read")
    assert words in error.message
    assert "some/MODEL_ID" in error.hint


@pytest.mark.parametrize(("kind", "status"), [("bedrock", 401), ("sap", 429), ("oci", 503)])
def test_other_failures_of_such_a_cloud_keep_their_own_words(
    server: ListingServer, kind: str, status: int
) -> None:
    server.put("/models", {"message": "no"}, status=status)
    server.put("/v1/models", {"message": "no"}, status=status)
    assert str(status) in refuse(provider(server.origin, kind), key=KEY).message


def test_a_missing_listing_elsewhere_still_points_to_the_base_url(server: ListingServer) -> None:
    assert "Check the base URL" in refuse(provider(server.origin)).hint
