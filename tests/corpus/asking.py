"""Asks for recorded answers through `tk.complete` and `tk.stream` and compares with the judge."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import toolkit as tk
from tests.corpus.interactions import Case
from tests.corpus.reading import Meaning, read
from tests.corpus.replay_server import ReplayServer
from toolkit.errors import CallError, ToolkitError
from toolkit.records import Reply

USAGE = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)
_NOT_PARAMS = ("model", "messages", "stream", "stream_options")


@dataclass(frozen=True)
class Outcome:
    """What came of one case: the differences, none where everything is right."""

    case: Case
    differences: tuple[str, ...]


@dataclass
class Tally:
    """Right of how many, by provider."""

    right: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, outcome: Outcome) -> None:
        provider = outcome.case.provider
        self.asked[provider] += 1
        self.right[provider] += not outcome.differences
        for difference in outcome.differences:
            self.wrong[outcome.case.id].append(difference)

    def __str__(self) -> str:
        rows = [f"  {name:15} {self.right[name]:4} of {self.asked[name]:4}" for name in self.asked]
        rows.append(f"  {'all':15} {self.right.total():4} of {self.asked.total():4}")
        wrong = [f"  {name}: {'; '.join(told)}" for name, told in self.wrong.items()]
        return "\n".join([*rows, *wrong])


class Asker:
    """The toolkit with a provider for each address in the corpus, all on one replay server."""

    def __init__(self, server: ReplayServer) -> None:
        self._server = server
        self._names: dict[tuple[str, str, str], str] = {}

    def ask(self, case: Case) -> Outcome:
        """Ask for one recorded answer and compare what comes back, and its row."""
        self._server.put_on(case.recorded)
        expected = read(case.recorded)
        got = self._get(case)
        call = got.attempts[-1] if got.attempts else None
        differences = list(compare(expected, got))
        if len(self._server.asked) != 1:
            differences.append(f"{len(self._server.asked)} requests were sent")
        elif case.asks_as_recorded:
            differences += _compare_requests(case, self._server.asked[0][1])
        if call is None:
            differences.append("no row was written")
        elif (call.status, call.error_code) != (
            ("error", expected.error) if expected.error else ("ok", None)
        ):
            differences.append(f"the row says {call.status} {call.error_code}")
        return Outcome(case, tuple(differences))

    def _get(self, case: Case) -> Reply | ToolkitError:
        model = f"{self._provider(case)}/{case.model_id}"
        prompt: Any = "Hello"
        params: dict[str, Any] = {}
        if case.asks_as_recorded:
            body = case.recorded["request_body"]
            prompt = body["messages"]
            params = {name: value for name, value in body.items() if name not in _NOT_PARAMS}
        # A key of its own for each failure: a breaker counts failures by key.
        params["api_key"] = f"made-up-{case.id if case.recorded['status'] >= 400 else 'key'}"
        try:
            if not case.recorded["stream"]:
                return tk.complete(model, prompt, **params)
            with tk.stream(model, prompt, **params) as stream:
                text = "".join(stream)
            reply = stream.reply
            assert text == reply.text, "the pieces of a stream are its text"
            return reply
        except ToolkitError as error:
            return error

    def _provider(self, case: Case) -> str:
        wanted = (case.provider, case.type, case.base_path)
        if wanted not in self._names:
            name = f"{case.provider.replace('_', '-')}-{len(self._names)}"
            base_url = self._server.base_url + case.base_path
            tk.providers.add(name, base_url=base_url, type=case.type, local=True, test=False)
            self._names[wanted] = name
        return self._names[wanted]


def compare(expected: Meaning, got: Reply | ToolkitError) -> Iterable[str]:
    """What is different, in words."""
    if isinstance(got, ToolkitError):
        if expected.error != got.code:
            yield f"{got.code} ({got.cause}: {got.provider_message}) instead of {_name(expected)}"
        elif isinstance(got, CallError) and expected.retry_after_s != (got.retry_after or None):
            if expected.retry_after_s or got.retry_after:
                yield f"retry after {got.retry_after} instead of {expected.retry_after_s} s"
        return
    if expected.error:
        yield f"an answer instead of {expected.error}"
        return
    for name in ("text", "reasoning"):
        if getattr(got, name) != getattr(expected, name):
            yield f"{name} {getattr(got, name)[:60]!r} instead of {getattr(expected, name)[:60]!r}"
    tools = [(call.name, _loads(call.arguments)) for call in got.tool_calls]
    if tools != expected.tools:
        yield f"tools {tools} instead of {expected.tools}"
    if got.finish_reason != expected.finish:
        yield f"finish {got.finish_reason} instead of {expected.finish}"
    for name in USAGE:
        if getattr(got.usage, name) != getattr(expected, name):
            yield f"{name} {getattr(got.usage, name)} instead of {getattr(expected, name)}"


def _compare_requests(case: Case, sent: Mapping[str, Any]) -> Iterable[str]:
    """What reached the server must be what was recorded, parameter by parameter."""
    recorded = case.recorded["request_body"]
    for name in sorted((recorded.keys() | sent.keys()) - {"stream", "stream_options", "model"}):
        if sent.get(name) != recorded.get(name):
            told = json.dumps(sent.get(name))[:80], json.dumps(recorded.get(name))[:80]
            yield f"sent {name} {told[0]} instead of {told[1]}"


def _name(expected: Meaning) -> str:
    return expected.error or "an answer"


def _loads(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
