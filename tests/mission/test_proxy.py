"""A proxy for any client: plug-in providers, token sources, streaming, a pipeline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import toolkit as tk
from toolkit.calls.pipeline.processors import InputTokenLimit
from toolkit.errors import (
    ContextWindowExceeded,
    MalformedResponse,
    ModelNotFound,
    PermissionDenied,
    StreamInterrupted,
    ToolkitError,
)
from toolkit.keys.token_sources import AccessToken
from toolkit.secret import Secret
from toolkit.toolkit import current


def test_a_plugin_may_bring_its_client_its_token_or_its_address(mock):
    given: list[str] = []

    class Corporate:
        name = "corporate"
        is_local = True

        def url(self):
            return mock.base_url

        def token(self):
            given.append(f"token-{len(given)}-{'x' * 20}")
            return AccessToken(Secret(given[-1]), datetime.now(UTC) + timedelta(hours=1))

    tk.providers.register(Corporate)
    assert tk.complete("corporate/m", "hello").text == "works"
    assert mock.requests[-1].headers["authorization"] == f"Bearer {given[0]}"


def test_a_reader_that_leaves_ends_the_call_upstream(mock):
    mock.enqueue(chunks=["word "] * 400, chunk_delay_s=0.01)
    with tk.stream("mock/m", "hello") as stream:
        assert next(stream) == "word "
    assert len(tk.calls(status="cancelled")) == 1


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
def test_broken_answers_are_errors_of_their_kind(mock, answer, error):
    mock.enqueue("a word", times=2, **answer)
    with pytest.raises(ToolkitError) as caught:
        tk.complete("mock/m", "hello", max_retries=0)
    assert isinstance(caught.value, error)


def test_a_cut_stream_is_never_a_success(mock):
    mock.enqueue(chunks=["a ", "b ", "c "], drop_after=2)
    with pytest.raises(StreamInterrupted), tk.stream("mock/m", "hello") as stream:
        list(stream)
    assert list(tk.calls()["status"]) == ["error"]


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
