"""Keys: the order of their places, the binding to an origin, and that none is ever shown."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from toolkit.errors import AuthenticationFailed, InvalidInput, KeyRequired, KeyStoreError
from toolkit.keys.service import Keys
from toolkit.providers.registry import Registry
from toolkit.secret import Secret

URL = "https://llm.corp.example/v1"


def made_up(letter: str) -> str:
    return "sk-" + letter * 40


@pytest.fixture
def corp(registry):
    return registry.add("corp", base_url=URL, key_env=("CORP_KEY",))


@pytest.fixture
def cheap_vault(keys, monkeypatch, tmp_path):
    """An unlocked vault whose scrypt costs nothing."""
    keys.stores.vault._n = 16
    keys.unlock_vault("correct horse")
    return keys.stores.vault


def test_the_order_of_places_and_what_each_one_shadows(
    keys, corp, cheap_vault, monkeypatch, tmp_path
):
    """Explicit, environment, keyring, vault, .env: each hides those after it."""
    (tmp_path / ".env").write_text(f"CORP_KEY={made_up('d')}\n")
    assert keys.resolve(corp).source == "dotenv"
    keys.set(corp, made_up("v"), store="vault")
    assert keys.resolve(corp).source == "vault"
    keys.set(corp, made_up("k"))
    assert keys.resolve(corp).source == "keyring"
    monkeypatch.setenv("CORP_KEY", made_up("e"))
    found = keys.resolve(corp)
    assert found.source == "environment"
    assert found.name == "CORP_KEY"
    assert found.shadows == ("keyring default", "vault default", "dotenv CORP_KEY")
    assert keys.resolve(corp, made_up("x")).source == "argument"
    assert made_up("d") not in os.environ.values()  # .env is never exported


def test_the_list_says_which_is_in_force_and_opens_no_store(keys, corp, settings, monkeypatch):
    keys.set(corp, made_up("k"))
    monkeypatch.setenv("CORP_KEY", made_up("e"))
    fresh = Keys(settings, Registry(settings))
    monkeypatch.setattr(fresh.stores.keyring, "_ask", _fail)
    places = fresh.list("corp")
    assert [(p.source, p.in_force, p.shadowed_by) for p in places] == [
        ("environment", True, None),
        ("keyring", False, "environment CORP_KEY"),
    ]


def _fail(*_):
    raise AssertionError("the keyring was asked")


def test_no_keyring_is_asked_where_no_key_is_stored(keys, corp, monkeypatch):
    monkeypatch.setattr(keys.stores.keyring, "_ask", _fail)
    assert keys.resolve(corp) is None


def test_the_keyring_is_asked_once_per_process(keys, corp, settings, monkeypatch):
    keys.set(corp, made_up("k"))
    fresh = Keys(settings, Registry(settings))
    asked = []
    real = fresh.stores.keyring.get
    monkeypatch.setattr(fresh.stores.keyring, "get", lambda name: asked.append(name) or real(name))
    for _ in range(3):
        assert fresh.resolve(corp).secret.reveal() == made_up("k")
    assert len(asked) == 1


def test_a_key_set_by_another_process_is_used_at_once(keys, corp, settings):
    assert keys.resolve(corp) is None
    Keys(settings, Registry(settings)).set(corp, made_up("a"))
    assert keys.resolve(corp).secret.reveal() == made_up("a")
    Keys(settings, Registry(settings)).set(corp, made_up("b"))
    assert keys.resolve(corp).secret.reveal() == made_up("b")


def test_a_stored_key_stays_with_its_origin(keys, corp, registry):
    keys.set(corp, made_up("k"))
    moved = registry.update("corp", base_url="https://evil.example/v1")
    with pytest.raises(KeyRequired) as refused:
        keys.resolve(moved)
    assert refused.value.cause == "origin_changed"
    assert "llm.corp.example" in refused.value.message
    port = registry.update("corp", base_url="https://llm.corp.example:8443/v1")
    with pytest.raises(KeyRequired):
        keys.resolve(port)
    path = registry.update("corp", base_url="https://llm.corp.example/v2")
    assert keys.resolve(path).source == "keyring"


def test_a_key_of_the_environment_stays_with_its_origin(keys, corp, registry, monkeypatch):
    monkeypatch.setenv("CORP_KEY", made_up("e"))
    moved = registry.update("corp", base_url="https://evil.example/v1")
    with pytest.raises(KeyRequired) as refused:
        keys.resolve(moved)
    assert refused.value.cause == "origin_changed"
    assert "--key-env CORP_KEY" in refused.value.hint
    assert not any(place.in_force for place in keys.list("corp"))
    confirmed = registry.update("corp", key_env=("CORP_KEY",))
    assert keys.resolve(confirmed).source == "environment"


def test_a_standard_variable_never_follows_a_preset_to_another_address(keys, registry, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", made_up("o"))
    assert keys.resolve(registry.require("openai")).name == "OPENAI_API_KEY"
    moved = registry.add("openai", base_url="https://evil.example/v1")
    with pytest.raises(KeyRequired):
        keys.resolve(moved)


def test_address_and_key_of_the_same_environment_belong_together(keys, registry, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", made_up("o"))
    monkeypatch.setenv("OPENAI_BASE_URL", "https://proxy.example/v1")
    assert keys.resolve(registry.require("openai")).secret.reveal() == made_up("o")


def test_a_provider_can_have_several_named_keys(keys, corp):
    keys.set(corp, made_up("w"), name="work")
    assert keys.resolve(corp).name == "work"
    keys.set(corp, made_up("d"))
    assert keys.resolve(corp).name == "default"
    assert keys.resolve(corp, name="work").secret.reveal() == made_up("w")
    assert keys.resolve(corp, name="play") is None
    assert [entry.name for entry in keys.remove("corp", name="work")] == ["work"]
    assert keys.resolve(corp, name="work") is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "   ",
        "a\nb",
        "a\r\nb",
        "a\0b",
        "a b",
        "ключ",
        "sk-…",
        "a\x7f",
        "x" * 1_000_000,
        "\ud800",
    ],
    ids=lambda value: ascii(value)[:12],
)
def test_what_cannot_be_a_key_is_refused_unseen(keys, corp, value, home):
    with pytest.raises(InvalidInput) as refused:
        keys.set(corp, value)
    if len(value.strip()) > 3:
        assert value not in str(refused.value)
    assert keys.list("corp") == []
    assert not (home / "keys.json").exists()


def test_a_broken_key_in_a_variable_is_told_by_its_place(keys, corp, monkeypatch):
    monkeypatch.setenv("CORP_KEY", "sk-first\nsk-second")
    with pytest.raises(KeyRequired) as refused:
        keys.resolve(corp)
    assert "CORP_KEY" in refused.value.message
    assert "sk-" not in str(refused.value)
    with pytest.raises(KeyRequired):
        keys.resolve(corp, "a b")


def test_white_space_around_a_pasted_key_is_not_part_of_it(keys, corp):
    keys.set(corp, f"  {made_up('k')}\n")
    assert keys.resolve(corp).secret.reveal() == made_up("k")


def test_no_file_of_the_home_holds_a_key(keys, corp, cheap_vault, registry, home, monkeypatch):
    keys.set(corp, made_up("k"))
    keys.set(corp, made_up("v"), store="vault")
    monkeypatch.setenv("CORP_KEY", made_up("e"))
    keys.resolve(corp)
    keys.note_check(keys.resolve(corp).fingerprint, "works", "it lists its models")
    for path in (p for p in home.rglob("*") if p.is_file()):
        content = path.read_bytes()
        for letter in "kve":
            assert letter.encode() * 20 not in content, path


def test_a_fingerprint_tells_keys_apart_and_no_more(keys, corp):
    one, two = keys.fingerprint(Secret(made_up("a"))), keys.fingerprint(Secret(made_up("b")))
    assert one != two
    assert one == keys.fingerprint(Secret(made_up("a")))
    assert one.startswith("…aaaa#")
    short = keys.fingerprint(Secret("abcdefgh"))
    assert short.startswith("…#")
    assert "efgh" not in short


def test_another_home_has_other_fingerprints(keys, corp, tmp_path):
    from toolkit.settings import Settings

    other = Keys(Settings(home=tmp_path / "other"), Registry(Settings(home=tmp_path / "other")))
    secret = Secret(made_up("a"))
    assert keys.fingerprint(secret) != other.fingerprint(secret)


def test_two_homes_keep_their_keys_apart(keys, corp, tmp_path):
    from toolkit.settings import Settings

    other = Keys(Settings(home=tmp_path / "other"), Registry(Settings(home=tmp_path / "other")))
    keys.set(corp, made_up("a"))
    other.set(corp, made_up("b"))
    assert keys.stores.keyring.service != other.stores.keyring.service
    assert keys.resolve(corp).secret.reveal() == made_up("a")


def test_known_secrets_are_all_of_them(keys, corp, cheap_vault, monkeypatch, tmp_path):
    keys.set(corp, made_up("k"))
    keys.set(corp, made_up("v"), store="vault")
    keys.set_header(corp, "X-Auth-Token", made_up("h"))
    monkeypatch.setenv("CORP_KEY", made_up("e"))
    (tmp_path / ".env").write_text(f"OPENAI_API_KEY={made_up('d')}\n")
    keys.resolve(corp, made_up("x"))
    known = {secret.reveal() for secret in keys.known_secrets()}
    assert known == {made_up(letter) for letter in "kvhedx"}


def test_known_secrets_survive_a_broken_store(keys, corp, settings, monkeypatch):
    keys.set(corp, made_up("k"))
    fresh = Keys(settings, Registry(settings))

    def broken(_):
        raise KeyStoreError("the keyring is locked")

    monkeypatch.setattr(fresh.stores.keyring, "get", broken)
    assert fresh.known_secrets() == []


def test_a_locked_store_is_told_where_nothing_else_holds_a_key(
    keys, corp, settings, monkeypatch, tmp_path
):
    keys.set(corp, made_up("k"))
    fresh = Keys(settings, Registry(settings))

    def locked(_):
        raise KeyStoreError("the keyring is locked", cause="keyring_locked", hint="Unlock it.")

    monkeypatch.setattr(fresh.stores.keyring, "get", locked)
    with pytest.raises(KeyRequired) as refused:
        fresh.resolve(corp)
    assert refused.value.cause == "keyring_locked"
    assert "locked" in refused.value.message
    (tmp_path / ".env").write_text(f"CORP_KEY={made_up('d')}\n")
    assert fresh.resolve(corp).source == "dotenv"


def test_secret_headers_are_kept_like_keys(keys, corp, registry):
    keys.set_header(corp, "X-Auth-Token", "t0p secret value")
    assert keys.find_header(corp, "x-auth-token").reveal() == "t0p secret value"
    assert keys.resolve(corp) is None  # it is no key
    moved = registry.update("corp", base_url="https://evil.example")
    with pytest.raises(KeyRequired):
        keys.find_header(moved, "X-Auth-Token")


def test_rotation_keeps_both_until_the_new_one_has_worked(keys, corp):
    keys.set(corp, made_up("a"))
    seen = []

    def works(secret):
        seen.append((secret.reveal(), keys.resolve(corp).secret.reveal()))
        assert [p.note for p in keys.list("corp")] == ["", "being tried"]

    keys.rotate(corp, made_up("b"), works=works)
    assert seen == [(made_up("b"), made_up("a"))]
    assert keys.resolve(corp).secret.reveal() == made_up("b")
    assert len(keys.list("corp")) == 1


def test_a_rotation_that_fails_changes_nothing(keys, corp):
    keys.set(corp, made_up("a"))

    def refuses(_):
        raise AuthenticationFailed("no")

    with pytest.raises(AuthenticationFailed):
        keys.rotate(corp, made_up("b"), works=refuses)
    assert keys.resolve(corp).secret.reveal() == made_up("a")
    assert len(keys.list("corp")) == 1
    with pytest.raises(InvalidInput):
        keys.rotate(corp, made_up("b"), works=refuses, name="other")


def test_removing_what_is_not_there_is_told(keys, corp):
    with pytest.raises(InvalidInput):
        keys.remove("corp")


def test_a_provider_without_an_address_takes_no_key(keys, registry):
    with pytest.raises(InvalidInput):
        keys.set("azure", made_up("a"))


def test_a_damaged_index_is_told_and_left_alone(keys, corp, home):
    keys.set(corp, made_up("k"))
    path = home / "keys.json"
    for content, cause in (
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"version": 1, "keys": [{"x": 1}], "checks": {}}', "damaged"),
        ('{"version": 9, "keys": [], "checks": {}}', "too_new"),
    ):
        path.write_text(content)
        with pytest.raises(KeyStoreError) as broken:
            keys.set(corp, made_up("n"))
        assert broken.value.cause == cause
        assert path.read_text() == content


def test_the_row_of_a_check_is_kept(keys, corp):
    entry = keys.set(corp, made_up("k"))
    keys.note_check(entry.fingerprint, "works", "it lists its models")
    place = keys.list("corp")[0]
    assert place.last_check.answer == "works"
    assert json.loads((keys.stores.index._path).read_text())["checks"][entry.fingerprint]


def test_a_resolved_key_does_not_print(keys, corp):
    found = keys.resolve(corp, made_up("x"))
    assert made_up("x") not in repr(found)
    assert made_up("x") not in repr(replace(found, shadows=("a",)))
