"""What is sent otherwise than it was given is named on the reply and in the row, in every style."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.calls.asking import Asking, make_provider
from tests.calls.test_every_provider import PARAMS, PATHS, TOKEN, script
from tests.servers import MockProvider
from toolkit.calls.chat_request import build_request
from toolkit.records import Reply

CLAUDE = "anthropic.claude-3-5-sonnet-20240620-v1:0"
# type, model, what is given, and what is left out, added and changed of it.
TABLE: tuple[tuple[str, str, dict[str, Any], set[str], set[str], set[str]], ...] = (
    ("openai-compatible", "m", {"seed": 1, "banana": 2, "temperature": 0.5}, set(), set(), set()),
    ("openai", "responses/m", {"seed": 1, "stop": ["E"], "max_tokens": 7}, {"seed", "stop"},
     set(), set()),
    ("openai", "responses/m", {"logit_bias": {"1": 2}, "n": 2}, {"logit_bias", "n"}, set(), set()),
    ("anthropic", "m", {"seed": 1, "n": 2}, {"seed", "n"}, {"max_tokens"}, set()),
    ("anthropic-compatible", "m", {"logprobs": True, "max_tokens": 7}, {"logprobs"}, set(), set()),
    ("gemini", "gemini-3-pro-preview", {"user": "u"}, {"user"}, {"temperature"}, set()),
    ("gemini", "gemini-2.5-flash", {"logit_bias": {"1": 2}, "seed": 3}, {"logit_bias"}, set(),
     set()),
    ("vertex_ai", "gemini-2.5-flash", {"verbosity": "low"}, {"verbosity"}, set(), set()),
    ("bedrock", CLAUDE, {"seed": 1, "max_tokens": 7}, {"seed"}, set(), set()),
    ("cohere_chat", "m", {"n": 2, "logprobs": True}, {"n", "logprobs"}, {"num_generations"}, set()),
    ("ollama_chat", "m", {"logit_bias": {"1": 2}}, {"logit_bias"}, set(), set()),
    # Its own parameter has another meaning: both are named.
    ("ollama_chat", "m", {"frequency_penalty": 0.5}, {"frequency_penalty"}, {"repeat_penalty"},
     set()),
    ("replicate", "meta/llama-3", {"seed": 1, "temperature": 0.5}, {"seed"}, set(), set()),
    ("predibase", "m", {"logit_bias": {"1": 2}, "temperature": 0}, {"logit_bias"},
     {"details", "max_new_tokens"}, {"temperature"}),
    ("deepinfra", "mistralai/Mistral-7B-Instruct-v0.1", {"temperature": 0}, set(), set(),
     {"temperature"}),
    ("mistral", "m", {"seed": 1, "banana": 2}, set(), set(), set()),
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[MockProvider]:
    with MockProvider() as running:
        yield running


def ask(
    server: MockProvider, kind: str, model: str, messages: Any = "hello", **given: Any
) -> list[Reply]:
    """A whole and a streamed reply of a provider of a type."""
    server.forget()
    server.requests.clear()
    if kind != "openai":  # the server's own answer is in the API that is called
        script(server, kind, model)
    path = PATHS.get(kind, "/v1" if kind.startswith("openai") else "")
    by = Asking(
        make_provider(server.origin + path, type=kind, params=PARAMS.get(kind, {})),
        key=TOKEN,
    )

    async def both() -> list[Reply]:
        whole = await by.client.complete(build_request(f"mock/{model}", messages, given))
        stream = by.client.stream(build_request(f"mock/{model}", messages, given, stream=True))
        async for _ in stream:
            pass
        return [whole, stream.reply]

    return asyncio.run(both())


def flagged(reply: Reply, kind: str) -> set[str]:
    """The names that the row has under a kind of difference."""
    flags = reply.attempts[0].flags
    assert set(reply.flags) == set(flags)
    return {flag.partition(":")[2] for flag in flags if flag.startswith(f"{kind}:")}


@pytest.mark.parametrize(
    ("kind", "model", "given", "left_out", "added", "changed"),
    [pytest.param(*row, id="-".join((row[0], *row[2]))) for row in TABLE],
)
def test_each_difference_is_named_in_both_directions(
    server: MockProvider,
    kind: str,
    model: str,
    given: dict[str, Any],
    left_out: set[str],
    added: set[str],
    changed: set[str],
) -> None:
    replies = ask(server, kind, model, on_unsupported="drop", **given)
    assert len(server.requests) == len(replies)
    for reply in replies:
        assert flagged(reply, "left_out") == left_out
        assert flagged(reply, "added") == added
        assert flagged(reply, "changed") == changed
        notes = "; ".join(reply.notes)
        for name in left_out:
            assert f"mock does not take `{name}`; left out" in notes
        for name in added:
            assert f"sent to mock in addition: {name} = " in notes
        for name in changed:
            assert f"sent to mock changed: {name} = " in notes
            assert f"instead of {given[name]}" in notes
        assert len(reply.notes) == len(left_out) + len(added) + len(changed)


@pytest.mark.parametrize(
    ("kind", "model", "is_left_out"),
    [
        ("bedrock", CLAUDE, True),
        ("openai", "responses/m", True),
        ("mistral", "m", True),
        ("openai-compatible", "m", False),
        ("gemini", "gemini-2.5-flash", False),
    ],
)
def test_an_empty_assistant_turn_that_is_not_sent_is_named(
    server: MockProvider, kind: str, model: str, is_left_out: bool
) -> None:
    turns = [
        {"role": "user", "content": "Count to three, please."},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Please go on."},
    ]
    for reply in ask(server, kind, model, messages=turns):
        assert flagged(reply, "changed") == ({"messages"} if is_left_out else set())
        assert ("an empty assistant turn is left out" in "; ".join(reply.notes)) is is_left_out
