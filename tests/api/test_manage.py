"""The provider API: the life of a provider over HTTP, and no key ever comes back."""

from __future__ import annotations

import pytest

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
    for route, total in (("calls", "total"), ("spend", "data")):
        for since, is_in in (("30d", True), ("2000-01-01", True), ("2999-01-01", False)):
            found = served.ask("GET", f"/api/{route}?since={since}").json()[total]
            assert bool(found) is is_in, (route, since)
        assert not served.ask("GET", f"/api/{route}?until=1d").json()[total]
    assert served.ask("GET", "/api/health").status_code == 200
    checked = served.ask("POST", "/api/health/check", json={"name": "mock"})
    assert checked.status_code == 200


def test_a_removed_provider_is_listed_and_restored(served):
    add(served)
    served.ask("DELETE", "/api/providers/mine")
    removed = served.ask("GET", "/api/providers?removed=true").json()["data"]
    assert [row["name"] for row in removed] == ["mine"]
    assert "mine" not in {
        row["provider"] for row in served.ask("GET", "/api/health").json()["data"]
    }
    assert served.ask("POST", "/api/providers/mine/restore").status_code == 200
    assert served.ask("GET", "/api/providers/mine").status_code == 200


def test_keys_are_managed_over_http_and_never_returned(served):
    add(served, test=False)
    stored = served.ask("PUT", "/api/providers/mine/keys", json={"value": f'"{KEY}"'})
    assert stored.status_code == 200, stored.text
    answers = [
        stored,
        served.ask("PUT", "/api/providers/mine/keys", json={"value": KEY + "w", "name": "work"}),
        served.ask("GET", "/api/providers/mine/keys"),
        served.ask("GET", "/api/keys"),
        served.ask("POST", "/api/providers/mine/keys/check"),
        served.ask(
            "POST", "/api/providers/mine/keys/rotate", json={"value": KEY + "x", "call": True}
        ),
        served.ask("DELETE", "/api/providers/mine/keys"),
        served.ask("DELETE", "/api/providers/mine/keys?all=true"),
    ]
    assert not [answer for answer in answers if KEY in answer.text]
    assert answers[2].json()["has_key"] is True
    assert answers[6].json()["now_used"]["name"] == "work"
    assert answers[7].json()["now_used"] is None


def test_a_vault_serves_a_machine_without_keyring(served, monkeypatch):
    from keyring.backends import fail

    monkeypatch.setattr("keyring.get_keyring", fail.Keyring)
    refused = add(served, api_key=KEY, test=False)
    assert refused.status_code == 503
    served.toolkit.keys.unlock_vault("a passphrase that is long enough")
    headers = {"x-team-token": "s" * 30}
    stored = add(served, api_key=KEY, headers=headers, key_store="vault", test=False)
    assert stored.status_code == 201, stored.text
    assert stored.json()["key"]["source"] == "vault"


def test_one_broken_entry_never_takes_the_list_down(served):
    add(served, api_key=KEY)
    other = "http://127.0.0.2:9999/v1"
    moved = served.ask("PUT", "/api/providers/mine", json={"base_url": other, "test": False})
    assert moved.status_code == 200, moved.text
    path = served.toolkit.settings.registry_path
    path.write_text(path.read_text() + '\n[providers.bad]\nbase_url = "ftp://x"\n')
    listed = served.ask("GET", "/api/providers?limit=200")
    assert listed.status_code == 200
    assert [row["name"] for row in listed.json()["problems"]] == ["bad"]


def test_a_preset_needs_no_address_and_an_update_is_tested(served):
    body = {"name": "groq", "test": False, "rpm": 5, "params": {"temperature": 0}}
    added = served.ask("POST", "/api/providers", json=body)
    assert added.status_code == 201, added.text
    assert added.json()["base_url"] == "https://api.groq.com/openai/v1"
    dead = served.ask("PUT", "/api/providers/mock", json={"base_url": "http://127.0.0.1:9999/v1"})
    assert dead.status_code >= 400
    assert "`test: false` in the body" in dead.json()["error"]["hint"]
    kept = served.ask("GET", "/api/providers/mock").json()
    assert kept["base_url"] == served.provider.base_url
    assert kept["models"] == [] and kept["sync"] is None


def test_settings_of_a_model_are_set_over_http(served):
    changed = served.ask(
        "PUT",
        "/api/providers/mock",
        json={"model_settings": {"m": {"params": {"seed": 7}}}, "max_input_tokens": 100},
    )
    assert changed.json()["model_settings"] == {"m": {"params": {"seed": 7}}}
    body = {"model": "mock/m", "messages": [{"role": "user", "content": "hi"}]}
    served.ask("POST", "/v1/chat/completions", json=body)
    assert served.provider.requests[-1].json["seed"] == 7


def test_providers_are_exported_and_imported_with_their_keys(served):
    add(served, api_key=KEY)
    exported = served.ask(
        "POST", "/api/providers/export", json={"names": ["mine"], "passphrase": "long enough 123"}
    ).json()
    assert exported["has_keys"] and KEY not in exported["document"]
    served.ask("DELETE", "/api/providers/mine/keys?all=true")
    body = {"document": exported["document"], "on_conflict": "replace"}
    wrong = served.ask("POST", "/api/providers/import", json={**body, "passphrase": "not this one"})
    assert wrong.status_code >= 400
    done = served.ask(
        "POST", "/api/providers/import", json={**body, "passphrase": "long enough 123"}
    )
    assert done.status_code == 200, done.text
    assert done.json()["keys"] == 1
    assert served.ask("GET", "/api/providers/mine/keys").json()["has_key"] is True


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/providers?limit=0", 422),
        ("/api/providers?limit=x", 422),
        ("/api/providers/UPPER", 422),
        ("/api/nothing", 404),
        ("/api/calls?status=maybe", 422),
        ("/api/calls?since=lately", 400),
        ("/api/spend?since=lately", 400),
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
        "/api/providers/discover",
        "/api/providers/export",
        "/api/providers/import",
        "/api/providers/{name}/restore",
        "/api/providers/{name}/keys",
        "/api/providers/{name}/keys/check",
        "/api/providers/{name}/keys/rotate",
        "/api/keys",
        "/api/presets",
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
