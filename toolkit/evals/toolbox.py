"""Tools in evaluations: Python functions that a model calls, for a bounded number of rounds."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from toolkit.errors import InvalidInput
from toolkit.evals.bounded import call_bounded
from toolkit.records import Message, Reply, ToolCall


class Ask(Protocol):
    """Calls the model that is being evaluated."""

    def __call__(self, messages: Sequence[Message], **params: Any) -> Awaitable[Reply]:
        """Send a conversation; `params` are added to those of the variant."""


class TooManyRounds(Exception):
    """The model still wanted to call tools when its rounds were used up."""


class Toolbox:
    """The tools of a solver.

    Args:
        tools: Python functions, `async` or not; their signatures become JSON schemas.
        max_rounds: how often the model may call tools before it has to answer.
        timeout_s: for one call of a tool.
    """

    def __init__(
        self, tools: Sequence[Callable[..., Any]], max_rounds: int, timeout_s: float
    ) -> None:
        self._tools = {tool.__name__: tool for tool in tools}
        self._max_rounds = max_rounds
        self._timeout_s = timeout_s

    async def converse(self, messages: list[Any], ask: Ask) -> list[Reply]:
        """Ask until the model answers without calling a tool; `messages` grows on the way.

        Raises:
            TooManyRounds: it never does.
            ToolkitError: a call of the model failed.
        """
        if not self._tools:
            return [await ask(messages)]
        replies = []
        for _ in range(self._max_rounds + 1):
            reply = await ask(messages, tools=list(self._tools.values()))
            replies.append(reply)
            if not reply.tool_calls:
                return replies
            messages.append(self.as_message(reply))
            for call in reply.tool_calls:
                messages.append(
                    {
                        "role": "tool",
                        "tool_call_id": call.id or "",
                        "content": await self._run(call),
                    }
                )
        raise TooManyRounds(f"the model called tools in more than {self._max_rounds} rounds")

    @staticmethod
    def as_message(reply: Reply) -> dict[str, Any]:
        """A reply as the assistant's message of the next turn."""
        own: Callable[[], dict[str, Any]] | None = getattr(reply, "as_message", None)
        if own is not None:
            return dict(own())
        message: dict[str, Any] = {"role": "assistant", "content": reply.text}
        if reply.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call.id or "",
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in reply.tool_calls
            ]
        return message

    async def _run(self, call: ToolCall) -> str:
        """The result of a tool as text; a failure goes back to the model, which may correct it."""
        from pydantic import ValidationError, validate_call

        tool = self._tools.get(call.name)
        if tool is None:
            return f"Error: there is no tool {call.name!r}."
        try:
            arguments = json.loads(call.arguments or "{}")
            if not isinstance(arguments, dict):
                raise ValueError("the arguments are not an object")
            checked = validate_call(tool)
            if inspect.iscoroutinefunction(tool):
                result = await checked(**arguments)
            else:
                result = await call_bounded(lambda: checked(**arguments), timeout_s=self._timeout_s)
        except ValidationError as error:
            return f"Error: {error.errors()[0]['msg']}"
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises
            return f"Error: {type(error).__name__}: {error}"
        if isinstance(result, str):
            return result
        return json.dumps(result, ensure_ascii=False, default=str)


def check_tools(tools: Sequence[Callable[..., Any]]) -> None:
    """Refuse tools that cannot be described to a model, before a run begins.

    Raises:
        InvalidInput: a parameter has no type that a schema can describe, or two share a name.
    """
    from toolkit.calls.chat_request import function_tool

    names = [tool.__name__ for tool in tools]
    for tool in tools:
        if names.count(tool.__name__) > 1:
            raise InvalidInput(f"two tools are named {tool.__name__!r}")
        function_tool(tool)
