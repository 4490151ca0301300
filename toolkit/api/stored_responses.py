"""Responses that can be read again: `GET /v1/responses/{id}`, its input, and `DELETE`.

A response is the row of its call, so it is kept as long as that row and only where texts are
recorded. Rows are never changed: what a client deleted is noted in a file, and can neither be read
nor continued any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from toolkit.api.formats.answer import Answer
from toolkit.api.formats.error_format import NotFound
from toolkit.api.formats.responses_format import (
    PREVIOUS_LABEL,
    STORE_LABEL,
    ResponsesBody,
    output_items,
    response_json,
)
from toolkit.files import locked, write_atomic
from toolkit.records import ToolCall, Usage
from toolkit.store.queries.calls import recorded_turn
from toolkit.store.store import Store

_LOCK_S: Final = 10.0
_USAGE: Final = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")
_CALL_ID: Final = re.compile(r"[0-9a-f-]{36}")


class StoredResponses:
    """The responses of one home, each readable by the token that made it.

    Args:
        store: the database of calls.
        deleted_path: the file with the ids of responses that were deleted.
    """

    def __init__(self, store: Store, deleted_path: Path) -> None:
        self._store, self._deleted_path = store, deleted_path

    def require_row(self, response_id: str, token: str) -> dict[str, Any]:
        """The row of a response, JSON columns as values.

        Raises:
            NotFound: no such response of this token, not stored, or deleted.
        """
        call_id = response_id.removeprefix("resp_")
        # Nothing else is looked up: the id goes into the list of deleted ones.
        rows = (
            recorded_turn(call_id, token).rows(self._store) if _CALL_ID.fullmatch(call_id) else []
        )
        if rows:
            row = {name: _value(name, value) for name, value in rows[0].items()}
            is_kept = (row["tags"] or {}).get(STORE_LABEL) != "false"
            has_texts = bool(row["messages"]) and "sha256" not in row["messages"][0]
            if has_texts and is_kept and call_id not in self._deleted():
                return row
        raise NotFound(
            f"there is no recorded response {response_id[:80]!r} of this token",
            hint="Responses are kept with `recording = full`, unless `store` is false or they "
            "were deleted, and only the token that made one can read it.",
        )

    def find(self, response_id: str, token: str) -> dict[str, Any]:
        """The response as it was answered.

        Raises:
            NotFound: as `require_row`.
        """
        row = self.require_row(response_id, token)
        call_id = row["call_id"]
        return response_json(
            _body_of(row),
            call_id,
            row["model"],
            output_items(call_id, _answer_of(row)),
            "completed",
            finish_reason=row["finish_reason"],
            usage=Usage(**{name: row[name] for name in _USAGE}),
            created_at=row["started_at"].timestamp(),
        )

    def input_items(
        self, response_id: str, token: str, *, after: str | None, limit: int, is_newest_first: bool
    ) -> dict[str, Any]:
        """The conversation that a response answers, as a page of items.

        Raises:
            NotFound: as `require_row`.
        """
        row = self.require_row(response_id, token)
        items = list(_input_items(row["call_id"], row["messages"]))
        if is_newest_first:
            items.reverse()
        names = [item["id"] for item in items]
        start = names.index(after) + 1 if after in names else 0
        page = items[start : start + limit]
        return {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": start + limit < len(items),
        }

    def delete(self, response_id: str, token: str) -> dict[str, Any]:
        """Make a response unreadable over HTTP; the row of its call stays.

        Raises:
            NotFound: as `require_row`.
        """
        call_id = self.require_row(response_id, token)["call_id"]
        with locked(self._deleted_path, _LOCK_S):
            write_atomic(self._deleted_path, "".join(_lines([*self._deleted(), call_id])))
        return {"id": f"resp_{call_id}", "object": "response", "deleted": True}

    def history(self, response_id: str, token: str) -> list[dict[str, Any]]:
        """The conversation up to and with a response, for the call that continues it.

        Raises:
            NotFound: as `require_row`.
        """
        row = self.require_row(response_id, token)
        answer: dict[str, Any] = {"role": "assistant", "content": row["output_text"] or None}
        if found := row["tool_calls"]:
            answer["tool_calls"] = [_recorded_call(call, i) for i, call in enumerate(found)]
        elif answer["content"] is None:
            answer["content"] = ""
        return [*_without_instructions(row["messages"]), answer]

    def _deleted(self) -> Sequence[str]:
        try:
            return self._deleted_path.read_text("utf-8").split()
        except FileNotFoundError:
            return ()


def _lines(ids: Sequence[str]) -> Iterator[str]:
    for call_id in dict.fromkeys(ids):
        yield f"{call_id}\n"


def _without_instructions(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A conversation without its system prompt: instructions are not carried over."""
    has_system = bool(messages) and messages[0].get("role") == "system"
    return [dict(message) for message in messages[1 if has_system else 0 :]]


def _value(name: str, value: Any) -> Any:
    is_json = name in ("params", "messages", "tool_calls") and isinstance(value, str | bytes)
    return orjson.loads(value) if is_json else value


def _recorded_call(call: Mapping[str, Any], index: int) -> dict[str, Any]:
    if "function" in call or "custom" in call:
        return dict(call)
    function = {"name": call.get("name"), "arguments": call.get("arguments") or "{}"}
    return {"id": call.get("id") or f"call_{index}", "type": "function", "function": function}


# ---- rows as responses --------------------------------------------------------------------------


def _answer_of(row: Mapping[str, Any]) -> Answer:
    calls = [
        ToolCall(
            id=call.get("id"),
            name=call.get("name") or "",
            arguments=call.get("arguments") or "",
            type=call.get("type") or "function",
        )
        for call in row["tool_calls"] or ()
    ]
    return Answer(
        index=0,
        text=row["output_text"] or "",
        reasoning=row["reasoning_text"] or "",
        tool_calls=tuple(calls),
        finish_reason=row["finish_reason"],
        message={},
    )


def _body_of(row: Mapping[str, Any]) -> ResponsesBody:
    """What was asked for, as far as the row says it."""
    params, tags = row["params"] or {}, row["tags"] or {}
    first = row["messages"][0]
    effort, logprobs = params.get("reasoning_effort"), params.get("top_logprobs")
    prefix = "metadata."
    return ResponsesBody.model_construct(
        model=row["model"],
        input=[],
        instructions=first.get("content") if first.get("role") == "system" else None,
        previous_response_id=tags.get(PREVIOUS_LABEL),
        tools=[_flat(tool) for tool in params.get("tools") or ()] or None,
        tool_choice=_flat(params.get("tool_choice")),
        parallel_tool_calls=params.get("parallel_tool_calls"),
        text=_text_of(params),
        reasoning={"effort": effort} if effort else None,
        max_output_tokens=params.get("max_completion_tokens") or params.get("max_tokens"),
        temperature=params.get("temperature"),
        top_p=params.get("top_p"),
        top_logprobs=logprobs,
        metadata={k.removeprefix(prefix): v for k, v in tags.items() if k.startswith(prefix)},
        user=tags.get("user"),
        store=True,
    )


def _text_of(params: Mapping[str, Any]) -> dict[str, Any] | None:
    form = params.get("response_format") or {}
    text: dict[str, Any] = {"format": {"type": form.get("type", "text")}}
    if isinstance(schema := form.get("json_schema"), Mapping):
        text["format"] |= schema
    if verbosity := params.get("verbosity"):
        text["verbosity"] = verbosity
    return text


def _flat(chosen: Any) -> Any:
    """A tool or a choice of one as the Responses API has it: its members beside the type."""
    if not isinstance(chosen, Mapping):
        return chosen
    kind = chosen.get("type")
    inner = chosen.get(kind) if kind else None
    return {"type": kind, **inner} if isinstance(inner, Mapping) else dict(chosen)


def _input_items(call_id: str, messages: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The messages of a conversation as input items; instructions are not among them."""
    for at, message in enumerate(_without_instructions(messages)):
        role, content = message.get("role"), message.get("content")
        if role == "tool":
            yield {
                "id": f"fco_{call_id}_{at}",
                "type": "function_call_output",
                "call_id": message.get("tool_call_id"),
                "output": content,
                "status": "completed",
            }
            continue
        if content:
            parts = list(_input_parts(content, is_answer=role == "assistant"))
            item = {"id": f"msg_{call_id}_{at}", "type": "message", "role": role}
            yield {**item, "status": "completed", "content": parts}
        for number, call in enumerate(message.get("tool_calls") or ()):
            yield _input_call(f"fc_{call_id}_{at}_{number}", call)


def _input_call(item_id: str, call: Mapping[str, Any]) -> dict[str, Any]:
    common = {"id": item_id, "call_id": call.get("id"), "status": "completed"}
    if isinstance(custom := call.get("custom"), Mapping):
        return {**common, "type": "custom_tool_call", **custom}
    return {**common, "type": "function_call", **(call.get("function") or {})}


def _input_parts(content: Any, *, is_answer: bool) -> Iterator[dict[str, Any]]:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    for part in content:
        kind = part.get("type")
        if kind == "text" and is_answer:
            yield {"type": "output_text", "text": part.get("text", ""), "annotations": []}
        elif kind == "text":
            yield {"type": "input_text", "text": part.get("text", "")}
        elif kind == "image_url":
            image = part.get("image_url") or {}
            url, detail = image.get("url"), image.get("detail", "auto")
            yield {"type": "input_image", "image_url": url, "detail": detail}
        elif kind == "file":
            yield {"type": "input_file", **(part.get("file") or {})}
        else:
            yield dict(part)
