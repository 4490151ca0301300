"""`tk.providers`: tested before saved, nothing half-saved, and all of it on a real socket."""

from __future__ import annotations

import json
from datetime import timedelta

import keyring
import pytest
from keyring.backends import fail

import toolkit as tk
from tests.servers import Answer, MockProvider
from toolkit.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    InvalidInput,
    InvalidProvider,
    KeyRequired,
    KeyStoreError,
)
from toolkit.keys import os_keyring
from toolkit.keys.sources import AccessToken, expires_in
from toolkit.providers.plugins import Piece
from toolkit.secret import Secret

KEY = "sk-" + "m" * 40


@pytest.fixture(autouse=True)
def trusted_keyring(home, monkeypatch):
    monkeypatch.setattr(os_keyring, "_trusted", {type(keyring.get_keyring())})


@pytest.fixture
def mock():
    with MockProvider(Answer(text="works")) as server:
        yield server


def add(mock, name="mock", **options):
    return tk.providers.add(name, base_url=mock.base_url, local=True, **options)


def test_add_test_call_disable_remove_restore(mock):
    provider = add(mock, default_model="mock-model")
    assert provider.tested_at is not None
    assert tk.complete("mock", "hello").text == "works"
    tk.providers.disable("mock")
    with pytest.raises(InvalidProvider):
        tk.complete("mock", "hello")
    tk.providers.enable("mock")
    tk.providers.remove("mock")
    assert "mock" not in [p.name for p in tk.providers.list()]
    tk.providers.restore("mock")
    assert tk.complete("mock/mock-model", "hello").text == "works"


def test_nothing_is_saved_when_the_test_says_no(mock):
    mock.enqueue(status=401, times=2)
    with pytest.raises(AuthenticationFailed) as refused:
        add(mock, api_key=KEY)
    assert "test=False" in refused.value.hint
    assert tk.providers.find("mock") is None
    assert tk.keys.stores.index.entries() == []
    with pytest.raises(ConnectionFailed):
        tk.providers.add("down", base_url="http://127.0.0.1:1023/v1", local=True)
    with pytest.raises(InvalidProvider):
        tk.providers.add("evil", base_url="https://169.254.169.254/v1")


def test_whoever_insists_saves_it_untested():
    provider = tk.providers.add("down", base_url="http://127.0.0.1:1023/v1", local=True, test=False)
    assert provider.tested_at is None


def test_the_four_answers_are_shown_before_anything_is_saved(mock):
    seen = []
    add(mock, on_test=lambda result: seen.append((result.is_good, tk.providers.find("mock"))))
    assert seen == [(True, None)]


def test_nothing_is_saved_when_the_key_cannot_be_stored(mock):
    keyring.set_keyring(fail.Keyring())
    with pytest.raises(KeyStoreError) as refused:
        add(mock, api_key=KEY)
    assert "vault" in refused.value.hint
    assert tk.providers.find("mock") is None


def test_no_key_stays_when_the_provider_cannot_be_saved(mock, monkeypatch):
    registry = tk.providers.registry

    def broken(*_, **__):
        raise InvalidProvider("the disk is full")

    monkeypatch.setattr(registry, "add", broken)
    with pytest.raises(InvalidProvider):
        add(mock, api_key=KEY, headers={"X-Auth-Token": "t0p"})
    assert tk.keys.stores.index.entries() == []


def test_a_key_and_a_secret_header_reach_their_origin_and_no_file(mock, home):
    add(mock, api_key=KEY, headers={"X-Team": "blue", "X-Auth-Token": "t0p-" + "s" * 30})
    tk.complete("mock/mock-model", "hello")
    sent = mock.requests[-1].headers
    assert sent["authorization"] == f"Bearer {KEY}"
    assert sent["x-auth-token"] == "t0p-" + "s" * 30
    assert sent["x-team"] == "blue"
    tk.toolkit.current().close()
    for path in (p for p in home.rglob("*") if p.is_file()):
        content = path.read_bytes()
        assert b"m" * 20 not in content, path
        assert b"s" * 20 not in content, path


def test_single_headers_are_changed_and_the_others_stay(mock):
    add(mock, headers={"X-Team": "blue", "X-Auth-Token": "one"})
    tk.providers.update("mock", header_changes={"X-Auth-Token": "two", "X-New": "3"})
    tk.providers.update("mock", header_changes={"X-Team": None})
    assert dict(tk.providers.require("mock").headers) == {"X-New": "3", "X-Auth-Token": "two"}


def test_a_moved_provider_asks_for_its_key_again(mock):
    add(mock, api_key=KEY)
    with MockProvider() as thief:
        tk.providers.update("mock", base_url=thief.base_url)
        with pytest.raises(KeyRequired):
            tk.complete("mock/mock-model", "hello")
        result = tk.providers.test("mock")
        assert KEY not in json.dumps([dict(r.headers) for r in thief.requests])
        assert result.key.answer == "could_not_check"
        tk.providers.update("mock", api_key=KEY)
        assert tk.complete("mock/mock-model", "hello").text


def test_a_test_of_what_is_not_saved_saves_nothing(mock):
    result = tk.providers.test(base_url=mock.base_url, local=True, api_key=KEY)
    assert result.reachable.answer == "works"
    assert all(p.source == "preset" for p in tk.providers.list())
    assert not tk.keys.list()


def test_a_change_can_be_tested_before_it_is_made(mock):
    add(mock, api_key=KEY)
    with MockProvider() as other:
        tk.providers.test("mock", base_url=other.base_url)
        assert KEY not in json.dumps([dict(r.headers) for r in other.requests])
    assert tk.providers.require("mock").base_url == mock.base_url


def test_a_call_in_a_test_has_its_row(mock):
    add(mock)
    result = tk.providers.test("mock", call=True, model="mock-model")
    assert result.model.answer == "works"
    rows = tk.calls(origin="health")
    assert list(rows["model"]) == ["mock/mock-model"]


def test_what_a_test_said_of_a_key_is_listed(mock):
    add(mock, api_key=KEY)
    tk.providers.test("mock")
    check = tk.keys.list("mock")[0].last_check
    assert check.answer == "could_not_check"  # the mock lists its models to anybody


def test_rotation_goes_through_only_when_the_new_key_is_accepted(mock):
    add(mock, api_key=KEY, default_model="mock-model")
    new = "sk-" + "n" * 40
    mock.enqueue(status=401)
    with pytest.raises(AuthenticationFailed):
        tk.providers.rotate_key("mock", new)
    with pytest.raises(AuthenticationFailed) as unknown:
        tk.providers.rotate_key("mock", new)
    assert "--call" in unknown.value.hint
    resolve = tk.keys.resolve
    assert resolve(tk.providers.require("mock")).secret.reveal() == KEY
    tk.providers.update("mock", needs_key=True)
    tk.providers.rotate_key("mock", new, call=True)
    assert resolve(tk.providers.require("mock")).secret.reveal() == new


def test_discovery_adds_a_local_server_once_and_respects_what_people_did(mock, monkeypatch):
    from dataclasses import replace

    from toolkit.providers import discovery
    from toolkit.providers.provider import presets

    moved = {n: replace(p, base_url="http://127.0.0.1:1023/v1") for n, p in presets().items()}
    moved["vllm"] = replace(presets()["vllm"], base_url=mock.base_url)
    monkeypatch.setattr(discovery, "presets", lambda: moved)
    monkeypatch.setenv("GROQ_API_KEY", "g" * 30)
    monkeypatch.setenv("OPENAI_BASE_URL", "nonsense")

    def outcomes():
        return {found.name: found.outcome for found in tk.providers.discover()}

    assert outcomes() == {"vllm": "added", "groq": "known", "openai": "refused"}
    tk.providers.update("vllm", default_model="mine")
    assert outcomes()["vllm"] == "known"
    assert tk.providers.require("vllm").default_model == "mine"
    tk.providers.remove("vllm")
    assert outcomes()["vllm"] == "removed"
    assert tk.providers.find("vllm").is_removed


def test_export_and_import_with_keys(mock):
    add(mock, api_key=KEY, headers={"X-Auth-Token": "t0p"})
    transfer = tk.providers.transfer
    assert KEY not in transfer.write(["mock"])
    raw = transfer.write_with_keys("correct horse", ["mock"]).encode()
    tk.keys.remove("mock")
    plan = transfer.preview(raw, passphrase="correct horse")
    transfer.apply(plan)
    assert tk.keys.resolve(tk.providers.require("mock")).secret.reveal() == KEY


def test_an_import_with_a_refused_provider_saves_nothing_unless_agreed():
    raw = json.dumps(
        {
            "format": "toolkit-providers",
            "version": 1,
            "providers": {
                "good": {"base_url": "https://a.example/v1"},
                "bad": {"base_url": "https://169.254.169.254"},
            },
        }
    ).encode()
    transfer = tk.providers.transfer
    plan = transfer.preview(raw)
    with pytest.raises(InvalidInput):
        transfer.apply(plan)
    assert tk.providers.find("good") is None
    transfer.apply(plan, skip_refused=True)
    assert tk.providers.require("good").tested_at is None


def test_the_mirror_for_joins_follows(mock):
    add(mock)
    tk.providers.disable("mock")
    rows = tk.sql("SELECT name, is_active, origin FROM providers WHERE name = 'mock'")
    assert list(rows["is_active"]) == [False]
    assert list(rows["origin"]) == [mock.origin]


def test_headroom_is_what_the_provider_said_last(mock):
    add(mock)
    assert tk.providers.headroom("mock") is None
    mock.enqueue(
        text="x",
        headers={
            "x-ratelimit-limit-requests": "100",
            "x-ratelimit-remaining-requests": "42",
            "x-ratelimit-reset-requests": "6s",
        },
    )
    tk.complete("mock/mock-model", "hello")
    headroom = tk.providers.headroom("mock")
    assert tk.providers.headroom() == {"mock": headroom}
    assert headroom["ratelimit_remaining_requests"] == 42
    assert headroom["ratelimit_limit_requests"] == 100


def test_a_token_source_supplies_keys_that_expire(mock):
    add(mock)
    given = []

    def fetch() -> AccessToken:
        given.append(f"token-{len(given)}-" + "t" * 20)
        return AccessToken(Secret(given[-1]), expires_in(3600))

    tk.providers.set_token_source("mock", fetch)
    for _ in range(3):
        tk.complete("mock/mock-model", "hello")
    assert len(given) == 1
    assert mock.requests[-1].headers["authorization"] == f"Bearer {given[0]}"
    tk.keys.tokens.find("mock", mock.origin)._token = AccessToken(
        Secret("old"), expires_in(0) - timedelta(seconds=1)
    )
    tk.complete("mock/mock-model", "hello")
    assert len(given) == 2


def test_a_url_source_is_asked_before_each_call_and_checked(mock):
    add(mock)
    with MockProvider(Answer(text="elsewhere")) as other:
        where = [other.base_url]
        tk.providers.set_url_source("mock", lambda: where[0])
        assert tk.complete("mock/mock-model", "hello").text == "elsewhere"
        where[0] = None
        assert tk.complete("mock/mock-model", "hello").text == "works"
        where[0] = "https://169.254.169.254"
        with pytest.raises(InvalidProvider):
            tk.complete("mock/mock-model", "hello")


class Parrot:
    """A provider of one's own."""

    name = "parrot"
    models = ("green",)
    default_model = "green"

    async def astream(self, request):
        for word in request.messages[-1]["content"].split():
            yield Piece(text=f"{word} ")
        yield Piece(finish_reason="stop", usage={"prompt_tokens": 1, "completion_tokens": 2})


def test_a_plugin_of_a_notebook_is_called_like_any_other():
    tk.providers.register(Parrot)
    reply = tk.complete("parrot/green", "pretty polly")
    assert reply.text == "pretty polly "
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (1, 2)
    with tk.stream("parrot", "pretty polly") as stream:
        assert list(stream) == ["pretty ", "polly "]
        assert stream.reply.finish_reason == "stop"
    result = tk.providers.test("parrot", call=True)
    assert [check.answer for check in result.checks] == ["works"] * 4
    assert list(tk.calls(provider="parrot")["status"]) == ["ok"] * 3


def test_a_change_that_cannot_be_saved_leaves_the_old_key(mock, monkeypatch):
    add(mock, api_key=KEY)

    def broken(*_, **__):
        raise InvalidProvider("the disk is full")

    monkeypatch.setattr(tk.providers.registry, "update", broken)
    with pytest.raises(InvalidProvider):
        tk.providers.update("mock", api_key="sk-" + "n" * 40, rpm=5)
    assert tk.keys.resolve(tk.providers.require("mock")).secret.reveal() == KEY


def test_local_at_another_address_is_the_users_own_server(mock):
    """A call goes there, and the built-in server is not started for it."""
    tk.providers.registry.add("local", base_url=f"{mock.base_url}", is_local=True)
    with tk.Toolkit() as toolkit:
        assert not toolkit.registry.is_built_in("local")
        assert toolkit.complete("local/smollm2-135m", "Say hello").text == "works"
        assert toolkit.local.status() is None
    assert len(mock.requests) == 1


def test_local_without_an_address_of_its_own_is_the_built_in_server():
    with tk.Toolkit() as toolkit:
        assert toolkit.registry.is_built_in("local")
        assert not toolkit.registry.is_built_in("openai")
        toolkit.providers.registry.update("local", default_model="smollm2-135m")
        assert toolkit.registry.is_built_in("local")


def test_a_key_is_rotated_by_the_name_of_its_provider_after_a_free_check(mock):
    old, new = "sk-" + "o" * 40, "sk-" + "n" * 40
    add(mock, api_key=old)
    mock.enqueue(status=401)
    with pytest.raises(AuthenticationFailed):
        tk.keys.rotate("mock", new)
    assert tk.keys.get("mock", reveal=True) == old
