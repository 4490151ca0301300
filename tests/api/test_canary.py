"""A provider that echoes its key everywhere, in many forms: the key is in nothing that is kept,
exported, reported or answered.
"""

from __future__ import annotations

import contextlib
import json
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell import run
from tests.servers import Answer, MockProvider
from tests.test_secret_forms import FORMS
from toolkit import toolkit as toolkit_module
from toolkit.errors import CallError, ToolkitError
from toolkit.evals.dataset import Dataset
from toolkit.replay.cassettes.open_cassette import cassette

KEY = "canary-" + "Qw7rtY9u" * 5
CANARIES = {name: form(KEY) for name, form in FORMS.items()}
MODEL = "leaky/m"


# Where gateway formats have their texts.
STREAMED = (
    "content",
    "reasoning_content",
    "text",
    "thinking",
    "delta",
    "arguments",
    "partial_json",
)
FORMATS = {
    "/v1/chat/completions": {},
    "/v1/responses": {"input": "Hello"},
    "/v1/completions": {"prompt": "Hello"},
    "/v1/messages": {"max_tokens": 99},
    "/api/chat": {},
}


def found_in(content: bytes) -> list[str]:
    """The forms of the key that a content holds."""
    return [name for name, text in CANARIES.items() if text.encode() in content]


def echo(kind: str) -> dict[str, Any]:
    """An answer of the provider that repeats its key in every form, in one of several places."""
    text = " | ".join(CANARIES.values())
    match kind:
        case "text":
            return {"text": text}
        case "reasoning":
            return {"text": "ok", "reasoning": text}
        case "tool call":
            call = {"id": "1", "function": {"name": "f", "arguments": json.dumps({"a": text})}}
            return {"text": "", "tool_calls": [call]}
        case "finish reason":
            return {"text": "ok", "finish_reason": CANARIES["raw"]}
        case "headers":
            return {"text": "ok", "headers": {"x-request-id": KEY, "x-ratelimit-limit": KEY}}
        case "not JSON":
            return {"status": 200, "body": f"<html>{text}</html>"}
        case _:
            return {"status": int(kind), "body": {"error": {"message": text, "type": KEY}}}


def in_pieces(size: int) -> Answer:
    """An answer with every form in its reasoning, text and arguments, in pieces of some size."""
    text = " | ".join(CANARIES.values())
    arguments = json.dumps({"a": text})
    return Answer(
        text=text,
        reasoning=text,
        chunks=[text[at : at + size] for at in range(0, len(text), size)],
        tool_calls=[{"id": "1", "function": {"name": "f", "arguments": arguments}}],
        tool_pieces=len(arguments) // size,
    )


def read_together(stream: str) -> bytes:
    """The texts of a stream's events, those under one name joined."""
    texts: dict[str, list[str]] = {}

    def collect(value: Any, name: str = "") -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                collect(item, key)
        elif isinstance(value, list):
            for item in value:
                collect(item, name)
        elif isinstance(value, str) and name in STREAMED:
            texts.setdefault(name, []).append(value)

    for line in stream.splitlines():
        data = line.removeprefix("data: ")
        if data.startswith("{"):
            collect(json.loads(data))
    return "\n".join("".join(pieces) for pieces in texts.values()).encode()


PLACES = (
    *("text", "reasoning", "tool call", "finish reason", "headers", "not JSON"),
    *("400", "401", "404", "429", "500"),
)


@pytest.fixture
def leaky(served: Any) -> Iterator[MockProvider]:
    """A provider whose key is the canary."""
    with MockProvider() as provider:
        served.toolkit.providers.add(
            "leaky", base_url=provider.base_url, local=True, api_key=KEY, test=False, max_retries=0
        )
        yield provider


@pytest.mark.parametrize("size", [1, 7, 40])
@pytest.mark.parametrize("path", FORMATS)
def test_a_key_divided_among_the_pieces_of_a_stream_is_not_passed_on(
    served: Any, leaky: MockProvider, path: str, size: int
) -> None:
    leaky.enqueue_answer(in_pieces(size))
    fields = FORMATS[path] or {"messages": [{"role": "user", "content": "Hello"}]}
    if path == "/v1/messages":
        fields = fields | {"messages": [{"role": "user", "content": "Hello"}]}
    reply = served.ask("POST", path, json={"model": MODEL, "stream": True, **fields})
    assert reply.status_code == 200
    together = read_together(reply.text)
    assert together.count(b"[redacted]") >= len(CANARIES) / 2
    assert found_in(together) == []


def test_a_cassette_of_a_provider_that_echoes_its_key_has_no_key(
    served: Any, leaky: MockProvider, tmp_path: Path
) -> None:
    outcomes = set()
    for place in (*PLACES, "pieces"):
        answer = in_pieces(7) if place == "pieces" else Answer(**echo(place))
        for is_stream in (False, True):
            leaky.enqueue_answer(answer)
            outcomes.add(record_one(served.toolkit, f"leaky/{place.replace(' ', '-')}", is_stream))
            leaky.forget()
    files = [path for path in tmp_path.rglob("*.yaml") if path.is_file()]
    leaks = {path.name: forms for path in files if (forms := found_in(path.read_bytes()))}
    assert leaks == {}
    assert outcomes <= {"recorded", "CASSETTE_ERROR"} and outcomes


def record_one(toolkit: Any, name: str, is_stream: bool) -> str:
    """Record one call; `recorded`, or the code of the error by which the recording was refused."""
    try:
        with cassette(name, mode="record"), contextlib.suppress(CallError):
            if is_stream:
                list(toolkit.stream(MODEL, "Hello"))
            else:
                toolkit.complete(MODEL, "Hello")
    except ToolkitError as error:
        return error.code
    return "recorded"


@pytest.mark.timeout(300)
def test_a_key_that_a_provider_echoes_is_nowhere(
    served: Any,
    leaky: MockProvider,
    home: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG, logger="toolkit")
    seen: dict[str, bytes] = {}
    toolkit = served.toolkit
    for place in PLACES:
        answer = echo(place)
        leaky.enqueue(**answer)
        try:
            toolkit.complete(MODEL, "Hello")
        except ToolkitError as error:
            shown = "".join(traceback.format_exception(error))
            seen[f"error of {place}"] = f"{shown}{error!r}{error.as_dict()}".encode()
        leaky.enqueue(**answer)
        with contextlib.suppress(ToolkitError), toolkit.stream(MODEL, "Hello") as pieces:
            list(pieces)
        leaky.enqueue(**answer)
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
        reply = served.ask("POST", "/v1/chat/completions", json=body)
        seen[f"gateway, {place}"] = reply.content + repr(dict(reply.headers)).encode()
        leaky.enqueue(**answer)
        reply = served.ask("POST", "/v1/chat/completions", json=body | {"stream": True})
        seen[f"gateway's stream, {place}"] = reply.content + repr(dict(reply.headers)).encode()
        leaky.forget()
    leaky.default = in_pieces(7)
    ran = toolkit.evaluation.run(
        Dataset.from_rows([{"input": "q", "target": "t"}]), MODEL, scorers=["contains"]
    )
    for path in ("/api/providers", "/api/providers/leaky", "/api/calls", "/api/health", "/metrics"):
        seen[path] = served.ask("GET", path).content
    toolkit.store.ingest()
    toolkit.close()
    toolkit_module._open.cache_clear()
    seen |= _commands(ran.run_id, tmp_path)
    seen["log"] = caplog.text.encode()
    seen["output"] = "".join(capfd.readouterr()).encode()
    for file in [p for folder in (home, tmp_path) for p in folder.rglob("*") if p.is_file()]:
        seen[str(file)] = file.read_bytes()
    assert len(seen) > 40
    leaks = {where: forms for where, content in seen.items() if (forms := found_in(content))}
    assert leaks == {}, json.dumps(leaks)


def _commands(run_id: str, folder: Path) -> dict[str, bytes]:
    """What commands print, and the files that they write."""
    commands = [
        ("calls", "list", "--json"),
        ("calls", "stats", "--json"),
        ("calls", "export", str(folder / "calls.csv")),
        ("calls", "export", str(folder / "calls.jsonl")),
        ("calls", "export", str(folder / "calls.parquet")),
        ("providers", "show", "leaky", "--json"),
        ("providers", "export", "leaky"),
        ("keys", "list", "--json"),
        ("store", "sql", "SELECT * FROM calls", "--json"),
        ("store", "backup", str(folder / "backup")),
        *(("eval", "export", run_id, "-f", kind) for kind in ("csv", "jsonl", "junit", "html")),
        ("eval", "show", run_id),
        *(("chat", "Hello", "-m", MODEL, *form) for form in ([], ["--no-stream"], ["--json"])),
        ("chat", "Hello", "-m", MODEL, "-m", MODEL),
    ]
    seen = {}
    for command in commands:
        done = run(*command)
        assert done.returncode == 0, (command, done.stderr)
        seen[" ".join(command)] = (done.stdout + done.stderr).encode()
    return seen
