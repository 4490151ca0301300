"""Documents of providers: what leaves, what comes in, and what is refused."""

from __future__ import annotations

import json

import pytest

from toolkit.errors import InvalidInput, KeyStoreError
from toolkit.providers.transfer import (
    SharedKey,
    is_sealed,
    read_document,
    write_plain,
    write_sealed,
)
from toolkit.providers.transfer_service import plan_import
from toolkit.secret import Secret

URL = "https://llm.corp.example/v1"
KEY = "sk-" + "k" * 40
PASSPHRASE = Secret("correct horse")


@pytest.fixture
def corp(registry):
    return registry.add(
        "corp",
        base_url=URL,
        headers={"X-Team": "blue"},
        secret_headers=("X-Auth-Token",),
        params={"temperature": 0.5},
        key_env=("CORP_KEY",),
        rpm=60,
    )


def document(providers, **top) -> bytes:
    told = {"format": "toolkit-providers", "version": 1, "providers": providers, **top}
    return json.dumps(told).encode()


def refused(raw: bytes, passphrase: Secret | None = None) -> InvalidInput:
    with pytest.raises(InvalidInput) as error:
        read_document(raw, passphrase)
    return error.value


@pytest.mark.parametrize("style", ["json", "toml"])
def test_what_was_written_is_read_and_is_the_same(corp, registry, style):
    raw = write_plain([corp], style).encode()
    plan = plan_import(read_document(raw), registry, "replace")
    assert [(row.name, row.finding, row.action) for row in plan.rows] == [("corp", "same", "skip")]
    assert not plan.entries


def test_no_key_and_no_secret_header_leaves(corp, keys):
    keys.set(corp, KEY)
    keys.set_header(corp, "X-Auth-Token", "t0p-secret")
    for style in ("json", "toml"):
        text = write_plain([corp], style)
        assert KEY not in text
        assert "t0p" not in text
        assert "key_origin" not in text


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[1, 2]",
        b"null",
        b"\xff\xfe",
        b'{"format": "toolkit-providers"}',
        b'{"format": "something-else", "version": 1, "providers": {}}',
        document({}, version=2),
        document({}, version=0),
        document({}, version=True),
        document({}, version="1"),
        document({}, surprise=1),
        document([]),
        document({"a": 1}),
        document({}, keys=[]),
        document({f"p{n}": {} for n in range(1001)}),
        b'{"a": ' * 5000,
        b'{"format": "toolkit-providers", "version": NaN, "providers": {}}',
        b'format = "toolkit-providers"\nversion = 1\n[providers',
        b"x" * (4 * 1024 * 1024 + 1),
    ],
    ids=lambda raw: raw[:40].decode("latin-1"),
)
def test_a_document_that_cannot_be_read_is_told(raw):
    assert refused(raw).cause == "import"
    assert len(refused(raw).message) < 300


def test_every_truncation_of_a_document_is_refused(corp):
    raw = write_plain([corp]).encode()
    for length in range(0, len(raw.rstrip()), 5):
        refused(raw[:length])


def test_the_future_says_so():
    assert "newer" in refused(document({}, version=2)).message


@pytest.mark.parametrize(
    "values",
    [
        {"base_url": "https://169.254.169.254"},
        {"base_url": URL, "unknown": 1},
        {"base_url": URL, "key_origin": "https://evil.example:443"},
        {"base_url": URL, "tested_at": "2026-01-01T00:00:00Z"},
        {"base_url": URL, "source": "preset"},
        {"base_url": URL, "headers": {"Authorization": "x"}},
        {"base_url": URL, "headers": {"X-Auth-Token": "plain secret"}},
        {"base_url": URL, "rpm": "many"},
        {"base_url": 7},
        {},
    ],
    ids=str,
)
def test_a_bad_provider_is_refused_and_its_neighbour_is_not(registry, values):
    raw = document({"bad": values, "good": {"base_url": URL}})
    plan = plan_import(read_document(raw), registry, "skip")
    assert [row.finding for row in plan.rows] == ["refused", "new"]
    assert plan.rows[0].reason
    assert list(plan.entries) == ["good"]


@pytest.mark.parametrize("name", ["", "UPPER", "a/b", "../x", "a" * 64])
def test_a_bad_name_is_refused(registry, name):
    plan = plan_import(read_document(document({name: {"base_url": URL}})), registry, "skip")
    assert plan.rows[0].finding == "refused"


def test_the_rules_for_conflicts(corp, registry):
    raw = document({"corp": {"base_url": "https://other.example/v1"}})
    skip = plan_import(read_document(raw), registry, "skip")
    assert (skip.rows[0].finding, skip.rows[0].action) == ("changed", "skip")
    assert "base_url" in skip.rows[0].reason
    assert not skip.entries
    replace = plan_import(read_document(raw), registry, "replace")
    assert replace.replacing == {"corp"}
    assert "keys are not carried over" in replace.rows[0].warning
    rename = plan_import(read_document(raw), registry, "rename")
    assert rename.rows[0].action == "add as corp-2"
    assert list(rename.entries) == ["corp-2"]


def test_an_imported_address_has_no_claim_on_any_key(corp, registry, keys, monkeypatch):
    """A shared file that leads a known name elsewhere gets neither stored nor environment keys."""
    from toolkit.errors import KeyRequired

    monkeypatch.setenv("CORP_KEY", KEY)
    keys.set(corp, KEY)
    raw = document({"corp": {"base_url": "https://evil.example/v1", "key_env": ["CORP_KEY"]}})
    plan = plan_import(read_document(raw), registry, "replace")
    registry.add_many(plan.entries, replacing=plan.replacing)
    with pytest.raises(KeyRequired):
        keys.resolve(registry.require("corp"))


def test_an_import_cannot_claim_another_providers_variable(registry, keys, monkeypatch):
    from toolkit.errors import KeyRequired

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    raw = document(
        {
            "fresh": {"base_url": "https://evil.example/v1", "key_env": ["OPENAI_API_KEY"]},
            "groq": {"base_url": "https://evil.example/v1", "key_env": ["OPENAI_API_KEY"]},
            "mistral": {"key_env": ["OPENAI_API_KEY"]},
        }
    )
    plan = plan_import(read_document(raw), registry, "replace")
    registry.add_many(plan.entries, replacing=plan.replacing)
    for name in plan.entries:
        with pytest.raises(KeyRequired):
            keys.resolve(registry.require(name))


def test_the_same_address_keeps_its_keys(corp, registry, keys, monkeypatch):
    monkeypatch.setenv("CORP_KEY", KEY)
    raw = document({"corp": {"base_url": URL, "key_env": ["CORP_KEY"], "rpm": 5}})
    plan = plan_import(read_document(raw), registry, "replace")
    registry.add_many(plan.entries, replacing=plan.replacing)
    replaced = registry.require("corp")
    assert (replaced.rpm, replaced.headers) == (5, {})
    assert replaced.created_at == corp.created_at
    assert keys.resolve(replaced).source == "environment"


def sealed(corp, n=16) -> bytes:
    shared = SharedKey(provider="corp", name="default", origin=corp.origin, secret=Secret(KEY))
    return write_sealed([corp], [shared], PASSPHRASE, n).encode()


def test_keys_travel_only_sealed(corp):
    raw = sealed(corp)
    assert is_sealed(raw)
    assert not is_sealed(write_plain([corp]).encode())
    assert KEY.encode() not in raw
    assert b"corp" not in raw
    assert read_document(raw, PASSPHRASE).keys[0].secret == Secret(KEY)


def test_a_sealed_document_opens_with_its_passphrase_only(corp):
    raw = sealed(corp)
    assert "encrypted" in refused(raw).message
    assert "passphrase" in refused(raw, Secret("wrong horse")).message
    told = json.loads(raw)
    for change in ({"data": told["data"][:-8] + "AAAAAAA="}, {"nonce": "AAAA"}, {"version": 9}):
        refused(json.dumps(told | change).encode(), PASSPHRASE)
    told["kdf"]["n"] = 2**30
    refused(json.dumps(told).encode(), PASSPHRASE)
    with pytest.raises(KeyStoreError):
        write_sealed([corp], [], Secret("short"))


def test_a_sealed_key_goes_only_where_its_provider_is(corp, registry):
    raw = sealed(corp)
    assert len(plan_import(read_document(raw, PASSPHRASE), registry, "skip").keys) == 1
    registry.update("corp", base_url="https://other.example/v1")
    plan = plan_import(read_document(raw, PASSPHRASE), registry, "skip")
    assert plan.keys == []
    assert plan.refused_keys == [f"corp ({corp.origin})"]


def test_a_disabled_provider_is_the_same_and_a_removed_one_is_not(corp, registry):
    registry.disable("corp")
    raw = write_plain([registry.require("corp")]).encode()
    assert plan_import(read_document(raw), registry, "skip").rows[0].finding == "same"
    registry.remove("corp")
    row = plan_import(read_document(raw), registry, "skip").rows[0]
    assert (row.finding, row.reason) == ("changed", "differs in its removal here")
