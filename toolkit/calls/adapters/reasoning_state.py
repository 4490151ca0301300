"""Reasoning that goes back to its provider: what litellm reorders or leaves out of a turn.

Anthropic and Bedrock refuse a turn whose thinking is not as they sent it. litellm puts all thinking
blocks of a turn first, and drops redacted ones where they are between texts and for Bedrock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from toolkit.calls.parsers.parsed_response import Style as ApiStyle
from toolkit.records import Message

_STYLES: Final = ("anthropic", "converse")


def in_order(style: ApiStyle, messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the messages with their texts and thinking in order, where that is known."""
    found = []
    for message in messages:
        rest = {name: value for name, value in message.items() if name != "content_blocks"}
        if style == "anthropic" and (blocks := message.get("content_blocks")):
            rest["content"] = blocks
        found.append(rest)
    return found


def restore_redacted(style: ApiStyle, body: Mapping[str, Any], messages: Sequence[Message]) -> None:
    """Put redacted thinking back into the turns of a body that litellm has written.

    Of several messages that litellm joined to one turn only the first is certain to begin where
    the turn begins; `find_lost_redacted` names what is missing then.
    """
    if style not in _STYLES:
        return
    spoken = [m for m in messages if m.get("role") not in ("system", "developer")]
    runs = [list(run) for is_assistant, run in groupby(spoken, _is_assistant) if is_assistant]
    turns = [t for t in body.get("messages") or () if t.get("role") == "assistant"]
    if len(runs) != len(turns):  # an empty one was left out, so it is not known which is which
        runs = [run for run in runs if any(m.get("content") or m.get("tool_calls") for m in run)]
        if len(runs) != len(turns):
            return
    for run, turn in zip(runs, turns, strict=True):
        _restore(turn["content"], _blocks_of(style, run[0]))


def find_lost_redacted(
    style: ApiStyle, body: Mapping[str, Any], messages: Sequence[Message]
) -> list[tuple[str, str]]:
    """Return a note where redacted thinking of the conversation is not in a body."""
    if style not in _STYLES:
        return []
    given = sum(
        block.get("type") == "redacted_thinking"
        for message in messages
        for block in _blocks_of(style, message)
    )
    sent = sum(
        part.get("type") == "redacted_thinking"
        or "redactedContent" in (part.get("reasoningContent") or {})
        for turn in body.get("messages") or ()
        if given and isinstance(turn.get("content"), list)
        for part in turn["content"]
    )
    return [("messages", "redacted thinking is left out")] if sent < given else []


def _is_assistant(message: Message) -> bool:
    return message.get("role") == "assistant"


def _blocks_of(style: ApiStyle, message: Message) -> Sequence[Mapping[str, Any]]:
    """The blocks of a message whose order is known."""
    return message.get("thinking_blocks" if style == "converse" else "content_blocks") or ()


def _restore(content: list[Any], blocks: Sequence[Mapping[str, Any]]) -> None:
    """Insert redacted blocks at their place; the others are there, in the same order."""
    for position, block in enumerate(blocks):
        if block.get("type") != "redacted_thinking":
            continue
        data = block.get("data")
        held = content[position] if position < len(content) else {}
        if "reasoningContent" in held and not held["reasoningContent"]["reasoningText"].get("text"):
            content.pop(position)  # an empty one in its place
        is_bedrock = all("type" not in part for part in content)
        content.insert(
            position,
            {"reasoningContent": {"redactedContent": data}} if is_bedrock else dict(block),
        )
