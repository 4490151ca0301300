"""`toolkit keys` from the shell: no key is ever an argument or on the screen."""

from __future__ import annotations

import json
import os

import keyring
import pytest
from keyring.backends import fail

from tests.cli.shell import run, run_json
from tests.servers import Answer, MockProvider
from toolkit.keys import os_keyring

KEY = "sk-" + "c" * 40
NEW = "sk-" + "n" * 40


@pytest.fixture(autouse=True)
def trusted_keyring(home, monkeypatch):
    monkeypatch.setattr(os_keyring, "_trusted", {type(keyring.get_keyring())})


@pytest.fixture
def server():
    with MockProvider(Answer(text="works")) as mock:
        done = run("providers", "add", "mock", "--url", mock.base_url, "--local")
        assert done.returncode == 0, done.stderr
        yield mock


def silent(*dones) -> None:
    for done in dones:
        for text in (done.stdout, done.stderr):
            assert KEY not in text and NEW not in text


def test_set_list_use_remove(server):
    done = run("keys", "set", "mock", stdin=f"{KEY}\n")
    assert done.returncode == 0, done.stderr
    row = run_json("keys", "list", "mock")[0]
    assert (row["source"], row["in_force"], row["last_used_at"]) == ("keyring", True, None)
    assert row["fingerprint"].startswith("…cccc#")
    assert run("chat", "hello", "-m", "mock/m").returncode == 0
    assert run_json("keys", "list", "mock")[0]["last_used_at"] is not None
    gone = run("keys", "remove", "mock")
    assert run_json("keys", "list", "mock") == []
    silent(done, gone, run("keys", "list"))


def test_a_key_as_an_argument_is_refused(server):
    done = run("keys", "set", "mock", KEY)
    assert done.returncode == 2
    assert run_json("keys", "list", "mock") == []


def test_what_is_shadowed_is_shown(server, monkeypatch):
    run("keys", "set", "mock", stdin=KEY)
    monkeypatch.setenv("MOCK_API_KEY", NEW)
    rows = run_json("keys", "list", "mock")
    assert [row["state"] for row in rows] == ["active", "overridden by environment MOCK_API_KEY"]
    silent(run("keys", "list"))


@pytest.mark.parametrize(
    "value", ["", "a\nb", "a\0b", "ключ", "x" * 1_000_000, "x" * 1_000_002], ids=len
)
def test_what_cannot_be_a_key_stores_nothing(server, value):
    done = run("keys", "set", "mock", stdin=value)
    assert done.returncode == 2
    assert len(done.stderr) < 500
    assert run_json("keys", "list", "mock") == []


def test_check_says_refused_and_ends_with_one(server):
    run("keys", "set", "mock", stdin=KEY)
    rows = run_json("keys", "check", "mock")
    assert rows[0]["answer"] == "could_not_check"  # it lists its models to anybody
    server.enqueue(status=401)
    done = run("keys", "check", "mock")
    assert done.returncode == 1
    assert "refused" in done.stdout
    assert "refused" in run_json("keys", "list", "mock")[0]["last_check"]
    silent(done)


def test_rotate_keeps_the_old_key_until_the_new_one_works(server):
    run("keys", "set", "mock", stdin=KEY)
    run("providers", "update", "mock", "--default-model", "mock-model")
    before = run_json("keys", "list", "mock")
    server.enqueue(status=401)
    refused = run("keys", "rotate", "mock", stdin=NEW)
    assert refused.returncode == 1
    assert run_json("keys", "list", "mock")[0]["fingerprint"] == before[0]["fingerprint"]
    silent(refused)


def test_the_vault_takes_the_keys_of_a_machine_without_keyring(server, tmp_path, monkeypatch):
    keyring.set_keyring(fail.Keyring())
    done = run("keys", "set", "mock", "--json", stdin=KEY)
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["cause"]) == ("KEY_STORE_FAILED", "no_keyring")
    assert "--store vault" in error["hint"]
    locked = run("keys", "set", "mock", "--store", "vault", "--json", stdin=KEY)
    assert json.loads(locked.stdout)["error"]["cause"] == "vault_locked"
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    passphrase.chmod(0o600)
    monkeypatch.setenv("TOOLKIT_VAULT_PASSPHRASE_FILE", str(passphrase))
    assert run("keys", "set", "mock", "--store", "vault", stdin=KEY).returncode == 0
    assert run("chat", "hello", "-m", "mock/m").returncode == 0
    assert server.requests[-1].headers["authorization"] == f"Bearer {KEY}"
    monkeypatch.delenv("TOOLKIT_VAULT_PASSPHRASE_FILE")
    refused = run("chat", "hello", "-m", "mock/m")
    assert refused.returncode == 1
    assert "vault is locked" in refused.stdout + refused.stderr
    silent(done, locked, refused)


def test_the_value_of_a_header_is_stored_like_a_key(server):
    done = run("keys", "set", "mock", "--header", "X-Auth-Token", stdin="t0p-secret")
    assert done.returncode == 0, done.stderr
    run("providers", "test", "mock")
    assert server.requests[-1].headers["x-auth-token"] == "t0p-secret"
    assert "t0p" not in run("keys", "list").stdout


def test_removing_what_is_not_there_and_unknown_providers(server):
    assert run("keys", "remove", "mock").returncode == 2
    assert run("keys", "set", "nobody", stdin=KEY).returncode == 1
    assert run("keys", "rotate").returncode == 2


def test_no_key_is_in_the_environment_afterwards(server):
    run("keys", "set", "mock", stdin=KEY)
    run("chat", "hello", "-m", "mock/m")
    assert KEY not in os.environ.values()
