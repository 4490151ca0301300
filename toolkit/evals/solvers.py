"""Solvers: how a sample becomes an answer. A prompt, examples before it, several turns, tools,
self-consistency, or a user's own function.

A solver with its parameters is one *variant* of a run; its name is how the variant is called.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from toolkit.errors import InvalidInput
from toolkit.evals.bounded import TookTooLong, call_bounded
from toolkit.evals.dataset import Dataset, Sample
from toolkit.evals.template import fill_messages
from toolkit.evals.toolbox import Ask, Toolbox, check_tools
from toolkit.records import Message, Reply


@dataclass(frozen=True, slots=True)
class Solved:
    """An answer, and the replies that it took, the last one last."""

    text: str
    replies: tuple[Reply, ...] = ()


SolverFunction = Callable[[Sample, Ask], Any]
Tool = Callable[..., Any]
VoteBy = Literal["text", "number", "choice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Solver:
    """One way to ask.

    Attributes:
        name: the variant's name; unique within a run.
        prompt: template of the user's message, or of a whole conversation; None: the sample's
            own input as it is.
        system: template of the system prompt.
        examples: pairs of input and answer that come before the question (few-shot).
        turns: templates of further user messages, each sent after the answer to the one before.
        params: parameters of the model.
        tools: Python functions that the model may call; their signatures become the schemas.
        max_tool_rounds: how often the model may call tools before it has to answer.
        self_consistency: how often to ask; the answer is the most frequent one (Wang et al. 2022).
        vote_by: what makes two answers the same for `self_consistency`: their text, the number
            or the option that they give.
        function: asks by itself instead; it is given the sample and `ask`, and returns the
            answer's text or a `Reply`. It may be `async`; a plain one runs in a thread, and
            calls `ask(messages, **params)` without `await`.
        timeout_s: the most that `function`, or one call of a tool, may take.
    """

    name: str
    prompt: str | Sequence[Message] | None = None
    system: str | None = None
    examples: Sequence[tuple[str, str]] = ()
    turns: Sequence[str] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    tools: Sequence[Tool] = ()
    max_tool_rounds: int = 10
    self_consistency: int = 1
    vote_by: VoteBy = "text"
    function: SolverFunction | None = None
    timeout_s: float = 600.0

    def messages(self, sample: Sample) -> list[dict[str, Any]]:
        """The first conversation that is sent for a sample.

        Raises:
            InvalidInput: a variable of a template is missing; the message names row and variable.
        """
        template = self._template(sample)
        if template is not None:
            messages = fill_messages(template, sample, system=self.system)
        else:  # a conversation of the data is sent as it is: its braces are not a template
            given = sample.input if isinstance(sample.input, Sequence) else ()
            system = [] if self.system is None else fill_messages([], sample, system=self.system)
            messages = [*system, *(dict(m) for m in given if isinstance(m, Mapping))]
        examples = [
            {"role": role, "content": text}
            for pair in self.examples
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]
        at = 1 if self.system is not None else 0
        return [*messages[:at], *examples, *messages[at:]]

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
            "tools": [_name_of(tool) for tool in self.tools],
            "self_consistency": self.self_consistency if self.self_consistency > 1 else None,
            "vote_by": self.vote_by if self.self_consistency > 1 else None,
            "function": None if self.function is None else _name_of(self.function),
        }
        return {"name": self.name, **{name: value for name, value in kept.items() if value}}


def check_prompts(solvers: Sequence[Solver], dataset: Dataset) -> None:
    """Fill every template with every sample, before anything is asked.

    Raises:
        InvalidInput: a variable is missing; the message names row and variable.
    """
    for solver in solvers:
        check_tools(solver.tools)
        if solver.function is None:
            for sample in dataset:
                solver.check(sample)


async def solve(solver: Solver, sample: Sample, ask: Ask) -> Solved:
    """Ask for the answer to one sample.

    Raises:
        ToolkitError: a call failed, or a template lacks a variable.
        TookTooLong: the solver's function did not return in time.
        Exception: whatever a user's own function raises.
    """
    if solver.function is not None:
        return await _solve_by_function(solver, solver.function, sample, ask)
    if solver.self_consistency == 1:
        return await _solve_once(solver, sample, ask)
    tries = [await _solve_once(solver, sample, ask) for _ in range(solver.self_consistency)]
    replies = tuple(reply for solved in tries for reply in solved.replies)
    chosen = _most_frequent([solved.text for solved in tries], solver.vote_by)
    # The reply of the answer that won comes last: it is the one that scorers and rows refer to.
    last = tries[chosen].replies[-1]
    return Solved(tries[chosen].text, (*(r for r in replies if r is not last), last))


async def _solve_once(solver: Solver, sample: Sample, ask: Ask) -> Solved:
    messages: list[Any] = solver.messages(sample)
    toolbox = Toolbox(solver.tools, solver.max_tool_rounds, solver.timeout_s)
    replies = await toolbox.converse(messages, ask)
    for turn in solver.turns:
        messages += [toolbox.as_message(replies[-1]), *fill_messages(turn, sample)]
        replies += await toolbox.converse(messages, ask)
    return Solved(replies[-1].text, tuple(replies))


def _most_frequent(texts: Sequence[str], vote_by: VoteBy) -> int:
    """Which answer gives what most answers give; the first of them where several do."""
    from toolkit.evals.extract.letters import find_choice
    from toolkit.evals.extract.normalization import simplify
    from toolkit.evals.extract.stated_numbers import find_stated_number

    def key(text: str) -> object:
        if vote_by == "choice":
            return find_choice(text, "ABCDEFGHIJ")
        if vote_by == "number":
            number = find_stated_number(text)
            return number.readings[0] if number else None
        return simplify(text)

    keys = [key(text) for text in texts]
    # What cannot be read has no vote, unless nothing can be read.
    counted = Counter(k for k in keys if k is not None) or Counter(keys)
    return keys.index(counted.most_common(1)[0][0])


async def _solve_by_function(
    solver: Solver, function: SolverFunction, sample: Sample, ask: Ask
) -> Solved:
    replies: list[Reply] = []

    async def recording(messages: Sequence[Message], **params: Any) -> Reply:
        reply = await ask(messages, **params)
        replies.append(reply)
        return reply

    if inspect.iscoroutinefunction(function):
        try:
            async with asyncio.timeout(solver.timeout_s) as limit:
                result = await function(sample, recording)
        except TimeoutError:
            if not limit.expired():
                raise
            raise TookTooLong(f"{solver.name} took longer than {solver.timeout_s:g} s") from None
    else:
        loop = asyncio.get_running_loop()

        def waiting(messages: Sequence[Message], **params: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(recording(messages, **params), loop).result()

        result = await call_bounded(function, sample, waiting, timeout_s=solver.timeout_s)
    text = result.text if isinstance(result, Reply) else str(result)
    return Solved(text, tuple(replies))


def read_solvers(given: Any, params: Mapping[str, Any]) -> tuple[Solver, ...]:
    """Read solvers from a prompt, a `Solver`, a function, a mapping (as in a file), several of
    these, or nothing; a solver's own parameters take precedence over `params`.

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
    raise InvalidInput(f"{item!r} is not a solver", hint="Give a prompt, a Solver or a function.")


def _read_mapping(item: dict[str, Any], number: int) -> Solver:
    item.setdefault("name", f"prompt {number}")
    item["examples"] = _read_examples(item.get("examples", ()), item["name"])
    if item.get("tools"):
        raise InvalidInput(
            f"the solver {item['name']!r} has tools, which are Python functions",
            hint="Give the solvers in Python: `solvers=[Solver(name=..., tools=[...])]`.",
        )
    item.pop("tools", None)
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


def _read_examples(given: Any, solver: str) -> list[tuple[str, str]]:
    """Pairs of input and answer: written out, or the first samples of another dataset.

    `{"dataset": "dev.jsonl", "count": 3}` takes them from a dataset of its own, so that no
    question that is evaluated is shown with its answer.
    """
    if isinstance(given, Mapping):
        source = str(given.get("dataset", ""))
        dataset = Dataset.from_file(source) if "." in source else Dataset.bundled(source)
        known = [s for s in dataset if isinstance(s.input, str) and s.target is not None]
        chosen = known[: int(given.get("count", 3))]
        return [(str(s.input), _first_target(s)) for s in chosen]
    pairs = [tuple(pair) for pair in given]
    if any(len(pair) != 2 or not all(isinstance(text, str) for text in pair) for pair in pairs):
        raise InvalidInput(
            f"an example of the solver {solver!r} is not a pair of input and answer",
            hint='Write `examples = [["2+2?", "4"]]`, or `{dataset = "dev.jsonl", count = 3}`.',
        )
    return [(pair[0], pair[1]) for pair in pairs]


def _first_target(sample: Sample) -> str:
    target = sample.target
    return target if isinstance(target, str) else (target or ("",))[0]


def _name_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))
