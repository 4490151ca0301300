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
from toolkit.errors import ToolkitError
from toolkit.records import Call, Reply

USAGE = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
    "web_searches",
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
        got = self.get(case)
        differences = [*compare(expected, got), *_compare_rows(expected, got)]
        if len(self._server.asked) != 1:
            differences.append(f"{len(self._server.asked)} requests were sent")
        elif case.asks_as_recorded:
            differences += _compare_requests(case, self._server.asked[0][1])
        return Outcome(case, tuple(differences))

    def get(self, case: Case, *, is_failure: bool = False) -> Reply | ToolkitError:
        """What the toolkit makes of the answer that was put on."""
        # A model of its own for each failure: a circuit breaker counts by provider and model.
        is_failure = is_failure or case.recorded["status"] >= 400
        own = f"-{case.id}" if is_failure else ""
        model = f"{self._provider(case)}/{case.model_id}{own}"
        prompt: Any = "Hello"
        params: dict[str, Any] = {}
        if case.asks_as_recorded:
            body = case.recorded["request_body"]
            prompt = body["messages"]
            params = {name: value for name, value in body.items() if name not in _NOT_PARAMS}
        params["api_key"] = "made-up-key"
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
        return _compare_errors(expected, got)
    if expected.error:
        return [f"an answer instead of {expected.error}"]
    return _compare_answers(expected, got)


def _compare_errors(expected: Meaning, got: ToolkitError) -> Iterable[str]:
    if expected.error != got.code:
        told = f"{got.code} ({got.cause}: {got.provider_message})"
        yield f"{told} instead of {expected.error or 'an answer'}"
    elif got.retry_after != expected.retry_after_s:
        yield f"retry after {got.retry_after} s instead of {expected.retry_after_s} s"


def _compare_answers(expected: Meaning, got: Reply) -> Iterable[str]:
    for name in ("text", "reasoning"):
        if getattr(got, name) != getattr(expected, name):
            yield f"{name} {getattr(got, name)[:60]!r} instead of {getattr(expected, name)[:60]!r}"
    tools = [(tool.name, _loads(tool.arguments)) for tool in got.tool_calls]
    if tools != expected.tools:
        yield f"tools {tools} instead of {expected.tools}"
    if got.finish_reason != expected.finish:
        yield f"finish {got.finish_reason} instead of {expected.finish}"
    reported = got.receipt.cost_reported_usd
    if (None if reported is None else float(reported)) != expected.cost_usd:
        yield f"reported cost {reported} instead of {expected.cost_usd}"
    for name in USAGE:
        if getattr(got.usage, name) != getattr(expected, name):
            yield f"{name} {getattr(got.usage, name)} instead of {getattr(expected, name)}"


def _compare_rows(expected: Meaning, got: Reply | ToolkitError) -> Iterable[str]:
    """One row for the one request, and it says the same."""
    rows: tuple[Call, ...] = getattr(got, "attempts", ())
    if len(rows) != 1:
        yield f"{len(rows)} rows were written"
        return
    row = rows[0]
    if (row.status, row.error_code) != ("error" if expected.error else "ok", expected.error):
        yield f"the row says {row.status} {row.error_code}"
    if expected.error is None:
        for name in USAGE:
            if getattr(row, name) != getattr(expected, name):
                yield f"the row says {name} {getattr(row, name)}"
        if row.output_text != (expected.text or None) or row.finish_reason != expected.finish:
            yield "the row says another text or finish"


def _compare_requests(case: Case, sent: Mapping[str, Any]) -> Iterable[str]:
    """What reached the server must be what was recorded, parameter by parameter."""
    recorded = case.recorded["request_body"]
    for name in sorted((recorded.keys() | sent.keys()) - {"stream", "stream_options", "model"}):
        if sent.get(name) != recorded.get(name):
            went, wanted = json.dumps(sent.get(name)), json.dumps(recorded.get(name))
            yield f"sent {name} {went[:80]} instead of {wanted[:80]}"


def _loads(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
