"""The gateway: `/v1/models`, `/v1/chat/completions` and `/v1/embeddings`, for any OpenAI client.

Behind it is the whole call path: pipeline, limits, failover and the ledger, with
`origin="gateway"` and the caller's token name as a tag.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, StreamingResponse

from toolkit.api.access import require_model, require_scope
from toolkit.api.chat_format import (
    ChatBody,
    ChunkWriter,
    completion_json,
    event,
    reply_headers,
)
from toolkit.api.failure import body_of
from toolkit.api.spend import require_budget
from toolkit.api.tokens import Token
from toolkit.errors import ToolkitError

if TYPE_CHECKING:
    from toolkit.calls.client import Delta, ReplyStream
    from toolkit.workbench.bench import Workbench

_SSE = "text/event-stream"


def build_gateway(bench: Workbench) -> APIRouter:
    """The routes under `/v1`."""
    router = APIRouter(tags=["gateway"])
    may_call = Depends(require_scope("call"))

    @router.get("/models", summary="Models that this token may call")
    def list_models(token: Token = may_call) -> dict[str, Any]:
        names = [name for name in served_models(bench) if token.may_call(name)]
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": name.partition("/")[0]}
            for name in names
        ]
        return {"object": "list", "data": data}

    @router.post("/chat/completions", summary="Ask a model", response_model=None)
    async def complete(
        body: ChatBody, request: Request, token: Token = may_call
    ) -> JSONResponse | StreamingResponse:
        options = await _options(bench, body, token)
        models = resolve_models(bench, body.model)
        if body.stream:
            stream = bench.astream(models[0], body.messages, fallbacks=models[1:], **options)
            return await _stream(stream, body)
        asking = bench.acomplete(models[0], body.messages, fallbacks=models[1:], **options)
        reply = await _unless_gone(request, asyncio.ensure_future(asking))
        return JSONResponse(completion_json(reply), headers=reply_headers(reply))

    return router


def served_models(bench: Workbench) -> list[str]:
    """Aliases first, then every enabled model of the catalog, then the providers' defaults."""
    aliases = list(bench.providers.registry.aliases())
    rows = bench.store.rows(
        "SELECT model FROM models WHERE is_enabled AND gone_at IS NULL ORDER BY model"
    )
    defaults = [
        f"{provider.name}/{provider.default_model}"
        for provider in bench.providers.registry.list(active=True)
        if provider.default_model
    ]
    return list(dict.fromkeys([*aliases, *(row["model"] for row in rows), *defaults]))


def resolve_models(bench: Workbench, name: str) -> list[str]:
    """The failover chain behind a name: an alias's models, or the one model it names."""
    return list(bench.providers.registry.find_alias(name) or (name,))


async def _options(bench: Workbench, body: ChatBody, token: Token) -> dict[str, Any]:
    require_model(token, body.model)
    await asyncio.to_thread(require_budget, bench, token)
    tags = {"token": token.name} | ({"user": body.user} if body.user else {})
    return {**body.params(), "origin": "gateway", "tags": tags}


async def _unless_gone(request: Request, task: asyncio.Future[Any]) -> Any:
    """The task's result; when the client goes away first, the task (and the upstream call) ends."""
    gone = asyncio.ensure_future(_wait_until_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
        return await task
    finally:
        gone.cancel()


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _stream(stream: ReplyStream, body: ChatBody) -> StreamingResponse:
    """Answer once the first delta is there, so an error before it has a status of its own."""
    deltas = stream.deltas()
    first = await anext(deltas, None)
    writer = ChunkWriter(stream.request.request_id, body.model)
    headers = {
        "x-toolkit-request-id": stream.request.request_id,
        "x-toolkit-model": body.model,
        "cache-control": "no-store",
    }
    events = _events(stream, deltas, first, writer, with_usage=body.wants_usage)
    return StreamingResponse(events, media_type=_SSE, headers=headers)


async def _events(
    stream: ReplyStream,
    deltas: AsyncIterator[Delta],
    first: Delta | None,
    writer: ChunkWriter,
    *,
    with_usage: bool,
) -> AsyncIterator[bytes]:
    """The stream's events; each waits until the last was taken, so a slow client costs nothing."""
    try:
        yield writer.delta({"role": "assistant", "content": ""})
        if first is not None and (chunk := _chunk(writer, first)):
            yield chunk
        async for delta in deltas:
            if chunk := _chunk(writer, delta):
                yield chunk
        yield writer.end(stream.reply, with_usage=with_usage)
    except ToolkitError as error:
        yield event(body_of(error))
    finally:
        await stream.aclose()


def _chunk(writer: ChunkWriter, delta: Delta) -> bytes | None:
    """A delta's event; tool calls are sent whole at the end, when their JSON is complete."""
    if delta.kind == "text":
        return writer.delta({"content": delta.text})
    if delta.kind == "reasoning":
        return writer.delta({"reasoning_content": delta.text})
    return None
