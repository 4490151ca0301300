"""Processors: in order going in, in reverse coming out, and always told of the end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace

import pytest

from tests.calls.asking import asking, quick_settings
from tests.servers.mock_provider import MockProvider
from toolkit.calls.chat_request import build_request
from toolkit.calls.client import Client
from toolkit.calls.pipeline import (
    DefaultParams,
    InputTokenLimit,
    Pipeline,
    Processor,
    PromptTemplate,
    Redaction,
)
from toolkit.errors import BudgetExceeded, ContextWindowExceeded, ServerError
from toolkit.records import Reply


def request(text="hello", **options):
    return build_request("p/m", text, options)


REPLY = Reply(text="hi", call_id="c", request_id="r", model="p/m")


class Marker:
    def __init__(self, name, log, refuse=False):
        self.name, self.log, self.refuse = name, log, refuse

    def before(self, asked):
        self.log.append(f"before {self.name}")
        if self.refuse:
            raise BudgetExceeded("no")
        return asked

    def after(self, asked, reply):
        self.log.append(f"after {self.name}")
        return replace(reply, text=reply.text + self.name)

    def ended(self, asked, attempts):
        self.log.append(f"ended {self.name}")


def test_the_order_is_first_to_last_and_back():
    log = []
    passage = Pipeline([Marker("1", log), object(), Marker("2", log)]).enter(request())
    assert passage.finish(REPLY).text == "hi21"
    passage.leave(())
    assert log == ["before 1", "before 2", "after 2", "after 1", "ended 2", "ended 1"]


def test_a_refusal_ends_those_that_were_passed_and_no_other():
    log = []
    with pytest.raises(BudgetExceeded):
        Pipeline([Marker("1", log), Marker("2", log, refuse=True)]).enter(request())
    assert log == ["before 1", "before 2", "ended 1"]


def test_an_input_over_the_limit_is_refused():
    limit = InputTokenLimit(10)
    limit.before(request("x" * 20))
    with pytest.raises(ContextWindowExceeded, match="limit set here is 10"):
        limit.before(request("x" * 100))


def test_redaction_reaches_texts_and_parts():
    cleaner = Redaction({r"\b\d{4}\b": "####"})
    assert cleaner.before(request("pin 1234")).messages[0]["content"] == "pin ####"
    parts = [{"type": "text", "text": "1234"}, {"type": "image_url", "image_url": {"url": "x"}}]
    cleaned = cleaner.before(build_request("p/m", [{"role": "user", "content": parts}], {}))
    assert cleaned.messages[0]["content"][0]["text"] == "####"
    assert cleaned.messages[0]["content"][1] == parts[1]


def test_redaction_reaches_tool_calls_and_leaves_names_and_pictures():
    cleaner = Redaction({r"\d{4}": "####"})
    call = {"id": "1234", "function": {"name": "pay", "arguments": '{"pin": "1234"}'}}
    picture = {"type": "image_url", "image_url": {"url": "https://x.example/1234.png"}}
    said = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1234", "content": "paid 1234"},
        {"role": "user", "content": [picture]},
    ]
    asked, answered, shown = cleaner.before(build_request("p/m", said, {})).messages
    assert asked["tool_calls"][0] == {
        "id": "1234",
        "function": {"name": "pay", "arguments": '{"pin": "####"}'},
    }
    assert answered == {"role": "tool", "tool_call_id": "1234", "content": "paid ####"}
    assert shown == said[2]
    embedded = replace(request(), inputs=("pin 1234",))
    assert cleaner.before(embedded).inputs == ("pin ####",)


def test_an_input_to_embed_has_a_limit_too():
    with pytest.raises(ContextWindowExceeded):
        InputTokenLimit(10).before(replace(request("x"), messages=(), inputs=("x" * 100,)))


def test_default_parameters_yield_to_the_requests_own():
    params = DefaultParams({"temperature": 0, "seed": 1}).before(request(temperature=1)).params
    assert params == {"temperature": 1, "seed": 1}


def test_a_template_is_for_its_provider():
    form = PromptTemplate(provider="p", user="Q: {text}\nA:", system="Be brief.")
    filled = form.before(request("why?")).messages
    assert [m["content"] for m in filled] == ["Be brief.", "Q: why?\nA:"]
    other = build_request("q/m", "why?", {})
    assert form.before(other) is other


def row(cost):
    return SimpleNamespace(cost_usd=cost and Decimal(cost))


def test_a_failure_is_told_last_processor_first_and_then_everything_has_ended():
    log = []

    class Watcher(Processor):
        def __init__(self, name):
            self.name = name

        def on_error(self, asked, error):
            log.append((self.name, error.code))

        def ended(self, asked, attempts):
            log.append((self.name, list(attempts)))

    error = ServerError("x")
    error.attempts = (row("1"),)
    passage = Pipeline([Watcher("1"), Watcher("2")]).enter(request())
    with pytest.raises(ServerError), passage.passing():
        raise error
    assert [told for _, told in log[:2]] == ["SERVER_ERROR"] * 2
    assert [name for name, _ in log] == ["2", "1", "2", "1"]
    assert log[2][1] == [row("1")]


def test_a_request_that_is_given_up_has_ended_with_its_rows():
    ended = []

    class Watcher(Processor):
        def ended(self, asked, attempts):
            ended.append(list(attempts))

    passage = Pipeline([Watcher()]).enter(request())
    with pytest.raises(KeyboardInterrupt), passage.passing(lambda: [row("1")]):
        raise KeyboardInterrupt
    assert ended == [[row("1")]]


class Calm(Processor):
    """The example of the documentation."""

    def before(self, request):
        return replace(request, params={**request.params, "temperature": 0})


def test_processors_of_users_see_whole_answers_streams_and_failures():
    log = []

    class Watcher(Processor):
        def after(self, asked, reply):
            log.append(("after", asked.params["temperature"], len(reply.attempts)))
            return replace(reply, notes=(*reply.notes, "seen"))

        def on_error(self, asked, error):
            log.append(("error", error.code, len(error.attempts)))

        def ended(self, asked, attempts):
            log.append(("ended", len(attempts)))

    async def go(server):
        provider = asking(server.base_url)
        client = Client(
            settings=quick_settings(),
            resolve=lambda model: (provider.provider, "m"),
            key_for=provider._key_for,
            record=lambda call: None,
            processors=[Calm(), Watcher()],
        )
        assert (await client.complete(request())).notes == ("seen",)
        stream = client.stream(build_request("p/m", "hello", {}, stream=True))
        assert "".join([piece async for piece in stream]) == stream.reply.text
        assert stream.reply.notes == ("seen",)
        server.enqueue(status=500)
        with pytest.raises(ServerError):
            await client.complete(request())
        await client.aclose()

    with MockProvider() as server:
        asyncio.run(go(server))
    assert log == [
        ("after", 0, 1),
        ("ended", 1),
        ("after", 0, 1),
        ("ended", 1),
        ("error", "SERVER_ERROR", 1),
        ("ended", 1),
    ]


def test_what_a_users_processor_raises_reaches_whoever_reads_the_stream():
    class Broken(Processor):
        def after(self, asked, reply):
            raise ZeroDivisionError("mine")

    async def go(server):
        provider = asking(server.base_url)
        client = Client(
            settings=quick_settings(),
            resolve=lambda model: (provider.provider, "m"),
            key_for=provider._key_for,
            record=lambda call: None,
            processors=[Broken()],
        )
        stream = client.stream(build_request("p/m", "hello", {}, stream=True))
        with pytest.raises(ZeroDivisionError, match="mine"):
            [piece async for piece in stream]
        assert stream.progress.state == "failed"
        await client.aclose()

    with MockProvider() as server:
        asyncio.run(go(server))
