"""Which clients work with the gateway, tried on a real `toolkit serve` with a scripted provider.

`python -m tests.api.compatibility` tries all of them and writes the table of docs/clients.md.
"""

# ruff: noqa: E501 - a table of the page has long rows

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.servers import MockProvider

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "clients.md"
JUDGES = ROOT / "tests" / "judges"
# Read here, because tests run without the variables of the toolkit.
REQUIRED = os.environ.get("TOOLKIT_REQUIRE_JUDGES") == "1"
READY = os.environ.get("TOOLKIT_CLIENT_VENV")
# Not dependencies of the project: installed for these tests, into an environment of their own.
# Left out for their size: LlamaIndex, DSPy and smolagents bring 60 to 100 packages each.
FOREIGN = {
    "langchain-openai": "1.7.3",
    "llm": "0.36",
    "pydantic-ai-slim[openai]": "2.38.0",
    "openai-agents": "0.24.0",
    "instructor": "1.17.0",
    "ollama": "0.6.3",
}

_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Bonn"}'},
}
_USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


@dataclass(frozen=True)
class Feature:
    """What a client is asked to do.

    Attributes:
        meaning: for the table.
        answer: what the provider is scripted to say; None: it is never asked.
        expected: what the client must report; a pattern where it raises.
        sent: what must stand in the request that reached the provider.
    """

    meaning: str
    answer: dict[str, Any] | None
    expected: Any
    sent: str = ""


_TOOL = {"text": "", "tool_calls": [_CALL], "finish_reason": "tool_calls", "usage": _USAGE}
FEATURES = {
    "whole": Feature(
        "a whole answer, with usage", {"text": "Hello there", "usage": _USAGE}, ["Hello there", 2]
    ),
    "stream": Feature(
        "a stream, with usage", {"chunks": ["Hel", "lo"], "usage": _USAGE}, ["Hello", 2]
    ),
    "asynchronous": Feature("an asynchronous stream", {"chunks": ["Hel", "lo"]}, "Hello"),
    "tools": Feature("a tool call", _TOOL, ["weather", {"city": "Bonn"}], '"tools"'),
    "streamed tools": Feature("a tool call in a stream", _TOOL, ["weather", {"city": "Bonn"}]),
    "picture": Feature("a picture in the question", {"text": "a dot"}, "a dot", "data:image/png"),
    "schema": Feature(
        "an answer by JSON schema", {"text": '{"city": "Bonn"}'}, {"city": "Bonn"}, "json_schema"
    ),
    "embeddings": Feature("embeddings", {}, [3.0, 1.0, 0.0]),
    "models": Feature("the list of models", None, True),
    "error": Feature(
        "an error, as the client's own error", None, re.compile("there is no provider 'nobody'")
    ),
    "broken stream": Feature(
        "a stream that breaks is an error, never a short answer",
        {"chunks": ["one ", "two "], "drop_after": 1},
        re.compile("stream was cut|in the middle of the stream"),
    ),
}


@dataclass(frozen=True)
class Client:
    """One client and what it can do.

    Attributes:
        name, version: for the table.
        command: makes its command line; raises `Missing` where it cannot be had here.
        features: what is tried; a client has no more.
    """

    name: str
    version: Callable[[], str]
    command: Callable[[], list[str]]
    features: tuple[str, ...] = tuple(name for name in FEATURES if name != "models")


class Missing(Exception):
    """A client is not installed here; the message says how to get it."""


def _python(module: str, *, foreign: bool = False) -> Callable[[], list[str]]:
    def command() -> list[str]:
        python = foreign_python() if foreign else sys.executable
        return [str(python), "-m", f"tests.api.clients.{module}"]

    return command


def _curl() -> list[str]:
    if shutil.which("curl") is None:
        raise Missing("curl is not installed")
    return [sys.executable, "-m", "tests.api.clients.with_curl"]


def _node(script: str, package: str, *arguments: str) -> Callable[[], list[str]]:
    def command() -> list[str]:
        node = shutil.which("node")
        if node is None or not (JUDGES / "node_modules" / package).is_dir():
            raise Missing(f"{package} is not installed (`make judges` does it; it needs Node.js)")
        return [node, str(JUDGES / f"{script}.mjs"), *arguments]

    return command


def _npm_versions(*packages: str) -> Callable[[], str]:
    def versions() -> str:
        wanted = json.loads((JUDGES / "package.json").read_text("utf-8"))["dependencies"]
        return ", ".join(f"{package} {wanted[package]}" for package in packages)

    return versions


def _without(*names: str) -> tuple[str, ...]:
    return tuple(name for name in FEATURES if name not in names)


CLIENTS = (
    Client("openai (Python)", lambda: version("openai"), _python("with_openai"), tuple(FEATURES)),
    Client(
        "openai (Responses)",
        lambda: version("openai"),
        _python("with_openai_responses"),
        tuple(name for name in FEATURES if name not in ("embeddings", "models")),
    ),
    Client(
        "anthropic (Python)",
        lambda: version("anthropic"),
        _python("with_anthropic"),
        tuple(name for name in FEATURES if name not in ("embeddings", "schema")),
    ),
    Client("litellm", lambda: version("litellm"), _python("with_litellm")),
    Client(
        "LangChain",
        lambda: f"langchain-openai {FOREIGN['langchain-openai']}",
        _python("with_langchain", foreign=True),
    ),
    Client(
        "llm",
        lambda: FOREIGN["llm"],
        _python("with_llm", foreign=True),
        ("whole", "stream", "error", "broken stream"),
    ),
    Client(
        "pydantic-ai",
        lambda: FOREIGN["pydantic-ai-slim[openai]"],
        _python("with_pydantic_ai", foreign=True),
        _without("embeddings", "models"),
    ),
    Client(
        "openai-agents",
        lambda: FOREIGN["openai-agents"],
        _python("with_openai_agents", foreign=True),
        _without("embeddings", "models"),
    ),
    Client(
        "instructor",
        lambda: FOREIGN["instructor"],
        _python("with_instructor", foreign=True),
        ("tools", "streamed tools", "schema", "error"),
    ),
    Client(
        "ollama (Python)",
        lambda: FOREIGN["ollama"],
        _python("with_ollama", foreign=True),
        _without("embeddings"),
    ),
    Client(
        "openai (JavaScript)",
        _npm_versions("openai"),
        _node("with_openai", "openai"),
        _without("asynchronous"),
    ),
    Client(
        "anthropic (JavaScript)",
        _npm_versions("@anthropic-ai/sdk"),
        _node("with_anthropic", "@anthropic-ai/sdk"),
        _without("asynchronous", "embeddings"),
    ),
    Client(
        "ollama (JavaScript)",
        _npm_versions("ollama"),
        _node("with_ollama", "ollama"),
        _without("asynchronous", "embeddings"),
    ),
    Client(
        "Vercel AI SDK (chat)",
        _npm_versions("ai", "@ai-sdk/openai-compatible"),
        _node("with_ai_sdk", "ai", "compatible"),
        _without("asynchronous", "models"),
    ),
    Client(
        "Vercel AI SDK (Responses)",
        _npm_versions("@ai-sdk/openai"),
        _node("with_ai_sdk", "@ai-sdk/openai", "openai"),
        _without("asynchronous", "models"),
    ),
    Client(
        "Vercel AI SDK (Messages)",
        _npm_versions("@ai-sdk/anthropic"),
        _node("with_ai_sdk", "@ai-sdk/anthropic", "anthropic"),
        _without("asynchronous", "models", "embeddings", "schema"),
    ),
    Client(
        "curl",
        lambda: "any",
        _curl,
        ("whole", "stream", "embeddings", "models", "error", "broken stream"),
    ),
)

_environments: list[tempfile.TemporaryDirectory[str]] = []


def foreign_python() -> Path:
    """The interpreter of an environment with the foreign clients, made once in a run.

    `TOOLKIT_CLIENT_VENV` names one that is ready.

    Raises:
        Missing: they are not wanted here, or cannot be installed.
    """
    if READY:
        return _python_of(READY)
    if not REQUIRED:
        raise Missing(
            "installed from the package index only with TOOLKIT_REQUIRE_JUDGES=1; "
            "TOOLKIT_CLIENT_VENV may name an environment that has it"
        )
    if not _environments:
        kept = tempfile.TemporaryDirectory(prefix="toolkit-clients-", ignore_cleanup_errors=True)
        subprocess.run([sys.executable, "-m", "venv", kept.name], check=True, timeout=300)
        wanted = [f"{name}=={number}" for name, number in FOREIGN.items()]
        pip = [_python_of(kept.name), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        done = subprocess.run([*pip, *wanted], capture_output=True, text=True, timeout=400)
        if done.returncode:
            raise Missing(f"pip could not install {', '.join(wanted)}: {done.stderr[-500:]}")
        _environments.append(kept)
    return _python_of(_environments[0].name)


def _python_of(environment: str) -> Path:
    return Path(environment, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))


@dataclass
class Serving:
    """A running `toolkit serve`, its provider, and a token for it."""

    url: str
    token: str
    provider: MockProvider
    told: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run(self, client: Client) -> dict[str, str]:
        """Have a client do all it can; what went wrong, by feature (nothing, when all is well)."""
        command = client.command()
        self.provider._script.clear()  # what a client that failed did not ask for
        before = len(self.provider.requests)
        asked = [name for name in client.features if FEATURES[name].answer is not None]
        for name in asked:
            self.provider.enqueue(**FEATURES[name].answer)
        environment = {**os.environ, "GATEWAY_URL": f"{self.url}/v1", "GATEWAY_TOKEN": self.token}
        done = subprocess.run(
            [*command, *client.features],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**environment, "PYTHONPATH": str(ROOT)},
            timeout=300,
        )
        if done.returncode:
            return {"all": done.stderr[-3000:]}
        told = json.loads(done.stdout.splitlines()[-1])
        wrong = {
            name: f"{told.get(name)!r} instead of {FEATURES[name].expected!r}"
            for name in client.features
            if not _is_as_expected(told.get(name), FEATURES[name].expected)
        }
        sent = self.provider.requests[before:]
        for name, request in zip(asked, sent, strict=False):
            if FEATURES[name].sent not in json.dumps(request.json):
                wrong.setdefault(name, "it did not reach the provider")
        if len(sent) != len(asked):
            wrong["requests"] = f"{len(sent)} requests came for {len(asked)} questions"
        return wrong


def _is_as_expected(told: Any, expected: Any) -> bool:
    if isinstance(expected, re.Pattern):
        return isinstance(told, str) and expected.search(told) is not None
    return bool(told == expected)


@contextlib.contextmanager
def serving(home: Path) -> Iterator[Serving]:
    """`toolkit serve` in a process of its own, with a provider of ours behind it."""
    from toolkit.api.bearer_tokens import BearerTokens
    from toolkit.settings import Settings
    from toolkit.toolkit import Toolkit

    toolkit = Toolkit(settings=Settings(home=home))
    toolkit.settings.make_home()
    token = BearerTokens(toolkit.settings.token_path).create("clients").reveal()
    with MockProvider() as provider:
        toolkit.providers.registry.add(
            "mock",
            base_url=provider.base_url,
            is_local=True,
            needs_key=False,
            default_model="m",
            max_retries=0,
            auto_sync=False,
        )
        toolkit.close()
        environment = {**os.environ, "TOOLKIT_HOME": str(home), "TOOLKIT_HEALTH_INTERVAL_S": "0"}
        command = [sys.executable, "-m", "toolkit", "serve", "--port", "0"]
        with (home / "serve.log").open("w+") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=ROOT)
            try:
                yield Serving(_address(home / "serve.log", server), token, provider)
            finally:
                server.terminate()
                server.wait(60)


def _address(log: Path, server: subprocess.Popen[bytes]) -> str:
    until = time.monotonic() + 120
    while time.monotonic() < until and server.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text("utf-8")):
            return found[0]
        time.sleep(0.05)
    raise RuntimeError(f"toolkit serve did not start: {log.read_text('utf-8')}")


def render() -> str:
    """docs/clients.md, from what the tests hold."""
    names = [client.name for client in CLIENTS]
    rows = [
        f"| {feature.meaning} | "
        + " | ".join("yes" if key in client.features else "–" for client in CLIENTS)
        + " |"
        for key, feature in FEATURES.items()
    ]
    versions = "\n".join(f"- {client.name}: {client.version()}" for client in CLIENTS)
    head = f"| | {' | '.join(names)} |\n|---|{'---|' * len(names)}"
    return _PAGE.format(table="\n".join([head, *rows]), versions=versions)


_PAGE = """\
# Clients of the gateway

Start it with `toolkit serve` and create a token (`toolkit serve token create NAME`). Models are named
`provider/model`, or by the name of a failover chain.

| client | settings |
|---|---|
| OpenAI SDKs, LangChain, LlamaIndex, pydantic-ai, openai-agents, instructor, DSPy, smolagents, aider | `OPENAI_BASE_URL=http://127.0.0.1:8601/v1`, `OPENAI_API_KEY=TOKEN` |
| Anthropic SDKs, Claude Code | `ANTHROPIC_BASE_URL=http://127.0.0.1:8601`, `ANTHROPIC_API_KEY=TOKEN` |
| litellm | `api_base="http://127.0.0.1:8601/v1"`, model `openai/provider/model` |
| Ollama's clients | `OLLAMA_HOST=http://127.0.0.1:8601`, header `Authorization: Bearer TOKEN` |
| Vercel AI SDK | `createOpenAI`, `createOpenAICompatible` or `createAnthropic` with `baseURL` and `apiKey` |
| web pages, Obsidian, VS Code webviews | as above, and `toolkit serve --allow-origin ORIGIN` |

## What each was tested with

Each "yes" is a test: the client, as its makers publish it, calls a running `toolkit serve` with a
scripted provider behind it, and both what it shows and what reached the provider are compared.
"–" was not tested, because the client has no such feature or does not show it.

{table}

Versions:
{versions}

LangChain's `OpenAIEmbeddings` sends arrays of token numbers, which are decoded as `cl100k_base`. To
send texts: `check_embedding_ctx_length=False`.

This page is written by `python -m tests.api.compatibility`, which runs all clients first (the
packages for JavaScript after `make judges`; the Python packages that are not dependencies with
`TOOLKIT_REQUIRE_JUDGES=1`, into an environment of their own, or `TOOLKIT_CLIENT_VENV` naming one that has them). A test compares it with the tests.
"""


def main() -> int:
    """Try every client that is here; write the page when none that is here fails."""
    failed = False
    with tempfile.TemporaryDirectory() as home, serving(Path(home)) as server:
        for client in CLIENTS:
            try:
                wrong = server.run(client)
            except Missing as why:
                print(f"{client.name}: not tried, {why}")
                continue
            print(f"{client.name}: {wrong or 'works'}")
            failed = failed or bool(wrong)
    if not failed:
        PAGE.write_text(render(), "utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
