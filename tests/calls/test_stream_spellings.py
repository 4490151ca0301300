"""Streams that are spelled or framed in unusual ways are read as what they mean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.calls.test_answer_formats import ask
from tests.servers.threaded import ScriptedServer
from toolkit.calls.parsers.styles.think_tags import ThinkTags
from toolkit.errors import ContentFiltered, InvalidRequest, MalformedResponse, ServerError
from toolkit.records import Reply

USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def chunk(finish: str | None = None, /, **delta: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [
        {"index": 0, "delta": delta, "finish_reason": finish}]}  # fmt: skip


HEL, LO, STOP = chunk(content="Hel"), chunk(content="lo"), chunk("stop")
FIRST = {"candidates": [{"content": {"parts": [{"text": "Hel"}]}, "index": 0}]}
LAST = {"candidates": [{"content": {"parts": [{"text": "lo"}]}, "finishReason": "STOP"}]}


def events(*values: Any, end: str = "\n\n", done: str = "[DONE]") -> str:
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    return "".join(f"data: {text}{end}" for text in (*texts, done) if text)


def read(server: ScriptedServer, text: str, style: str = "openai") -> Any:
    return ask(server, style, text.encode(), stream=True)


MESSAGE = "".join(
    f"event: {value['type']}\ndata: {json.dumps(value)}\n"
    for value in (
        {"type": "message_start", "message": {"role": "assistant", "usage": {"input_tokens": 3}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": t}}
          for t in ("Hel", "lo")),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"},
         "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("openai", events(HEL, LO, STOP, end="\n")),
        ("openai", events(HEL, LO, STOP, end="\r\n")),
        ("openai", events(HEL, LO, STOP, end="\r")),
        ("openai", events(HEL, LO, STOP, end="\n").replace("data: ", "data:")),
        ("anthropic", MESSAGE),
        ("anthropic", MESSAGE.replace("\n", "\r\n")),
        ("gemini", events(FIRST, LAST, end="\n", done="")),
    ],
)
def test_events_without_empty_lines_between_them(
    server: ScriptedServer, style: str, text: str
) -> None:
    reply = read(server, text, style)
    assert isinstance(reply, Reply), reply
    assert (reply.text, reply.finish_reason) == ("Hello", "stop")


def test_json_over_several_lines_stays_one_event(server: ScriptedServer) -> None:
    listed = {**STOP, "citations": [{"url": "a"}, {"url": "b"}]}
    text = "".join(
        "".join(f"data: {line}\n" for line in json.dumps(value, indent=1).splitlines()) + "\n"
        for value in (HEL, LO, listed)
    )
    reply = read(server, text)
    assert (reply.text, [part.url for part in reply.parts]) == ("Hello", ["a", "b"])


@pytest.mark.parametrize("mark", ["[done]", '"[DONE]"', " [DONE] ", "DONE", "Done"])
def test_an_end_mark_in_another_spelling(server: ScriptedServer, mark: str) -> None:
    reply = read(server, events(HEL, LO, STOP, done=mark))
    assert (reply.text, reply.finish_reason) == ("Hello", "stop")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('event: error\ndata: the upstream is gone\n\n', ServerError),
        ('event: error\ndata: "the upstream is gone"\n\n', ServerError),
        ('data: {"object":"error","message":"the upstream is gone","code":500}\n\n', ServerError),
        ('data: {"object":"error","message":"the upstream is gone","code":400}\n\n',
         InvalidRequest),
        ('data: {"type":"error","message":"the upstream is gone"}\n\n', ServerError),
        ('data: {"message":"the upstream is gone","status":503}\n\n', ServerError),
        ('data: {"detail":"the upstream is gone"}\n\n', ServerError),
        ('data: [{"error":{"code":503,"message":"the upstream is gone"}}]\n\n', ServerError),
    ],
)  # fmt: skip
@pytest.mark.parametrize("after", ["", "data: [DONE]\n\n"])
def test_an_error_inside_a_stream_is_never_a_success(
    server: ScriptedServer, said: str, kind: type[Exception], after: str
) -> None:
    error = read(server, events(HEL, done="") + said + after)
    assert type(error) is kind, error
    assert "the upstream is gone" in str(error) and error.partial_text == "Hel"


def test_a_notice_inside_a_stream_is_no_error(server: ScriptedServer) -> None:
    reply = read(server, events(HEL, {"message": "warming up", "type": "status"}, LO, STOP))
    assert reply.text == "Hello" and "fields_not_read" in reply.flags


def test_an_event_that_is_a_list_of_several_is_refused(server: ScriptedServer) -> None:
    assert isinstance(read(server, events([HEL, LO], STOP)), MalformedResponse)


@pytest.mark.parametrize("word", ["content-filter", "Content-Filter", "CONTENT_FILTER"])
def test_a_filtered_answer_in_another_spelling(server: ScriptedServer, word: str) -> None:
    error = read(server, events(HEL, chunk(word)))
    assert isinstance(error, ContentFiltered) and error.partial_text == "Hel"


def test_finish_reasons_with_hyphens(server: ScriptedServer) -> None:
    assert read(server, events(HEL, chunk("max-tokens"))).finish_reason == "length"
    failed = read(server, events(HEL, chunk("malformed-tool-call")))
    assert isinstance(failed, MalformedResponse) and failed.partial_text == "Hel"


@pytest.mark.parametrize("word", ["null", "None"])
def test_null_as_a_text_is_no_finish_reason(server: ScriptedServer, word: str) -> None:
    reply = read(server, events(chunk(word, content="Hel"), chunk(word, content="lo"), STOP))
    assert (reply.text, reply.finish_reason) == ("Hello", "stop")
    cut = read(server, events(chunk(word, content="Hel"), done=""))
    assert not isinstance(cut, Reply) and cut.code == "STREAM_ERROR"


def test_usage_inside_the_last_choice(server: ScriptedServer) -> None:
    last = chunk("stop")
    last["choices"][0]["usage"] = USAGE
    reply = read(server, events(HEL, LO, last))
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (3, 2)
    assert "fields_not_read" not in reply.flags


@pytest.mark.parametrize(
    "delta",
    [
        {"content": [{"type": "reasoning", "text": "why"}, {"type": "text", "text": "Hello"}]},
        {"content": [{"type": "reasoning", "reasoning": "why"}, {"type": "text", "text": "Hello"}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "why", "signature": "s"}],
         "content": "Hello"},
        {"content": "[THINK]why[/THINK]Hello"},
        {"content": "<thought>why</thought>Hello"},
        {"content": "<seed:think>why</seed:think>Hello"},
        {"content": "◁think▷why◁/think▷Hello"},
    ],
)  # fmt: skip
def test_reasoning_in_other_spellings(server: ScriptedServer, delta: dict[str, Any]) -> None:
    reply = read(server, events(chunk(**delta), STOP))
    assert (reply.reasoning, reply.text) == ("why", "Hello")


def test_a_block_of_thinking_that_repeats_the_pieces_is_not_read_twice(
    server: ScriptedServer,
) -> None:
    pieces = [chunk(reasoning_content=text) for text in ("be", "cause")]
    block = {"type": "thinking", "thinking": "because", "signature": "s"}
    reply = read(server, events(*pieces, chunk(thinking_blocks=[block]), HEL, LO, STOP))
    assert (reply.reasoning, reply.text) == ("because", "Hello")


@pytest.mark.parametrize("text", ["[1, 2]", "[TH", "<b>bold</b>", "<thoughtful>", "◁", "[[THINK]]"])
def test_a_text_that_only_begins_like_a_tag_is_kept(text: str) -> None:
    tags = ThinkTags()
    pieces = [piece for char in text for piece in tags.feed(char)] + tags.finish()
    assert "".join(text for kind, text in pieces if kind == "text") == text
    assert not tags.was_tagged
