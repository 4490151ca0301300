"""Looking for local servers on real sockets, and for providers that the environment names."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from tests.servers.threaded import QuietHandler, ThreadedServer
from toolkit.providers.discovery import find_local_servers
from toolkit.providers.provider import presets
from toolkit.providers.provider_list import find_named


@pytest.fixture
def serve():
    """Start servers that answer everything with one body; each gives its base URL."""
    servers = []

    def start(body: bytes, status: int = 200) -> str:
        class Handler(QuietHandler):
            def do_GET(self):
                self.answer(body, status)

        servers.append(ThreadedServer(Handler).start())
        return f"{servers[-1].origin}/v1"

    yield start
    for server in servers:
        server.stop()


def look(**urls) -> list:
    known = presets()
    candidates = [
        replace(known[name.replace("_", "-")], base_url=url) for name, url in urls.items()
    ]
    return asyncio.run(find_local_servers(2.0, candidates))


def listing(*names: str) -> bytes:
    return json.dumps({"object": "list", "data": [{"id": name} for name in names]}).encode()


def test_servers_that_answer_are_found_with_their_models(serve):
    found = look(ollama=serve(listing("b", "a")), vllm=serve(listing()))
    assert [(s.name, s.type, s.models) for s in found] == [
        ("ollama", "ollama", ("a", "b")),
        ("vllm", "openai-compatible", ()),
    ]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<html>a web server</html>", 200),
        (b"not found", 404),
        (b"null", 200),
        (b"[]", 200),
        (b'{"data": "x"}', 200),
        (b'{"status": "ok"}', 200),
        (b"\xff\xfe", 200),
        (listing("a"), 500),
    ],
)
def test_another_program_on_the_port_is_no_provider(serve, body, status):
    assert look(llama_cpp=serve(body, status)) == []


def test_odd_rows_of_a_listing_are_left_out(serve):
    body = json.dumps({"data": [{"id": "a"}, {"id": 3}, {}, None, {"id": ""}, {"id": "a"}]})
    assert look(vllm=serve(body.encode()))[0].models == ("a",)


def test_ollama_without_a_model_is_found(serve):
    assert look(ollama=serve(b'{"object": "list", "data": null}'))[0].models == ()


def test_a_closed_port_is_nothing(serve):
    url = serve(b"")
    assert look(vllm="http://127.0.0.1:1/v1", lm_studio=url) == []


def test_the_environment_names_providers(monkeypatch, tmp_path):
    monkeypatch.setenv("PROVIDER_MY_BOX_URL", "http://192.168.1.7:8000/v1")
    monkeypatch.setenv("PROVIDER_OPENAI_URL", "https://proxy.example/v1")  # the preset reads it
    monkeypatch.setenv("PROVIDER_EMPTY_URL", "  ")
    (tmp_path / ".env").write_text("PROVIDER_DOT_URL=https://dot.example\nPROVIDER_DOT_KEY=k\n")
    found = find_named()
    assert set(found) == {"my-box", "dot"}
    assert found["my-box"]["is_local"]
    assert found["my-box"]["key_env"] == ("PROVIDER_MY_BOX_KEY",)
    assert found["dot"]["key_origin"] == "https://dot.example:443"
    assert find_named() == found


def test_the_environment_wins_over_dotenv(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("PROVIDER_BOX_URL=https://evil.example\n")
    monkeypatch.setenv("PROVIDER_BOX_URL", "https://good.example")
    assert find_named()["box"]["base_url"] == "https://good.example"
