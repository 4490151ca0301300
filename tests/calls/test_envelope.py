"""A request in a kept envelope is, byte by byte of what counts, the one that litellm writes."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.calls.asking import Asking, asking, make_provider
from tests.servers.mock_provider import MockProvider
from toolkit.calls.adapters import litellm_sender
from toolkit.calls.adapters.request_template import Envelopes, kind_of
from toolkit.errors import InvalidRequest

pytestmark = pytest.mark.slow

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
NAMES = ("temperature", "max_tokens", "stop", "tools", "response_format", "seed", "top_k", "extra")
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool"])},
    optional={"content": TEXT, "name": TEXT, "cache_control": VALUE},
)
REQUESTS = st.tuples(
    st.lists(MESSAGE, min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(NAMES), VALUE, max_size=4),
)


@pytest.fixture
def server():
    with MockProvider() as server:
        yield server


@pytest.fixture
def written(monkeypatch):
    """How many requests litellm was asked to write, once it was rehearsed."""
    for provider_type in ("openai-compatible", "anthropic"):
        asyncio.run(litellm_sender.warm(provider_type))
    count, real = [0], litellm_sender.load().acompletion

    async def acompletion(**arguments):
        count[0] += 1
        return await real(**arguments)

    monkeypatch.setattr(litellm_sender.load(), "acompletion", acompletion)
    return lambda: count[0]


async def ask(by: Asking, messages=None, *, stream=False, model="m", **params):
    request = replace(by.request("hello", stream=stream, **params), model=f"mock/{model}")
    if messages is not None:
        request = replace(request, messages=messages)
    if not stream:
        return await by.client.complete(request)
    async for _ in by.client.stream(request):
        pass
    return None


def seen(received):
    return received.method, received.path, dict(received.headers), received.json


@given(first=REQUESTS, then=REQUESTS, stream=st.booleans())
@settings(max_examples=25, deadline=None)
def test_whatever_was_asked_before_the_request_is_the_one_that_litellm_writes(first, then, stream):
    async def compare(server):
        used = asking(server.base_url)
        names = first[1].keys()
        again = {name: value for name, value in then[1].items() if name in names}
        for messages, params in (first, then, (then[0], first[1] | again)):
            fresh = asking(server.base_url)
            for by in (used, fresh):
                await ask(by, messages, stream=stream, extra_body=params)
                await by.client.aclose()
            assert seen(server.requests[-2]) == seen(server.requests[-1])

    with MockProvider() as server:
        asyncio.run(compare(server))


def test_litellm_writes_the_first_request_of_a_kind_and_no_other(server, written):
    async def several():
        by = asking(server.base_url)
        for number in range(5):
            await ask(by, [{"role": "user", "content": str(number)}], temperature=number / 10)
        assert written() == 1
        for number in range(3):
            await ask(by, stream=True, temperature=number / 10)
        assert written() == 2

    asyncio.run(several())
    assert [r.json["temperature"] for r in server.requests] == [
        0.0,
        0.1,
        0.2,
        0.3,
        0.4,
        0,
        0.1,
        0.2,
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"model": "another"},
        {"max_tokens": 5},
        {"temperature": None},
        {"stream": True},
        {"extra_headers": {"x-mine": "1"}},
    ],
)
def test_what_the_envelope_depends_on_is_written_anew(server, written, other):
    async def two():
        by = asking(server.base_url)
        await ask(by, temperature=0.5)
        await ask(by, **{"temperature": 0.5, **other})
        assert written() == 2

    asyncio.run(two())


def test_each_key_address_and_type_has_an_envelope_of_its_own(server, written):
    async def several():
        by = asking(server.base_url)
        await ask(by)
        for provider, key in (  # one thing differs each time
            (make_provider(server.base_url), "sk-" + "z" * 40),
            (make_provider(server.origin + "/other/v1"), by.key),
            (make_provider(server.base_url, "azure"), by.key),
            (make_provider(server.base_url, headers={"x-team": "a"}), by.key),
        ):
            by.provider, by.key = provider, key
            await ask(by)

    asyncio.run(several())
    assert written() == 5
    keys = [request.headers["authorization"] for request in server.requests]
    assert keys[1] == "Bearer sk-" + "z" * 40 and len(set(keys)) == 2
    assert server.requests[2].path == "/other/v1/chat/completions"
    assert "api-key" in server.requests[3].headers
    assert server.requests[4].headers["x-team"] == "a"
    assert "x-team" not in server.requests[1].headers


def test_providers_that_litellm_translates_for_are_written_each_time(server, written):
    async def two():
        by = asking(server.origin, "anthropic")
        await ask(by)
        await ask(by)

    asyncio.run(two())
    assert written() == 2


def test_what_is_no_json_is_refused_as_before(server):
    async def refused(by, value):
        with pytest.raises(InvalidRequest) as caught:
            await ask(by, temperature=value)
        return caught.value.message

    async def compare():
        by, fresh = asking(server.base_url), asking(server.base_url)
        await ask(by, temperature=0.5)
        for value in (math.nan, object()):
            assert await refused(by, value) == await refused(fresh, value)

    asyncio.run(compare())
    assert len(server.requests) == 1


def test_a_request_in_which_ours_was_changed_is_no_envelope():
    kept = Envelopes()
    written = httpx.Request("POST", "http://a.example", json={"model": "m", "n": 1})
    kept.keep(b"kind", written, {"n": 2})
    assert kept.find(b"kind") is None


def test_only_the_newest_kinds_are_kept():
    kept = Envelopes()
    written = httpx.Request("POST", "http://a.example", json={"model": "m"})
    for number in range(1000):
        kept.keep(b"%d" % number, written, {})
        kept.find(b"0")
    assert kept.find(b"0") and kept.find(b"999") and not kept.find(b"500")


def test_the_kind_leaves_out_what_is_of_one_request_alone():
    arguments = {"model": "m", "client": object(), "litellm_call_id": "1", "messages": []}
    one = kind_of("custom", arguments | {"extra_body": {"messages": [], "n": 1}})
    assert one == kind_of("custom", arguments | {"extra_body": {"messages": [{}], "n": 2}})
    assert one != kind_of("custom", arguments | {"extra_body": {"messages": [], "n": None}})
