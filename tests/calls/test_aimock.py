"""Chaos by a server that we did not write: nothing unclassified, nothing past its deadline."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.calls.asking import Asking, make_provider, quick_settings
from toolkit import errors

CLI = Path(__file__).parents[1] / "judges/node_modules/@copilotkit/aimock/dist/cli.js"
BASE = {"openai": "/v1", "anthropic": "", "gemini": "/v1beta"}
DEADLINE_S = 8.0
CALLS = 1000
# Read now: while a test runs, the toolkit's variables are gone.
REQUIRED = os.environ.get("TOOLKIT_REQUIRE_JUDGES") == "1"
# What each kind of chaos is: a 500, a body that is no JSON, a cut connection, a 429.
EXPECTED = {"SERVER_ERROR", "PARSE_ERROR", "REQUEST_FAILED", "STREAM_ERROR", "RATE_LIMIT_EXCEEDED"}


@pytest.fixture
def chaos(tmp_path):
    """The server with 30 % chaos, on a free port."""
    node = shutil.which("node")
    if node is None or not CLI.is_file():
        reason = "aimock is not installed (`make judges` installs it; it needs Node.js)"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    fixture = {"match": {"userMessage": "hello"}, "response": {"content": "Hello from the mock."}}
    (tmp_path / "answers.json").write_text(json.dumps({"fixtures": [fixture]}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rates = [f"--chaos-{kind}" for kind in ("drop", "malformed", "disconnect", "ratelimit")]
    command = [node, str(CLI), "-p", str(port), "-f", str(tmp_path / "answers.json")]
    command += ["--log-level", "silent", *(part for rate in rates for part in (rate, "0.085"))]
    with subprocess.Popen(command) as server:
        try:
            yield _wait_for(port)
        finally:
            server.kill()


def _wait_for(port):
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return f"http://127.0.0.1:{port}"
        time.sleep(0.05)
    raise RuntimeError("aimock did not start")


@pytest.mark.timeout(300)
def test_a_thousand_calls_in_chaos_all_end_well_or_by_name(chaos):
    outcomes = asyncio.run(_ask_all(chaos))
    codes = Counter(code for code, _ in outcomes)
    assert sum(codes.values()) == CALLS
    assert max(took_s for _, took_s in outcomes) < DEADLINE_S
    assert set(codes) - {"ok"} <= EXPECTED, codes
    failed = CALLS - codes["ok"]
    assert 0.2 * CALLS < failed < 0.4 * CALLS, codes
    assert len({code for code in codes if code != "ok"}) >= 3, codes


async def _ask_all(origin):
    settings = quick_settings(
        connect_timeout_s=5, first_token_timeout_s=5, chunk_timeout_s=5, total_timeout_s=6
    )
    clients = {
        style: Asking(make_provider(origin + path, style), settings=settings)
        for style, path in BASE.items()
    }
    for client in clients.values():  # litellm's first call takes seconds of its own
        await _end_of(client, client.request("hello"))
    gate = asyncio.Semaphore(16)

    async def one(number):
        client = clients[list(BASE)[number % 3]]
        # A model of its own for each call, so that no breaker stands between.
        asked = client.request("hello", stream=number % 2 == 0)
        request = replace(asked, model=f"mock/m{number}")
        async with gate:
            began = time.monotonic()
            code = await _end_of(client, request)
            return code, time.monotonic() - began

    return await asyncio.gather(*(one(number) for number in range(CALLS)))


async def _end_of(client, request):
    try:
        if request.stream:
            async for _ in client.client.stream(request):
                pass
        else:
            await client.client.complete(request)
    except errors.CallError as error:
        return error.code
    return "ok"
