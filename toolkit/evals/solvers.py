"""Solvers: how a sample becomes an answer. A prompt, examples before it, several turns, or a
function of a person's own.

A solver with its parameters is one *variant* of a run; its name is how the variant is called.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from toolkit.errors import InvalidInput
from toolkit.evals.dataset import Dataset, Sample
from toolkit.evals.template import fill_messages
from toolkit.records import Message, Reply


class Ask(Protocol):
    """Asks the model that is being evaluated."""

    def __call__(self, messages: Sequence[Message], **params: Any) -> Awaitable[Reply]:
        """Ask it a conversation; `params` go beside those of the variant."""


@dataclass(frozen=True, slots=True)
class Solved:
    """An answer, and the replies that it took, the last one last."""

    text: str
    replies: tuple[Reply, ...] = ()


Function = Callable[[Sample, Ask], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Solver:
    """One way to ask.

    Attributes:
        name: the variant's name; unique within a run.
        prompt: template of the user's message, or of a whole conversation; None: the sample's
            own input as it is.
        system: template of the system prompt.
        examples: pairs of input and answer that come before the question.
        turns: templates of further user messages, each sent after the answer to the one before.
        params: parameters of the model.
        function: asks by itself instead; it is given the sample and `ask`, and returns the
            answer's text or a `Reply`. It may be `async`; a plain one runs in a thread, and
            calls `ask(messages, **params)` without `await`.
    """

    name: str
    prompt: str | Sequence[Message] | None = None
    system: str | None = None
    examples: Sequence[tuple[str, str]] = ()
    turns: Sequence[str] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    function: Function | None = None

    def messages(self, sample: Sample) -> list[dict[str, Any]]:
        """The first conversation that is sent for a sample.

        Raises:
            InvalidInput: a variable of a template is missing; the message names row and variable.
        """
        template = self._template(sample)
        if template is not None:
            messages = fill_messages(template, sample, system=self.system)
        else:  # a conversation of the data is sent as it is: its braces are no template
            said = sample.input if isinstance(sample.input, Sequence) else ()
            system = [] if self.system is None else fill_messages([], sample, system=self.system)
            messages = [*system, *(dict(m) for m in said if isinstance(m, Mapping))]
        shown = [
            {"role": role, "content": text}
            for pair in self.examples
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]
        at = 1 if self.system is not None else 0
        return [*messages[:at], *shown, *messages[at:]]

    def check(self, sample: Sample) -> None:
        """Fill all templates for a sample.

        Raises:
            InvalidInput: a variable is missing; the message names row and variable.
        """
        self.messages(sample)
        for turn in self.turns:
            fill_messages(turn, sample)

    def _template(self, sample: Sample) -> str | Sequence[Message] | None:
        if self.prompt is not None:
            return self.prompt
        if isinstance(sample.input, Mapping):
            raise InvalidInput(
                f"row {sample.sample_id!r} has variables and the solver {self.name!r} no prompt",
                hint="Give the solver a prompt that names them: `{{ name }}`.",
            )
        return "{{ input }}" if isinstance(sample.input, str) else None

    def describe(self) -> dict[str, Any]:
        """All of it as plain values, to be kept with the run; a function only by its name."""
        kept = {
            "prompt": self.prompt,
            "system": self.system,
            "examples": [list(pair) for pair in self.examples],
            "turns": list(self.turns),
            "params": dict(self.params),
            "function": None if self.function is None else _name_of(self.function),
        }
        return {"name": self.name, **{name: value for name, value in kept.items() if value}}


def check_prompts(solvers: Sequence[Solver], dataset: Dataset) -> None:
    """Fill every template with every sample, before anything is asked.

    Raises:
        InvalidInput: a variable is missing; the message names row and variable.
    """
    for solver in solvers:
        if solver.function is None:
            for sample in dataset:
                solver.check(sample)


async def solve(solver: Solver, sample: Sample, ask: Ask) -> Solved:
    """Ask for the answer to one sample.

    Raises:
        ToolkitError: a call failed, or a template lacks a variable.
        Exception: whatever a function of a person's own raises.
    """
    if solver.function is not None:
        return await _solve_by_function(solver.function, sample, ask)
    messages: list[Any] = solver.messages(sample)
    reply = await ask(messages)
    replies = [reply]
    for turn in solver.turns:
        messages += [{"role": "assistant", "content": reply.text}, *fill_messages(turn, sample)]
        reply = await ask(messages)
        replies.append(reply)
    return Solved(reply.text, tuple(replies))


async def _solve_by_function(function: Function, sample: Sample, ask: Ask) -> Solved:
    replies: list[Reply] = []

    async def noting(messages: Sequence[Message], **params: Any) -> Reply:
        reply = await ask(messages, **params)
        replies.append(reply)
        return reply

    if inspect.iscoroutinefunction(function):
        result = await function(sample, noting)
    else:
        loop = asyncio.get_running_loop()

        def waiting(messages: Sequence[Message], **params: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(noting(messages, **params), loop).result()

        result = await asyncio.to_thread(function, sample, waiting)
    text = result.text if isinstance(result, Reply) else str(result)
    return Solved(text, tuple(replies))


def read_solvers(given: Any, params: Mapping[str, Any]) -> tuple[Solver, ...]:
    """Solvers from what a person writes: nothing, a prompt, a `Solver`, a function, a mapping
    (as in a file), or several of these; `params` stand below each one's own.

    Raises:
        InvalidInput: it cannot be read, or two have the same name.
    """
    items = list(given) if isinstance(given, list | tuple) else [given]
    solvers = [_read_one(item, number) for number, item in enumerate(items or [None], start=1)]
    names = [solver.name for solver in solvers]
    if len(set(names)) < len(names):
        raise InvalidInput(f"two solvers have the same name: {', '.join(names)}")
    return tuple(_with_params(solver, params) for solver in solvers)


def _with_params(solver: Solver, params: Mapping[str, Any]) -> Solver:
    from dataclasses import replace

    return replace(solver, params={**params, **solver.params})


def _read_one(item: Any, number: int) -> Solver:
    if isinstance(item, Solver):
        return item
    if item is None:
        return Solver(name="plain")
    if isinstance(item, str):
        return Solver(name=f"prompt {number}", prompt=item)
    if isinstance(item, Mapping):
        return _read_mapping(dict(item), number)
    if callable(item):
        return Solver(name=_name_of(item).rpartition(".")[2], function=item)
    raise InvalidInput(f"{item!r} is no solver", hint="Give a prompt, a Solver or a function.")


def _read_mapping(item: dict[str, Any], number: int) -> Solver:
    item.setdefault("name", f"prompt {number}")
    item["examples"] = [tuple(pair) for pair in item.get("examples", ())]
    if isinstance(item.get("function"), str):
        raise InvalidInput(
            f"the solver {item['name']!r} is the function {item['function']}, which is not here",
            hint="Give the solvers again in Python: `resume(run, solvers=[...])`.",
        )
    try:
        return Solver(**item)
    except TypeError as error:
        known = ", ".join(Solver.__dataclass_fields__)
        raise InvalidInput(f"a solver cannot be read: {error}", hint=f"It has {known}.") from None


def _name_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))
