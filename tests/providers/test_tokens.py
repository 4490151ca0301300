"""Keys that expire: fetched again in time, once, and never handed out dead."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from toolkit.errors import KeyRequired
from toolkit.keys.sources import AccessToken, TokenSource, TokenSources, expires_in
from toolkit.secret import Secret


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Issuer:
    """Gives numbered tokens that live for a while, and counts."""

    def __init__(self, clock: Clock, life_s: float = 600.0) -> None:
        self.clock, self.life_s, self.given = clock, life_s, 0
        self.gate = threading.Event()
        self.gate.set()
        self.fails = False

    def __call__(self) -> AccessToken:
        self.gate.wait(5)
        if self.fails:
            raise RuntimeError("the issuer is down: sk-" + "x" * 30)
        self.given += 1
        ends = datetime.fromtimestamp(self.clock.now + self.life_s, UTC)
        return AccessToken(Secret(f"token-{self.given}"), ends)


def renewed(source: TokenSource) -> None:
    """Wait until a renewal in the background has ended."""
    for thread in threading.enumerate():
        if thread.name == "toolkit-token":
            thread.join(5)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def issuer(clock):
    return Issuer(clock)


def test_a_living_token_is_fetched_once(clock, issuer):
    source = TokenSource("corp", issuer, now=clock)
    assert [source.get().reveal() for _ in range(5)] == ["token-1"] * 5
    assert issuer.given == 1


def test_a_token_is_replaced_in_the_background_before_it_ends(clock, issuer):
    source = TokenSource("corp", issuer, leeway_s=60, now=clock)
    source.get()
    clock.now += 541
    issuer.gate.clear()
    assert source.get().reveal() == "token-1"  # nobody waits while it lives
    assert source.get().reveal() == "token-1"
    issuer.gate.set()
    renewed(source)
    assert source.get().reveal() == "token-2"
    assert issuer.given == 2


def test_a_dead_token_is_never_handed_out_and_fetched_once_for_all(clock, issuer):
    source = TokenSource("corp", issuer, now=clock)
    source.get()
    clock.now += 601
    issuer.gate.clear()
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(source.get().reveal())) for _ in range(8)]
    for thread in threads:
        thread.start()
    issuer.gate.set()
    for thread in threads:
        thread.join(5)
    assert got == ["token-2"] * 8
    assert issuer.given == 2


def test_a_renewal_that_fails_leaves_the_living_token(clock, issuer):
    source = TokenSource("corp", issuer, leeway_s=60, now=clock)
    source.get()
    clock.now += 550
    issuer.fails = True
    assert source.get().reveal() == "token-1"
    renewed(source)
    assert source.get().reveal() == "token-1"
    renewed(source)
    clock.now += 60
    with pytest.raises(KeyRequired) as failed:
        source.get()
    assert failed.value.cause == "token_source"
    assert "sk-" not in str(failed.value)
    issuer.fails = False
    assert source.get().reveal() == "token-2"


@pytest.mark.parametrize("given", ["", Secret("")])
def test_no_token_is_told(given):
    with pytest.raises(KeyRequired):
        TokenSource("corp", lambda: given).get()


def test_a_token_that_is_dead_already_is_told(clock):
    dead = AccessToken(Secret("x"), datetime.fromtimestamp(clock.now - 1, UTC))
    with pytest.raises(KeyRequired):
        TokenSource("corp", lambda: dead, now=clock).get()


def test_a_plain_key_lasts():
    source = TokenSource("corp", lambda: "key")
    assert source.get() is source.get()


def test_a_refused_token_can_be_forgotten(clock, issuer):
    source = TokenSource("corp", issuer, now=clock)
    source.get()
    source.forget()
    assert source.get().reveal() == "token-2"


def test_a_source_is_bound_to_its_origin():
    sources = TokenSources()
    source = TokenSource("corp", lambda: "key")
    sources.register("corp", "https://a.example:443", source)
    assert sources.find("corp", "https://a.example:443") is source
    assert sources.find("corp", "https://evil.example:443") is None
    sources.register("free", None, source)
    assert sources.find("free", "https://anywhere.example:443") is source
    assert sources.known() == []
    source.get()
    assert sources.known()[0].reveal() == "key"


def test_expires_in_is_utc():
    left = (expires_in(60) - datetime.now(UTC)).total_seconds()
    assert 50 < left <= 60


def test_keys_ask_the_source_before_the_environment(keys, registry, monkeypatch):
    corp = registry.add("corp", base_url="https://llm.corp.example/v1")
    monkeypatch.setenv("CORP_API_KEY", "e" * 30)
    keys.tokens.register("corp", corp.origin, TokenSource("corp", lambda: "from-source"))
    assert keys.resolve(corp).source == "token"
    assert [place.source for place in keys.list(corp) if place.in_force] == ["token"]
    assert "from-source" in {s.reveal() for s in keys.known_secrets()}


def test_a_clock_that_is_set_back_does_not_lengthen_the_life_of_a_token(clock, issuer):
    passed = Clock()
    source = TokenSource("corp", issuer, leeway_s=0, now=clock, steady=passed)
    assert source.get().reveal() == "token-1"
    clock.now -= 40 * 86400
    assert source.get().reveal() == "token-1"
    passed.now += 601
    assert source.get().reveal() == "token-2"
    assert source.get().reveal() == "token-2"
    clock.now += 110 * 86400
    assert source.get().reveal() == "token-3"
