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
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.servers import MockProvider

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "clients.md"
JUDGES = ROOT / "tests" / "judges"
# Read here, because tests run without the variables of the toolkit.
REQUIRED = os.environ.get("TOOLKIT_REQUIRE_JUDGES") == "1"
READY = os.environ.get("TOOLKIT_CLIENT_VENVS", "").split(os.pathsep)
# Not dependencies of the project: installed for these tests, into environments of their own. There
# are two, because some need version 3 of OpenAI's package and others refuse it.
# Left out for their size: aider pins more than 100 packages, guidellm needs torch and datasets.
FOREIGN = (
    {
        "langchain-openai": "1.7.3",
        "llm": "0.36",
        "pydantic-ai-slim[openai]": "2.38.0",
        "openai-agents": "0.24.0",
        "instructor": "1.17.0",
        "ollama": "0.6.3",
    },
    {
        "dspy": "3.4.1",
        "llama-index-llms-openai-like": "0.8.1",
        "smolagents": "1.26.0",
    },
)

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
        everywhere: whether it is tried with each of `UPSTREAMS`, and not with the first alone.
    """

    meaning: str
    answer: dict[str, Any] | None
    expected: Any
    sent: str = ""
    everywhere: bool = True


# The API of the provider behind the gateway, and a model of it.
UPSTREAMS = {
    "OpenAI": "mock/m",
    "Anthropic": "claude/claude-sonnet-4-5",
    "Gemini": "google/gemini-2.5-pro",
}
_PROVIDERS = {
    "mock": ("openai-compatible", "/v1", "m"),
    "claude": ("anthropic", "", "claude-sonnet-4-5"),
    "google": ("gemini", "/v1beta", "gemini-2.5-pro"),
}
_TOOL = {"text": "", "tool_calls": [_CALL], "finish_reason": "tool_calls", "usage": _USAGE}
FEATURES = {
    "whole": Feature(
        "a whole answer, with usage", {"text": "Hello there", "usage": _USAGE}, ["Hello there", 2]
    ),
    "stream": Feature(
        "a stream, with usage", {"chunks": ["Hel", "lo"], "usage": _USAGE}, ["Hello", 2]
    ),
    "asynchronous": Feature("an asynchronous stream", {"chunks": ["Hel", "lo"]}, "Hello"),
    "completion": Feature("a text completion", {"text": "Hello there"}, "Hello there"),
    "tools": Feature("a tool call", _TOOL, ["weather", {"city": "Bonn"}], '"tools"'),
    "streamed tools": Feature("a tool call in a stream", _TOOL, ["weather", {"city": "Bonn"}]),
    "picture": Feature(
        "a picture in the question", {"text": "a dot"}, "a dot", "iVBORw0KGgoAAAANSUhEUg"
    ),
    "schema": Feature(
        "an answer by JSON schema",
        {"text": '{"city": "Bonn"}'},
        {"city": "Bonn"},
        '"properties": {"city"',
    ),
    "embeddings": Feature("embeddings", {}, [3.0, 1.0, 0.0], everywhere=False),
    "models": Feature("the list of models", None, True, everywhere=False),
    "error": Feature(
        "an error, as the client's own error",
        None,
        re.compile("there is no provider 'nobody'"),
        everywhere=False,
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
        is_request_known: whether what reaches the provider is compared as well.
    """

    name: str
    version: Callable[[], str]
    command: Callable[[], list[str]]
    features: tuple[str, ...] = tuple(n for n in FEATURES if n not in ("models", "completion"))
    is_request_known: bool = True

    def tries(self) -> list[tuple[str, str]]:
        """What it is asked to do, in order: a model and a feature."""
        first = next(iter(UPSTREAMS.values()))
        return [
            (model, name)
            for model in UPSTREAMS.values()
            for name in self.features
            if model == first or FEATURES[name].everywhere
        ]


class Missing(Exception):
    """A client is not installed here; the message says how to get it."""


def _python(module: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, "-m", f"tests.api.clients.{module}"]


def _foreign(module: str, package: str, *arguments: str) -> Callable[[], list[str]]:
    def command() -> list[str]:
        python = foreign_python(package)
        return [str(python), "-m", f"tests.api.clients.{module}", *arguments]

    return command


def _version_of(package: str) -> Callable[[], str]:
    return lambda: next(group[package] for group in FOREIGN if package in group)


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
    return tuple(name for name in FEATURES if name not in (*names, "completion"))


CLIENTS = (
    Client("openai (Python)", lambda: version("openai"), _python("with_openai"), tuple(FEATURES)),
    Client(
        "openai (Responses)",
        lambda: version("openai"),
        _python("with_openai_responses"),
        _without("embeddings", "models"),
    ),
    Client(
        "anthropic (Python)",
        lambda: version("anthropic"),
        _python("with_anthropic"),
        _without("embeddings", "schema"),
    ),
    Client("litellm", lambda: version("litellm"), _python("with_litellm")),
    Client(
        "LangChain",
        lambda: f"langchain-openai {_version_of('langchain-openai')()}",
        _foreign("with_langchain", "langchain-openai"),
    ),
    Client(
        "llm",
        _version_of("llm"),
        _foreign("with_llm", "llm"),
        ("whole", "stream", "error", "broken stream"),
    ),
    Client(
        "llm (completion)",
        _version_of("llm"),
        _foreign("with_llm", "llm", "completion"),
        ("completion", "error", "broken stream"),
    ),
    Client(
        "LlamaIndex",
        _version_of("llama-index-llms-openai-like"),
        _foreign("with_llama_index", "llama-index-llms-openai-like"),
        ("completion", *_without("schema", "embeddings", "models")),
    ),
    Client(
        "DSPy",
        _version_of("dspy"),
        _foreign("with_dspy", "dspy"),
        ("whole", "tools", "schema", "error"),
        is_request_known=False,  # of a model that litellm does not know it wants any JSON
    ),
    Client(
        "smolagents",
        _version_of("smolagents"),
        _foreign("with_smolagents", "smolagents"),
        _without("asynchronous", "embeddings", "models"),
    ),
    Client(
        "pydantic-ai",
        _version_of("pydantic-ai-slim[openai]"),
        _foreign("with_pydantic_ai", "pydantic-ai-slim[openai]"),
        _without("embeddings", "models"),
    ),
    Client(
        "openai-agents",
        _version_of("openai-agents"),
        _foreign("with_openai_agents", "openai-agents"),
        _without("embeddings", "models"),
    ),
    Client(
        "instructor",
        _version_of("instructor"),
        _foreign("with_instructor", "instructor"),
        ("tools", "streamed tools", "schema", "error"),
    ),
    Client(
        "ollama (Python)",
        _version_of("ollama"),
        _foreign("with_ollama", "ollama"),
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

_environments: dict[int, tempfile.TemporaryDirectory[str]] = {}


def foreign_python(package: str) -> Path:
    """The interpreter of an environment with a package of `FOREIGN`, made once in a run.

    `TOOLKIT_CLIENT_VENVS` names environments that are ready, one for each group.

    Raises:
        Missing: they are not wanted here, or cannot be installed.
    """
    number = next(at for at, group in enumerate(FOREIGN) if package in group)
    if len(READY) == len(FOREIGN):
        return _python_of(READY[number])
    if not REQUIRED:
        raise Missing(
            "installed from the package index only with TOOLKIT_REQUIRE_JUDGES=1; "
            "TOOLKIT_CLIENT_VENVS may name environments that have it"
        )
    if number not in _environments:
        kept = tempfile.TemporaryDirectory(prefix="toolkit-clients-", ignore_cleanup_errors=True)
        _install(FOREIGN[number], kept.name)
        _environments[number] = kept
    return _python_of(_environments[number].name)


def _install(packages: Mapping[str, str], folder: str) -> None:
    """Make an environment with packages, on top of what the project has installed.

    Dependencies that both have, such as litellm, are neither downloaded nor installed again.
    """
    venv.create(folder, with_pip=False)
    theirs = sysconfig.get_path("purelib", vars={"base": folder, "platbase": folder})
    Path(theirs, "project.pth").write_text(f"{sysconfig.get_path('purelib')}\n", "utf-8")
    wanted = [f"{name}=={number}" for name, number in packages.items()]
    pip = [_python_of(folder), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--no-compile", *wanted], capture_output=True, text=True, timeout=900
    )
    if done.returncode:
        raise Missing(f"pip could not install {', '.join(wanted)}: {done.stderr[-500:]}")


def _python_of(environment: str) -> Path:
    return Path(environment, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))


@dataclass
class Serving:
    """A running `toolkit serve`, its provider, and a token for it."""

    url: str
    token: str
    provider: MockProvider

    def run(self, client: Client) -> dict[str, str]:
        """Have a client do all it can; what went wrong, by model and feature.

        One process does it for all upstreams: starting a client costs more than its calls.
        """
        command = client.command()
        self.provider.forget()  # what a client that failed did not ask for
        before = len(self.provider.requests)
        tries = client.tries()
        asked = [(model, name) for model, name in tries if FEATURES[name].answer is not None]
        for _, name in asked:
            self.provider.enqueue(**FEATURES[name].answer)
        environment = {**os.environ, "GATEWAY_URL": f"{self.url}/v1", "GATEWAY_TOKEN": self.token}
        done = subprocess.run(
            [*command, *(f"{model}={name}" for model, name in tries)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**environment, "PYTHONPATH": str(ROOT)},
            timeout=600,
        )
        if done.returncode:
            return {"all": done.stderr[-3000:]}
        told = json.loads(done.stdout.splitlines()[-1])
        wrong = {}
        for model, name in tries:
            found, expected = told.get(f"{model}={name}"), FEATURES[name].expected
            if not _is_as_expected(found, expected):
                wrong[f"{model}={name}"] = f"{found!r} instead of {expected!r}"
        sent = self.provider.requests[before:]
        for (model, name), request in zip(asked, sent, strict=False):
            wanted = FEATURES[name].sent if client.is_request_known else ""
            if wanted not in json.dumps(request.json):
                wrong.setdefault(f"{model}={name}", "it did not reach the provider")
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
        for name, (kind, path, model) in _PROVIDERS.items():
            toolkit.providers.registry.add(
                name,
                type=kind,
                base_url=provider.origin + path,
                is_local=True,
                needs_key=False,
                default_model=model,
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
What asks the provider was tried three times, with one that has OpenAI's API (chat completions), one
that has Anthropic's and one that has Gemini's; embeddings with OpenAI's alone.
"–" was not tested, because the client has no such feature or does not show it.

Two are not among them for their size. aider pins more than 100 packages; aider 0.86.2 was run by hand
(`aider --model openai/PROVIDER/MODEL --openai-api-base http://127.0.0.1:8601/v1 --message ...`) in
front of each of the three APIs: it counted tokens and applied the edit in each answer. guidellm needs
torch and datasets, and was not run; it sends the chat and text completions that are tested here.

{table}

Versions:
{versions}

LangChain's `OpenAIEmbeddings` sends arrays of token numbers, which are decoded as `cl100k_base`. To
send texts: `check_embedding_ctx_length=False`.

This page is written by `python -m tests.api.compatibility`, which runs all clients first (the
packages for JavaScript after `make judges`; the Python packages that are not dependencies with
`TOOLKIT_REQUIRE_JUDGES=1`, into environments of their own, or `TOOLKIT_CLIENT_VENVS` naming some that have them). A test compares it with the tests.
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
