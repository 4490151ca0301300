"""Answers in unusual shapes for every API style, and what each of them says.

Each case is a style, the parts of an answer (a body, or the events of a stream) and what is
expected of it. `test_new_shapes` plays them to the real client.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.calls.test_event_stream import frame

Value = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One answer of a provider.

    Attributes:
        style: of the API.
        name: of the case.
        body: what is sent.
        is_stream: whether a stream was asked for.
        right: what is expected: members of the reply, or `code` for an error.
    """

    style: str
    name: str
    body: bytes
    is_stream: bool
    right: Value = field(repr=False)

    @property
    def id(self) -> str:
        """The name in test reports."""
        return f"{self.style}-{'stream' if self.is_stream else 'whole'}-{self.name}"


CASES: list[Case] = []


def whole(style: str, name: str, value: Any, /, **right: Any) -> None:
    """Add a whole body: a decoded value, or its text."""
    text = value if isinstance(value, str) else json.dumps(value)
    CASES.append(Case(style, name, text.encode(), is_stream=False, right=right))


def stream(style: str, name: str, *events: Any, **right: Any) -> None:
    """Add a stream: events as decoded values, or parts of the wire as text or bytes."""
    body = b"".join(_wire(style, event) for event in events)
    CASES.append(Case(style, name, body, is_stream=True, right=right))


def _wire(style: str, event: Any) -> bytes:
    if isinstance(event, bytes):
        return event
    if isinstance(event, str):
        return event.encode()
    if style == "converse":
        ((name, payload),) = event.items()
        kind = "exception" if name.endswith("Exception") else "event"
        return frame(payload, kind, name)
    text = json.dumps(event)
    if style == "ollama":
        return f"{text}\n".encode()
    name = event.get("type") if isinstance(event, dict) else None
    head = f"event: {name}\n" if style in ("anthropic", "responses") and name else ""
    return f"{head}data: {text}\n\n".encode()


DONE = "data: [DONE]\n\n"


# --- OpenAI chat -------------------------------------------------------------------------------


def chat(message: Any = None, finish: Any = "stop", /, **members: Any) -> Value:
    message = {"role": "assistant", "content": "Hello"} if message is None else message
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice], **members}


def says(**members: Any) -> Value:
    return {"role": "assistant", "content": "Hello", **members}


def chunk(delta: Any = None, finish: Any = None, /, **members: Any) -> Value:
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice],
            **members}  # fmt: skip


def call(name: str = "f", arguments: Any = '{"x":1}', /, **members: Any) -> Value:
    return {"id": "call_a", "type": "function",
            "function": {"name": name, "arguments": arguments}, **members}  # fmt: skip


HEL, LO, STOP = chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop")
ONE_CALL = [("f", '{"x":1}')]

for _name, _usage, _right in (
    ("openai", {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details":
                {"cached_tokens": 5}, "completion_tokens_details": {"reasoning_tokens": 2}},
     {"tokens": {"input": 9, "output": 4, "cached_input": 5, "reasoning": 2}}),
    ("deepseek", {"prompt_tokens": 9, "completion_tokens": 4, "prompt_cache_hit_tokens": 6,
                  "prompt_cache_miss_tokens": 3},
     {"tokens": {"input": 9, "output": 4, "cached_input": 6}}),
    ("moonshot", {"prompt_tokens": 9, "completion_tokens": 4, "cached_tokens": 7},
     {"tokens": {"input": 9, "output": 4, "cached_input": 7}}),
    ("anthropic-names", {"input_tokens": 9, "output_tokens": 4, "cache_read_input_tokens": 3},
     {"tokens": {"input": 9, "output": 4, "cached_input": 3}}),
    ("texts", {"prompt_tokens": "9", "completion_tokens": "4"},
     {"tokens": {"input": 9, "output": 4}, "flags": {"usage_invalid"}}),
    ("floats", {"prompt_tokens": 9.0, "completion_tokens": 4.0},
     {"tokens": {"input": 9, "output": 4}}),
    ("negative", {"prompt_tokens": -1, "completion_tokens": 4},
     {"tokens": {"input": None, "output": 4}, "flags": {"usage_invalid"}}),
    ("null-members", {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None},
     {"tokens": {"input": None, "output": None}}),
    ("list", [9, 4], {"tokens": {"input": None}, "flags": {"wrong_types"}}),
    ("text", "9 tokens", {"tokens": {"input": None}, "flags": {"wrong_types"}}),
    ("details-null", {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": None},
     {"tokens": {"input": 9, "output": 4}}),
    ("details-list", {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": [1]},
     {"tokens": {"input": 9, "output": 4}, "flags": {"wrong_types"}}),
    ("audio", {"prompt_tokens": 9, "completion_tokens": 8, "completion_tokens_details":
               {"audio_tokens": 6}}, {"tokens": {"output": 8, "audio_output": 6}}),
    ("xai", {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 20,
             "completion_tokens_details": {"reasoning_tokens": 7}},
     {"tokens": {"input": 9, "output": 11, "reasoning": 7}}),
    ("unknown-member", {"prompt_tokens": 9, "completion_tokens": 4, "quantum_tokens": 3},
     {"tokens": {"input": 9, "output": 4}, "flags": {"fields_not_read"}}),
    ("openrouter-cost", {"prompt_tokens": 9, "completion_tokens": 4, "cost": 0.00012},
     {"tokens": {"input": 9}, "cost": "0.00012"}),
    ("cost-in-yuan", {"prompt_tokens": 9, "completion_tokens": 4, "cost": 0.2, "currency": "CNY"},
     {"tokens": {"input": 9}, "cost": None}),
):  # fmt: skip
    whole("openai", f"usage-{_name}", chat(usage=_usage), text="Hello", **_right)
    stream("openai", f"usage-{_name}", HEL, LO, STOP,
           {"id": "c1", "choices": [], "usage": _usage}, DONE, text="Hello", **_right)  # fmt: skip

for _name, _message, _right in (
    ("reasoning_content", says(reasoning_content="Hm"), {"text": "Hello", "reasoning": "Hm"}),
    ("reasoning", says(reasoning="Hm"), {"text": "Hello", "reasoning": "Hm"}),
    ("thinking", says(thinking="Hm"), {"text": "Hello", "reasoning": "Hm"}),
    ("both-spellings", says(reasoning="Hm", reasoning_content="Hm"),
     {"text": "Hello", "reasoning": "Hm"}),
    ("details-only", says(reasoning_details=[{"type": "reasoning.text", "text": "Hm"}]),
     {"text": "Hello", "reasoning": "Hm"}),
    ("details-summary", says(reasoning_details=[{"type": "reasoning.summary", "summary": "Hm"}]),
     {"text": "Hello", "reasoning": "Hm"}),
    ("think-tags", says(content="<think>Hm</think>Hello"),
     {"text": "Hello", "reasoning": "Hm", "flags": {"think_tags"}}),
    ("reasoning-object", says(reasoning={"a": 1}), {"text": "Hello", "flags": {"wrong_types"}}),
    ("content-parts", says(content=[{"type": "text", "text": "Hel"},
                                    {"type": "text", "text": "lo"}]), {"text": "Hello"}),
    ("thinking-parts", says(content=[
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
        {"type": "text", "text": "Hello"}]), {"text": "Hello", "reasoning": "Hm"}),
    ("unknown-part", says(content=[{"type": "hologram", "x": 1},
                                   {"type": "text", "text": "Hello"}]),
     {"text": "Hello", "flags": {"fields_not_read"}}),
    ("unknown-member", says(telepathy="yes"), {"text": "Hello", "flags": {"fields_not_read"}}),
    ("null-members", says(refusal=None, tool_calls=None, function_call=None, audio=None,
                          annotations=[], reasoning=None), {"text": "Hello", "finish": "stop"}),
    ("empty-tools", says(tool_calls=[]), {"text": "Hello", "finish": "stop"}),
    ("tools", says(content=None, tool_calls=[call()]), {"tools": ONE_CALL}),
    ("tools-decoded", says(content=None, tool_calls=[call("f", {"x": 1})]), {"tools": ONE_CALL}),
    ("tools-no-id", says(content=None, tool_calls=[call(id=None)]), {"tools": ONE_CALL}),
    ("tools-no-type", says(content="", tool_calls=[
        {"id": "a", "function": {"name": "f", "arguments": '{"x":1}'}}]), {"tools": ONE_CALL}),
    ("tools-null-arguments", says(content=None, tool_calls=[call("f", None)]),
     {"tools": [("f", "{}")]}),
    ("tools-custom", says(content=None, tool_calls=[
        {"id": "a", "type": "custom", "custom": {"name": "f", "input": "go"}}]),
     {"tools": [("f", "go")]}),
    ("function-call", says(content=None, function_call={"name": "f", "arguments": '{"x":1}'}),
     {"tools": ONE_CALL}),
    ("tools-cut", says(content=None, tool_calls=[call("f", '{"x":')]),
     {"tools": [("f", '{"x":')], "flags": {"tool_arguments_invalid"}}),
    ("image", says(images=[{"type": "image_url", "image_url":
                            {"url": "data:image/png;base64,aGk="}}]),
     {"text": "Hello", "parts": ["image"]}),
    ("citation", says(annotations=[{"type": "url_citation", "url_citation":
                                    {"url": "https://a.example", "title": "A"}}]),
     {"text": "Hello", "parts": ["citation"]}),
    ("audio", says(content=None, audio={"id": "a", "data": "aGk=", "transcript": "Hello"}),
     {"text": "Hello", "parts": ["audio"]}),
):  # fmt: skip
    whole("openai", _name, chat(_message), **_right)
    stream("openai", _name, chunk(_message), STOP, DONE, **_right)

for _name, _finish, _right in (
    ("length", "length", {"finish": "length"}),
    ("max_tokens", "max_tokens", {"finish": "length"}),
    ("end_turn", "end_turn", {"finish": "stop"}),
    ("eos", "eos", {"finish": "stop"}),
    ("STOP", "STOP", {"finish": "stop"}),
    ("content-filter", "content_filter", {"code": "CONTENT_FILTERED"}),
    ("sensitive", "sensitive", {"code": "CONTENT_FILTERED"}),
    ("network-error", "network_error", {"code": "SERVER_ERROR"}),
    ("abort", "abort", {"code": "SERVER_ERROR"}),
    ("error", "error", {"code": "SERVER_ERROR"}),
    ("timeout", "timeout", {"code": "TIMEOUT"}),
    ("malformed", "MALFORMED_FUNCTION_CALL", {"code": "PARSE_ERROR"}),
    ("unknown", "halted_by_moon", {"finish": "halted_by_moon"}),
    ("number", 7, {"text": "Hello", "flags": {"wrong_types"}}),
    ("object", {"type": "stop"}, {"text": "Hello", "flags": {"wrong_types"}}),
):
    whole("openai", f"finish-{_name}", chat(None, _finish), **_right)
    stream("openai", f"finish-{_name}", HEL, LO, chunk({}, _finish), DONE, **_right)

for _name, _error, _code in (
    ("text", "the model is overloaded", "SERVER_ERROR"),
    ("rate", {"message": "Rate limit reached", "code": "rate_limit_exceeded"},
     "RATE_LIMIT_EXCEEDED"),
    ("rate-number", {"message": "slow down", "code": 429}, "RATE_LIMIT_EXCEEDED"),
    ("rate-text-number", {"message": "slow down", "code": "429"}, "RATE_LIMIT_EXCEEDED"),
    ("server-number", {"message": "oops", "code": 502}, "SERVER_ERROR"),
    ("status-member", {"message": "oops", "status": 503}, "SERVER_ERROR"),
    ("auth", {"message": "Invalid API key", "type": "authentication_error"},
     "AUTHENTICATION_FAILED"),
    ("quota", {"message": "You exceeded your current quota", "code": "insufficient_quota"},
     "QUOTA_EXCEEDED"),
    ("context", {"message": "This model's maximum context length is 8 tokens",
                 "code": "context_length_exceeded"}, "CONTEXT_WINDOW_EXCEEDED"),
    ("model", {"message": "The model `m` does not exist", "code": "model_not_found"},
     "MODEL_NOT_FOUND"),
    ("metadata-raw", {"message": "Provider returned error", "code": 429, "metadata":
                      {"raw": "upstream is rate-limited"}}, "RATE_LIMIT_EXCEEDED"),
    ("list", [{"message": "Rate limit reached", "code": 429}], "RATE_LIMIT_EXCEEDED"),
):  # fmt: skip
    whole("openai", f"error-{_name}", {"error": _error}, code=_code)
    stream("openai", f"error-{_name}", HEL, {"error": _error}, DONE, code=_code, partial="Hel")

whole("openai", "error-null", chat(error=None), text="Hello")
whole("openai", "error-flat", {"object": "error", "message": "bad thing", "code": 500},
      code="SERVER_ERROR")  # fmt: skip
whole("openai", "error-detail", {"detail": "Too many requests"}, code="RATE_LIMIT_EXCEEDED")
whole("openai", "error-errors", {"errors": [{"message": "internal error", "code": 500}]},
      code="SERVER_ERROR")  # fmt: skip
whole("openai", "error-in-choice", {"choices": [{"error": {"message": "oops", "code": 502},
                                                 "message": {"content": ""}}]},
      code="SERVER_ERROR")  # fmt: skip
whole("openai", "choices-null", {"id": "c", "choices": None}, code="PARSE_ERROR")
whole("openai", "choices-empty", {"id": "c", "choices": []}, code="PARSE_ERROR")
whole("openai", "choices-object", {"id": "c", "choices": {"0": 1}}, code="PARSE_ERROR")
whole("openai", "choice-null", {"id": "c", "choices": [None]}, code="PARSE_ERROR")
whole("openai", "content-number", chat(says(content=42)), code="PARSE_ERROR")
whole("openai", "content-true", chat(says(content=True)), code="PARSE_ERROR")
whole("openai", "content-object", chat(says(content={"a": 1})), text='{"a":1}')
whole("openai", "message-text", chat("Hello"), code="PARSE_ERROR")
whole("openai", "tools-object", chat(says(content=None, tool_calls={"id": "a"})),
      code="PARSE_ERROR")  # fmt: skip
whole("openai", "tools-text", chat(says(tool_calls=["f"])), code="PARSE_ERROR")
whole("openai", "tools-no-name", chat(says(content=None, tool_calls=[call("")])),
      code="PARSE_ERROR")  # fmt: skip
whole("openai", "not-json", "Hello", code="PARSE_ERROR")
whole("openai", "cut", '{"choices":[{"message":{"content":"Hel', code="PARSE_ERROR")
whole("openai", "twice", json.dumps(chat()) * 2, code="PARSE_ERROR")
whole("openai", "null", "null", code="PARSE_ERROR")
whole("openai", "empty", "", code="PARSE_ERROR")
whole("openai", "page", "<html><body>Log in</body></html>", code="PARSE_ERROR")
whole("openai", "bom", "\ufeff" + json.dumps(chat()), text="Hello")
whole("openai", "events", f"data: {json.dumps(HEL)}\n\ndata: {json.dumps(LO)}\n\n"
      f"data: {json.dumps(STOP)}\n\n{DONE}", text="Hello", flags={"streamed"})  # fmt: skip
stream("openai", "no-finish-but-done", HEL, LO, DONE, text="Hello", flags={"no_finish_reason"})
stream("openai", "no-end", HEL, LO, code="STREAM_ERROR", partial="Hello")
stream("openai", "cut-line", HEL, 'data: {"choices":[{"del', code="STREAM_ERROR", partial="Hel")
stream("openai", "not-json", HEL, "data: oops\n\n", code="PARSE_ERROR", partial="Hel")
stream("openai", "finish-without-mark", HEL, LO, STOP, text="Hello", finish="stop")
stream("openai", "error-event", HEL, 'event: error\ndata: {"message":"overloaded"}\n\n',
       code="SERVER_ERROR", partial="Hel")  # fmt: skip
stream("openai", "json-for-stream", json.dumps(chat()), text="Hello", flags={"not_streamed"})
stream("openai", "usage-then-zero", HEL, LO, STOP,
       {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}},
       {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}, DONE,
       text="Hello", tokens={"input": 9, "output": 4})  # fmt: skip
stream("openai", "usage-grows", chunk({"content": "Hel"}, usage={"prompt_tokens": 9,
       "completion_tokens": 1}), chunk({"content": "lo"}, usage={"prompt_tokens": 9,
       "completion_tokens": 2}), STOP, DONE, text="Hello", tokens={"output": 2})  # fmt: skip
stream("openai", "role-only-then-stop", chunk({"role": "assistant"}), STOP, DONE,
       code="PARSE_ERROR")  # fmt: skip
stream("openai", "content-number", chunk({"content": 4}), STOP, DONE, code="PARSE_ERROR")
stream("openai", "delta-null", {"choices": [{"index": 0, "delta": None}]}, HEL, LO, STOP, DONE,
       text="Hello")  # fmt: skip
stream("openai", "delta-list", {"choices": [{"index": 0, "delta": ["x"]}]}, code="PARSE_ERROR")
stream("openai", "tools-by-index", chunk({"tool_calls": [call("f", "", index=0)]}),
       chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"x":'}}]}),
       chunk({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}),
       chunk({}, "tool_calls"), DONE, tools=ONE_CALL, finish="tool_calls")  # fmt: skip
stream("openai", "tools-index-text", chunk({"tool_calls": [call("f", '{"x":', index="0")]}),
       chunk({"tool_calls": [{"index": "0", "function": {"arguments": "1}"}}]}),
       chunk({}, "tool_calls"), DONE, tools=ONE_CALL)  # fmt: skip
stream("openai", "tools-begin-at-one", chunk({"tool_calls": [call("f", '{"x":1}', index=1)]}),
       chunk({"tool_calls": [call("g", "{}", index=2, id="call_b")]}),
       chunk({}, "tool_calls"), DONE, tools=[*ONE_CALL, ("g", "{}")])  # fmt: skip
stream("openai", "tools-interleaved",
       chunk({"tool_calls": [call("f", "", index=0), call("g", "", index=1, id="b")]}),
       chunk({"tool_calls": [{"index": 1, "function": {"arguments": '{"y":'}}]}),
       chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"x":1}'}}]}),
       chunk({"tool_calls": [{"index": 1, "function": {"arguments": "2}"}}]}),
       chunk({}, "tool_calls"), DONE, tools=[*ONE_CALL, ("g", '{"y":2}')])  # fmt: skip
stream("openai", "tools-null-name", chunk({"tool_calls": [call("f", "", index=0)]}),
       chunk({"tool_calls": [{"index": 0, "id": None, "type": None,
                              "function": {"name": None, "arguments": '{"x":1}'}}]}),
       chunk({}, "tool_calls"), DONE, tools=ONE_CALL)  # fmt: skip
stream("openai", "tools-cut-by-length", chunk({"tool_calls": [call("f", '{"x":', index=0)]}),
       chunk({}, "length"), DONE, finish="length", flags={"tool_arguments_invalid"})  # fmt: skip
stream("openai", "two-choices-one-asked", HEL, {"choices": [{"index": 1, "delta":
       {"content": "Bye"}, "finish_reason": "stop"}]}, LO, STOP, DONE, text="Hello")  # fmt: skip
stream("openai", "refusal", chunk({"refusal": "I can"}), chunk({"refusal": "not"}), STOP, DONE,
       code="CONTENT_FILTERED")  # fmt: skip
stream("openai", "done-spelled-low", HEL, LO, STOP, "data: [done]\n\n", text="Hello")
stream("openai", "done-quoted", HEL, LO, STOP, 'data: "[DONE]"\n\n', text="Hello")
stream("openai", "array-event", f"data: [{json.dumps(HEL)}]\n\n", LO, STOP, DONE, text="Hello")


# --- Responses ---------------------------------------------------------------------------------


def message_item(*parts: Value, **members: Any) -> Value:
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": list(parts), **members}  # fmt: skip


def text_part(text: str = "Hello", /, **members: Any) -> Value:
    return {"type": "output_text", "text": text, "annotations": [], **members}


def response(*items: Any, status: str = "completed", **members: Any) -> Value:
    return {"id": "resp_1", "object": "response", "status": status, "model": "m",
            "output": list(items), **members}  # fmt: skip


def completed(*items: Any, kind: str = "completed", **members: Any) -> Value:
    return {"type": f"response.{kind}", "response": response(*items, status=kind, **members)}


def delta(text: str, kind: str = "output_text", /, **members: Any) -> Value:
    return {"type": f"response.{kind}.delta", "item_id": "msg_1", "output_index": 0,
            "content_index": 0, "delta": text, **members}  # fmt: skip


def item_done(item: Value, index: int = 0) -> Value:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


SAID = message_item(text_part())
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]}
FUNCTION = {"type": "function_call", "id": "fc_1", "call_id": "call_a", "name": "f",
            "arguments": '{"x":1}'}  # fmt: skip
CUSTOM = {"type": "custom_tool_call", "id": "fc_2", "call_id": "call_b", "name": "g", "input": "go"}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed",
          "action": {"type": "search", "query": "q"}}  # fmt: skip
REFUSED = message_item({"type": "refusal", "refusal": "I cannot"})
BEGUN = {"type": "response.created", "response": response(status="in_progress")}

for _name, _items, _right in (
    ("text", [SAID], {"text": "Hello", "finish": "stop"}),
    ("two-parts", [message_item(text_part("Hel"), text_part("lo"))], {"text": "Hello"}),
    ("two-messages", [message_item(text_part("Hel")), message_item(text_part("lo"), id="msg_2")],
     {"text": "Hello"}),
    ("reasoning", [THOUGHT, SAID], {"text": "Hello", "reasoning": "Hm"}),
    ("tool", [FUNCTION], {"tools": ONE_CALL, "finish": "tool_calls"}),
    ("text-and-tool", [SAID, FUNCTION], {"text": "Hello", "tools": ONE_CALL}),
    ("custom-tool", [CUSTOM], {"tools": [("g", "go")]}),
    ("search", [SEARCH, SAID], {"text": "Hello", "parts": ["server_tool_call"]}),
    ("citation", [message_item(text_part(annotations=[
        {"type": "url_citation", "url": "https://a.example", "title": "A"}]))],
     {"text": "Hello", "parts": ["citation"]}),
    ("refusal", [REFUSED], {"code": "CONTENT_FILTERED", "words_once": "I cannot"}),
    ("image", [{"type": "image_generation_call", "id": "ig", "result": "aGk="}],
     {"parts": ["image"]}),
    ("unknown-item", [{"type": "hologram", "id": "h"}, SAID],
     {"text": "Hello", "flags": {"fields_not_read"}}),
    ("item-text", ["Hello"], {"code": "PARSE_ERROR"}),
    ("content-text", [message_item() | {"content": "Hello"}], {"code": "PARSE_ERROR"}),
    ("text-number", [message_item(text_part() | {"text": 4})], {"code": "PARSE_ERROR"}),
    ("name-missing", [FUNCTION | {"name": None}], {"code": "PARSE_ERROR"}),
):  # fmt: skip
    whole("responses", _name, response(*_items), **_right)
    stream("responses", f"last-event-{_name}", BEGUN, completed(*_items), **_right)
    _dones = [item_done(item, n) for n, item in enumerate(_items) if isinstance(item, dict)]
    if len(_dones) == len(_items):
        stream("responses", f"items-{_name}", BEGUN, *_dones, completed(*_items), **_right)
        if _items:
            stream("responses", f"items-alone-{_name}", BEGUN, *_dones, completed(), **_right)

for _name, _usage, _right in (
    ("plain", {"input_tokens": 9, "output_tokens": 4}, {"tokens": {"input": 9, "output": 4}}),
    ("details", {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 5},
                 "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 2}},
     {"tokens": {"cached_input": 5, "reasoning": 2}}),
    ("null", None, {"tokens": {"input": None}}),
    ("text", "x", {"tokens": {"input": None}, "flags": {"wrong_types"}}),
):  # fmt: skip
    whole("responses", f"usage-{_name}", response(SAID, usage=_usage), text="Hello", **_right)
    stream("responses", f"usage-{_name}", BEGUN, delta("Hello"), completed(SAID, usage=_usage),
           text="Hello", **_right)  # fmt: skip

whole("responses", "nothing", response(), text="", flags={"empty_answer"})
stream("responses", "nothing", BEGUN, completed(), code="PARSE_ERROR")
stream("responses", "deltas", BEGUN, delta("Hel"), delta("lo"), item_done(SAID), completed(SAID),
       text="Hello", finish="stop")  # fmt: skip
stream("responses", "deltas-other-ids", BEGUN, delta("Hel"), delta("lo"),
       completed(SAID | {"id": "msg_9"}), text="Hello")  # fmt: skip
stream("responses", "deltas-no-ids", BEGUN, *(
    {"type": "response.output_text.delta", "delta": text} for text in ("Hel", "lo")),
    completed(SAID), text="Hello")  # fmt: skip
stream("responses", "second-part-only-whole", BEGUN, delta("Hel"),
       item_done(message_item(text_part("Hel"), text_part("lo"))), completed(),
       text="Hello")  # fmt: skip
stream("responses", "parts-numbered-from-one", BEGUN, delta("Hel", content_index=1),
       delta("lo", content_index=1), item_done(SAID), completed(SAID), text="Hello")  # fmt: skip
stream("responses", "done-without-delta", BEGUN,
       {"type": "response.output_text.done", "item_id": "msg_1", "output_index": 0,
        "content_index": 0, "text": "Hello"}, item_done(SAID), completed(SAID),
       text="Hello")  # fmt: skip
stream("responses", "tool-only-in-last-event", BEGUN, delta("Hello"), completed(SAID, FUNCTION),
       text="Hello", tools=ONE_CALL)  # fmt: skip
stream("responses", "text-only-in-last-event", BEGUN, item_done(THOUGHT),
       completed(THOUGHT, SAID), text="Hello", reasoning="Hm")  # fmt: skip
stream("responses", "arguments-only-done", BEGUN,
       {"type": "response.output_item.added", "output_index": 0,
        "item": FUNCTION | {"arguments": ""}},
       {"type": "response.function_call_arguments.done", "item_id": "fc_1", "output_index": 0,
        "arguments": '{"x":1}'}, completed(FUNCTION), tools=ONE_CALL)  # fmt: skip
stream("responses", "refusal-deltas", BEGUN, delta("I ", "refusal"), delta("cannot", "refusal"),
       item_done(REFUSED), completed(REFUSED), code="CONTENT_FILTERED",
       words_once="I cannot")  # fmt: skip
stream("responses", "refusal-whole-and-item", BEGUN,
       {"type": "response.refusal.done", "item_id": "msg_1", "output_index": 0,
        "content_index": 0, "refusal": "I cannot"}, item_done(REFUSED), completed(REFUSED),
       code="CONTENT_FILTERED", words_once="I cannot")  # fmt: skip
stream("responses", "refusal-after-text", BEGUN, delta("Hel"),
       delta("I cannot", "refusal", content_index=1),
       item_done(message_item(text_part("Hel"), {"type": "refusal", "refusal": "I cannot"})),
       completed(), code="CONTENT_FILTERED", partial="Hel", words_once="I cannot")  # fmt: skip
stream("responses", "failed", BEGUN, delta("Hel"),
       completed(kind="failed", error={"code": "server_error", "message": "oops"}),
       code="SERVER_ERROR", partial="Hel")  # fmt: skip
stream("responses", "failed-rate", BEGUN, completed(
    kind="failed", error={"code": "rate_limit_exceeded", "message": "slow"}),
    code="RATE_LIMIT_EXCEEDED")  # fmt: skip
stream("responses", "failed-without-error", BEGUN, completed(kind="failed"),
       code="SERVER_ERROR")  # fmt: skip
stream("responses", "incomplete", BEGUN, delta("Hel"), completed(
    kind="incomplete", incomplete_details={"reason": "max_output_tokens"}),
    text="Hel", finish="length")  # fmt: skip
stream("responses", "filtered", BEGUN, delta("Hel"), completed(
    kind="incomplete", incomplete_details={"reason": "content_filter"}),
    code="CONTENT_FILTERED", partial="Hel")  # fmt: skip
stream("responses", "error-event", BEGUN, {"type": "error", "code": "rate_limit_exceeded",
       "message": "slow"}, code="RATE_LIMIT_EXCEEDED")  # fmt: skip
stream("responses", "cut", BEGUN, delta("Hel"), code="STREAM_ERROR", partial="Hel")
stream("responses", "delta-number", BEGUN, delta("Hel") | {"delta": 4}, code="PARSE_ERROR")
stream("responses", "delta-null", BEGUN, delta("Hel") | {"delta": None}, code="PARSE_ERROR")
stream("responses", "unknown-event", BEGUN, {"type": "response.hologram.delta", "x": 1},
       delta("Hello"), completed(SAID), text="Hello", flags={"fields_not_read"})  # fmt: skip
stream("responses", "done-mark", BEGUN, delta("Hello"), completed(SAID), DONE, text="Hello")


# --- Anthropic ---------------------------------------------------------------------------------


def claude(*blocks: Any, stop: Any = "end_turn", **members: Any) -> Value:
    return {"id": "m1", "type": "message", "role": "assistant", "model": "m",
            "content": list(blocks), "stop_reason": stop,
            "usage": {"input_tokens": 9, "output_tokens": 4}, **members}  # fmt: skip


def block(kind: str = "text", /, **members: Any) -> Value:
    return {"type": kind, **members}


def part(index: int, start: Value, *deltas: Value) -> list[Value]:
    return [{"type": "content_block_start", "index": index, "content_block": start},
            *({"type": "content_block_delta", "index": index, "delta": d} for d in deltas),
            {"type": "content_block_stop", "index": index}]  # fmt: skip


def ends(stop: Any = "end_turn", **usage: Any) -> list[Value]:
    return [{"type": "message_delta", "delta": {"stop_reason": stop},
             "usage": {"output_tokens": 4, **usage}}, {"type": "message_stop"}]  # fmt: skip


OPENS = {"type": "message_start", "message": claude(stop=None) | {"usage": {"input_tokens": 9,
         "output_tokens": 1}}}  # fmt: skip
TEXT = block(text="Hello")
TEXT_PART = part(0, block(text=""), block("text_delta", text="Hel"), block("text_delta", text="lo"))
USE = block("tool_use", id="toolu_1", name="f", input={"x": 1})
USE_PART = part(1, block("tool_use", id="toolu_1", name="f", input={}),
                block("input_json_delta", partial_json='{"x":'),
                block("input_json_delta", partial_json="1}"))  # fmt: skip

for _name, _blocks, _right in (
    ("text", [TEXT], {"text": "Hello", "finish": "stop", "tokens": {"input": 9, "output": 4}}),
    ("thinking", [block("thinking", thinking="Hm", signature="s"), TEXT],
     {"text": "Hello", "reasoning": "Hm"}),
    ("redacted", [block("redacted_thinking", data="x"), TEXT], {"text": "Hello"}),
    ("tool", [TEXT, USE], {"text": "Hello", "tools": ONE_CALL}),
    ("tool-null-input", [block("tool_use", id="t", name="f", input=None)],
     {"tools": [("f", "{}")]}),
    ("server-tool", [block("server_tool_use", id="s", name="web_search", input={}), TEXT],
     {"text": "Hello", "parts": ["server_tool_call"]}),
    ("unknown-block", [block("hologram", x=1), TEXT], {"text": "Hello",
                                                      "flags": {"fields_not_read"}}),
    ("empty-turn", [], {"text": "", "flags": {"empty_answer"}}),
    ("block-text", ["Hello"], {"code": "PARSE_ERROR"}),
    ("text-number", [block(text=4)], {"code": "PARSE_ERROR"}),
    ("name-missing", [block("tool_use", id="t", input={})], {"code": "PARSE_ERROR"}),
):  # fmt: skip
    whole("anthropic", _name, claude(*_blocks), **_right)

for _name, _stop, _right in (
    ("length", "max_tokens", {"finish": "length"}),
    ("sequence", "stop_sequence", {"finish": "stop"}),
    ("pause", "pause_turn", {"finish": "pause_turn"}),
    ("window", "model_context_window_exceeded", {"finish": "length"}),
    ("refusal", "refusal", {"code": "CONTENT_FILTERED"}),
    ("unknown", "moon", {"finish": "moon"}),
    ("number", 4, {"flags": {"wrong_types"}}),
):
    whole("anthropic", f"stop-{_name}", claude(TEXT, stop=_stop), **_right)
    stream("anthropic", f"stop-{_name}", OPENS, *TEXT_PART, *ends(_stop), **_right)

for _name, _error, _code in (
    ("overloaded", {"type": "overloaded_error", "message": "Overloaded"}, "SERVER_ERROR"),
    ("rate", {"type": "rate_limit_error", "message": "slow"}, "RATE_LIMIT_EXCEEDED"),
    ("api", {"type": "api_error", "message": "Internal"}, "SERVER_ERROR"),
    ("timeout", {"type": "timeout_error", "message": "timed out"}, "TIMEOUT"),
    ("auth", {"type": "authentication_error", "message": "invalid x-api-key"},
     "AUTHENTICATION_FAILED"),
    ("invalid", {"type": "invalid_request_error", "message": "bad"}, "CLIENT_ERROR"),
    ("permission", {"type": "permission_error", "message": "no"}, "PERMISSION_DENIED"),
    ("not-found", {"type": "not_found_error", "message": "model: m"}, "MODEL_NOT_FOUND"),
    ("billing", {"type": "billing_error", "message": "pay"}, "QUOTA_EXCEEDED"),
):  # fmt: skip
    whole("anthropic", f"error-{_name}", {"type": "error", "error": _error}, code=_code)
    stream("anthropic", f"error-{_name}", OPENS, *TEXT_PART[:2], {"type": "error", "error": _error},
           code=_code, partial="Hel")  # fmt: skip

stream("anthropic", "text", OPENS, *TEXT_PART, *ends(), text="Hello", finish="stop",
       tokens={"input": 9, "output": 4})  # fmt: skip
stream("anthropic", "tool", OPENS, *TEXT_PART, *USE_PART, *ends("tool_use"), text="Hello",
       tools=ONE_CALL, finish="tool_calls")  # fmt: skip
stream("anthropic", "tool-whole-input", OPENS, *part(0, USE), *ends("tool_use"), tools=ONE_CALL)
stream("anthropic", "text-in-start", OPENS, *part(0, TEXT), *ends(), text="Hello")
stream("anthropic", "no-block-stop", OPENS, *TEXT_PART[:-1], *ends(), text="Hello")
stream("anthropic", "no-block-start", OPENS, *TEXT_PART[1:], *ends(), text="Hello")
stream("anthropic", "no-message-start", *TEXT_PART, *ends(), text="Hello")
stream("anthropic", "no-message-stop", OPENS, *TEXT_PART, ends()[0], text="Hello")
stream("anthropic", "no-end", OPENS, *TEXT_PART, code="STREAM_ERROR", partial="Hello")
stream("anthropic", "pings", OPENS, {"type": "ping"}, *TEXT_PART, {"type": "ping"}, *ends(),
       text="Hello")  # fmt: skip
stream("anthropic", "usage-null", OPENS, *TEXT_PART, ends()[0] | {"usage": None}, ends()[1],
       text="Hello")  # fmt: skip
stream("anthropic", "usage-cache", OPENS, *TEXT_PART,
       *ends(input_tokens=9, cache_read_input_tokens=5, cache_creation_input_tokens=2),
       text="Hello", tokens={"input": 16, "cached_input": 5, "cache_write": 2})  # fmt: skip
stream("anthropic", "delta-number", OPENS, TEXT_PART[0],
       {"type": "content_block_delta", "index": 0, "delta": block("text_delta", text=4)},
       code="PARSE_ERROR")  # fmt: skip
stream("anthropic", "unknown-delta", OPENS, TEXT_PART[0],
       {"type": "content_block_delta", "index": 0, "delta": block("hologram_delta", x=1)},
       *TEXT_PART[1:], *ends(), text="Hello", flags={"fields_not_read"})  # fmt: skip
stream("anthropic", "tool-cut-by-length", OPENS, *USE_PART[:2], *ends("max_tokens"),
       finish="length", flags={"tool_arguments_invalid"})  # fmt: skip


# --- Gemini ------------------------------------------------------------------------------------


def gemini(*parts: Any, finish: Any = "STOP", **members: Any) -> Value:
    candidate: Value = {"index": 0, "content": {"role": "model", "parts": list(parts)}}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "m", **members}


G_TEXT, G_HEL, G_LO = {"text": "Hello"}, {"text": "Hel"}, {"text": "lo"}
G_CALL = {"functionCall": {"name": "f", "args": {"x": 1}}}

for _name, _parts, _right in (
    ("text", [G_TEXT], {"text": "Hello", "finish": "stop"}),
    ("two-parts", [G_HEL, G_LO], {"text": "Hello"}),
    ("thought", [{"text": "Hm", "thought": True}, G_TEXT], {"text": "Hello", "reasoning": "Hm"}),
    ("tool", [G_CALL], {"tools": ONE_CALL, "finish": "tool_calls"}),
    ("two-tools", [G_CALL, {"functionCall": {"name": "g", "args": {}}}],
     {"tools": [*ONE_CALL, ("g", "{}")]}),
    ("tool-no-args", [{"functionCall": {"name": "f"}}], {"tools": [("f", "{}")]}),
    ("image", [G_TEXT, {"inlineData": {"mimeType": "image/png", "data": "aGk="}}],
     {"text": "Hello", "parts": ["image"]}),
    ("unknown-part", [{"hologram": {"x": 1}}, G_TEXT], {"text": "Hello",
                                                       "flags": {"fields_not_read"}}),
    ("text-number", [{"text": 4}], {"code": "PARSE_ERROR"}),
    ("part-text", ["Hello"], {"code": "PARSE_ERROR"}),
    ("nameless-tool", [{"functionCall": {"args": {}}}], {"code": "PARSE_ERROR"}),
):  # fmt: skip
    whole("gemini", _name, gemini(*_parts), **_right)
    stream("gemini", _name, gemini(*_parts), **_right)

for _name, _finish, _right in (
    ("length", "MAX_TOKENS", {"finish": "length"}),
    ("safety", "SAFETY", {"code": "CONTENT_FILTERED"}),
    ("recitation", "RECITATION", {"code": "CONTENT_FILTERED"}),
    ("prohibited", "PROHIBITED_CONTENT", {"code": "CONTENT_FILTERED"}),
    ("malformed", "MALFORMED_FUNCTION_CALL", {"code": "PARSE_ERROR"}),
    ("unexpected-tool", "UNEXPECTED_TOOL_CALL", {"code": "PARSE_ERROR"}),
    ("unspecified", "FINISH_REASON_UNSPECIFIED", {"text": "Hello"}),
):
    whole("gemini", f"finish-{_name}", gemini(G_TEXT, finish=_finish), **_right)
    stream("gemini", f"finish-{_name}", gemini(G_HEL, finish=None), gemini(G_LO, finish=_finish),
           **_right)  # fmt: skip

for _name, _usage, _right in (
    ("plain", {"promptTokenCount": 9, "candidatesTokenCount": 4}, {"input": 9, "output": 4}),
    ("thoughts", {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 3,
                  "totalTokenCount": 16}, {"input": 9, "output": 7, "reasoning": 3}),
    ("thoughts-only", {"promptTokenCount": 9, "thoughtsTokenCount": 3, "totalTokenCount": 12},
     {"output": 3, "reasoning": 3}),
    ("cached", {"promptTokenCount": 9, "candidatesTokenCount": 4, "cachedContentTokenCount": 5},
     {"cached_input": 5}),
):  # fmt: skip
    whole("gemini", f"usage-{_name}", gemini(G_TEXT, usageMetadata=_usage), tokens=_right)
    stream("gemini", f"usage-{_name}", gemini(G_TEXT, usageMetadata=_usage), tokens=_right)

whole("gemini", "blocked", {"promptFeedback": {"blockReason": "SAFETY"}}, code="CONTENT_FILTERED")
whole("gemini", "candidates-empty", {"candidates": []}, code="PARSE_ERROR")
whole("gemini", "content-null", {"candidates": [{"content": None, "finishReason": "STOP"}]},
      code="PARSE_ERROR")  # fmt: skip
whole("gemini", "error", {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}},
      code="SERVER_ERROR")  # fmt: skip
whole("gemini", "error-list", [{"error": {"code": 429, "message": "slow",
                                          "status": "RESOURCE_EXHAUSTED"}}],
      code="RATE_LIMIT_EXCEEDED")  # fmt: skip
stream("gemini", "error-mid", gemini(G_HEL, finish=None),
       {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}},
       code="SERVER_ERROR", partial="Hel")  # fmt: skip
stream("gemini", "cut", gemini(G_HEL, finish=None), code="STREAM_ERROR", partial="Hel")
stream("gemini", "list", json.dumps([gemini(G_HEL, finish=None), gemini(G_LO)]), text="Hello")


# --- Bedrock Converse --------------------------------------------------------------------------


def converse(*blocks: Any, stop: Any = "end_turn", **members: Any) -> Value:
    return {"output": {"message": {"role": "assistant", "content": list(blocks)}},
            "stopReason": stop, "usage": {"inputTokens": 9, "outputTokens": 4},
            **members}  # fmt: skip


def piece(index: int = 0, /, **delta: Any) -> Value:
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}}


B_OPENS, B_END = (
    {"messageStart": {"role": "assistant"}},
    {"messageStop": {"stopReason": "end_turn"}},
)
B_USAGE = {"metadata": {"usage": {"inputTokens": 9, "outputTokens": 4}}}
B_TOOL = [{"contentBlockStart": {"contentBlockIndex": 1, "start":
           {"toolUse": {"toolUseId": "t", "name": "f"}}}},
          piece(1, toolUse={"input": '{"x":'}), piece(1, toolUse={"input": "1}"}),
          {"contentBlockStop": {"contentBlockIndex": 1}}]  # fmt: skip

for _name, _blocks, _right in (
    ("text", [{"text": "Hello"}], {"text": "Hello", "tokens": {"input": 9, "output": 4}}),
    ("tool", [{"toolUse": {"toolUseId": "t", "name": "f", "input": {"x": 1}}}],
     {"tools": ONE_CALL}),
    ("reasoning", [{"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}},
                   {"text": "Hello"}], {"text": "Hello", "reasoning": "Hm"}),
    ("unknown", [{"hologram": {"x": 1}}, {"text": "Hello"}],
     {"text": "Hello", "flags": {"fields_not_read"}}),
    ("text-number", [{"text": 4}], {"code": "PARSE_ERROR"}),
    ("block-text", ["Hello"], {"code": "PARSE_ERROR"}),
):  # fmt: skip
    whole("converse", _name, converse(*_blocks), **_right)
for _name, _stop, _right in (
    ("length", "max_tokens", {"finish": "length"}),
    ("filter", "content_filtered", {"code": "CONTENT_FILTERED"}),
    ("guardrail", "guardrail_intervened", {"code": "CONTENT_FILTERED"}),
    ("malformed", "malformed_tool_use", {"code": "PARSE_ERROR"}),
    ("malformed-output", "malformed_model_output", {"code": "PARSE_ERROR"}),
):
    whole("converse", f"stop-{_name}", converse({"text": "Hello"}, stop=_stop), **_right)
    stream("converse", f"stop-{_name}", B_OPENS, piece(text="Hello"),
           {"messageStop": {"stopReason": _stop}}, B_USAGE, **_right)  # fmt: skip
whole("converse", "nothing", {"output": {}}, code="PARSE_ERROR")
whole("converse", "message", {"message": "Too many requests"}, code="RATE_LIMIT_EXCEEDED")
stream("converse", "text", B_OPENS, piece(text="Hel"), piece(text="lo"),
       {"contentBlockStop": {"contentBlockIndex": 0}}, B_END, B_USAGE, text="Hello",
       tokens={"input": 9, "output": 4})  # fmt: skip
stream("converse", "tool", B_OPENS, piece(text="Hello"), *B_TOOL,
       {"messageStop": {"stopReason": "tool_use"}}, B_USAGE, text="Hello",
       tools=ONE_CALL)  # fmt: skip
stream("converse", "no-usage", B_OPENS, piece(text="Hello"), B_END, text="Hello")
stream("converse", "cut", B_OPENS, piece(text="Hel"), code="STREAM_ERROR", partial="Hel")
for _kind, _code in (("throttlingException", "RATE_LIMIT_EXCEEDED"),
                     ("internalServerException", "SERVER_ERROR"),
                     ("serviceUnavailableException", "SERVER_ERROR"),
                     ("modelStreamErrorException", "SERVER_ERROR"),
                     ("validationException", "CLIENT_ERROR")):  # fmt: skip
    stream("converse", _kind, B_OPENS, piece(text="Hel"), {_kind: {"message": "oh"}}, code=_code,
           partial="Hel")  # fmt: skip


# --- Cohere ------------------------------------------------------------------------------------


def cohere(content: Any = None, finish: Any = "COMPLETE", /, **message: Any) -> Value:
    content = [{"type": "text", "text": "Hello"}] if content is None else content
    return {"id": "c", "finish_reason": finish,
            "message": {"role": "assistant", "content": content, **message},
            "usage": {"tokens": {"input_tokens": 9, "output_tokens": 4}}}  # fmt: skip


def c_event(kind: str, /, **message: Any) -> Value:
    return {"type": kind, "index": 0, "delta": {"message": message}}


def c_end(finish: Any = "COMPLETE", **members: Any) -> Value:
    usage = {"tokens": {"input_tokens": 9, "output_tokens": 4}}
    return {"type": "message-end", "delta": {"finish_reason": finish, "usage": usage, **members}}


C_OPENS = {"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant"}}}
C_HEL, C_LO = (c_event("content-delta", content={"text": text}) for text in ("Hel", "lo"))
C_CALL = {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}

for _name, _body, _right in (
    ("text", cohere(), {"text": "Hello", "tokens": {"input": 9, "output": 4}}),
    ("thinking", cohere([{"type": "thinking", "thinking": "Hm"},
                         {"type": "text", "text": "Hello"}]),
     {"text": "Hello", "reasoning": "Hm"}),
    ("tool", cohere([], "TOOL_CALL", tool_calls=[C_CALL]), {"tools": ONE_CALL}),
    ("tool-decoded", cohere([], "TOOL_CALL", tool_calls=[
        {"id": "t", "function": {"name": "f", "arguments": {"x": 1}}}]), {"tools": ONE_CALL}),
    ("length", cohere(None, "MAX_TOKENS"), {"finish": "length"}),
    ("toxic", cohere(None, "ERROR_TOXIC"), {"code": "CONTENT_FILTERED"}),
    ("error", cohere(None, "ERROR"), {"code": "SERVER_ERROR"}),
    ("timeout", cohere(None, "TIMEOUT"), {"code": "TIMEOUT"}),
    ("limit", cohere(None, "ERROR_LIMIT"), {"code": "CONTEXT_WINDOW_EXCEEDED"}),
    ("unknown-part", cohere([{"type": "hologram", "x": 1}, {"type": "text", "text": "Hello"}]),
     {"text": "Hello", "flags": {"fields_not_read"}}),
    ("text-number", cohere([{"type": "text", "text": 4}]), {"code": "PARSE_ERROR"}),
    ("no-message", {"id": "c"}, {"code": "PARSE_ERROR"}),
    ("message-text", {"message": "too many requests"}, {"code": "RATE_LIMIT_EXCEEDED"}),
):  # fmt: skip
    whole("cohere", _name, _body, **_right)
stream("cohere", "text", C_OPENS, C_HEL, C_LO, c_end(), text="Hello", finish="stop",
       tokens={"input": 9, "output": 4})  # fmt: skip
stream("cohere", "tool", C_OPENS, c_event("tool-call-start", tool_calls=C_CALL | {
    "function": {"name": "f", "arguments": ""}}),
    c_event("tool-call-delta", tool_calls={"function": {"arguments": '{"x":'}}),
    c_event("tool-call-delta", tool_calls={"function": {"arguments": "1}"}}),
    {"type": "tool-call-end", "index": 0}, c_end("TOOL_CALL"), tools=ONE_CALL)  # fmt: skip
stream("cohere", "plan", C_OPENS, c_event("tool-plan-delta", tool_plan="Hm"), C_HEL, C_LO, c_end(),
       text="Hello", reasoning="Hm")  # fmt: skip
stream("cohere", "cut", C_OPENS, C_HEL, code="STREAM_ERROR", partial="Hel")
stream("cohere", "error", C_OPENS, C_HEL, c_end("ERROR", error="went wrong"), code="SERVER_ERROR",
       partial="Hel")  # fmt: skip
stream("cohere", "unknown-event", C_OPENS, {"type": "hologram", "x": 1}, C_HEL, C_LO, c_end(),
       text="Hello", flags={"fields_not_read"})  # fmt: skip
stream("cohere", "done-mark", C_OPENS, C_HEL, C_LO, c_end(), DONE, text="Hello")


# --- Ollama ------------------------------------------------------------------------------------


def ollama(message: Any = None, done: Any = True, /, **members: Any) -> Value:
    message = {"role": "assistant", "content": "Hello"} if message is None else message
    counts = {"prompt_eval_count": 9, "eval_count": 4, "done_reason": "stop"} if done else {}
    return {"model": "m", "message": message, "done": done, **counts, **members}


def o_line(text: str) -> Value:
    return ollama({"role": "assistant", "content": text}, False)


O_END = ollama({"role": "assistant", "content": ""})
O_CALL = {"function": {"name": "f", "arguments": {"x": 1}}}

for _name, _body, _right in (
    ("text", ollama(), {"text": "Hello", "tokens": {"input": 9, "output": 4}, "finish": "stop"}),
    ("thinking", ollama(says(thinking="Hm")), {"text": "Hello", "reasoning": "Hm"}),
    ("think-tags", ollama(says(content="<think>Hm</think>Hello")),
     {"text": "Hello", "reasoning": "Hm"}),
    ("tool", ollama(says(content="", tool_calls=[O_CALL])), {"tools": ONE_CALL}),
    ("tool-index", ollama(says(content="", tool_calls=[
        {"function": {"index": 0, "name": "f", "arguments": {"x": 1}}}])), {"tools": ONE_CALL}),
    ("length", ollama(done_reason="length"), {"finish": "length"}),
    ("unknown", ollama(hologram=1), {"text": "Hello", "flags": {"fields_not_read"}}),
    ("error", {"error": "model 'm' not found"}, {"code": "MODEL_NOT_FOUND"}),
    ("content-number", ollama(says(content=4)), {"code": "PARSE_ERROR"}),
    ("content-null", ollama(says(content=None, thinking="Hm")), {"reasoning": "Hm"}),
    ("not-done", {"model": "m"}, {"code": "PARSE_ERROR"}),
):  # fmt: skip
    whole("ollama", _name, _body, **_right)
stream("ollama", "text", o_line("Hel"), o_line("lo"), O_END, text="Hello",
       tokens={"input": 9, "output": 4})  # fmt: skip
stream("ollama", "tool", ollama(says(content="", tool_calls=[O_CALL]), False), O_END,
       tools=ONE_CALL)  # fmt: skip
stream("ollama", "cut", o_line("Hel"), code="STREAM_ERROR", partial="Hel")
stream("ollama", "error-mid", o_line("Hel"), {"error": "out of memory"}, code="SERVER_ERROR",
       partial="Hel")  # fmt: skip
stream("ollama", "blank-lines", "\n", o_line("Hel"), "\r\n", o_line("lo"), O_END, text="Hello")
stream("ollama", "as-events", *(f": keep-alive\nid: 1\nevent: message\ndata: {json.dumps(v)}\n\n"
       for v in (o_line("Hel"), o_line("lo"), O_END)), text="Hello",
       tokens={"output": 4})  # fmt: skip
stream("ollama", "one-body", ollama(), text="Hello")
stream("ollama", "load", ollama(says(content=""), True, done_reason="load") | {
    "prompt_eval_count": None, "eval_count": None}, code="PARSE_ERROR")  # fmt: skip
