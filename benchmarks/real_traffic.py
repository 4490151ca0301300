"""Share of recorded provider answers that are read correctly, by the toolkit and by bare litellm.

Every chat, messages and generateContent interaction of the recorded traffic is served on a real
socket and requested twice, through `tk.complete`/`tk.stream` and through `litellm.acompletion`
with the prefix that its documents name. `tests/corpus/reading.py` says what each body means.
Both are judged by the same five points: an error or not, text, tool calls, finish reason, input
and output tokens. Where the provider is silent about tokens, a count is an invention. `strict`
is our own side by every point of the test: reasoning, all classes of usage, the error's class,
the row, and the request that went out.

    python benchmarks/real_traffic.py [--only PROVIDER] [--timeout-s 8]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

PREFIXES = {
    "anthropic": "anthropic",
    "bedrock": "anthropic",  # Messages bodies, requested where Anthropic serves them
    "cerebras": "cerebras",
    "deepseek": "deepseek",
    "fireworks": "fireworks_ai",
    "gemini": "gemini",
    "groq": "groq",
    "mistral": "mistral",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together_ai",
    "vertex_ai": "gemini",  # the same bodies
    "xai": "xai",
}
BY_TYPE = {"anthropic": "anthropic", "gemini": "gemini"}


@dataclass
class Answer:
    """What one side read from an answer."""

    text: str = ""
    tools: list[tuple[str, Any]] = field(default_factory=list)
    finish: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    is_error: bool = False
    is_late: bool = False


def find_wrong(expected: Any, answer: Answer) -> list[str]:
    """The points in which an answer was read wrong."""
    if answer.is_late:
        return ["late"]
    if bool(expected.error) != answer.is_error:
        return [
            "an error taken for an answer" if expected.error else "an answer taken for an error"
        ]
    if expected.error:
        return []
    wrong = [
        name
        for name in ("text", "tools", "finish")
        if getattr(answer, name) != getattr(expected, name)
    ]
    for name in ("input_tokens", "output_tokens"):
        if getattr(answer, name) != getattr(expected, name):
            wrong.append("tokens")
            break
    return wrong


def read_ours(got: Any) -> Answer:
    from toolkit.errors import ToolkitError

    if isinstance(got, ToolkitError):
        return Answer(is_error=True)
    return Answer(
        text=got.text,
        tools=[(call.name, _loads(call.arguments)) for call in got.tool_calls],
        finish=got.finish_reason,
        input_tokens=got.usage.input_tokens,
        output_tokens=got.usage.output_tokens,
    )


async def read_litellm(case: Any, base_url: str, timeout_s: float) -> Answer:
    try:
        return await asyncio.wait_for(_call_litellm(case, base_url), timeout_s)
    except TimeoutError:
        return Answer(is_late=True)
    except Exception:  # noqa: BLE001 - any error of litellm counts as one
        return Answer(is_error=True)


async def _call_litellm(case: Any, base_url: str) -> Answer:
    answer = await request_litellm(case, base_url)
    return await _read_stream(answer) if case.recorded["stream"] else _read_whole(answer)


async def request_litellm(case: Any, base_url: str) -> Any:
    """What `litellm.acompletion` makes of the answer that was put on: a response or a stream."""
    from toolkit.calls.adapters.library import load

    litellm = load()
    prefix = BY_TYPE.get(case.type) or PREFIXES.get(case.provider, "openai")
    body = case.recorded["request_body"]
    messages, params = [{"role": "user", "content": "Hello"}], {}
    if case.asks_as_recorded:
        messages = body["messages"]
        params = {k: v for k, v in body.items() if k not in ("model", "messages", "stream")}
    is_stream = case.recorded["stream"]
    if is_stream:
        params["stream_options"] = {"include_usage": True}
    return await litellm.acompletion(
        model=f"{prefix}/{case.model_id}",
        messages=messages,
        api_base=base_url + case.base_path,
        api_key="made-up-key",
        max_retries=0,
        num_retries=0,
        timeout=60,
        stream=is_stream,
        drop_params=True,
        _skip_mcp_handler=True,
        **params,
    )


def _read_whole(answer: Any) -> Answer:
    message = answer.choices[0].message
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls or []]
    return _as_answer(message.content, calls, answer.choices[0].finish_reason, answer.usage)


async def _read_stream(answer: Any) -> Answer:
    text, finish, usage = "", None, None
    calls: dict[int, list[str]] = {}
    async for chunk in answer:
        usage = getattr(chunk, "usage", None) or usage
        for choice in chunk.choices[:1]:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or []:
                held = calls.setdefault(call.index, ["", ""])
                held[0] = held[0] or call.function.name or ""
                held[1] += call.function.arguments or ""
    named = [(name, arguments) for _, (name, arguments) in sorted(calls.items())]
    return _as_answer(text, named, finish, usage)


def _as_answer(
    text: str | None, calls: list[tuple[str, str]], finish: str | None, usage: Any
) -> Answer:
    return Answer(
        text=text or "",
        tools=[(name, _loads(arguments)) for name, arguments in calls],
        finish=finish,
        input_tokens=getattr(usage, "prompt_tokens", None),
        output_tokens=getattr(usage, "completion_tokens", None),
    )


def _loads(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


@dataclass
class Side:
    """Right answers by provider, and what was wrong."""

    right: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    wrong_ids: dict[str, list[str]] = field(default_factory=dict)

    def add(self, case: Any, wrong: list[str]) -> None:
        self.right[case.provider] += not wrong
        self.wrong.update(wrong)
        if wrong:
            self.wrong_ids[case.id] = wrong


def measure(cases: Iterator[Any], timeout_s: float) -> dict[str, Any]:
    from tests.corpus.asking import Asker
    from tests.corpus.reading import read
    from tests.corpus.replay_server import ReplayServer

    asked: Counter[str] = Counter()
    ours, theirs, strict = Side(), Side(), Side()
    with ReplayServer() as server, asyncio.Runner() as runner:
        asker = Asker(server)
        for case in cases:
            asked[case.provider] += 1
            expected = read(case.recorded)
            strict.add(case, list(asker.ask(case).differences))
            server.put_on(case.recorded)
            ours.add(case, find_wrong(expected, read_ours(asker.get(case))))
            server.put_on(case.recorded)
            answer = runner.run(read_litellm(case, server.base_url, timeout_s))
            theirs.add(case, find_wrong(expected, answer))
            if sys.stderr.isatty():
                print(f"\r{asked.total()}", end="", file=sys.stderr, flush=True)
    return _table(asked, ours, theirs, strict)


def _table(asked: Counter[str], ours: Side, theirs: Side, strict: Side) -> dict[str, Any]:
    def share(side: Side) -> dict[str, Any]:
        right, total = side.right.total(), asked.total()
        return {"right": right, "of": total, "percent": round(100 * right / total, 1)}

    rows: list[Mapping[str, Any]] = [
        {
            "provider": name,
            "asked": count,
            "ours": ours.right[name],
            "ours_strict": strict.right[name],
            "litellm": theirs.right[name],
        }
        for name, count in sorted(asked.items())
    ]
    return {
        "ours": share(ours),
        "ours_strict": share(strict),
        "litellm": share(theirs),
        "by_provider": rows,
        "litellm_wrong_by_point": dict(theirs.wrong.most_common()),
        "litellm_wrong": theirs.wrong_ids,
        "ours_wrong": ours.wrong_ids,
        "ours_strict_wrong": strict.wrong_ids,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", help="one provider of the recorded traffic")
    parser.add_argument("--timeout-s", type=float, default=8.0, help="how long litellm may take")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"TOOLKIT_HOME": home, "TOOLKIT_MAX_RETRIES": "0"}
        from benchmarks.rounds import report
        from tests.corpus.interactions import cases, interactions, why_not_asked
        from toolkit.toolkit import current

        chosen = (c for c in cases() if options.only in (None, c.provider))
        reasons = Counter(why for line in interactions() if (why := why_not_asked(line)))
        result = {**measure(chosen, options.timeout_s), "not_asked": dict(reasons)}
        current().close()
    report("real_traffic", result)


if __name__ == "__main__":
    main()
