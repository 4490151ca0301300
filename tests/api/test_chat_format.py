"""What is written of tool calls in a stream adds up to the calls, however it is cut."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from toolkit.api.formats.chat_format import ChunkWriter
from toolkit.calls.parsers.parsed_response import ToolDraft
from toolkit.calls.parsers.stream_parser import Delta
from toolkit.records import Receipt, Reply, Timing, ToolCall, Usage

TOOL_CALL = Delta("tool_call", "", 0.0)
PART = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=4)
CALL = st.tuples(st.none() | st.just("id"), st.text("abc", min_size=1), st.lists(PART, max_size=5))


def reply_with(calls):
    return Reply(
        text="",
        tool_calls=tuple(calls),
        usage=Usage(),
        finish_reason="tool_calls",
        receipt=Receipt(),
        timing=Timing(),
        attempts=(),
        call_id="c",
        request_id="r",
        model="mock/m",
    )


def add_up(events):
    """The calls as a client puts them together: `(id, name, arguments)` by index."""
    calls = {}
    for data in events:
        for line in data.decode().split("\n"):
            if not line.startswith("data: {"):
                continue
            for choice in json.loads(line[6:])["choices"]:
                for part in choice["delta"].get("tool_calls", []):
                    call = calls.setdefault(part["index"], [part.get("id"), "", ""])
                    call[1] += part["function"].get("name", "")
                    call[2] += part["function"]["arguments"]
    return [tuple(calls[index]) for index in range(len(calls))]


@given(calls=st.lists(CALL, max_size=4), sent=st.lists(st.booleans(), max_size=20), data=st.data())
def test_pieces_add_up_to_the_calls_however_they_are_cut(calls, sent, data):
    writer, drafts, events = ChunkWriter("c", "mock/m"), {}, []
    sends = iter(sent)
    for index, (call_id, name, parts) in enumerate(calls):
        drafts[index] = ToolDraft(call_id, "" if data.draw(st.booleans()) else name)
        for part in ["", *parts]:
            if part:
                drafts[index].arguments.append(part)
            if next(sends, False) and (chunk := writer.piece(TOOL_CALL, drafts)):
                events.append(chunk)
            drafts[index].name = name  # some servers send it late
    if chunk := writer.piece(TOOL_CALL, drafts):  # the newest delta stands for all before it
        events.append(chunk)
    reply = reply_with(draft.finished() for draft in drafts.values())
    events.append(writer.end(reply))
    assert add_up(events) == [
        (call.id or f"call_{place}", call.name, call.arguments)
        for place, call in enumerate(reply.tool_calls)
    ]


def test_calls_that_a_processor_put_into_the_reply_come_at_its_end():
    writer = ChunkWriter("c", "mock/m")
    reply = reply_with([ToolCall(id=None, name="added", arguments="{}")])
    assert add_up([writer.end(reply)]) == [("call_0", "added", "{}")]
