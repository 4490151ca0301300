"""Asking a model itself what it can do: one small request for each capability.

A listing repeats what its author wrote down; an answer shows what the model does with your key.
Nothing here is called unless a person asks for it, and the cost can be estimated before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from toolkit.errors import InvalidInput, InvalidRequest, ToolkitError
from toolkit.pricing.cost_estimate import Estimate, total_usd
from toolkit.records import Reply

if TYPE_CHECKING:
    from toolkit.calls.sync_calls import SyncReplyStream

Capability = Literal["tools", "vision", "json_schema", "reasoning", "streaming"]
CAPABILITIES: Final[tuple[Capability, ...]] = get_args(Capability)

PROBE_TAG: Final = "capability_probe"
"""The tag of each request; its value is the capability."""
# A red square of 8 x 8 pixels.
_PICTURE: Final = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mP4z8CAFTEM"
    "LQkAKP8/wc53yE8AAAAASUVORK5CYII="
)
_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "json_schema",
    "json_schema": {
        "name": "city",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"city_name": {"type": "string"}, "is_capital": {"type": "boolean"}},
            "required": ["city_name", "is_capital"],
            "additionalProperties": False,
        },
    },
}
_TOOL: Final[Mapping[str, Any]] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Return the present weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeCalls:
    """What a probe needs of the client: the public functions of the same names."""

    complete: Callable[..., Reply]
    stream: Callable[..., SyncReplyStream]
    estimate: Callable[..., Estimate]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityVerdict:
    """What one request has shown.

    Attributes:
        capability: what was tried.
        supported: whether the model did it; None: the request failed for another reason.
        listed: what was known before; None: nothing.
        reason: what came back, in a few words.
        call_id: the call that shows it.
        cost_usd: what it cost; None: not known.
    """

    capability: Capability
    supported: bool | None
    listed: bool | None
    reason: str
    call_id: str | None = None
    cost_usd: Decimal | None = None


def read_capabilities(given: Sequence[str] | None) -> tuple[Capability, ...]:
    """Return the capabilities to try; None: all.

    Raises:
        InvalidInput: one of them cannot be tried.
    """
    if given is None:
        return CAPABILITIES
    for name in given:
        if name not in CAPABILITIES:
            raise InvalidInput(
                f"the capability {name!r} cannot be probed",
                hint=f"Choose among {', '.join(CAPABILITIES)}.",
            )
    return tuple(name for name in CAPABILITIES if name in given)


def estimate_probes(
    calls: ProbeCalls, model: str, capabilities: Sequence[Capability]
) -> Decimal | None:
    """Return the most that the requests may cost together; None where no price is known."""
    requests = (_request(capability) for capability in capabilities)
    return total_usd(
        calls.estimate(model, prompt, **options).most_usd for prompt, options in requests
    )


def probe_capability(
    calls: ProbeCalls, model: str, capability: Capability, listed: bool | None
) -> CapabilityVerdict:
    """Send the request for one capability and judge the answer."""
    prompt, options = _request(capability)
    try:
        if capability == "streaming":
            stream = calls.stream(model, prompt, **options)
            pieces = sum(1 for _ in stream)
            reply = stream.reply
        else:
            pieces = 0
            reply = calls.complete(model, prompt, **options)
    except InvalidRequest as error:
        return CapabilityVerdict(
            capability=capability,
            supported=False,
            listed=listed,
            reason=f"the request was refused: {error.message}",
        )
    except ToolkitError as error:
        return CapabilityVerdict(
            capability=capability,
            supported=None,
            listed=listed,
            reason=f"not determined: {error.message}",
        )
    supported, reason = _judge(capability, reply, pieces)
    return CapabilityVerdict(
        capability=capability,
        supported=supported,
        listed=listed,
        reason=reason,
        call_id=reply.call_id,
        cost_usd=reply.receipt.cost_usd,
    )


def _request(capability: Capability) -> tuple[str | list[dict[str, Any]], dict[str, Any]]:
    """The prompt and the options of the request for one capability."""
    options: dict[str, Any] = {
        "max_tokens": 256,
        "origin": "health",
        "tags": {PROBE_TAG: capability},
        "max_retries": 0,
        "on_unsupported": "error",
    }
    if capability == "tools":
        return "What is the weather in Paris? Call the tool.", options | {"tools": [_TOOL]}
    if capability == "json_schema":
        return "Describe Paris as JSON.", options | {"response_format": _SCHEMA}
    if capability == "reasoning":
        more = {"reasoning_effort": "low", "max_tokens": 2_048}
        return "Which is larger, 9.11 or 9.9?", options | more
    if capability == "vision":
        parts = [
            {"type": "text", "text": "Which colour is this picture? Answer with one word."},
            {"type": "image_url", "image_url": {"url": _PICTURE}},
        ]
        return [{"role": "user", "content": parts}], options
    return "Count from 1 to 10.", options


def _judge(capability: Capability, reply: Reply, pieces: int) -> tuple[bool, str]:
    """Whether an answer shows the capability, and what was seen."""
    text = reply.text.strip()
    if capability == "tools":
        names = ", ".join(call.name for call in reply.tool_calls)
        return bool(names), f"called {names}" if names else "answered without calling the tool"
    if capability == "vision":
        is_right = "red" in text.lower()
        return is_right, f"said {'red' if is_right else 'another colour'} of a red picture"
    if capability == "json_schema":
        is_right = _follows_schema(text)
        return is_right, f"the answer {'follows' if is_right else 'does not follow'} the schema"
    if capability == "reasoning":
        tokens = reply.usage.reasoning_tokens or 0
        is_seen = bool(reply.reasoning) or tokens > 0
        return is_seen, f"{tokens:,} reasoning tokens" if is_seen else "no reasoning came back"
    return pieces > 1, f"the text came in {pieces:,} pieces"


def _follows_schema(text: str) -> bool:
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return (
        isinstance(value, dict)
        and value.keys() == {"city_name", "is_capital"}
        and isinstance(value["city_name"], str)
        and isinstance(value["is_capital"], bool)
    )
