"""What a message names by a web address is sent as an address or refused: we fetch nothing."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.calls.asking import PATHS, Asking, make_provider
from tests.servers import MockProvider
from toolkit.calls.adapters import write_request
from toolkit.calls.adapters.attachments import find_fetched, find_lost
from toolkit.calls.adapters.request import OutgoingRequest, RequestNotBuilt
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
        ("converse", picture("https://h.example/a.png"), "https://h.example/a.png"),
        ("converse", file(file_id="http://h.example/a.pdf"), "http://h.example/a.pdf"),
        ("converse", picture(DATA), None),
        ("cohere", picture("https://h.example/a.png"), None),
        ("cohere", file(file_id="https://h.example/a.pdf"), "https://h.example/a.pdf"),
        ("openai", file(file_id="https://h.example/a.pdf"), "https://h.example/a.pdf"),
        ("openai", file(file_id="file-abc"), None),
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


RECORDING = {"type": "input_audio", "input_audio": {"data": "UklGRiQAAABXQVZF", "format": "wav"}}
VIDEO = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAAIGZ0eXBpc29t"}}
PDF = {
    "type": "file",
    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQK"},
}
PICTURE = {"type": "image_url", "image_url": {"url": DATA}}
TYPES = {
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-pro",
    "bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere_chat": "command-a-vision",
    "ollama_chat": "qwen3",
    "openai": "responses/m",
}


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize(
    ("part", "refusing"),
    [
        (RECORDING, {"anthropic", "bedrock", "ollama_chat"}),
        (VIDEO, {"anthropic", "gemini", "bedrock", "ollama_chat"}),
        (PDF, {"ollama_chat"}),
        (PICTURE, set()),
    ],
    ids=["recording", "video", "pdf", "picture"],
)
def test_content_that_an_api_has_no_place_for_is_refused_not_left_out(type_, part, refusing):
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]
    request = OutgoingRequest(
        type=type_,
        base_url="http://127.0.0.1:9/v1",
        model_id=TYPES[type_],
        messages=messages,
        params={},
        stream=False,
    )
    if type_ in refusing:
        with pytest.raises(RequestNotBuilt, match="its API does not take a"):
            write_request(request)
    else:
        (content,) = (value for value in _strings(part) if len(value) > 12)
        assert content.rpartition(",")[2].encode() in write_request(request).body


def _strings(value):
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else ():
        yield from _strings(inner)


def test_a_picture_that_is_lost_once_is_noticed_though_it_is_there_twice():
    messages = [{"role": "user", "content": [PICTURE, PICTURE]}]
    body = json.dumps(messages).encode()
    assert find_lost("gemini", messages, body) is None
    assert find_lost("gemini", messages, json.dumps(messages[0]["content"][0]).encode()) is not None


def test_a_picture_in_the_result_of_a_tool_reaches_the_responses_api():
    messages = [
        {"role": "user", "content": "Look"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": [{"type": "text", "text": "it"}, PICTURE],
        },
    ]
    request = OutgoingRequest(
        type="openai",
        base_url="http://127.0.0.1:9/v1",
        model_id="responses/m",
        messages=messages,
        params={},
        stream=False,
    )
    output = json.loads(write_request(request).body)["input"][-1]["output"]
    assert output == [
        {"type": "input_text", "text": "it"},
        {"type": "input_image", "image_url": DATA, "detail": "auto"},
    ]
