"""Bodies in the newest shapes of the APIs, played to the real client; `expected.json` judges.

An audio transcript may be in the text or in the parts.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.calls.asking import Asking, asking
from tests.servers.threaded import ScriptedServer
from toolkit.errors import CallError, ToolkitError
from toolkit.records import Reply

FOLDER = Path(__file__).with_name("answers")
EXPECTED: dict[str, dict[str, Any]] = json.loads((FOLDER / "expected.json").read_text())
ERRORS = sorted(path.stem for path in FOLDER.glob("e*-status*.json"))


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def ask(
    server: ScriptedServer,
    style: str,
    body: bytes,
    *,
    stream: bool,
    status: int = 200,
    **options: Any,
) -> Reply | CallError:
    """What the client makes of one answer."""
    server.status, server.body = status, body
    server.media_type = "text/event-stream" if stream else "application/json"
    path = {"openai": "/v1", "anthropic": "", "gemini": "/v1beta"}[style]
    asked = asking(f"{server.origin}{path}", style)
    try:
        return asyncio.run(_ask(asked, stream=stream, **options))
    except CallError as error:
        return error


async def _ask(asked: Asking, *, stream: bool, **options: Any) -> Reply:
    if not stream:
        reply: Reply = await asked.complete(**options)
        return reply
    running = asked.stream(**options)
    text = "".join([piece async for piece in running])
    assert text == running.reply.text, "the pieces of a stream are its text"
    streamed: Reply = running.reply
    return streamed


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_format(name: str, server: ScriptedServer) -> None:
    case = EXPECTED[name]
    path = FOLDER / f"{name}.{'sse' if case['stream'] else 'json'}"
    got = ask(server, case["style"], path.read_bytes(), stream=case["stream"])
    right = dict(case["right"])
    right.pop("note", None)
    if code := right.pop("code", None):
        assert isinstance(got, ToolkitError), got
        assert code in ("error", got.code)
        assert got.partial_text == right.pop("partial", got.partial_text)
        return
    assert isinstance(got, Reply), got
    assert {key: _READ[key](got) for key in right} == right


@pytest.mark.parametrize("name", ERRORS)
def test_error_body(name: str, server: ScriptedServer) -> None:
    _, status, code = name.split("-", 2)
    body = (FOLDER / f"{name}.json").read_bytes()
    got = ask(server, "openai", body, stream=False, status=int(status.removeprefix("status")))
    assert isinstance(got, ToolkitError)
    assert got.code == code.removeprefix("want-")


def _cost(reply: Reply) -> float | None:
    reported = reply.attempts[0].cost_reported_usd
    return None if reported is None else float(reported)


_READ: dict[str, Any] = {
    "text": lambda reply: reply.text,
    "reasoning": lambda reply: reply.reasoning,
    "tools": lambda reply: [[call.name, call.arguments] for call in reply.tool_calls],
    "finish": lambda reply: reply.finish_reason,
    "in_": lambda reply: reply.usage.input_tokens,
    "out": lambda reply: reply.usage.output_tokens,
    "cached": lambda reply: reply.usage.cached_input_tokens,
    "write": lambda reply: reply.usage.cache_write_tokens,
    "cost": _cost,
}
