"""A reply as the formats write it: one or several answers, each with what the next turn needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolkit.records import Reply, ToolCall, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of a reply.

    Attributes:
        message: the assistant message in OpenAI's form, with the members that the provider needs
            back in the next turn (thinking blocks, signatures).
        parts: images, audio, citations.
    """

    index: int
    text: str
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str | None
    message: dict[str, Any]
    parts: Sequence[Any] = ()
    logprobs: Sequence[Mapping[str, Any]] = ()
    refusal: str | None = None
    next_turn: Mapping[str, Any] = field(default_factory=dict)


def answers_of(reply: Reply) -> list[Answer]:
    """Every answer of a reply, the first one first."""
    first = Answer(
        index=0,
        text=reply.text,
        reasoning=reply.reasoning,
        tool_calls=reply.tool_calls,
        finish_reason=reply.finish_reason,
        message=_message(reply.text, reply.tool_calls, reply.next_turn),
        parts=reply.parts,
        logprobs=reply.logprobs,
        refusal=reply.choices[0].refusal if reply.choices else None,
        next_turn=reply.next_turn,
    )
    others = [
        Answer(
            index=choice.index,
            text=choice.text,
            reasoning=choice.reasoning,
            tool_calls=choice.tool_calls,
            finish_reason=choice.finish_reason,
            message=_message(choice.text, choice.tool_calls, {}),
            parts=choice.parts,
            logprobs=choice.logprobs,
            refusal=choice.refusal,
        )
        for choice in reply.choices[1:]
    ]
    return [first, *others]


def _message(text: str, calls: Sequence[ToolCall], next_turn: Mapping[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else "")}
    if calls:
        message["tool_calls"] = [tool_call_json(call, at) for at, call in enumerate(calls)]
    return message | dict(next_turn)


def tool_call_id(call_id: str | None, index: int) -> str:
    """The id of a tool call, also where the provider gave none."""
    return call_id or f"call_{index}"


def tool_call_json(call: ToolCall, index: int) -> dict[str, Any]:
    """A tool call as in an assistant message."""
    return call.as_dict() | {"id": tool_call_id(call.id, index)}


def cached_tokens(usage: Usage) -> int:
    """Input tokens that were read from a cache; 0 where it is not known."""
    return usage.cached_input_tokens or 0
