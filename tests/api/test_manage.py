"""The provider API: the life of a provider over HTTP, and no key ever comes back."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

KEY = "sk-" + "k" * 40


def add(served, name="mine", **fields):
    body = {"name": name, "base_url": served.provider.base_url, "local": True, **fields}
    return served.ask("POST", "/api/providers", json=body)


def test_a_provider_lives_and_is_restored(served):
    added = add(served, default_model="m")
    assert added.status_code == 201, added.text
    assert added.json()["name"] == "mine"
    assert add(served).status_code == 409
    changed = served.ask("PUT", "/api/providers/mine", json={"display_name": "Mine", "rpm": 30})
    assert (changed.json()["display_name"], changed.json()["rpm"]) == ("Mine", 30)
    off = served.ask("PUT", "/api/providers/mine", json={"is_active": False})
    assert off.json()["is_active"] is False
    served.ask("PUT", "/api/providers/mine", json={"is_active": True})
    gone = served.ask("DELETE", "/api/providers/mine")
    assert gone.json()["deactivated_at"] is not None
    missing = served.ask("GET", "/api/providers/mine")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "PROVIDER_NOT_FOUND"


def test_a_key_goes_in_and_never_comes_out(served):
    answers = [
        add(served, api_key=KEY),
        served.ask("GET", "/api/providers/mine"),
        served.ask("PUT", "/api/providers/mine", json={"api_key": KEY + "2"}),
        served.ask("GET", "/api/providers?search=mine"),
        served.ask("POST", "/api/providers/test", json={"name": "mine"}),
    ]
    assert [a.status_code for a in answers] == [201, 200, 200, 200, 200]
    assert not [a for a in answers if KEY in a.text]
    assert answers[1].json()["key"]["source"] == "keyring"


def test_a_bad_address_is_refused_and_nothing_is_saved(served):
    body = {"name": "bad", "base_url": "http://169.254.169.254/v1", "test": False}
    refused = served.ask("POST", "/api/providers", json=body)
    assert refused.status_code == 422
    assert refused.json()["error"]["code"] == "PROVIDER_INVALID"
    assert served.ask("GET", "/api/providers/bad").status_code == 404


def test_a_trial_saves_nothing(served):
    body = {"base_url": served.provider.base_url, "local": True}
    before = served.ask("GET", "/api/providers").json()["total"]
    told = served.ask("POST", "/api/providers/test", json=body)
    assert told.status_code == 200, told.text
    assert served.ask("GET", "/api/providers").json()["total"] == before


def test_models_are_listed_switched_and_paged(served):
    synced = served.ask("POST", "/api/providers/mock/sync")
    assert synced.status_code == 200, synced.text
    listed = served.ask("GET", "/api/providers/mock/models").json()
    assert listed["total"] >= 1
    model = listed["data"][0]["model_id"]
    off = served.ask("PUT", f"/api/providers/mock/models/{model}/enable", json={"enabled": False})
    assert off.json() == {"model": f"mock/{model}", "is_enabled": False}
    assert served.ask("GET", "/api/models?enabled=false").json()["total"] == 1
    page = served.ask("GET", "/api/providers?limit=2&offset=1").json()
    assert (len(page["data"]), page["limit"], page["offset"]) == (2, 2, 1)


def test_calls_and_health_can_be_read(served):
    body = {"model": "mock/m", "messages": [{"role": "user", "content": "hi"}]}
    served.ask("POST", "/v1/chat/completions", json=body)
    calls = served.ask("GET", "/api/calls?provider=mock&status=ok").json()
    assert calls["total"] == 1
    assert calls["data"][0]["model"] == "mock/m"
    assert served.ask("GET", "/api/health").status_code == 200
    checked = served.ask("POST", "/api/health/check", json={"name": "mock"})
    assert checked.status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/providers?limit=0", 422),
        ("/api/providers?limit=x", 422),
        ("/api/providers/UPPER", 422),
        ("/api/nothing", 404),
        ("/api/calls?status=maybe", 422),
    ],
)
def test_nonsense_has_the_one_error_shape(served, path, status):
    answer = served.ask("GET", path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) >= {"message", "type", "code", "param"}


def test_reading_needs_no_right_to_change(served):
    reader = served.tokens.create("reader", scopes=("read",)).reveal()
    assert served.ask("GET", "/api/providers", token=reader).status_code == 200
    for method, path in (("DELETE", "/api/providers/mock"), ("POST", "/api/providers/sync-all")):
        assert served.ask(method, path, token=reader).status_code == 403


def test_the_reference_is_complete_and_the_page_needs_no_script(served):
    document = served.ask("GET", "/api/openapi.json").json()
    paths = set(document["paths"])
    assert {
        "/api/providers",
        "/api/providers/{name}",
        "/api/providers/{name}/sync",
        "/api/providers/sync-all",
        "/api/providers/test",
        "/api/providers/{name}/models",
        "/api/providers/{name}/models/{model_id}/enable",
        "/api/models",
        "/api/health",
        "/api/health/check",
        "/api/calls",
        "/v1/models",
        "/v1/chat/completions",
    } <= paths
    page = served.ask("GET", "/api/docs")
    assert page.status_code == 200
    assert "<script" not in page.text
    assert "/v1/chat/completions" in page.text
