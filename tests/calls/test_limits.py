"""The largest answers that are read are settings, and an error names the one to raise."""

from __future__ import annotations

import asyncio

import pytest

from tests.calls.asking import Asking, make_provider, quick_settings
from tests.servers.mock_provider import MockProvider
from toolkit.errors import MalformedResponse

LARGE = "x" * (3 * 512 * 1024)


def ask(text: str, *, stream: bool, **limits: int) -> str:
    """The text of an answer that comes in one event, or in an event for each word."""
    with MockProvider() as server:
        server.enqueue(text, chunks=[text] if text == LARGE else None)
        by = Asking(make_provider(server.base_url), settings=quick_settings(**limits))

        async def read() -> str:
            if not stream:
                return str((await by.complete()).text)
            return "".join([piece async for piece in by.stream()])

        return asyncio.run(read())


@pytest.mark.parametrize(
    ("name", "limit", "text", "stream"),
    [
        ("max_event_mib", 1, LARGE, True),
        ("max_body_mib", 1, LARGE, False),
        ("max_body_mib", 1, LARGE, True),
        ("max_stream_events", 10, "a " * 12, True),
    ],
)
def test_a_limit_is_a_setting_that_the_error_names(
    name: str, limit: int, text: str, stream: bool
) -> None:
    assert ask(text, stream=stream) == text
    with pytest.raises(MalformedResponse, match=f"TOOLKIT_{name.upper()}"):
        ask(text, stream=stream, **{name: limit})
