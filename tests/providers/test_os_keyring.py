"""The OS keyring with every bad kind of backend: none, null, locked, slow, unknown, forgetful."""

from __future__ import annotations

import threading

import keyring
import pytest
from keyring.backends import fail, null
from keyring.errors import KeyringError, KeyringLocked, PasswordDeleteError

from toolkit.errors import KeyStoreError
from toolkit.keys import os_keyring
from toolkit.keys.os_keyring import OSKeyring
from toolkit.secret import Secret
from toolkit.settings import Settings

KEY = Secret("sk-" + "k" * 40)


def backend(base, **methods):
    """A trusted backend with some methods of its own."""
    kind = type("Backend", (base,), methods)
    os_keyring.trust_backend(kind)
    made = kind()
    keyring.set_keyring(made)
    return made


@pytest.fixture
def memory():
    return type(keyring.get_keyring())


def cause_of(use) -> KeyStoreError:
    with pytest.raises(KeyStoreError) as refused:
        use()
    assert "kkkk" not in str(refused.value)
    return refused.value


def uses(chain):
    return (
        lambda: chain.get("corp"),
        lambda: chain.set("corp", KEY),
        lambda: chain.remove("corp"),
        chain.backend_name,
    )


def test_a_value_comes_back_and_goes(settings):
    chain = OSKeyring(settings)
    assert chain.get("corp") is None
    chain.set("corp", KEY)
    assert chain.get("corp") == KEY
    assert chain.remove("corp")
    assert not chain.remove("corp")


@pytest.mark.parametrize("kind", [fail.Keyring, null.Keyring])
def test_a_machine_without_a_keyring_is_offered_the_other_choices(settings, kind):
    keyring.set_keyring(kind())
    for use in uses(OSKeyring(settings)):
        refused = cause_of(use)
        assert refused.cause == "no_keyring"
        assert "--store vault" in refused.hint and ".env" in refused.hint


def test_a_backend_that_forgets_is_found_out(settings, memory):
    backend(memory, set_password=lambda self, *_: None)
    refused = cause_of(lambda: OSKeyring(settings).set("corp", KEY))
    assert refused.cause == "keyring_forgot"


def test_a_locked_keyring_is_told(settings, memory):
    def locked(self, *_):
        raise KeyringLocked("locked")

    backend(memory, get_password=locked, set_password=locked, delete_password=locked)
    chain = OSKeyring(settings)
    for use in uses(chain)[:3]:
        assert cause_of(use).cause == "keyring_locked"


def test_a_hanging_keyring_costs_one_wait_and_no_more(home, memory):
    never = threading.Event()
    calls = []

    def hang(self, *_):
        calls.append(1)
        never.wait(30)

    backend(memory, get_password=hang, set_password=hang)
    chain = OSKeyring(Settings(home=home, keyring_timeout_s=0.05))
    for use in uses(chain):
        refused = cause_of(use)
        assert refused.cause == "keyring_timeout"
        assert "0.05 s" in refused.message
    never.set()
    assert len(calls) == 1


def test_an_unknown_backend_is_refused_by_name(settings, memory, monkeypatch):
    keyring.set_keyring(type("Plaintext", (memory,), {"__module__": "some.package"})())
    for use in uses(OSKeyring(settings)):
        refused = cause_of(use)
        assert refused.cause == "unknown_backend"
        assert "some.package.Plaintext" in refused.message


@pytest.mark.parametrize("error", [KeyringError("x"), RuntimeError("dbus"), OSError("socket")])
def test_a_backend_that_fails_is_told_by_its_class(settings, memory, error):
    def broken(self, *_):
        raise error

    backend(memory, get_password=broken)
    refused = cause_of(lambda: OSKeyring(settings).get("corp"))
    assert refused.cause == "keyring_failed"
    assert type(error).__name__ in refused.message


def test_deleting_twice_is_no_failure(settings, memory):
    def gone(self, *_):
        raise PasswordDeleteError("gone")

    backend(memory, delete_password=gone)
    assert OSKeyring(settings).remove("corp") is False


def test_nothing_is_listed_when_storing_failed(keys, registry, home):
    keyring.set_keyring(fail.Keyring())
    corp = registry.add("corp", base_url="https://llm.corp.example/v1")
    cause_of(lambda: keys.set(corp, KEY.reveal()))
    assert keys.list("corp") == []
    assert not (home / "vault").exists()  # no other store is taken in silence
