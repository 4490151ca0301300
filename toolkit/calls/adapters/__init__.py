"""Adapters: each writes a request in a provider's API, and sends nothing.

`write_request` is the way in. Plain OpenAI-compatible requests are written directly
(`request.write_chat`), the Responses API by `responses`, everything else by litellm's provider
configuration classes (`litellm_chat`). `request.api_style` says how the answer is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Final

from toolkit.calls.adapters.request import (
    HttpRequest,
    NoEmbeddings,
    OutgoingRequest,
    RequestNotBuilt,
    api_style,
    is_plain,
    write_chat,
    write_embeddings,
)

__all__ = [
    "WITHOUT_OPENAI_PATHS",
    "HttpRequest",
    "OutgoingRequest",
    "RequestNotBuilt",
    "warm",
    "write_request",
]

WITHOUT_OPENAI_PATHS: Final = frozenset(
    (
        *("bedrock_mantle", "clarifai", "datarobot", "gdc", "ragflow", "sagemaker_chat"),
        *("sagemaker_nova", "snowflake", "watsonx"),
    )
)
"""Types that answer a chat in OpenAI's form, but have no `/embeddings` and `/models` beside it."""


def write_request(request: OutgoingRequest) -> HttpRequest:
    """Write one request in the API of its provider; nothing is sent.

    Raises:
        RequestNotBuilt: it cannot be written.
    """
    if request.operation == "embeddings":
        return _write_embeddings(request)
    style = api_style(request.type, request.model_id)
    if style == "responses":
        from toolkit.calls.adapters import responses

        return responses.write_chat(request)
    if is_plain(request.type):
        return write_chat(request)
    from toolkit.calls.adapters import litellm_chat

    return litellm_chat.write_chat(request)


def _write_embeddings(request: OutgoingRequest) -> HttpRequest:
    style = api_style(request.type, request.model_id)
    if style in ("openai", "responses") and request.type not in WITHOUT_OPENAI_PATHS:
        return write_embeddings(request)
    if style == "gemini":
        from toolkit.calls.adapters import google_embeddings

        return google_embeddings.write_embeddings(request)
    raise RequestNotBuilt(NoEmbeddings("its API has no embeddings"))


_warmed: Final[set[str]] = set()
_warming = threading.Lock()


async def warm(provider_type: str) -> None:
    """Load what writing a request for a provider type needs, in a thread, once per process.

    litellm's import and the modules that its first request loads take seconds, which must
    neither stop the event loop nor count against a deadline. A plain type needs nothing.
    """
    if not is_plain(provider_type) and provider_type not in _warmed:
        await asyncio.to_thread(_write_once, provider_type)


def _write_once(provider_type: str) -> None:
    with _warming:
        if provider_type in _warmed:
            return
        example = OutgoingRequest(
            type=provider_type,
            base_url="https://example.invalid/v1",
            model_id="example",
            messages=[{"role": "user", "content": "example"}],
            params={},
            stream=False,
        )
        with contextlib.suppress(RequestNotBuilt):  # the caller's own request says why
            write_request(example)
        _warmed.add(provider_type)
