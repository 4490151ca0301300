"""The replay server: any client on a real socket, the recorded pieces at the recorded times."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.servers.mock_provider import MockProvider
from toolkit.errors import CassetteMissing, CassetteStale, InvalidInput
from toolkit.replay.cassettes.open_cassette import cassette
from toolkit.replay.server.replay_server import ReplayServer

FOLDER = Path("cassettes")
MESSAGES: Any = [{"role": "user", "content": "hello"}]


@pytest.fixture
def provider() -> Iterator[MockProvider]:
    with MockProvider() as server:
        yield server


def recording(name: str = "suite/case") -> Any:
    return cassette(name, mode="record", secrets=())


def openai_client(url: str) -> openai.OpenAI:
    return openai.OpenAI(api_key="unused", base_url=f"{url}/v1", max_retries=0)


def anthropic_client(url: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="unused", base_url=url, max_retries=0)


def test_the_official_openai_client_gets_its_answer_stream_tool_call_and_error(provider):
    tools: Any = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    call = {"id": "c1", "function": {"name": "look", "arguments": '{"at": "sky"}'}}
    provider.enqueue("whole answer")
    provider.enqueue("in pieces then")
    provider.enqueue(tool_calls=[call], finish_reason="tool_calls")
    provider.enqueue("slow down", status=429, headers={"retry-after": "7"})

    def use(client: openai.OpenAI) -> list[Any]:
        chat = client.chat.completions
        whole = chat.create(model="m", messages=MESSAGES)
        stream = chat.create(model="m", messages=MESSAGES, stream=True)
        text = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
        tool = chat.create(model="m", messages=MESSAGES, tools=tools)
        with pytest.raises(openai.RateLimitError) as caught:
            chat.create(model="other", messages=MESSAGES)
        called = tool.choices[0].message.tool_calls
        assert called is not None
        wait = caught.value.response.headers["retry-after"]
        return [whole.choices[0].message.content, text, called[0].to_dict(), wait]

    with recording():
        recorded = use(openai_client(provider.origin))
    with ReplayServer(FOLDER, speed=0) as server:
        assert use(openai_client(server.url)) == recorded
        assert (server.served, server.missed) == (4, 0)
    assert recorded[:2] == ["whole answer", "in pieces then"]
    assert len(provider.requests) == 4


def test_the_official_anthropic_client_gets_its_answer_and_stream(provider):
    provider.enqueue("whole answer")
    provider.enqueue("in pieces then")

    def use(client: anthropic.Anthropic) -> list[str]:
        whole = client.messages.create(model="m", max_tokens=9, messages=MESSAGES)
        with client.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as stream:
            text = "".join(stream.text_stream)
        return [whole.content[0].text, text]  # type: ignore[union-attr]

    with recording():
        recorded = use(anthropic_client(provider.origin))
    with ReplayServer(FOLDER, speed=0) as server:
        assert use(anthropic_client(server.url)) == recorded == ["whole answer", "in pieces then"]


def test_a_stream_is_cut_where_it_was_cut(provider):
    provider.enqueue(chunks=["one ", "two ", "three"], drop_after=2)

    def use(client: openai.OpenAI) -> str:
        text = ""
        with pytest.raises(httpx.RemoteProtocolError):
            for chunk in client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
                text += chunk.choices[0].delta.content or ""
        return text

    with recording():
        assert use(openai_client(provider.origin)) == "one two "
    with ReplayServer(FOLDER, speed=0) as server:
        assert use(openai_client(server.url)) == "one two "


def test_no_piece_comes_before_its_recorded_time_at_the_chosen_speed(provider):
    provider.enqueue(chunks=["one ", "two ", "three"], content_delay_s=0.1, chunk_delay_s=0.1)

    def use(client: openai.OpenAI) -> list[float]:
        began = time.monotonic()
        stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        chunks = [(c, time.monotonic() - began) for c in stream]
        return [at for c, at in chunks if c.choices and c.choices[0].delta.content]

    with recording():
        recorded = use(openai_client(provider.origin))
    assert len(recorded) == 3
    for speed in (1, 0.5):
        with ReplayServer(FOLDER, speed=speed) as server:
            played = use(openai_client(server.url))
        assert all(at >= 0.1 * n / speed for n, at in enumerate(played, 1))


def test_identical_requests_get_their_answers_in_turn(provider):
    provider.enqueue("first")
    provider.enqueue("second")

    def use(url: str) -> str:
        answer = openai_client(url).chat.completions.create(model="m", messages=MESSAGES)
        return str(answer.choices[0].message.content)

    with recording():
        assert [use(provider.origin), use(provider.origin)] == ["first", "second"]
    with ReplayServer(FOLDER, speed=0) as server:
        assert [use(server.url) for _ in range(4)] == ["first", "second", "first", "second"]


def test_what_was_not_recorded_is_a_404_that_says_what_differs(provider):
    with recording():
        openai_client(provider.origin).chat.completions.create(model="m", messages=MESSAGES)
    other: Any = [{"role": "user", "content": "bye"}]
    with (
        ReplayServer(FOLDER, speed=0) as server,
        pytest.raises(openai.NotFoundError, match="recorded 'hello', requested 'bye'"),
    ):
        openai_client(server.url).chat.completions.create(model="m", messages=other)
    assert server.missed == 1


def test_several_cassettes_are_served_together_and_listed(provider):
    for model in ("a", "b"):
        with recording(f"suite/{model}"):
            openai_client(provider.origin).chat.completions.create(model=model, messages=MESSAGES)
    server = ReplayServer(FOLDER)
    path = "POST /v1/chat/completions"
    assert server.routes == {f"{path} (a)": 1, f"{path} (b)": 1}


def send(server: ReplayServer, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        got = b""
        while part := connection.recv(65536):
            got += part
        return got


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 200_000 + b"\r\n\r\n", b"431"),
        (b"GET /nothing HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /n HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", b"404"),
    ],
)
def test_odd_requests_get_an_error_and_the_server_lives_on(provider, data, status):
    with recording():
        httpx.post(f"{provider.base_url}/x", json={})
    with ReplayServer(FOLDER, speed=0) as server:
        assert send(server, data).split(b" ", 2)[1] == status
        assert httpx.post(f"{server.url}/v1/x", json={}).status_code == 200


def test_a_client_that_goes_away_in_the_middle_does_no_harm(provider):
    provider.enqueue(chunks=["one ", "two ", "three"], chunk_delay_s=0.05)
    body = {"model": "m", "messages": MESSAGES, "stream": True}
    with recording():
        httpx.post(f"{provider.base_url}/chat/completions", json=body)
    with ReplayServer(FOLDER) as server:
        with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body) as answer:
            next(answer.iter_raw())
        assert b"three" in httpx.post(f"{server.url}/v1/chat/completions", json=body).content


def test_bad_folders_speeds_and_ports_are_clear_errors(tmp_path, provider):
    with pytest.raises(InvalidInput, match="no folder"):
        ReplayServer(tmp_path / "nowhere")
    with pytest.raises(CassetteMissing, match="no cassette in"):
        ReplayServer(tmp_path)
    with recording():
        httpx.get(f"{provider.origin}/health")
    for speed in (-1, float("nan"), float("inf")):
        with pytest.raises(InvalidInput, match="speed"):
            ReplayServer(FOLDER, speed=speed)
    with (
        ReplayServer(FOLDER) as server,
        pytest.raises(InvalidInput, match="cannot be used"),
        ReplayServer(FOLDER, port=server.port),
    ):
        pass
    (FOLDER / "suite" / "half.yaml").write_text("version: 1\n")
    with pytest.raises(CassetteStale):
        ReplayServer(FOLDER)
