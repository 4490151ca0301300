"""The only door to litellm: it writes the request in each provider's language and sends it.

litellm talks, we listen: the request goes out through our guarded transport, and as soon as
the wire answers litellm's part is over (`Heard`); the answer is read from the wire
(`reading.py`). What it writes the same each time it writes once (`envelope.py`). No litellm
type leaves this file; its retries and downloads are off.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator
from functools import cache, partial
from typing import Any, Final

import httpx

from toolkit.calls.adapters.parameters import find_unsent
from toolkit.calls.adapters.request_builder import (
    LITELLM_TIMEOUT_S,
    NO_KEY,
    Ask,
    NoEmbeddings,
    RequestNotBuilt,
    UnsupportedParams,
    base_url_of,
    passes_on,
    route_of,
    style_of,
    word_chat,
    word_embedding,
    word_google_embedding,
)
from toolkit.calls.adapters.request_template import Envelopes, kind_of
from toolkit.calls.parsers.parsed_response import Style
from toolkit.calls.transport.connections import Sessions
from toolkit.calls.transport.exchange_record import CURRENT, Heard, WireRecord
from toolkit.calls.transport.guarded import GuardedTransport
from toolkit.settings import Settings

_ENVIRONMENT: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no download of prices at import
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_OFFLINE_MODE": "true",
    "LITELLM_MODE": "PRODUCTION",  # else any .env nearby is loaded into the environment
    "LITELLM_RUST": "0",  # Rust sockets would bypass the guards and the cassettes
    "HF_HUB_OFFLINE": "1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_MAX_CLIENTS = 64


@cache
def load() -> Any:
    """litellm, imported with its environment set and its noise off."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with _collector_kept_out():
        import litellm

    litellm.suppress_debug_info = True
    litellm.disable_streaming_logging = True
    litellm.telemetry = False
    litellm.drop_params = False
    litellm.num_retries = 0
    litellm.REPEATED_STREAMING_CHUNK_LIMIT = 10**9
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


@contextlib.contextmanager
def _collector_kept_out() -> Iterator[None]:
    """Import without collections, then never look at what was imported again.

    litellm is a million objects that live for ever. Going through them takes the collector
    0.2 s each time, and for so long no arrival can be stamped.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


async def warm(provider_type: str) -> None:
    """Load litellm and what it loads on its first request, in a thread, once per route.

    Those seconds must neither stop the event loop nor count against a deadline.
    """
    if route_of(provider_type) not in _rehearsed:
        await asyncio.to_thread(_rehearse_once, provider_type)


_rehearsed: set[tuple[str, Style]] = set()
_rehearsing = threading.Lock()


def _rehearse_once(provider_type: str) -> None:
    route = route_of(provider_type)
    with _rehearsing:
        if route not in _rehearsed:
            _rehearse(provider_type)
            _rehearsed.add(route)


def _rehearse(provider_type: str) -> None:
    """Build one request in the way of a route and stop at the transport: nothing is sent."""

    async def build() -> None:
        ask = Ask(
            call_id="rehearsal",
            type=provider_type,
            base_url="https://rehearsal.invalid/v1",
            model_id="rehearsal",
            messages=[{"role": "user", "content": "rehearsal"}],
            params={},
            stream=False,
        )
        door = Door(Settings())
        with contextlib.suppress(Heard):  # no attempt, so the transport ends it at once
            await door.rehearse(ask)

    load()
    asyncio.run(build())


@cache
def version() -> str:
    """litellm's version, without importing it."""
    from importlib.metadata import version as installed_version

    return installed_version("litellm")


class _Turn(asyncio.Lock):
    """One request is written at a time on each event loop.

    litellm writes in threads, some milliseconds each. Several at once would keep the loop from
    the interpreter for so long that what arrives meanwhile is stamped late.
    """

    async def take(self) -> Callable[[], None]:
        """Wait for the turn; the function that is returned gives it on, once."""
        await self.acquire()
        ends = iter((self.release,))
        return lambda: next(ends, _nothing)()


def _nothing() -> None:
    """What is left to do when the turn was given on already."""


class Door:
    """Sends requests through litellm over guarded connections, one pool per event loop."""

    def __init__(self, settings: Settings) -> None:
        self._sessions = Sessions(settings.proxy)
        self._envelopes = Envelopes()
        self._turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Turn] = (
            weakref.WeakKeyDictionary()
        )
        self._clients: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[tuple[Any, ...], Any]
        ] = weakref.WeakKeyDictionary()

    async def send(self, ask: Ask, record: WireRecord) -> None:
        """Send one request; afterwards `record` holds the answer or why there is none.

        Raises:
            RequestNotBuilt: litellm refused the request before anything was sent.
        """
        token = CURRENT.set(record)
        record.may_drop = ask.may_drop
        record.find_unsent = partial(find_unsent, style_of(ask.type), ask.params)
        try:
            await self._call(ask, record)
        except Heard:
            if record.dropped and not ask.may_drop:
                raise RequestNotBuilt(UnsupportedParams(record.dropped)) from None
            return
        except RequestNotBuilt:
            raise
        except Exception as error:  # noqa: BLE001 - litellm raises anything; the record is the truth
            if record.requests == 0:
                raise RequestNotBuilt(error) from None
        finally:
            record.written = None
            CURRENT.reset(token)
        if record.requests == 0:
            raise RequestNotBuilt(RuntimeError("litellm sent no request"))

    async def rehearse(self, ask: Ask) -> None:
        """Go through everything up to the transport, which sends nothing outside of an attempt.

        Raises:
            Heard: always.
        """
        await load().acompletion(**word_chat(ask, self._client(ask)))

    async def _call(self, ask: Ask, record: WireRecord) -> None:
        if ask.operation == "embeddings":
            await self._in_turn(record, self._embed(ask))
            return
        arguments = word_chat(ask, self._client(ask))
        kind = kind_of(ask.type, arguments) if passes_on(ask.type) else None
        if kind is None:
            await self._in_turn(record, self._chat(arguments, ask, record))
            return
        ours = arguments["extra_body"]
        envelope = self._envelopes.find(kind)
        if envelope is not None and (request := envelope.fill(ours)) is not None:
            transport = GuardedTransport(self._sessions, local=ask.is_local)
            await transport.handle_async_request(request)  # ends in `Heard`, like litellm's way
        try:
            await self._in_turn(record, self._chat(arguments, ask, record))
        finally:
            if record.written is not None:
                self._envelopes.keep(kind, record.written, ours)

    async def _in_turn(self, record: WireRecord, writing: Coroutine[Any, Any, None]) -> None:
        """Have litellm write when nobody else has it write; the turn ends with the writing."""
        turn = self._turns.setdefault(asyncio.get_running_loop(), _Turn())
        try:
            record.on_written = await turn.take()
            await writing
        finally:
            writing.close()
            record.on_written()

    async def _chat(self, arguments: dict[str, Any], ask: Ask, record: WireRecord) -> None:
        stream = await load().acompletion(**arguments)
        if ask.stream and record.requests == 0:
            await stream.fetch_stream()  # Gemini's path sends only when asked for the first chunk

    async def _embed(self, ask: Ask) -> None:
        style = style_of(ask.type)
        if style == "openai":
            await load().aembedding(**word_embedding(ask, self._client(ask)))
        elif style == "gemini":
            await self._client(ask).post(**word_google_embedding(ask))
        else:
            raise RequestNotBuilt(NoEmbeddings("its API has no embeddings"))

    def _client(self, ask: Ask) -> Any:
        """A client object of the library that litellm uses for its style, over our transport."""
        style = style_of(ask.type)
        clients = self._clients.setdefault(asyncio.get_running_loop(), {})
        key = ask.key.reveal() if ask.key else NO_KEY
        wanted: tuple[Any, ...] = (style, ask.is_local)
        if style == "openai":  # this library's client holds address and key
            wanted = (ask.type, ask.is_local, ask.base_url, key)
        client = clients.get(wanted)
        if client is None:
            if len(clients) >= _MAX_CLIENTS:
                clients.clear()
            transport = GuardedTransport(self._sessions, local=ask.is_local)
            client = clients[wanted] = _make_client(ask, transport, key)
        return client

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        await self._sessions.aclose()


def _make_client(ask: Ask, transport: GuardedTransport, key: str) -> Any:
    if style_of(ask.type) != "openai":
        from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

        return AsyncHTTPHandler(transport=transport, follow_redirects=False)
    from openai import AsyncOpenAI

    http = httpx.AsyncClient(
        transport=transport, trust_env=False, follow_redirects=False, timeout=LITELLM_TIMEOUT_S
    )
    return AsyncOpenAI(
        api_key=key,
        base_url=base_url_of(ask),
        http_client=http,
        max_retries=0,
        default_headers={"api-key": key} if ask.type == "azure" else None,
    )
