"""The only door to litellm: it writes the request in each provider's language and sends it.

litellm talks, we listen: the request goes out through our guarded transport, and as soon as
the wire answers litellm's part is over (`Heard`); the answer is read from the wire
(`reading.py`). No litellm type leaves this file; its retries and downloads are off.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Final

import httpx

from toolkit.calls.attachments import find_fetched
from toolkit.calls.parameters import find_unsent
from toolkit.calls.reading import Style
from toolkit.calls.sessions import Sessions
from toolkit.calls.wire import GuardedTransport
from toolkit.calls.wire_record import CURRENT, Heard, WireRecord
from toolkit.records import Message, Operation
from toolkit.secret import Secret
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
_LITELLM_TIMEOUT_S = 86_400.0  # our own deadlines rule
_NO_KEY = "none"
_MAX_CLIENTS = 64

_ELSEWHERE: Final = ({"role": "user", "content": "The messages stand in `extra_body`."},)
_NOT_IN_BODY: Final = frozenset({"drop_params", "extra_body", "extra_headers", "stream_options"})

# What would send the request somewhere else, or nowhere, or more than once.
_RESERVED: Final = frozenset(
    (
        *("api_base", "api_key", "api_version", "base_url", "cache", "caching", "client"),
        *("custom_llm_provider", "fallbacks", "litellm_call_id", "max_retries", "messages"),
        *("mock_delay", "mock_response", "mock_timeout", "mock_tool_calls", "model"),
        *("model_list", "num_retries", "organization", "stream", "timeout"),
    )
)

# How each type of provider is asked, and in which style it answers. The plain path is used for
# everything that speaks OpenAI's language: litellm's own paths for Groq, Mistral and the others
# lose answers and retry in secret.
_ROUTES: Final[Mapping[str, tuple[str, Style]]] = {
    "openai": ("openai", "openai"),
    "openai-compatible": ("custom_openai", "openai"),
    "ollama": ("custom_openai", "openai"),
    "azure": ("custom_openai", "openai"),
    "custom": ("custom_openai", "openai"),
    "anthropic": ("anthropic", "anthropic"),
    "anthropic-compatible": ("anthropic", "anthropic"),
    "gemini": ("gemini", "gemini"),
}


class RequestNotBuilt(Exception):
    """litellm refused to write the request; nothing was sent. `reason` is its own error."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__(str(reason))
        self.reason = reason


class UnsupportedParams(ValueError):
    """Parameters that do not reach this provider."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"it does not take {', '.join(f'`{name}`' for name in names)}")


class FetchedHere(ValueError):
    """A picture or file that would have to be fetched from the web first."""

    def __init__(self, address: str) -> None:
        super().__init__(f"its API does not take the address {address[:200]}")


class NoEmbeddings(ValueError):
    """A provider whose API has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One attempt's request, in the house's words.

    Attributes:
        call_id: becomes litellm's call id, so that callbacks can tell our calls from others.
        type, base_url, headers, is_local: of the provider.
        key: the key, or None where the provider needs none.
        model_id: the provider's own name of the model.
        wants_usage: ask for usage at the end of a stream.
        may_drop: parameters that the provider does not take may be left out.
        operation, inputs: of the request.
    """

    call_id: str
    type: str
    base_url: str
    model_id: str
    messages: Sequence[Message]
    params: Mapping[str, Any]
    stream: bool
    key: Secret | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_local: bool = False
    operation: Operation = "chat"
    inputs: Sequence[str] = ()
    wants_usage: bool = True
    may_drop: bool = False


def style_of(provider_type: str) -> Style:
    """The API style in which a type of provider answers."""
    return _ROUTES.get(provider_type, ("custom_openai", "openai"))[1]


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
    if _ROUTES.get(provider_type, _ROUTES["custom"]) not in _rehearsed:
        await asyncio.to_thread(_rehearse_once, provider_type)


_rehearsed: set[tuple[str, Style]] = set()
_rehearsing = threading.Lock()


def _rehearse_once(provider_type: str) -> None:
    route = _ROUTES.get(provider_type, _ROUTES["custom"])
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
        turn = self._turns.setdefault(asyncio.get_running_loop(), _Turn())
        try:
            record.on_written = await turn.take()
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
            record.on_written()
            CURRENT.reset(token)
        if record.requests == 0:
            raise RequestNotBuilt(RuntimeError("litellm sent no request"))

    async def rehearse(self, ask: Ask) -> None:
        """Go through everything up to the transport, which sends nothing outside of an attempt.

        Raises:
            Heard: always.
        """
        await self._call(ask, None)

    async def _call(self, ask: Ask, record: WireRecord | None) -> None:
        litellm = load()
        route, style = _ROUTES.get(ask.type, ("custom_openai", "openai"))
        if ask.operation == "embeddings":
            await self._embed(ask, style)
            return
        arguments = self._arguments(ask, route, style)
        if address := find_fetched(style, ask.messages):
            raise RequestNotBuilt(FetchedHere(address))
        messages = _ELSEWHERE if route == "custom_openai" else ask.messages
        stream = await litellm.acompletion(messages=list(messages), **arguments)
        if ask.stream and (record is None or record.requests == 0):
            await stream.fetch_stream()  # Gemini's path sends only when asked for the first chunk

    async def _embed(self, ask: Ask, style: Style) -> None:
        """Ask for vectors; parameters go as they are, the provider knows what it takes."""
        if taken := _RESERVED & ask.params.keys():
            raise RequestNotBuilt(ValueError(f"not a parameter of a model: {sorted(taken)}"))
        if style == "openai":
            await load().aembedding(**self._embedding_arguments(ask))
        elif style == "gemini":
            await self._embed_at_google(ask)
        else:
            raise RequestNotBuilt(NoEmbeddings("its API has no embeddings"))

    def _embedding_arguments(self, ask: Ask) -> dict[str, Any]:
        params = {name: value for name, value in ask.params.items() if name not in _NOT_IN_BODY}
        return {
            "model": f"openai/{ask.model_id}",
            "input": list(ask.inputs),
            "encoding_format": params.pop("encoding_format", "float"),
            "extra_body": params,
            "extra_headers": dict(ask.headers),
            "api_base": _base_url(ask, "openai"),
            "api_key": ask.key.reveal() if ask.key else _NO_KEY,
            "client": self._client(ask, "openai"),
            "timeout": _LITELLM_TIMEOUT_S,
            "max_retries": 0,
            "litellm_call_id": ask.call_id,
        }

    async def _embed_at_google(self, ask: Ask) -> None:
        """litellm would use connections of its own here, past every guard, and fetch what a text
        that looks like a file's name points to; so only its HTTP client is used.
        """
        names = {"dimensions": "outputDimensionality", "task_type": "taskType"}
        asked = {names[name]: value for name, value in ask.params.items() if name in names}
        model = f"models/{ask.model_id}"
        requests = [
            {"model": model, "content": {"parts": [{"text": text}]}, **asked} for text in ask.inputs
        ]
        headers = {"content-type": "application/json", **ask.headers}
        if ask.key:
            headers["x-goog-api-key"] = ask.key.reveal()
        await self._client(ask, "gemini").post(
            url=f"{ask.base_url.rstrip('/')}/{model}:batchEmbedContents",
            headers=headers,
            json={"requests": requests},
        )

    def _arguments(self, ask: Ask, route: str, style: Style) -> dict[str, Any]:
        params = dict(ask.params)
        if taken := _RESERVED & params.keys():
            raise RequestNotBuilt(ValueError(f"not a parameter of a model: {sorted(taken)}"))
        arguments: dict[str, Any] = {
            **params,
            "model": f"{route}/{ask.model_id}",
            "api_base": _base_url(ask, style),
            "api_key": ask.key.reveal() if ask.key else _NO_KEY,
            "client": self._client(ask, style),
            "timeout": _LITELLM_TIMEOUT_S,
            "max_retries": 0,
            "litellm_call_id": ask.call_id,
        }
        if ask.headers:
            arguments["extra_headers"] = {**ask.headers, **(params.get("extra_headers") or {})}
        arguments["_skip_mcp_handler"] = True  # it wants a package that nobody needs for tools
        if route == "custom_openai":
            _pass_on(arguments, ask)
        else:
            _let_through(arguments, style)
        if ask.stream:
            arguments["stream"] = True
            if style == "openai" and ask.wants_usage:
                options = params.get("stream_options") or {}
                arguments["stream_options"] = {"include_usage": True, **options}
        return arguments

    def _client(self, ask: Ask, style: Style) -> Any:
        """A client object of the library that litellm uses for this style, over our transport."""
        clients = self._clients.setdefault(asyncio.get_running_loop(), {})
        key = ask.key.reveal() if ask.key else _NO_KEY
        wanted: tuple[Any, ...] = (style, ask.is_local)
        if style == "openai":  # this library's client holds address and key
            wanted = (ask.type, ask.is_local, ask.base_url, key)
        client = clients.get(wanted)
        if client is None:
            if len(clients) >= _MAX_CLIENTS:
                clients.clear()
            transport = GuardedTransport(self._sessions, local=ask.is_local)
            client = clients[wanted] = _make_client(ask, style, transport, key)
        return client

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        await self._sessions.aclose()


def _let_through(arguments: dict[str, Any], style: Style) -> None:
    """Have litellm leave out what it does not know instead of refusing it: the transport looks
    at what is really sent, and the user decides.
    """
    arguments["drop_params"] = True
    if style == "gemini" and arguments.get("service_tier") == "auto":
        del arguments["service_tier"]  # litellm would make the dear `priority` of it
    if style == "anthropic":
        arguments |= arguments.pop("extra_body", None) or {}
        if "thinking" in arguments:  # models that litellm does not know think, too
            arguments["allowed_openai_params"] = ["thinking"]


def _pass_on(arguments: dict[str, Any], ask: Ask) -> None:
    """Send messages and parameters as they are: the provider knows what it takes, no library.

    Given by name, some parameters would be dropped in silence and others renamed or doubled,
    developer messages would become system messages, and marks for the cache would be lost.
    """
    params = ask.params
    body = {name: arguments.pop(name) for name in params if name not in _NOT_IN_BODY}
    body["messages"] = list(ask.messages)
    arguments["extra_body"] = {**(params.get("extra_body") or {}), **body}
    arguments.pop("drop_params", None)


def _make_client(ask: Ask, style: Style, transport: GuardedTransport, key: str) -> Any:
    if style != "openai":
        from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

        return AsyncHTTPHandler(transport=transport, follow_redirects=False)
    from openai import AsyncOpenAI

    http = httpx.AsyncClient(
        transport=transport, trust_env=False, follow_redirects=False, timeout=_LITELLM_TIMEOUT_S
    )
    return AsyncOpenAI(
        api_key=key,
        base_url=_base_url(ask, style),
        http_client=http,
        max_retries=0,
        default_headers={"api-key": key} if ask.type == "azure" else None,
    )


def _base_url(ask: Ask, style: Style) -> str:
    """The base URL as the client library wants it."""
    base_url = ask.base_url.rstrip("/")
    has_path = bool(httpx.URL(base_url).path.strip("/"))
    if style == "anthropic":  # litellm adds the version to the path by itself
        return base_url.removesuffix("/v1")
    if ask.type == "azure" and not has_path:
        return f"{base_url}/openai/v1"
    return f"{base_url}/v1" if ask.type == "ollama" and not has_path else base_url
