"""A proxy for any client: plug-in providers, token sources, streaming, a pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

import toolkit as tk
from tests.cli.shell import run
from tests.servers import Answer, MockProvider
from toolkit.calls.pipeline import InputTokenLimit
from toolkit.errors import (
    ContextWindowExceeded,
    MalformedResponse,
    ModelNotFound,
    PermissionDenied,
    StreamInterrupted,
    ToolkitError,
)
from toolkit.keys.sources import AccessToken
from toolkit.secret import Secret
from toolkit.toolkit import current


def poll(is_so: Callable[[], bool], wait_s: float = 30.0) -> bool:
    """Wait until something is so, which the other side of a socket needs a moment for."""
    end = time.monotonic() + wait_s
    while not is_so() and time.monotonic() < end:
        time.sleep(0.01)
    return is_so()


def test_a_plugin_may_bring_its_client_its_token_or_its_address(mock):
    given: list[str] = []

    lasts = [timedelta(hours=1), timedelta(seconds=5)]

    class OwnClient:
        name = "own-client"
        models = ("m",)

        async def astream(self, request):
            yield "own "
            yield request.messages[-1]["content"]

    class Corporate:
        name = "corporate"
        is_local = True

        def url(self):
            return mock.base_url

        def token(self):
            given.append(f"token-{len(given)}-{'x' * 20}")
            return AccessToken(Secret(given[-1]), datetime.now(UTC) + lasts.pop())

    tk.providers.register(Corporate)
    assert tk.complete("corporate/m", "hello").text == "works"
    assert mock.requests[-1].headers["authorization"] == f"Bearer {given[0]}"
    assert tk.complete("corporate/m", "hello").text == "works"
    assert poll(lambda: len(given) == 2), "a token that soon expires is fetched again"
    assert tk.complete("corporate/m", "hello").text == "works"
    assert mock.requests[-1].headers["authorization"] == f"Bearer {given[1]}"
    tk.providers.register(OwnClient)
    with tk.stream("own-client/m", "words") as stream:
        assert list(stream) == ["own ", "words"]
    with MockProvider(Answer(text="elsewhere")) as other:
        tk.providers.set_url_source("mock", lambda: other.base_url)
        assert tk.complete("mock/m", "hello").text == "elsewhere"


def test_a_reader_that_leaves_ends_the_call_upstream(mock):
    mock.enqueue(chunks=["word "] * 400, chunk_delay_s=0.01)
    with tk.stream("mock/m", "hello") as stream:
        assert next(stream) == "word "
    assert len(tk.calls(status="cancelled")) == 1
    assert poll(lambda: mock.requests[-1].closed_early)
    assert len(mock.requests[-1].stamps) < 400


def test_a_provider_has_its_address_token_variable_deadline_and_retries(mock, monkeypatch):
    monkeypatch.setenv("TEST_TOKEN_VARIABLE", "sk-" + "v" * 30)
    tk.providers.add(
        "one",
        base_url=mock.base_url,
        local=True,
        key_env=["TEST_TOKEN_VARIABLE"],
        timeout_s=30,
        max_retries=3,
        retry_initial_s=0.0,
        retry_max_s=0.0,
    )
    mock.enqueue(status=500, times=3)
    assert len(tk.complete("one/m", "hello").attempts) == 4
    assert mock.requests[-1].headers["authorization"].endswith("v" * 30)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"body": "<html>not here</html>"}, MalformedResponse),
        ({"status": 403}, PermissionDenied),
        ({"status": 404}, ModelNotFound),
    ],
)
def test_broken_answers_are_errors_of_their_kind(mock, api, answer, error):
    mock.default = Answer(text="a word", **answer)
    with pytest.raises(ToolkitError) as caught:
        tk.complete("mock/m", "hello", max_retries=0)
    assert isinstance(caught.value, error)
    assert (error.code in run("chat", "hello", "-m", "mock/m").stderr) is True
    message = {"role": "user", "content": "hello"}
    answer = api.raw("POST", "/v1/chat/completions", model="mock/m", messages=[message])
    assert answer.status_code >= 400
    assert error.code in answer.text


def test_a_cut_stream_is_never_a_success(mock, api):
    mock.enqueue(chunks=["a ", "b ", "c "], drop_after=2)
    with pytest.raises(StreamInterrupted), tk.stream("mock/m", "hello") as stream:
        list(stream)
    assert list(tk.calls()["status"]) == ["error"]
    mock.default = Answer(chunks=["a ", "b ", "c "], drop_after=2)
    assert run("chat", "hello", "-m", "mock/m").returncode == 1
    message = {"role": "user", "content": "hello"}
    body = {"model": "mock/m", "messages": [message], "stream": True}
    answer = api.raw("POST", "/v1/chat/completions", **body)
    assert "STREAM_ERROR" in answer.text
    assert "[DONE]" not in answer.text
    assert "ok" not in set(tk.calls()["status"])


def test_processors_change_or_refuse_a_request_before_it_is_sent(mock):
    class Listener:
        def after(self, request, reply):
            seen.append(reply.text)
            return reply

    seen: list[str] = []
    current().processors.extend([InputTokenLimit(20), Listener()])
    tk.complete("mock/m", "hello")
    assert seen == ["works"]
    sent = len(mock.requests)
    with pytest.raises(ContextWindowExceeded):
        tk.complete("mock/m", "word " * 200)
    assert len(mock.requests) == sent


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]}),
        ("/v1/responses", {"input": "hello"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 9}),
        ("/v1/completions", {"prompt": "hello"}),
    ],
)
def test_any_client_is_served_whole_and_streamed(mock, api, path, body):
    assert "works" in str(api("POST", path, model="mock/m", **body))
    streamed = api.raw("POST", path, model="mock/m", stream=True, **body)
    assert streamed.status_code == 200
    assert "works" in streamed.text
    assert set(tk.calls()["origin"]) == {"gateway"}


def test_calls_share_one_connection(mock):
    for _ in range(3):
        tk.complete("mock/m", "hello")
        with tk.stream("mock/m", "hello") as stream:
            list(stream)
    assert mock.connections == 1
