"""Two turns of a tool conversation with reasoning: a strict server gets its own state back whole.

Each variant is an assistant turn as the provider sends it, whole and streamed. The second request
must hold it unchanged and in order: providers refuse thinking whose signature does not fit.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests.calls.asking import Asking, make_provider
from tests.servers.own_dialects import _frame as frame
from tests.servers.threaded import ScriptedServer
from toolkit.calls.chat_request import build_request
from toolkit.records import Reply

Block = dict[str, Any]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    for name in ("look_up", "convert")
]
QUESTION = {"role": "user", "content": "How is the weather?"}


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def sse(events: Sequence[Mapping[str, Any]], end: str = "") -> bytes:
    lines = [
        (f"event: {event['type']}\n" if "type" in event else "") + f"data: {json.dumps(event)}\n\n"
        for event in events
    ]
    return ("".join(lines) + end).encode()


def two_turns(
    server: ScriptedServer, kind: str, path: str, whole: Any, streamed: bytes | None, **options: Any
) -> tuple[dict[str, Any], Reply]:
    """The second request, after a first answer that is `whole`, or streamed where that is given."""
    server.requests.clear()
    model = options.pop("model", "m")
    by = Asking(make_provider(f"{server.origin}{path}", type=kind))

    def answer(*, is_stream: bool) -> None:
        server.media_type, server.body = "application/json", json.dumps(whole).encode()
        if is_stream and streamed is not None:
            server.body = streamed
            is_frames = kind.startswith("bedrock")
            server.media_type = (
                "application/vnd.amazon.eventstream" if is_frames else "text/event-stream"
            )

    async def go() -> Reply:
        answer(is_stream=streamed is not None)
        asked = build_request(
            f"mock/{model}", [QUESTION], {"tools": TOOLS, **options}, stream=streamed is not None
        )
        if streamed is None:
            first: Reply = await by.client.complete(asked)
        else:
            stream = by.client.stream(asked)
            async for _ in stream:
                pass
            first = stream.reply
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
            for call in first.tool_calls
        ]
        answer(is_stream=False)
        turns = [QUESTION, first.as_message(), *results]
        # What is kept in a file or a notebook between the turns is JSON.
        turns = json.loads(json.dumps(turns))
        again = build_request(f"mock/{model}", turns, {"tools": TOOLS, **options})
        await by.client.complete(again)
        return first

    first = asyncio.run(go())
    return server.requests[1], first


# ---- Anthropic ----------------------------------------------------------------------------------

THINKING = {"type": "thinking", "thinking": "Let me see.", "signature": "SIGNED1=="}
MORE = {"type": "thinking", "thinking": "And then?", "signature": "SIGNED2=="}
HIDDEN = {"type": "thinking", "thinking": "", "signature": "SIGNED3=="}
REDACTED = {"type": "redacted_thinking", "data": "ENCRYPTED=="}
SAID = {"type": "text", "text": "One moment."}
EMPTY = {"type": "text", "text": ""}
LOOK = {"type": "tool_use", "id": "t1", "name": "look_up", "input": {"city": "Paris"}}
CONVERT = {"type": "tool_use", "id": "t2", "name": "convert", "input": {"city": "Rome"}}
ANTHROPIC = {
    "one_tool": [THINKING, SAID, LOOK],
    "parallel_tools": [THINKING, LOOK, CONVERT],
    "two_thinking_blocks": [THINKING, MORE, SAID, LOOK],
    "redacted": [REDACTED, LOOK],
    "redacted_between": [THINKING, REDACTED, MORE, SAID, LOOK, CONVERT],
    "empty_text_beside_tools": [THINKING, EMPTY, LOOK],
    "hidden_thinking": [HIDDEN, LOOK],
    "interleaved": [THINKING, SAID, MORE, LOOK],
    "interleaved_texts": [THINKING, SAID, MORE, {"type": "text", "text": "Well."}, LOOK, CONVERT],
    "interleaved_redacted": [THINKING, SAID, REDACTED, LOOK],
    "text_first": [SAID, REDACTED, MORE, LOOK],
}


def anthropic_events(blocks: Sequence[Block]) -> bytes:
    message = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [],
               "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
    events: list[Block] = [{"type": "message_start", "message": message}]
    for index, block in enumerate(blocks):
        kind = block["type"]
        blank = {"thinking": "", "text": "", "input": {}, "signature": ""}
        begun = {name: blank.get(name, value) for name, value in block.items()}
        begun["type"] = kind
        deltas: list[Block] = []
        if kind == "thinking":
            half = len(block["thinking"]) // 2
            for text in (block["thinking"][:half], block["thinking"][half:]):
                deltas.append({"type": "thinking_delta", "thinking": text})
            for text in (block["signature"][:3], block["signature"][3:]):
                deltas.append({"type": "signature_delta", "signature": text})
        elif kind == "text":
            deltas.append({"type": "text_delta", "text": block["text"]})
        elif kind == "tool_use":
            deltas.append({"type": "input_json_delta", "partial_json": json.dumps(block["input"])})
        events.append({"type": "content_block_start", "index": index, "content_block": begun})
        events += [{"type": "content_block_delta", "index": index, "delta": d} for d in deltas]
        events.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": "tool_use"}
    events.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 5}})
    return sse([*events, {"type": "message_stop"}])


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", list(ANTHROPIC))
def test_anthropic_gets_its_turn_back(server: ScriptedServer, name: str, is_stream: bool) -> None:
    blocks = ANTHROPIC[name]
    usage = {"input_tokens": 1, "output_tokens": 1}
    whole = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": blocks}
    whole |= {"stop_reason": "tool_use", "usage": usage}
    sent, _ = two_turns(
        server, "anthropic", "", whole, anthropic_events(blocks) if is_stream else None,
        max_tokens=4000, thinking={"type": "enabled", "budget_tokens": 2000},
    )  # fmt: skip
    (assistant,) = [turn for turn in sent["messages"] if turn["role"] == "assistant"]
    assert assistant["content"] == [block for block in blocks if block != EMPTY]


# ---- Bedrock Converse ---------------------------------------------------------------------------

CLAUDE = "anthropic.claude-3-7-sonnet-20250219-v1:0"
REASON = {"reasoningContent": {"reasoningText": {"text": "Let me see.", "signature": "S1=="}}}
REASON_2 = {"reasoningContent": {"reasoningText": {"text": "And then?", "signature": "S2=="}}}
SEALED = {"reasoningContent": {"redactedContent": "RU5D"}}
USE = {"toolUse": {"toolUseId": "t1", "name": "look_up", "input": {"city": "Paris"}}}
USE_2 = {"toolUse": {"toolUseId": "t2", "name": "convert", "input": {"city": "Rome"}}}
CONVERSE = {
    "one_tool": [REASON, {"text": "One moment."}, USE],
    "parallel_tools": [REASON, USE, USE_2],
    "two_thinking_blocks": [REASON, REASON_2, USE],
    "redacted": [SEALED, USE],
    "redacted_between": [REASON, SEALED, REASON_2, {"text": "One moment."}, USE],
}


def converse_frames(blocks: Sequence[Block]) -> bytes:
    frames = [frame("messageStart", {"role": "assistant"})]
    for index, block in enumerate(blocks):
        deltas: list[Block] = []
        if "toolUse" in block:
            use = block["toolUse"]
            start = {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}
            frames.append(frame("contentBlockStart", {"contentBlockIndex": index, "start": start}))
            deltas.append({"toolUse": {"input": json.dumps(use["input"])}})
        elif "text" in block or "redactedContent" in block["reasoningContent"]:
            deltas.append(block)
        else:
            text = block["reasoningContent"]["reasoningText"]
            deltas.append({"reasoningContent": {"text": text["text"][:4]}})
            deltas.append({"reasoningContent": {"text": text["text"][4:]}})
            deltas.append({"reasoningContent": {"signature": text["signature"]}})
        frames += [
            frame("contentBlockDelta", {"contentBlockIndex": index, "delta": d}) for d in deltas
        ]
        frames.append(frame("contentBlockStop", {"contentBlockIndex": index}))
    frames.append(frame("messageStop", {"stopReason": "tool_use"}))
    frames.append(frame("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1}}))
    return b"".join(frames)


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", list(CONVERSE))
def test_bedrock_gets_its_turn_back(server: ScriptedServer, name: str, is_stream: bool) -> None:
    blocks = CONVERSE[name]
    whole = {"output": {"message": {"role": "assistant", "content": blocks}},
             "stopReason": "tool_use", "usage": {"inputTokens": 1, "outputTokens": 1}}  # fmt: skip
    sent, _ = two_turns(
        server, "bedrock", "", whole, converse_frames(blocks) if is_stream else None,
        model=CLAUDE, max_tokens=4000, thinking={"type": "enabled", "budget_tokens": 2000},
    )  # fmt: skip
    (assistant,) = [turn for turn in sent["messages"] if turn["role"] == "assistant"]
    assert assistant["content"] == blocks


# ---- Gemini -------------------------------------------------------------------------------------


def _call(name: str, city: str, **more: Any) -> Block:
    return {"functionCall": {"name": name, "args": {"city": city}}, **more}


GEMINI = {
    "one_tool": [_call("look_up", "Paris", thoughtSignature="U0lHMQ==")],
    "parallel_tools": [
        _call("look_up", "Paris", thoughtSignature="U0lHMQ=="), _call("convert", "Rome")
    ],
    "each_signed": [
        _call("look_up", "Paris", thoughtSignature="U0lHMQ=="),
        _call("convert", "Rome", thoughtSignature="U0lHMg=="),
    ],
    "text_before": [{"text": "One moment."}, _call("look_up", "Paris", thoughtSignature="UzE=")],
    "thought_before": [
        {"text": "Let me see.", "thought": True},
        _call("look_up", "Paris", thoughtSignature="UzE="),
    ],
}  # fmt: skip


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", list(GEMINI))
def test_gemini_gets_its_turn_back(server: ScriptedServer, name: str, is_stream: bool) -> None:
    parts = GEMINI[name]

    def body(of: Sequence[Block], **more: Any) -> Block:
        return {"candidates": [{"content": {"role": "model", "parts": of}, **more}],
                "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1}}  # fmt: skip

    events = [body([part]) for part in parts] + [body([{"text": ""}], finishReason="STOP")]
    sent, _ = two_turns(
        server, "gemini", "/v1beta", body(parts, finishReason="STOP"),
        sse(events) if is_stream else None, model="gemini-3-pro-preview",
    )  # fmt: skip
    (turn,) = [turn for turn in sent["contents"] if turn["role"] == "model"]
    found = []
    for part in turn["parts"]:
        call = part.get("functionCall") or part.get("function_call")
        if call is not None:
            signature = part.get("thoughtSignature") or part.get("thought_signature")
            found.append((call["name"], call["args"], signature))
    assert found == [
        (p["functionCall"]["name"], p["functionCall"]["args"], p.get("thoughtSignature"))
        for p in parts
        if "functionCall" in p
    ]
    said = [p["text"] for p in turn["parts"] if p.get("text") and not p.get("thought")]
    assert said == [p["text"] for p in parts if "text" in p and not p.get("thought")]


# ---- OpenAI Responses ---------------------------------------------------------------------------


def _reasoning(number: int) -> Block:
    return {"type": "reasoning", "id": f"rs_{number}", "summary": [],
            "encrypted_content": f"ENC{number}"}  # fmt: skip


def _function(number: int, name: str) -> Block:
    return {"type": "function_call", "id": f"fc_{number}", "call_id": f"t{number}", "name": name,
            "arguments": '{"city": "Paris"}'}  # fmt: skip


def _said(text: str) -> Block:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": content}


RESPONSES = {
    "one_tool": [_reasoning(1), _function(1, "look_up")],
    "parallel_tools": [_reasoning(1), _function(1, "look_up"), _function(2, "convert")],
    "two_reasoning_items": [
        _reasoning(1), _function(1, "look_up"), _reasoning(2), _function(2, "convert")
    ],
    "text_beside_tools": [_reasoning(1), _said("One moment."), _function(1, "look_up")],
    "empty_text_beside_tools": [_reasoning(1), _said(""), _function(1, "look_up")],
}  # fmt: skip


def response_events(items: Sequence[Block]) -> bytes:
    events: list[Block] = [{"type": "response.created", "response": {"id": "r", "model": "m"}}]
    for index, item in enumerate(items):
        kept = {**item}
        if item["type"] == "function_call":
            kept["arguments"] = ""
        at = {"output_index": index, "item_id": item["id"]}
        events.append({"type": "response.output_item.added", "output_index": index, "item": kept})
        if item["type"] == "function_call":
            delta = {"delta": item["arguments"], **at}
            events.append({"type": "response.function_call_arguments.delta", **delta})
        if item["type"] == "message":
            delta = {"delta": item["content"][0]["text"], "content_index": 0, **at}
            events.append({"type": "response.output_text.delta", **delta})
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    end = {"id": "r", "object": "response", "status": "completed", "model": "m", "output": items}
    return sse([*events, {"type": "response.completed", "response": end}])


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", list(RESPONSES))
def test_responses_gets_its_items_back_in_order(
    server: ScriptedServer, name: str, is_stream: bool
) -> None:
    items = RESPONSES[name]
    whole = {"id": "r", "object": "response", "status": "completed", "model": "m", "output": items}
    sent, _ = two_turns(
        server, "openai", "/v1", whole, response_events(items) if is_stream else None,
        model="responses/m",
    )  # fmt: skip

    def mark(item: Block) -> str | None:
        if item.get("type") == "function_call_output" or item.get("role") == "user":
            return None
        return item.get("encrypted_content") or item.get("call_id") or "text"

    given = [mark(item) for item in items if item != _said("")]
    assert [m for item in sent["input"] if (m := mark(item))] == given


# ---- reasoning_details --------------------------------------------------------------------------

DETAILS = {
    "signed_text": [{"type": "reasoning.text", "text": "Let me see.", "signature": "S1",
                     "format": "anthropic-claude-v1", "index": 0}],
    "encrypted": [{"type": "reasoning.encrypted", "data": "ENC", "id": "rs_1",
                   "format": "openai-responses-v1", "index": 0}],
    "both": [
        {"type": "reasoning.summary", "summary": "Looked.", "index": 0},
        {"type": "reasoning.encrypted", "data": "ENC", "id": "rs_1", "index": 1},
    ],
}  # fmt: skip


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("count", [1, 2], ids=["one_tool", "parallel_tools"])
@pytest.mark.parametrize("name", list(DETAILS))
def test_reasoning_details_come_back(
    server: ScriptedServer, name: str, count: int, is_stream: bool
) -> None:
    details = DETAILS[name]
    calls = [
        {"id": f"t{n}", "type": "function",
         "function": {"name": tool, "arguments": '{"city": "Paris"}'}}
        for n, tool in enumerate(("look_up", "convert")[:count])
    ]  # fmt: skip
    message = {"role": "assistant", "content": "", "reasoning_details": details,
               "tool_calls": calls}  # fmt: skip
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    deltas: list[Block] = [{"role": "assistant", "content": ""}]
    for detail in details:
        text = next((n for n in ("text", "summary") if n in detail), None)
        if text is None:
            deltas.append({"reasoning_details": [detail]})
            continue
        for piece in (detail[text][:3], detail[text][3:]):
            part = {k: v for k, v in detail.items() if k != "signature"} | {text: piece}
            deltas.append({"reasoning_details": [part]})
        if "signature" in detail:
            part = {k: detail[k] for k in ("type", "signature", "format", "index")}
            deltas.append({"reasoning_details": [part]})
    deltas += [{"tool_calls": [{"index": n, **call}]} for n, call in enumerate(calls)]
    events: list[Block] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    streamed = sse(events, "data: [DONE]\n\n") if is_stream else None
    sent, _ = two_turns(server, "openai-compatible", "/v1", whole, streamed)
    assert sent["messages"][1]["reasoning_details"] == details
    assert [c["id"] for c in sent["messages"][1]["tool_calls"]] == [c["id"] for c in calls]


@pytest.mark.parametrize(
    ("order", "is_kept"), [(("sealed", "plain"), True), (("plain", "sealed"), False)]
)
def test_redacted_thinking_in_turns_that_are_joined_is_kept_or_named(
    server: ScriptedServer, order: tuple[str, ...], is_kept: bool
) -> None:
    turns = {
        "sealed": {"role": "assistant", "content": "One moment.",
                   "thinking_blocks": [{"type": "redacted_thinking", "data": "RU5D"}]},
        "plain": {"role": "assistant", "content": "It is sunny."},
    }  # fmt: skip
    message = {"role": "assistant", "content": [{"text": "Hi."}]}
    server.media_type, server.body = "application/json", json.dumps(
        {"output": {"message": message}, "stopReason": "end_turn",
         "usage": {"inputTokens": 1, "outputTokens": 1}}
    ).encode()  # fmt: skip
    server.requests.clear()
    by = Asking(make_provider(server.origin, type="bedrock"))
    conversation = [QUESTION, *(turns[name] for name in order), QUESTION]
    asked = build_request(f"mock/{CLAUDE}", conversation, {"max_tokens": 4000})
    reply = asyncio.run(by.client.complete(asked))
    (turn,) = [turn for turn in server.requests[0]["messages"] if turn["role"] == "assistant"]
    assert (turn["content"][0] == SEALED) is is_kept
    assert ("changed:messages" in reply.flags) is not is_kept
    assert ("redacted thinking is left out" in "; ".join(reply.notes)) is not is_kept
