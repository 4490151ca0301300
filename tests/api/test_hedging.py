"""Hedging at the 95th percentile: the gateway and two providers, each a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

import toolkit as tk
from tests.api.compatibility import ROOT, _address
from toolkit.api.bearer_tokens import BearerTokens
from toolkit.api.routing.chain_routing import _MIN_CALLS
from toolkit.toolkit import current

CHAT = {"messages": [{"role": "user", "content": "hello"}]}


@contextlib.contextmanager
def started(*arguments: str, **options) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", *arguments]
    process = subprocess.Popen(command, text=True, cwd=ROOT, env={**os.environ}, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


@contextlib.contextmanager
def provider(name: str, gate: Path) -> Iterator[None]:
    arguments = ("tests.servers.gated_provider", f"from {name}", str(gate))
    with started(*arguments, stdout=subprocess.PIPE) as process:
        port = int(process.stdout.readline())
        tk.providers.add(
            name,
            base_url=f"http://127.0.0.1:{port}/v1",
            local=True,
            test=False,
            type="openai-compatible",
        )
        yield


def test_a_model_that_does_not_answer_is_hedged_after_its_own_p95(home, monkeypatch):
    home.mkdir()
    (home / "settings.toml").write_text(
        'health_interval_s = 0\n[chains]\nfast = ["one/m", "two/m"]\n[hedging]\nfast = "p95"\n'
    )
    monkeypatch.setenv("TOOLKIT_DEFAULT_RPM", "0")
    gate, never = home / "gate", home / "never"
    with provider("one", gate), provider("two", never):
        token = BearerTokens(current().settings.token_path).create("test").reveal()
        current().close()
        log = home / "serve.log"
        with (
            log.open("w") as output,
            started("toolkit", "serve", "--port", "0", stdout=output, stderr=output) as gateway,
        ):
            client = httpx.Client(
                base_url=_address(log, gateway),
                headers={"authorization": f"Bearer {token}"},
                timeout=120,
            )
            for _ in range(_MIN_CALLS):
                answer = client.post("/v1/chat/completions", json={"model": "one/m", **CHAT})
                assert answer.status_code == 200, answer.text
            client.post("/v1/chat/completions", json={"model": "two/m", **CHAT})
            gate.touch()  # from now on the first provider takes requests and does not answer
            hedged = client.post("/v1/chat/completions", json={"model": "fast", **CHAT})
            assert hedged.status_code == 200, hedged.text
            assert hedged.json()["choices"][0]["message"]["content"] == "from two"
            assert hedged.headers["x-toolkit-hedged"] == "yes"
            assert hedged.headers["x-toolkit-provider"] == "two"
            expected = {("one", "ok", _MIN_CALLS), ("one", "cancelled", 1), ("two", "ok", 2)}
            assert _rows(expected) == expected
        gate.unlink()


def _rows(expected: set[tuple[str, str, int]]) -> set[tuple[str, str, int]]:
    """The rows by provider and status, once those that are expected are there."""
    until = time.monotonic() + 60
    while True:
        counts = tk.calls().groupby(["provider", "status"]).size()
        found = {(provider, status, int(n)) for (provider, status), n in counts.items()}
        if found == expected or time.monotonic() > until:
            return found
        time.sleep(0.1)
