"""How many recorded answers are read right, point by point, by the toolkit and by bare litellm.

Every chat, messages and generateContent interaction of the recorded traffic is served on a real
socket and requested twice, as in `real_traffic`. Each point is judged by itself: text, reasoning,
tool calls, finish reason, every class of usage, the cost that the provider reports, the class of
an error and its Retry-After. A point counts where the recording says something about it or one
side does; a cost only where the provider reports one. Embeddings are parsed from their recorded
bodies, and litellm is not asked for them; `tests/corpus/test_own_apis.py` holds the Responses,
Converse, Cohere and Ollama answers to their recordings.

    python benchmarks/answers.py [--only PROVIDER] [--limit N] [--timeout-s 8]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.real_traffic import request_litellm

USAGE: Final = (
    *("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens"),
    "reasoning_tokens",
)
POINTS: Final = (
    *("is_answer", "text", "reasoning", "tools", "finish"),
    *USAGE,
    *("cost_usd", "error", "retry_after_s"),
)
# litellm's exceptions, by the toolkit's code for the same fault.
CODES: Final[Mapping[str, str]] = {
    "AuthenticationError": "AUTHENTICATION_FAILED",
    "BadRequestError": "CLIENT_ERROR",
    "ContentPolicyViolationError": "CONTENT_FILTERED",
    "ContextWindowExceededError": "CONTEXT_WINDOW_EXCEEDED",
    "InternalServerError": "SERVER_ERROR",
    "NotFoundError": "MODEL_NOT_FOUND",
    "PermissionDeniedError": "PERMISSION_DENIED",
    "RateLimitError": "RATE_LIMIT_EXCEEDED",
    "ServiceUnavailableError": "SERVER_ERROR",
    "Timeout": "TIMEOUT",
    "UnprocessableEntityError": "CLIENT_ERROR",
}


def expected_points(meaning: Any) -> dict[str, Any]:
    """What is right for each point, from the judge of the tests."""
    if meaning.error:
        return _failed(meaning.error, meaning.retry_after_s)
    points = {name: getattr(meaning, name) for name in POINTS if hasattr(meaning, name)}
    return {**points, "is_answer": True, "retry_after_s": None}


def points_of_toolkit(got: Any) -> dict[str, Any]:
    """The points as the toolkit read them."""
    from toolkit.errors import ToolkitError

    if isinstance(got, ToolkitError):
        return _failed(got.code, got.retry_after)
    reported = got.receipt.cost_reported_usd
    return {
        "is_answer": True,
        "text": got.text,
        "reasoning": got.reasoning,
        "tools": [(call.name, _loads(call.arguments)) for call in got.tool_calls],
        "finish": got.finish_reason,
        **{name: getattr(got.usage, name) for name in USAGE},
        "cost_usd": None if reported is None else float(reported),
        "error": None,
        "retry_after_s": None,
    }


async def points_of_litellm(case: Any, base_url: str, timeout_s: float) -> dict[str, Any]:
    """The points as litellm read them."""
    try:
        async with asyncio.timeout(timeout_s):
            answer = await request_litellm(case, base_url)
            messages = [answer]
            if case.recorded["stream"]:
                messages = [chunk async for chunk in answer]
    except Exception as error:  # noqa: BLE001 - any error of litellm counts as one
        headers = getattr(getattr(error, "response", None), "headers", None) or {}
        wait = str(headers.get("retry-after", ""))
        code = CODES.get(type(error).__name__, type(error).__name__)
        return _failed(code, float(wait) if wait.isdecimal() else None)
    return _join(messages)


def _join(messages: Iterable[Any]) -> dict[str, Any]:
    """One whole answer of litellm, or the chunks of a stream, as points."""
    text, reasoning, finish, usage = "", "", None, None
    calls: dict[int, list[str]] = {}
    for message in messages:
        usage = getattr(message, "usage", None) or usage
        for choice in message.choices[:1]:
            part = getattr(choice, "delta", None) or choice.message
            text += part.content or ""
            reasoning += getattr(part, "reasoning_content", None) or ""
            finish = choice.finish_reason or finish
            for place, call in enumerate(part.tool_calls or []):
                held = calls.setdefault(getattr(call, "index", None) or place, ["", ""])
                held[0] = held[0] or call.function.name or ""
                held[1] += call.function.arguments or ""
    asked, given = (
        getattr(usage, f"{name}_tokens_details", None) for name in ("prompt", "completion")
    )
    return {
        "is_answer": True,
        "text": text,
        "reasoning": reasoning,
        "tools": [(name, _loads(held)) for _, (name, held) in sorted(calls.items())],
        "finish": finish,
        "input_tokens": getattr(usage, "prompt_tokens", None),
        "output_tokens": getattr(usage, "completion_tokens", None),
        "cached_input_tokens": getattr(asked, "cached_tokens", None),
        "cache_write_tokens": getattr(usage, "cache_creation_input_tokens", None),
        "reasoning_tokens": getattr(given, "reasoning_tokens", None),
        "cost_usd": getattr(usage, "cost", None),
        "error": None,
        "retry_after_s": None,
    }


def _failed(code: str, retry_after_s: float | None) -> dict[str, Any]:
    return {"is_answer": False, "error": code, "retry_after_s": retry_after_s}


def _loads(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


class Table:
    """Right of how many, by point, for each side; a point that nobody speaks of is not counted."""

    def __init__(self) -> None:
        self._asked: Counter[tuple[str, str]] = Counter()
        self._right: Counter[tuple[str, str]] = Counter()

    def add(self, side: str, expected: Mapping[str, Any], got: Mapping[str, Any]) -> None:
        """Judge one answer of one side; `all` is right where every point is."""
        both_answered = expected["is_answer"] and got["is_answer"]
        names = POINTS if both_answered or not expected["is_answer"] else ("is_answer",)
        wrong = False
        for name in names:
            wanted, found = expected.get(name), got.get(name)
            # Zero and "not said" are the same for a class of tokens that was not used.
            if (wanted or None) is None and (found or None) is None and name != "is_answer":
                continue
            if name == "cost_usd" and wanted is None:
                continue  # litellm states an estimate of its own there
            self._asked[side, name] += 1
            self._right[side, name] += wanted == found
            wrong = wrong or wanted != found
        self._asked[side, "all"] += 1
        self._right[side, "all"] += not wrong

    def rows(self) -> list[dict[str, Any]]:
        """One row for each point, the sides beside each other."""
        return [
            {
                "point": name,
                **{
                    side: f"{self._right[side, name]} of {self._asked[side, name]}"
                    for side in ("toolkit", "litellm")
                },
            }
            for name in ("all", *POINTS)
        ]


def measure_chat(only: str | None, limit: int | None, timeout_s: float) -> list[dict[str, Any]]:
    """The table of all chat answers."""
    from tests.corpus.asking import Asker
    from tests.corpus.interactions import cases
    from tests.corpus.reading import read
    from tests.corpus.replay_server import ReplayServer

    table = Table()
    chosen = [case for case in cases() if only in (None, case.provider)][:limit]
    with ReplayServer() as server, asyncio.Runner() as runner:
        asker = Asker(server)
        for number, case in enumerate(chosen, 1):
            expected = expected_points(read(case.recorded))
            server.put_on(case.recorded)
            table.add("toolkit", expected, points_of_toolkit(asker.get(case)))
            server.put_on(case.recorded)
            got = runner.run(points_of_litellm(case, server.base_url, timeout_s))
            table.add("litellm", expected, got)
            if sys.stderr.isatty():
                print(f"\r{number} of {len(chosen)}", end="", file=sys.stderr, flush=True)
    return table.rows()


def measure_embeddings() -> dict[str, int]:
    """Recorded embeddings in OpenAI's or Gemini's form: vectors as recorded."""
    from tests.corpus.interactions import FOLDER
    from toolkit.calls.parsers.embedding_vectors import EmbeddingsParser
    from toolkit.calls.parsers.stream_parser import read_body

    asked = right = 0
    for path in sorted(FOLDER.glob("*.jsonl")):
        for line in map(json.loads, path.open(encoding="utf-8")):
            body = line["response_body"]
            if line.get("endpoint_kind") != "embeddings" or line["status"] != 200:
                continue
            value = json.loads(body) if isinstance(body, str) else body
            wanted = [item.get("embedding") for item in value.get("data") or ()]
            if not wanted or not all(isinstance(vector, list) for vector in wanted):
                continue  # Base64, or an API that the toolkit does not call
            asked += 1
            parser = EmbeddingsParser(len(wanted))
            read_body(json.dumps(value).encode(), parser)
            right += [list(vector) for vector in parser.reading.vectors] == wanted
    return {"right": right, "of": asked}


def main() -> None:
    """Measure, and print the tables as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", help="one provider of the recorded traffic")
    parser.add_argument("--limit", type=int, help="at most so many chat answers")
    parser.add_argument("--timeout-s", type=float, default=8.0, help="how long litellm may take")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"TOOLKIT_HOME": home, "TOOLKIT_MAX_RETRIES": "0"}
        from benchmarks.rounds import report
        from toolkit.toolkit import current

        result: dict[str, Any] = {
            "chat": measure_chat(options.only, options.limit, options.timeout_s),
            "embeddings_toolkit": measure_embeddings(),
        }
        current().close()
    report("answers", result)


if __name__ == "__main__":
    main()
