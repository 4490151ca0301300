"""HTTP as old, rare and careless clients speak it, on a raw socket."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any

import pytest

BODY = {"model": "mock/m", "messages": [{"role": "user", "content": "hi"}]}


def request(served: Any, path: str, *headers: str, version: str = "1.1") -> bytes:
    lines = [
        f"POST {path} HTTP/{version}",
        "Host: localhost",
        f"Authorization: Bearer {served.token}",
        "Content-Type: application/json",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def connect(served: Any) -> socket.socket:
    port = int(served.url.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def chunked(data: bytes, size: int = 10) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def test_a_client_that_waits_for_100_continue_is_answered(served):
    body = json.dumps(BODY).encode()
    head = ("Expect: 100-continue", "Connection: close", f"Content-Length: {len(body)}")
    with connect(served) as connection:
        connection.sendall(request(served, "/v1/chat/completions", *head))
        first = connection.recv(1000)
        assert first.startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert b"You said: hi" in read_all(connection)


def test_a_body_in_chunks_and_a_stream_of_its_answer(served):
    body = json.dumps({**BODY, "stream": True}).encode()
    head = ("Transfer-Encoding: chunked", "Connection: close")
    with connect(served) as connection:
        connection.sendall(request(served, "/v1/chat/completions", *head) + chunked(body))
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 200 ") and b"data: [DONE]" in answer


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_of_http_1_0_gets_no_chunks(served, stream):
    body = json.dumps({**BODY, "stream": stream}).encode()
    head = f"Content-Length: {len(body)}"
    with connect(served) as connection:
        connection.sendall(request(served, "/v1/chat/completions", head, version="1.0") + body)
        answer = read_all(connection)
    head_text, _, content = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head_text and b"chunked" not in head_text.lower()
    if stream:
        assert content.startswith(b"data: ") and content.endswith(b"data: [DONE]\n\n")
    else:
        assert json.loads(content)["choices"][0]["message"]["content"] == "You said: hi"


def test_requests_in_one_packet_are_answered_in_their_order(served):
    sent = b""
    for text, last in (("one", "keep-alive"), ("two", "close")):
        body = json.dumps({**BODY, "messages": [{"role": "user", "content": text}]}).encode()
        head = (f"Content-Length: {len(body)}", f"Connection: {last}")
        sent += request(served, "/v1/chat/completions", *head) + body
    with connect(served) as connection:
        connection.sendall(sent)
        answer = read_all(connection)
    assert 0 < answer.index(b"You said: one") < answer.index(b"You said: two")


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions/", "/chat/completions", "/v1/v1/chat/completions"]
)
def test_any_usual_base_url_leads_to_the_endpoint(served, path):
    answer = served.ask("POST", path, json=BODY)
    assert (answer.status_code, answer.history) == (200, [])
    assert served.ask("GET", "/v1/models/").status_code == 200


def test_a_compressed_body_is_refused_with_the_reason(served):
    packed = gzip.compress(json.dumps(BODY).encode())
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    answer = served.ask("POST", "/v1/chat/completions", content=packed, headers=headers)
    assert answer.status_code == 415
    assert "Content-Encoding: gzip" in answer.json()["error"]["message"]
