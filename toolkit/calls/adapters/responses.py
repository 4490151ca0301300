"""Requests for OpenAI's Responses API, for the models that exist only there.

Messages become input items and parameters take the names of that API. What it has no place for
is left out, and named as such.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from toolkit.calls.adapters.differences import find_dropped_turns
from toolkit.calls.adapters.request import (
    RESPONSES_PREFIX,
    HttpRequest,
    OutgoingRequest,
    encode_body,
    endpoint,
    request_headers,
    require_model_params,
)
from toolkit.records import Message

_RENAMED: Final = {
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
}
# Parameters of chat completions that the Responses API does not have.
_ABSENT: Final = frozenset(
    (
        *("audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs"),
        *("modalities", "n", "prediction", "presence_penalty", "seed", "stop"),
        "web_search_options",
    )
)
_NOT_IN_BODY: Final = frozenset({"drop_params", "extra_body", "extra_headers", "stream_options"})
_TEXT_PARTS: Final = {"user": "input_text", "system": "input_text", "developer": "input_text"}


def write_chat(request: OutgoingRequest) -> HttpRequest:
    """Write a conversation as a request for the Responses API.

    Raises:
        RequestNotBuilt: a parameter is not a model's, or something is not JSON.
    """
    params = request.params
    require_model_params(params)
    body: dict[str, Any] = {
        **(params.get("extra_body") or {}),
        "model": request.model_id.removeprefix(RESPONSES_PREFIX),
        "input": list(_input_items(request.messages)),
    }
    left_out = []
    for name, value in params.items():
        if name in _NOT_IN_BODY or value is None:
            continue
        if name in _ABSENT:
            if (name, value) not in (("n", 1), ("logprobs", False)):
                left_out.append(name)
        else:
            _put(body, name, value)
    if request.stream:
        body["stream"] = True
    return HttpRequest(
        url=endpoint(request.type, request.base_url, "/responses"),
        headers=request_headers(request),
        body=encode_body(body),
        style="responses",
        left_out=tuple(sorted(left_out)),
        changed=tuple(find_dropped_turns(request.messages, body)),
    )


def _put(body: dict[str, Any], name: str, value: Any) -> None:
    """Set one parameter under the name and in the form of the Responses API."""
    if name == "tools":
        body["tools"] = [_tool(tool) for tool in value]
    elif name == "tool_choice":
        body["tool_choice"] = _tool_choice(value)
    elif name == "response_format":
        body["text"] = {**body.get("text", {}), "format": _format(value)}
    elif name == "verbosity":
        body["text"] = {**body.get("text", {}), "verbosity": value}
    elif name == "reasoning_effort":
        body["reasoning"] = {**body.get("reasoning", {}), "effort": value}
    else:
        body[_RENAMED.get(name, name)] = value


def _input_items(messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
    """The input items of a conversation; results of custom tools have a type of their own."""
    custom = {
        call.get("id")
        for message in messages
        for call in message.get("tool_calls") or ()
        if call.get("type") == "custom"
    }
    for message in messages:
        if message.get("role") in ("tool", "function"):
            call_id = message.get("tool_call_id") or message.get("name") or ""
            yield {
                "type": f"{'custom_tool' if call_id in custom else 'function'}_call_output",
                "call_id": call_id,
                "output": _tool_output(message.get("content")),
            }
        else:
            yield from _items(message)


def _items(message: Message) -> Iterator[dict[str, Any]]:
    """The input items that one message becomes."""
    yield from _in_order(list(_turn_items(message)), message.get("item_order") or ())


def _turn_items(message: Message) -> Iterator[tuple[str, dict[str, Any]]]:
    """The items of a turn, each with what names it in `item_order`."""
    for item in message.get("reasoning_items") or ():  # of `Reply.as_message`
        kept = {name: value for name, value in item.items() if name != "status"}
        yield str(item.get("id") or ""), kept
    content, role = message.get("content"), message.get("role")
    if content or (content is not None and role != "assistant"):
        yield "text", {"role": role, "content": _content(str(role), content)}
    for call in message.get("tool_calls") or ():
        call_id = call.get("id") or ""
        if call.get("type") == "custom":
            custom = call.get("custom") or {}
            yield call_id, {"type": "custom_tool_call", "call_id": call_id, **custom}
            continue
        function = call.get("function") or {}
        yield (
            call_id,
            {
                "type": "function_call",
                "call_id": call_id,
                "name": function.get("name") or "",
                "arguments": function.get("arguments") or "{}",
            },
        )


def _in_order(
    items: Sequence[tuple[str, dict[str, Any]]], order: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """The items as the provider had them; those that it did not have come last."""
    places = {name: place for place, name in reversed(list(enumerate(order)))}
    for _, item in sorted(items, key=lambda one: places.get(one[0], len(order))):
        yield item


def _content(role: str, content: Any) -> Any:
    if isinstance(content, str):
        return content
    text_type = _TEXT_PARTS.get(role, "output_text")
    return [_part(part, text_type) for part in content]


def _part(part: Any, text_type: str) -> Any:
    if isinstance(part, str):
        return {"type": text_type, "text": part}
    kind = part.get("type")
    if kind == "text":
        return {"type": text_type, "text": part.get("text", "")}
    if kind == "image_url":
        image = part.get("image_url")
        image = {"url": image} if isinstance(image, str) else dict(image or {})
        return {
            "type": "input_image",
            "image_url": image.get("url"),
            "detail": image.get("detail", "auto"),
        }
    if kind == "file":
        return {"type": "input_file", **(part.get("file") or {})}
    return part


def _tool_output(content: Any) -> Any:
    """A result as text, or as parts where it holds a picture or a file."""
    if isinstance(content, list) and any(
        isinstance(part, Mapping) and part.get("type") in ("image_url", "file") for part in content
    ):
        return _content("user", content)
    return _plain_text(content)


def _plain_text(content: Any) -> str:
    if isinstance(content, str) or content is None:
        return content or ""
    texts: Sequence[Any] = content
    return "".join(str(p.get("text", "")) if isinstance(p, Mapping) else str(p) for p in texts)


def _tool(tool: Any) -> Any:
    """A function or custom tool without the object around it; any other tool as it is."""
    if isinstance(tool, Mapping) and isinstance(tool.get("function"), Mapping):
        return {"type": "function", "strict": None, **tool["function"]}
    if isinstance(tool, Mapping) and isinstance(tool.get("custom"), Mapping):
        custom = dict(tool["custom"])
        if isinstance(form := custom.get("format"), Mapping) and "grammar" in form:
            custom["format"] = {"type": "grammar", **form["grammar"]}
        return {"type": "custom", **custom}
    return tool


def _tool_choice(value: Any) -> Any:
    """A choice without the objects around its names."""
    if isinstance(value, Mapping) and isinstance(value.get("allowed_tools"), Mapping):
        allowed = value["allowed_tools"]
        tools = [_named(tool) for tool in allowed.get("tools") or ()]
        return {"type": "allowed_tools", "mode": allowed.get("mode", "auto"), "tools": tools}
    return _named(value)


def _named(value: Any) -> Any:
    if isinstance(value, Mapping) and isinstance(value.get("function"), Mapping):
        return {"type": "function", "name": value["function"].get("name")}
    if isinstance(value, Mapping) and isinstance(value.get("custom"), Mapping):
        return {"type": "custom", "name": value["custom"].get("name")}
    return value


def _format(value: Any) -> Any:
    """`response_format` as the format of a text: the schema without the object around it."""
    if isinstance(value, Mapping) and isinstance(value.get("json_schema"), Mapping):
        return {"type": "json_schema", **value["json_schema"]}
    return value
