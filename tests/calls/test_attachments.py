"""What a message names by a web address is sent as an address or refused: we fetch nothing."""

from __future__ import annotations

import asyncio

import pytest

from tests.calls.asking import PATHS, Asking, make_provider
from tests.servers import MockProvider
from toolkit.calls.adapters.attachments import find_fetched
from toolkit.calls.chat_request import build_request
from toolkit.errors import InvalidRequest

FILES = "https://generativelanguage.googleapis.com/v1beta/files/abc"
DATA = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"


def picture(address, **more):
    part = {"type": "image_url", "image_url": {"url": address, **more}}
    return [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]


def file(**fields):
    return [{"role": "user", "content": [{"type": "file", "file": fields}]}]


@pytest.mark.parametrize(
    ("style", "messages", "found"),
    [
        ("openai", picture("http://h.example/a.png"), None),
        ("openai", picture("https://h.example/a.png"), None),
        ("anthropic", picture("https://h.example/a.png"), None),
        ("anthropic", picture("http://h.example/a.png"), "http://h.example/a.png"),
        ("anthropic", picture(DATA), None),
        ("gemini", picture("http://h.example/a.png"), "http://h.example/a.png"),
        ("gemini", picture("https://h.example/a.png"), "https://h.example/a.png"),
        ("gemini", picture("https://h.example/a", format="image/png"), None),
        ("gemini", picture("http://h.example/a", format="image/png"), "http://h.example/a"),
        ("gemini", picture(FILES), None),
        ("gemini", picture("gs://bucket/a.png"), None),
        ("gemini", picture(DATA), None),
        ("gemini", file(file_id="https://h.example/a.pdf"), "https://h.example/a.pdf"),
        ("gemini", file(file_data=DATA), None),
        ("gemini", [{"role": "user", "content": "http://h.example/ is only text"}], None),
        ("gemini", [{"role": "user", "content": [{"type": "image_url", "image_url": 7}]}], None),
    ],
)
def test_what_would_be_fetched_here_is_found(style, messages, found):
    assert find_fetched(style, messages) == found


@pytest.mark.parametrize("style", ["anthropic", "gemini"])
def test_nothing_is_fetched_and_nothing_sent(style):
    with MockProvider() as server, MockProvider() as elsewhere:
        asking = Asking(make_provider(server.base_url.removesuffix("/v1") + PATHS[style], style))
        messages = picture(f"{elsewhere.base_url}/a.png")
        with pytest.raises(InvalidRequest, match="does not take the address") as refused:
            asyncio.run(asking.client.complete(build_request("mock/m", messages, {})))
        assert elsewhere.requests == server.requests == []
    assert "data:" in refused.value.hint
    assert asking.calls[0].error_code == refused.value.code
