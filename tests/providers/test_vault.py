"""The vault: what is sealed stays sealed, and each kind of damage has its own message."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading

import pytest

from toolkit.errors import KeyStoreError
from toolkit.keys.encryption import SCRYPT_N, Lock
from toolkit.keys.vault import PASSPHRASE_FILE, Vault
from toolkit.secret import Secret

PASSPHRASE = Secret("correct horse battery")
KEY = "sk-" + "v" * 40
ID = ("corp", "default", "https://llm.corp.example:443")


@pytest.fixture
def path(home):
    return home / "vault"


def opened(path, n=16) -> Vault:
    return Vault(path, ask=lambda new: PASSPHRASE, n=n)


def locked_out(new: bool) -> Secret:
    raise AssertionError("nobody may be asked here")


def cause_of(use) -> str:
    with pytest.raises(KeyStoreError) as refused:
        use()
    assert KEY not in str(refused.value)
    assert PASSPHRASE.reveal() not in str(refused.value)
    return refused.value.cause


def test_a_key_comes_back_and_the_file_does_not_show_it(path):
    opened(path).set(*ID, Secret(KEY))
    assert opened(path).get(*ID) == Secret(KEY)
    content = path.read_bytes()
    assert KEY.encode() not in content
    assert b"v" * 20 not in content
    assert opened(path).ids() == [ID]
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_real_cost_of_a_guess_is_scrypt_with_128_mebibytes(path):
    assert SCRYPT_N == 2**17
    Vault(path, ask=lambda new: PASSPHRASE).set(*ID, Secret(KEY))
    header = json.loads(path.read_text())["kdf"]
    assert (header["name"], header["n"], header["r"], header["p"]) == ("scrypt", 2**17, 8, 1)
    assert opened(path).get(*ID) == Secret(KEY)


def test_salt_and_nonces_are_never_used_twice(path):
    vault = opened(path)
    nonces, salts = set(), set()
    for number in range(20):
        vault.set("corp", f"k{number % 3}", ID[2], Secret(KEY))
        told = json.loads(path.read_text())
        salts.add(told["kdf"]["salt"])
        nonces |= {entry["nonce"] for entry in told["entries"]}
    assert len(nonces) == 20
    assert len(salts) == 1
    assert Lock.make().salt != Lock.make().salt


def test_the_wrong_passphrase(path):
    opened(path).set(*ID, Secret(KEY))
    wrong = Vault(path, ask=lambda new: Secret("wrong horse battery"), n=16)
    assert cause_of(lambda: wrong.get(*ID)) == "wrong_passphrase"
    assert cause_of(lambda: wrong.set(*ID, Secret("x"))) == "wrong_passphrase"


def test_a_short_passphrase_protects_nothing(path):
    vault = Vault(path, ask=lambda new: Secret("short"), n=16)
    assert cause_of(lambda: vault.set(*ID, Secret(KEY))) == "weak_passphrase"
    assert not path.exists()


def test_every_flipped_bit_is_noticed(path):
    opened(path).set(*ID, Secret(KEY))
    good = path.read_bytes()
    for position in range(0, len(good), 7):
        bad = bytearray(good)
        bad[position] ^= 1 << (position % 8)
        path.write_bytes(bytes(bad))
        with pytest.raises(KeyStoreError) as refused:
            opened(path).get(*ID)
        assert refused.value.cause in ("damaged", "truncated", "too_new")
    path.write_bytes(good)
    assert opened(path).get(*ID) == Secret(KEY)


def test_every_truncation_is_noticed(path):
    opened(path).set(*ID, Secret(KEY))
    good = path.read_bytes()
    for length in range(0, len(good) - 1, 11):
        path.write_bytes(good[:length])
        assert cause_of(lambda: opened(path).get(*ID)) == "truncated"


def rewrite(path, change) -> None:
    """Alter the vault and make its checksum fit again, as an attacker would."""
    import hashlib

    told = json.loads(path.read_text())
    told.pop("sha256")
    change(told)
    text = json.dumps(told, sort_keys=True)
    told["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("field", "value"),
    [("origin", "https://evil.example:443"), ("provider", "evil"), ("name", "other")],
)
def test_a_key_that_was_moved_does_not_open(path, field, value):
    """The origin is part of the seal: rewriting it sends the key nowhere."""
    opened(path).set(*ID, Secret(KEY))
    rewrite(path, lambda told: told["entries"][0].__setitem__(field, value))
    moved = opened(path).ids()[0]
    assert cause_of(lambda: opened(path).get(*moved)) == "altered"


def test_two_swapped_boxes_do_not_open(path):
    vault = opened(path)
    vault.set(*ID, Secret(KEY))
    vault.set("other", "default", ID[2], Secret("x" * 30))

    def swap(told):
        one, two = told["entries"]
        one["data"], two["data"] = two["data"], one["data"]
        one["nonce"], two["nonce"] = two["nonce"], one["nonce"]

    rewrite(path, swap)
    assert cause_of(lambda: opened(path).get(*ID)) == "altered"


def test_a_newer_version_is_left_untouched(path):
    opened(path).set(*ID, Secret(KEY))
    rewrite(path, lambda told: told.__setitem__("v", 2))
    before = path.read_bytes()
    assert cause_of(lambda: opened(path).get(*ID)) == "too_new"
    assert cause_of(lambda: opened(path).set(*ID, Secret("x"))) == "too_new"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "kdf",
    [
        {"name": "md5", "n": 16, "r": 8, "p": 1},
        {"name": "scrypt", "n": 2**30, "r": 8, "p": 1},
        {"name": "scrypt", "n": 15, "r": 8, "p": 1},
        {"name": "scrypt", "n": 16, "r": 8, "p": 10**6},
        {"name": "scrypt", "n": "16", "r": 8, "p": 1},
    ],
)
def test_a_header_cannot_exhaust_this_machine(path, kdf):
    opened(path).set(*ID, Secret(KEY))
    rewrite(path, lambda told: told["kdf"].update(kdf))
    assert cause_of(lambda: opened(path).get(*ID)) == "damaged"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX file modes")
def test_a_file_that_others_can_read_is_refused(path):
    opened(path).set(*ID, Secret(KEY))
    path.chmod(0o644)
    with pytest.raises(KeyStoreError) as refused:
        opened(path).get(*ID)
    assert refused.value.cause == "file_unsafe"
    assert "chmod 600" in refused.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX links")
def test_a_link_is_not_followed(path):
    opened(path).set(*ID, Secret(KEY))
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert cause_of(lambda: opened(path).get(*ID)) == "file_unsafe"


def test_the_passphrase_can_come_from_a_file(path, tmp_path, monkeypatch):
    file = tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE.reveal()}\n")
    file.chmod(0o600)
    monkeypatch.setenv(PASSPHRASE_FILE, str(file))
    Vault(path, ask=locked_out, n=16).set(*ID, Secret(KEY))
    monkeypatch.delenv(PASSPHRASE_FILE)
    assert opened(path).get(*ID) == Secret(KEY)
    monkeypatch.setenv(PASSPHRASE_FILE, str(tmp_path / "nowhere"))
    assert cause_of(lambda: Vault(path, n=16).get(*ID)) == "no_passphrase_file"
    if sys.platform != "win32":
        file.chmod(0o644)
        monkeypatch.setenv(PASSPHRASE_FILE, str(file))
        assert cause_of(lambda: Vault(path, n=16).get(*ID)) == "file_unsafe"


def test_without_terminal_and_file_it_says_what_to_do(path):
    opened(path).set(*ID, Secret(KEY))
    with pytest.raises(KeyStoreError) as refused:
        Vault(path, n=16).get(*ID)
    assert refused.value.cause == "vault_locked"
    assert PASSPHRASE_FILE in refused.value.hint


def test_removing_needs_no_passphrase_and_leaves_the_others(path):
    vault = opened(path)
    vault.set(*ID, Secret(KEY))
    vault.set("other", "default", ID[2], Secret("x" * 30))
    locked = Vault(path, ask=locked_out)
    assert locked.remove(*ID)
    assert not locked.remove(*ID)
    assert opened(path).get("other", "default", ID[2]) == Secret("x" * 30)


def test_a_new_passphrase_seals_everything_anew(path):
    vault = opened(path)
    vault.set(*ID, Secret(KEY))
    before = json.loads(path.read_text())
    new = Secret("entirely different")
    vault.change_passphrase(new)
    after = json.loads(path.read_text())
    assert after["kdf"]["salt"] != before["kdf"]["salt"]
    assert cause_of(lambda: opened(path).get(*ID)) == "wrong_passphrase"
    assert Vault(path, ask=lambda _: new, n=16).get(*ID) == Secret(KEY)
    assert vault.get(*ID) == Secret(KEY)
    assert cause_of(lambda: vault.change_passphrase(Secret("short"))) == "weak_passphrase"


def test_a_full_disk_leaves_the_vault_as_it_was(path, monkeypatch):
    vault = opened(path)
    vault.set(*ID, Secret(KEY))
    before = path.read_bytes()

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    assert cause_of(lambda: vault.set("x", "default", ID[2], Secret(KEY))) == "not_written"
    assert path.read_bytes() == before


def test_many_threads_lose_no_key(path):
    opened(path).set(*ID, Secret(KEY))

    def store(number: int) -> None:
        opened(path).set("corp", f"key-{number}", ID[2], Secret(f"{KEY}{number}"))

    threads = [threading.Thread(target=store, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    vault = opened(path)
    assert len(vault.ids()) == 9
    assert all(vault.get("corp", f"key-{n}", ID[2]) == Secret(f"{KEY}{n}") for n in range(8))


@pytest.mark.parametrize("value", ["a", "ключ", "a\nb\0c", "\ud800", "x" * 100_000])
def test_any_text_survives_the_seal(path, value):
    opened(path).set(*ID, Secret(value))
    assert opened(path).get(*ID) == Secret(value)
