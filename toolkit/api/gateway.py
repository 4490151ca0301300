"""The gateway: `/v1/models`, `/v1/chat/completions` and `/v1/embeddings`, for any OpenAI client.

Behind it is the whole call path: pipeline, limits, failover and the ledger, with
`origin="gateway"` and the caller's token name as a tag.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, StreamingResponse

from toolkit.api.access import require_model, require_scope
from toolkit.api.bearer_tokens import BearerToken
from toolkit.api.chat_format import (
    ChatBody,
    ChunkWriter,
    completion_json,
    event,
    reply_headers,
    stream_headers,
)
from toolkit.api.embeddings_format import EmbeddingBody, embeddings_json
from toolkit.api.error_format import body_of
from toolkit.api.token_budget import check_budget
from toolkit.calls.stream_buffer import Answering
from toolkit.errors import ClientGone, ToolkitError
from toolkit.store.queries.models import enabled_models

if TYPE_CHECKING:
    from toolkit.calls.client import Delta, ReplyStream
    from toolkit.records import Reply
    from toolkit.toolkit import Toolkit

_SSE = "text/event-stream"
_MOST_WAITING: Final = 256 * 1024  # characters of a stream that its client has not taken yet


def build_gateway(toolkit: Toolkit) -> APIRouter:
    """The routes under `/v1`."""
    router = APIRouter(tags=["gateway"])
    _ = toolkit.processors  # a processor that cannot be loaded is reported at the start
    may_call = Depends(require_scope("call"))

    @router.get("/models", summary="Models that this token may call")
    def list_models(token: BearerToken = may_call) -> dict[str, Any]:
        names = [name for name in served_models(toolkit) if token.may_call(name)]
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": name.partition("/")[0]}
            for name in names
        ]
        return {"object": "list", "data": data}

    @router.post("/chat/completions", summary="Ask a model", response_model=None)
    async def complete(
        body: ChatBody, request: Request, token: BearerToken = may_call
    ) -> JSONResponse | StreamingResponse:
        return await answer_chat(toolkit, body, request, token)

    @router.post("/embeddings", summary="Turn texts into vectors", response_model=None)
    async def embed(
        body: EmbeddingBody, request: Request, token: BearerToken = may_call
    ) -> JSONResponse:
        options = await _options(toolkit, body, token)
        models = resolve_models(toolkit, body.model)
        asking = toolkit.aembed(models[0], body.input, fallbacks=models[1:], **options)
        made = await _unless_gone(request, asyncio.ensure_future(asking))
        content = embeddings_json(made, body.encoding_format)
        return JSONResponse(content, headers=reply_headers(made))

    return router


async def answer_chat(
    toolkit: Toolkit,
    body: ChatBody,
    request: Request,
    token: BearerToken,
    write: Callable[[Reply], dict[str, Any]] = completion_json,
) -> JSONResponse | StreamingResponse:
    """Ask what a checked body asks, as the token's bearer; a stream is always in OpenAI's form.

    Raises:
        ToolkitError: nobody answered, or the token may not ask this.
    """
    options = await _options(toolkit, body, token)
    models = resolve_models(toolkit, body.model)
    if body.stream:
        stream = toolkit.astream(models[0], body.messages, fallbacks=models[1:], **options)
        return await _stream(request, stream, body)
    asking = toolkit.acomplete(models[0], body.messages, fallbacks=models[1:], **options)
    reply = await _unless_gone(request, asyncio.ensure_future(asking))
    return JSONResponse(write(reply), headers=reply_headers(reply))


def served_models(toolkit: Toolkit) -> list[str]:
    """Failover chains, then the enabled models of the catalog, then the providers' defaults."""
    chains = toolkit.chains.served()
    defaults = [
        f"{provider.name}/{provider.default_model}"
        for provider in toolkit.providers.registry.list(active=True)
        if provider.default_model
    ]
    disabled = set(toolkit.catalog.disabled())
    names = [*chains, *enabled_models(toolkit.store), *defaults]
    return [name for name in dict.fromkeys(names) if name not in disabled]


def resolve_models(toolkit: Toolkit, name: str) -> list[str]:
    """The failover chain behind a name, or the one model it names."""
    return list(toolkit.chains.find(name) or (name,))


async def _options(
    toolkit: Toolkit, body: ChatBody | EmbeddingBody, token: BearerToken
) -> dict[str, Any]:
    require_model(token, body.model)
    await check_budget(toolkit.budgets, token)
    tags = {"token": token.name} | ({"user": body.user} if body.user else {})
    return {**body.params(), "origin": "gateway", "tags": tags}


async def _unless_gone(request: Request, task: asyncio.Future[Any]) -> Any:
    """The task's result; when the client goes away first, the task (and the upstream call) ends.

    Raises:
        ClientGone: nobody waits for the result any more.
    """
    gone = asyncio.ensure_future(_wait_until_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
    finally:
        gone.cancel()
        task.cancel()
    await asyncio.wait({task})
    raise ClientGone("the client went away before the answer came")


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _stream(request: Request, stream: ReplyStream, body: ChatBody) -> StreamingResponse:
    """Answer once the first delta is there, so an error before it has a status of its own."""
    stream.hold_back(_MOST_WAITING)
    deltas = stream.deltas()
    first = await _unless_gone(request, asyncio.ensure_future(_first(deltas)))
    answering = stream.answering
    if answering is None:  # it ended without a piece
        answering = Answering(model=body.model, call_id=stream.request.request_id, attempts=1)
    writer = ChunkWriter(answering.call_id, answering.model)
    headers = stream_headers(answering, stream.request.request_id)
    events = _events(stream, deltas, first, writer, with_usage=body.wants_usage)
    return StreamingResponse(events, media_type=_SSE, headers=headers)


async def _first(deltas: AsyncIterator[Delta]) -> Delta | None:
    return await anext(deltas, None)


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
        if first is not None and (chunk := _chunk(writer, first, stream)):
            yield chunk
        async for delta in deltas:
            if chunk := _chunk(writer, delta, stream):
                yield chunk
        yield writer.end(stream.reply, with_usage=with_usage)
    except ToolkitError as error:
        yield event(body_of(error))
    finally:
        await stream.aclose()


def _chunk(writer: ChunkWriter, delta: Delta, stream: ReplyStream) -> bytes | None:
    """A delta's event."""
    if delta.kind == "text":
        return writer.delta({"content": delta.text})
    if delta.kind == "reasoning":
        return writer.delta({"reasoning_content": delta.text})
    return writer.tools(stream.tools)
