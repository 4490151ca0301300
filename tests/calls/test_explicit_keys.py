"""A key that is given with a call is the one that is sent, as text or as a `Secret`."""

from __future__ import annotations

import asyncio
import json
import traceback

import pytest

import toolkit as tk
from tests.servers import Answer, MockProvider
from toolkit.errors import AuthenticationFailed
from toolkit.secret import Secret

GIVEN = "sk-given-" + "g" * 32
STORED = "sk-stored-" + "s" * 32
VECTORS = json.dumps(
    {"data": [{"index": 0, "embedding": [0.5, 0.25]}], "model": "m", "usage": {"prompt_tokens": 1}}
).encode()


@pytest.fixture
def mock(monkeypatch):
    with MockProvider(Answer(text="Hello.")) as server:
        tk.providers.add("mock", base_url=server.base_url, is_local=True)
        monkeypatch.setenv("MOCK_API_KEY", STORED)
        yield server


def keys_sent(mock):
    """The keys of the calls; adding a provider looks for its address first, without one."""
    return [r.headers.get("authorization") for r in mock.requests if r.method == "POST"]


def complete(key):
    return tk.complete("mock/m", "Hi", api_key=key).text


def acomplete(key):
    async def run():
        return (await tk.acomplete("mock/m", "Hi", api_key=key)).text

    return asyncio.run(run())


def stream(key):
    return "".join(tk.stream("mock/m", "Hi", api_key=key))


def astream(key):
    async def run():
        return "".join([piece async for piece in tk.astream("mock/m", "Hi", api_key=key)])

    return asyncio.run(run())


def compare(key):
    board = tk.compare("Hi", ["mock/a", "mock/b"], api_key=key)
    return {pane.text for pane in board.panes}.pop()


def compare_panes(key):
    board = tk.compare("Hi", ["mock/a", "mock/b"], panes=[{"api_key": key}, {"api_key": key}])
    return {pane.text for pane in board.panes}.pop()


CALLS = [complete, acomplete, stream, astream, compare, compare_panes]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("make", [str, Secret])
def test_the_given_key_is_sent(mock, call, make):
    assert call(make(GIVEN)) == "Hello."
    assert set(keys_sent(mock)) == {f"Bearer {GIVEN}"}


@pytest.mark.parametrize("make", [str, Secret])
def test_the_given_key_is_sent_for_vectors(mock, make):
    async def embed():
        return await tk.aembed("mock/m", ["a"], api_key=make(GIVEN))

    mock.enqueue(body=VECTORS, times=2)
    assert tk.embed("mock/m", "a", api_key=make(GIVEN)).vectors == ((0.5, 0.25),)
    asyncio.run(embed())
    assert keys_sent(mock) == [f"Bearer {GIVEN}"] * 2


@pytest.mark.parametrize("call", [complete, acomplete, stream, astream])
@pytest.mark.parametrize("make", [str, Secret])
def test_no_traceback_with_local_variables_of_ours_shows_the_given_key(mock, call, make):
    said = json.dumps({"error": {"message": f"Incorrect API key provided: {GIVEN}"}}).encode()
    mock.default = Answer(status=401, body=said)
    with pytest.raises(AuthenticationFailed) as failed:
        call(make(GIVEN))
    shown = "".join(
        traceback.TracebackException.from_exception(failed.value, capture_locals=True).format()
    )
    ours = [frame for frame in shown.split("\n  File ") if "/toolkit/" in frame.splitlines()[0]]
    assert ours and not [frame for frame in ours if GIVEN in frame]
    assert GIVEN not in str(failed.value)
