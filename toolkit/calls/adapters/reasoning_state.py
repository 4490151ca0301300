"""Reasoning that goes back to its provider: what litellm reorders or leaves out of a turn.

Anthropic and Bedrock refuse a turn whose thinking is not as they sent it. litellm puts all thinking
blocks of a turn first, and drops redacted ones where they are between texts and for Bedrock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.calls.parsers.parsed_response import Style as ApiStyle
from toolkit.records import Message


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
    """Put redacted thinking back into the turns of a body that litellm has written."""
    if style not in ("anthropic", "converse"):
        return
    given = [m for m in messages if m.get("role") == "assistant"]
    turns = [t for t in body.get("messages") or () if t.get("role") == "assistant"]
    if len(given) != len(turns):  # some were joined, so it is not known which is which
        return
    for message, turn in zip(given, turns, strict=True):
        if style == "converse":
            _restore(turn["content"], message.get("thinking_blocks") or ())
        elif message.get("content_blocks"):
            _restore(turn["content"], message["content_blocks"])


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
