"""The sides of the call benchmarks: our client with its journal, bare litellm, HTTP alone."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import orjson

from toolkit.calls.adapters.library import load
from toolkit.calls.chat_request import build_request
from toolkit.calls.client import Client
from toolkit.calls.sync_calls import Portal
from toolkit.keys.service import ResolvedKey
from toolkit.providers.provider import Provider
from toolkit.records import Call
from toolkit.secret import Secret
from toolkit.settings import Settings
from toolkit.store.store import Store

KEY = "sk-" + "b" * 40
MESSAGES = [{"role": "user", "content": "How do you do?"}]


class Callers:
    """One request, asked by each side in each form; `calls` are the rows of ours."""

    def __init__(self, base_url: str, home: Path) -> None:
        self._base_url = base_url
        self._store = Store(Settings(home=home))
        self.calls: list[Call] = []
        provider = Provider(name="mock", type="openai-compatible", base_url=base_url, is_local=True)
        key = ResolvedKey(
            secret=Secret(KEY), source="argument", name="default", fingerprint="x" * 8
        )
        self._portal = Portal()
        self._client = Client(
            settings=Settings(home=home),
            resolve=lambda model: (provider, model.split("/", 1)[1]),
            key_for=lambda _provider, _explicit: key,
            record=self._record,
        )

    def _record(self, call: Call) -> None:
        self.calls.append(call)
        self._store.append("calls", call.as_row())

    async def ours(self) -> Any:
        return await self._client.complete(build_request("mock/m", MESSAGES, {}))

    async def ours_streamed(self) -> Any:
        stream = self._client.stream(build_request("mock/m", MESSAGES, {}, stream=True))
        async for _ in stream:
            pass
        return stream.reply

    def ours_sync(self) -> Any:
        stream = self._portal.iterate(
            lambda: self._client.stream(build_request("mock/m", MESSAGES, {}, stream=True))
        )
        for _ in stream:
            pass
        return stream.reply

    def arguments(self, **more: Any) -> dict[str, Any]:
        return {
            "model": "openai/m",
            "messages": MESSAGES,
            "api_base": self._base_url,
            "api_key": KEY,
            "max_retries": 0,
            "timeout": 60.0,
            **more,
        }

    async def bare(self) -> Any:
        return await load().acompletion(**self.arguments())

    async def bare_streamed(self) -> Any:
        options = {"include_usage": True}
        stream = await load().acompletion(**self.arguments(stream=True, stream_options=options))
        async for _ in stream:
            pass

    def bare_sync(self) -> Any:
        litellm, options = load(), {"include_usage": True}
        litellm.disable_streaming_logging = False  # litellm's default
        for _ in litellm.completion(**self.arguments(stream=True, stream_options=options)):
            pass
        litellm.disable_streaming_logging = True

    @property
    def chat_url(self) -> str:
        """Where both sides send the request."""
        return f"{self._base_url}/chat/completions"

    def close(self) -> None:
        self._portal.close()
        self._store.close()


class RawCallers:
    """The same request by the HTTP libraries alone: no guards, no measurements, no row."""

    def __init__(self, url: str, session: aiohttp.ClientSession, client: httpx.AsyncClient) -> None:
        self._url, self._session, self._client = url, session, client
        self._headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}

    def _body(self, *, stream: bool) -> bytes:
        more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        return orjson.dumps({"model": "m", "messages": MESSAGES, **more})

    async def by_aiohttp(self) -> Any:
        body = self._body(stream=False)
        async with self._session.post(self._url, data=body, headers=self._headers) as response:
            return orjson.loads(await response.read())

    async def by_aiohttp_streamed(self) -> None:
        body = self._body(stream=True)
        async with self._session.post(self._url, data=body, headers=self._headers) as response:
            async for line in response.content:
                _decode_line(line)

    async def by_httpx(self) -> Any:
        body = self._body(stream=False)
        response = await self._client.post(self._url, content=body, headers=self._headers)
        return orjson.loads(response.content)

    async def by_httpx_streamed(self) -> None:
        body, headers = self._body(stream=True), self._headers
        sent = self._client.stream("POST", self._url, content=body, headers=headers)
        async with sent as response:
            async for line in response.aiter_lines():
                _decode_line(line.encode())


def _decode_line(line: bytes) -> None:
    if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
        orjson.loads(line[6:])


@contextlib.asynccontextmanager
async def open_raw_callers(callers: Callers) -> AsyncIterator[RawCallers]:
    """The HTTP libraries, each with its own pool of connections."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        httpx.AsyncClient(limits=limits, timeout=60) as client,
    ):
        yield RawCallers(callers.chat_url, session, client)


@contextlib.contextmanager
def open_callers(base_url: str) -> Iterator[Callers]:
    """Both sides, with a home of their own that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        callers = Callers(base_url, Path(folder))
        try:
            yield callers
        finally:
            callers.close()
