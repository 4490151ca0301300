"""The SQLite log of `llm` (`llm logs path`): its tables `responses`, and `turns` since 0.32."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from toolkit.imports.foreign_file import ForeignFile
from toolkit.imports.imported_call import (
    Findings,
    ImportedCall,
    find_count,
    model_name,
    require_moment,
)

TOOL: Final = "llm"
_RESPONSES: Final = "SELECT * FROM responses ORDER BY datetime_utc"
_TURNS: Final = "SELECT * FROM turns ORDER BY datetime_utc"
_MESSAGE: Final = "SELECT hash, parent_hash, role FROM messages WHERE hash = ?"
_PARTS: Final = (
    "SELECT type, tool_name, text, payload FROM parts WHERE message_hash = ? ORDER BY position"
)
_FRAGMENT: Final = "SELECT content FROM fragments WHERE id = ?"
_KNOWN: Final = (
    *("id", "model", "resolved_model", "prompt", "system", "response", "options_json"),
    *("conversation_id", "thread_id", "duration_ms", "datetime_utc", "input_tokens"),
    *("output_tokens", "token_details", "parent_message_hash", "tip_message_hash"),
    # What was sent and received as the plugin saw it: the same again.
    *("prompt_json", "response_json"),
)


def recognizes(file: ForeignFile) -> bool:
    """Whether a file is such a log."""
    return "turns" in file.tables or {"responses", "conversations"} <= file.tables


def read(file: ForeignFile) -> Findings:
    """Every answer that was logged; a conversation's id is a tag."""
    found = Findings(TOOL)
    with file.reading() as connection:
        if "responses" in file.tables:
            rows = [dict(row) for row in connection.execute(_RESPONSES)]
            found.read_each(rows, lambda row: _read_response(row, found))
        if "turns" in file.tables:
            turns = [dict(row) for row in connection.execute(_TURNS)]
            found.read_each(turns, lambda row: _read_turn(row, connection, found))
    return found


def _read_response(row: Mapping[str, Any], found: Findings) -> ImportedCall:
    found.note_fields(row, _KNOWN)
    system: list[Mapping[str, Any]] = (
        [{"role": "system", "content": row["system"]}] if row.get("system") else []
    )
    prompt = {"role": "user", "content": row["prompt"] or ""}
    return _call(row, row.get("conversation_id"), [*system, prompt], {"text": row["response"]})


def _read_turn(
    row: Mapping[str, Any], connection: sqlite3.Connection, found: Findings
) -> ImportedCall:
    found.note_fields(row, _KNOWN)
    own = _read_chain(connection, row["tip_message_hash"], row["parent_message_hash"])
    before = _read_chain(connection, row["parent_message_hash"], None)
    messages: list[Mapping[str, Any]] = []
    answer: dict[str, Any] = {}
    for message in (*before, *own):
        is_answer = message["role"] == "assistant" and message is own[-1]
        if is_answer:
            answer = message
        else:
            messages.append({"role": message["role"], "content": message["text"]})
    return _call(row, row.get("thread_id"), messages, answer)


def _call(
    row: Mapping[str, Any],
    conversation: str | None,
    messages: list[Mapping[str, Any]],
    answer: Mapping[str, Any],
) -> ImportedCall:
    details = json.loads(row.get("token_details") or "{}")
    duration = row.get("duration_ms")
    return ImportedCall(
        key=str(row["id"]),
        started_at=require_moment(row["datetime_utc"]),
        model=model_name(str(row["model"]), None, otherwise=TOOL),
        response_model=row.get("resolved_model"),
        input_tokens=find_count(row.get("input_tokens")),
        output_tokens=find_count(row.get("output_tokens")),
        cached_input_tokens=find_count(_detail(details, "prompt_tokens_details", "cached_tokens")),
        reasoning_tokens=find_count(
            _detail(details, "completion_tokens_details", "reasoning_tokens")
        ),
        duration_ms=None if duration is None else float(duration),
        params=json.loads(row.get("options_json") or "{}"),
        messages=messages,
        output_text=answer.get("text") or None,
        reasoning_text=answer.get("reasoning") or None,
        tool_calls=answer.get("tool_calls") or None,
        tags={"conversation": str(conversation)} if conversation else {},
    )


def _detail(details: Mapping[str, Any], group: str, name: str) -> Any:
    return (details.get(group) or {}).get(name)


def _read_chain(
    connection: sqlite3.Connection, tip: str | None, until: str | None
) -> list[dict[str, Any]]:
    """The messages from `until` (exclusive) to `tip`, in order."""
    chain: list[dict[str, Any]] = []
    seen: set[str] = set()
    while tip is not None and tip != until and tip not in seen:
        seen.add(tip)  # a damaged log may point in a circle
        message = connection.execute(_MESSAGE, [tip]).fetchone()
        if message is None:
            break
        parts = connection.execute(_PARTS, [tip]).fetchall()
        chain.append({"role": message["role"], **_read_parts(connection, parts)})
        tip = message["parent_hash"]
    return chain[::-1]


def _read_parts(connection: sqlite3.Connection, parts: Sequence[sqlite3.Row]) -> dict[str, Any]:
    texts: dict[str, str] = {"text": "", "reasoning": ""}
    tools: list[dict[str, Any]] = []
    for part in parts:
        payload = json.loads(part["payload"] or "{}")
        if part["type"] in texts:
            texts[part["type"]] += _text_of(connection, part["text"], payload)
        elif part["type"] == "tool_call":
            arguments = payload.get("arguments")
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            identifier = payload.get("tool_call_id") or payload.get("id")
            tools.append({"id": identifier, "name": part["tool_name"], "arguments": text})
        elif part["type"] == "tool_result":
            texts["text"] += str(payload.get("output") or part["text"] or "")
    return {**texts, "tool_calls": tools}


def _text_of(connection: sqlite3.Connection, text: str | None, payload: Mapping[str, Any]) -> str:
    """The text of a part, put together where it quotes fragments."""
    if text is not None:
        return text
    pieces = []
    for piece in payload.get("text_ref") or ():
        if "literal" in piece:
            pieces.append(str(piece["literal"]))
        else:
            found = connection.execute(_FRAGMENT, [piece["fragment"]]).fetchone()
            pieces.append("" if found is None else str(found["content"]))
    return "".join(pieces)
