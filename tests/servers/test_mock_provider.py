"""The scripted provider is itself right: other tests stand on it."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.servers import MockProvider


def ask(server: MockProvider, **body: object) -> httpx.Response:
    asked = {"model": "m", "messages": [{"role": "user", "content": "hello there"}], **body}
    return httpx.post(f"{server.base_url}/chat/completions", json=asked)


def test_unscripted_requests_are_answered_by_an_echo() -> None:
    with MockProvider() as server:
        body = ask(server).json()
    assert body["choices"][0]["message"]["content"] == "You said: hello there"
    assert body["usage"]["completion_tokens"] == 4
    assert server.requests[0].path == "/v1/chat/completions"
    assert server.connections == 1


def test_a_stream_has_role_content_finish_usage_and_done_with_a_stamp_per_content_chunk() -> None:
    with MockProvider() as server:
        server.enqueue("a b c")
        text = ask(server, stream=True, stream_options={"include_usage": True}).text
        request = server.requests[0]
    events = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    deltas = [json.loads(event)["choices"] for event in events[:-1]]
    assert [c[0]["delta"].get("content") for c in deltas[:-1]] == ["", "a ", "b ", "c", None]
    assert deltas[-1] == []
    assert len(request.stamps) == 3 and request.stamps == sorted(request.stamps)


@pytest.mark.parametrize("path", ["/messages", "/models/m:generateContent"])
def test_the_path_chooses_the_dialect(path: str) -> None:
    with MockProvider() as server:
        server.enqueue("fine")
        body = httpx.post(server.base_url + path, json={"messages": []}).json()
    assert "fine" in json.dumps(body["content" if "messages" in path else "candidates"])


def test_a_scripted_status_headers_and_drop_reach_the_client() -> None:
    with MockProvider() as server:
        server.enqueue("slow down", status=429, headers={"Retry-After": "3"})
        server.enqueue("a b c", drop_after=2)
        answer = ask(server)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
        with pytest.raises(httpx.RemoteProtocolError):
            ask(server, stream=True)
        assert httpx.get(f"{server.base_url}/models").json()["data"][0]["id"] == "mock-model"
