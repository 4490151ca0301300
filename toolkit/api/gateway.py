"""The gateway's routes: one for each endpoint of each API whose clients can use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.responses import JSONResponse, Response

from toolkit import __version__
from toolkit.api.access import require_model, require_scope
from toolkit.api.bearer_tokens import BearerToken
from toolkit.api.formats.chat_format import ChatBody, ChatFormat
from toolkit.api.formats.completions_format import (
    CompletionBody,
    CompletionFormat,
    join_completions,
)
from toolkit.api.formats.embeddings_format import EmbeddingBody
from toolkit.api.formats.error_format import NotFound
from toolkit.api.formats.message_events import MessagesFormat
from toolkit.api.formats.messages_format import CountBody, MessagesBody
from toolkit.api.formats.model_request import ModelRequest
from toolkit.api.formats.ollama_format import (
    OllamaBody,
    OllamaChatBody,
    OllamaEmbedBody,
    OllamaFormat,
    OllamaGenerateBody,
    OllamaShowBody,
    ollama_vectors,
)
from toolkit.api.formats.response_events import ResponsesFormat
from toolkit.api.formats.responses_format import ResponsesBody
from toolkit.api.json_bodies import LARGE_BYTES
from toolkit.api.model_calls import ModelCalls, json_response
from toolkit.api.stored_responses import StoredResponses
from toolkit.calls.chat_request import build_request
from toolkit.errors import InvalidInput, ModelNotFound
from toolkit.pricing.token_estimate import estimate_input_tokens
from toolkit.providers.naming import short

B = TypeVar("B", bound=BaseModel)
R = TypeVar("R")

_EPOCH: Final = "1970-01-01T00:00:00Z"  # no provider says when a model was made
_WHOLE_CONVERSATION: Final = "Without it, send the whole conversation as `input`."
_MAY_CALL: Final = Depends(require_scope("call"))


def build_gateway(calls: ModelCalls) -> APIRouter:
    """Every route of the gateway."""
    _ = calls.toolkit.processors  # a processor that cannot be loaded is reported at the start
    router = APIRouter(tags=["gateway"])
    _add_models(router, calls)
    _add_openai(router, calls)
    _add_anthropic(router, calls)
    _add_ollama(router, calls)

    @router.get("/health", summary="Whether the server answers; needs no token")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    return router


def _add_models(router: APIRouter, calls: ModelCalls) -> None:
    @router.get("/v1/models", summary="Models that this token may call")
    def list_models(token: BearerToken = _MAY_CALL) -> dict[str, Any]:
        data = [_model_json(name) for name in calls.models() if token.may_call(name)]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
        return {"object": "list", "data": data, "has_more": False, **ends}

    @router.get("/v1/models/{model_id:path}", summary="One model")
    def show_model(model_id: str, token: BearerToken = _MAY_CALL) -> dict[str, Any]:
        _require_callable(calls, model_id, token)
        return _model_json(model_id)


def _require_callable(calls: ModelCalls, name: str, token: BearerToken) -> None:
    """Refuse a name under which this token can call nothing.

    Raises:
        ModelNotFound: the hint names similar ones.
    """
    if token.may_call(name) and calls.can_call(name):
        return
    near = [known for known in calls.similar_models(name) if token.may_call(known)]
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    raise ModelNotFound(
        f"there is no model {short(name)} that this token may call",
        hint=f"{meant}GET /v1/models lists them. Names are `provider/model`.",
    )


def _model_json(name: str) -> dict[str, Any]:
    """A model for the clients of OpenAI and of Anthropic at once."""
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": name.partition("/")[0],
        "type": "model",
        "display_name": name,
        "created_at": _EPOCH,
    }


def _add_openai(router: APIRouter, calls: ModelCalls) -> None:
    toolkit = calls.toolkit
    stored = StoredResponses(toolkit.store, toolkit.settings.home / "deleted_responses")

    @router.post("/v1/chat/completions", summary="Chat completion", **_body(ChatBody))
    async def chat(http: Request, token: BearerToken = _MAY_CALL) -> Response:
        body = await read_body(http, token, ChatBody)
        request = translate(body.to_request)
        return await calls.answer(request, http, token, ChatFormat(request))

    @router.post("/v1/responses", summary="Response", **_body(ResponsesBody))
    async def respond(http: Request, token: BearerToken = _MAY_CALL) -> Response:
        body = await read_body(http, token, ResponsesBody)
        if body.previous_response_id is None:
            request = translate(body.to_request)
        else:
            request = await asyncio.to_thread(_continued, body, stored, token)
        return await calls.answer(request, http, token, ResponsesFormat(body))

    _add_stored_responses(router, stored)

    @router.post("/v1/completions", summary="Text completion", **_body(CompletionBody))
    async def complete(http: Request, token: BearerToken = _MAY_CALL) -> Response:
        body = await read_body(http, token, CompletionBody)
        requests = await asyncio.to_thread(translate, body.to_requests)
        if len(requests) == 1:
            form = CompletionFormat(body, requests[0])
            return await calls.answer(requests[0], http, token, form)
        made = [await calls.complete(request, http, token) for request in requests]
        echoes = [str(r.messages[0]["content"]) if body.echo else "" for r in requests]
        content = join_completions([answer.reply for answer in made], echoes)
        return json_response(content, made[0].headers())

    @router.post("/v1/embeddings", summary="Vectors of texts", **_body(EmbeddingBody))
    async def embed(http: Request, token: BearerToken = _MAY_CALL) -> Response:
        return await calls.embed(await read_body(http, token, EmbeddingBody), http, token)


def _continued(body: ResponsesBody, stored: StoredResponses, token: BearerToken) -> ModelRequest:
    """The request of a response, after the conversation that it continues.

    Raises:
        InvalidInput: there is no such response of this token, or the body cannot be translated.
    """
    try:
        history = stored.history(body.previous_response_id or "", token.name)
    except NotFound as error:
        raise InvalidInput(error.message, hint=f"{error.hint} {_WHOLE_CONVERSATION}") from None
    return translate(lambda: body.to_request(history))


def _add_stored_responses(router: APIRouter, stored: StoredResponses) -> None:
    @router.get("/v1/responses/{response_id}", summary="A recorded response")
    def show_response(
        response_id: str, stream: bool = False, token: BearerToken = _MAY_CALL
    ) -> dict[str, Any]:
        if stream:
            raise InvalidInput(
                "a recorded response cannot be streamed again", hint="Leave `stream` out."
            )
        return stored.find(response_id, token.name)

    @router.get("/v1/responses/{response_id}/input_items", summary="What a response answers")
    def show_input(
        response_id: str,
        after: str | None = None,
        limit: int = Query(20, ge=1, le=100),
        order: Literal["asc", "desc"] = "desc",
        token: BearerToken = _MAY_CALL,
    ) -> dict[str, Any]:
        return stored.input_items(
            response_id, token.name, after=after, limit=limit, is_newest_first=order == "desc"
        )

    @router.delete("/v1/responses/{response_id}", summary="Make a response unreadable")
    def delete_response(response_id: str, token: BearerToken = _MAY_CALL) -> dict[str, Any]:
        return stored.delete(response_id, token.name)


def _add_anthropic(router: APIRouter, calls: ModelCalls) -> None:
    @router.post("/v1/messages", summary="Message (Anthropic)", **_body(MessagesBody))
    async def create_message(http: Request, token: BearerToken = _MAY_CALL) -> Response:
        body = await read_body(http, token, MessagesBody)
        takes_thinking = calls.takes_thinking(body.model)
        request = translate(lambda: body.to_request(takes_thinking=takes_thinking))
        return await calls.answer(request, http, token, MessagesFormat())

    @router.post(
        "/v1/messages/count_tokens", summary="Input tokens (Anthropic)", **_body(CountBody)
    )
    async def count_tokens(http: Request, token: BearerToken = _MAY_CALL) -> dict[str, int]:
        body = await read_body(http, token, CountBody)
        request = translate(lambda: body.to_request(takes_thinking=False))
        built = build_request(body.model, request.messages, request.params)
        return {"input_tokens": await asyncio.to_thread(estimate_input_tokens, built)}


def _add_ollama(router: APIRouter, calls: ModelCalls) -> None:
    @router.post("/api/chat", summary="Chat (Ollama)", **_body(OllamaChatBody))
    async def ollama_chat(http: Request, token: BearerToken = _MAY_CALL) -> Response:
        body = await read_body(http, token, OllamaChatBody)
        if (loaded := body.loaded()) is not None:
            _require_callable(calls, body.model, token)
            return json_response(loaded)
        return await calls.answer(
            translate(body.to_request), http, token, OllamaFormat(is_chat=True)
        )

    @router.post("/api/generate", summary="Completion (Ollama)", **_body(OllamaGenerateBody))
    async def ollama_generate(http: Request, token: BearerToken = _MAY_CALL) -> Response:
        body = await read_body(http, token, OllamaGenerateBody)
        if (loaded := body.loaded()) is not None:
            _require_callable(calls, body.model, token)
            return json_response(loaded)
        return await calls.answer(
            translate(body.to_request), http, token, OllamaFormat(is_chat=False)
        )

    @router.get("/api/tags", summary="Models that this token may call (Ollama)")
    def ollama_tags(token: BearerToken = _MAY_CALL) -> dict[str, Any]:
        names = [name for name in calls.models() if token.may_call(name)]
        return {"models": [_ollama_model(name) for name in names]}

    @router.post("/api/embed", summary="Vectors of texts (Ollama)", **_body(OllamaEmbedBody))
    async def ollama_embed(http: Request, token: BearerToken = _MAY_CALL) -> Response:
        body = await read_body(http, token, OllamaEmbedBody)
        return await calls.embed(body.to_body(), http, token, ollama_vectors)

    @router.post("/api/show", summary="One model (Ollama)", **_body(OllamaShowBody))
    async def ollama_show(http: Request, token: BearerToken = _MAY_CALL) -> dict[str, Any]:
        body = await read_body(http, token, OllamaShowBody)
        name = body.model or body.name
        _require_callable(calls, name, token)
        abilities = await asyncio.to_thread(calls.abilities, name)
        details = _ollama_model(name)["details"]
        return {"details": details, "model_info": {}, "capabilities": ["completion", *abilities]}

    @router.get("/api/ps", summary="Models in memory: none, providers keep them (Ollama)")
    def ollama_ps(token: BearerToken = _MAY_CALL) -> dict[str, Any]:
        return {"models": []}

    @router.get("/api/version", summary="Version (Ollama)")
    def ollama_version(token: BearerToken = _MAY_CALL) -> dict[str, str]:
        return {"version": __version__}


def _ollama_model(name: str) -> dict[str, Any]:
    details = {
        "parent_model": "",
        "format": "",
        "family": "",
        "families": [],
        "parameter_size": "",
        "quantization_level": "",
    }
    head = {"name": name, "model": name, "modified_at": _EPOCH}
    return {**head, "size": 0, "digest": "", "details": details}


# ---- bodies -------------------------------------------------------------------------------------


async def read_body(http: Request, token: BearerToken, kind: type[B]) -> B:
    """The checked body of a request; the model is checked against the token first.

    Raises:
        Forbidden: the token may not call the model.
        RequestValidationError: the body is not what the endpoint takes.
    """
    raw = await http.body()
    try:
        if len(raw) > LARGE_BYTES:
            data = await asyncio.to_thread(orjson.loads, raw)
        else:
            data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RequestValidationError(
            [{"loc": ("body",), "msg": f"invalid JSON: {error}", "type": "json_invalid"}]
        ) from None
    model = data.get("model") if isinstance(data, dict) else None
    if isinstance(model, str):
        require_model(token, model)
    return check_body(kind, data)


def translate(make: Callable[[], R]) -> R:
    """The request that a body stands for, from its method.

    Raises:
        InvalidInput: a member has a type that the API does not know. Bodies are checked in outline
            only, because providers take more than any one API describes.
    """
    try:
        return make()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            f"the body has a member of the wrong type ({type(error).__name__}: {error})"[:300],
            hint="Compare messages, tools and their parts with the API's description.",
        ) from None


def check_body(kind: type[B], data: Any) -> B:
    """The body as a model of pydantic's.

    Raises:
        RequestValidationError: it does not fit.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from None


def _body(kind: type[BaseModel]) -> dict[str, Any]:
    """What documents a route that reads its own body."""
    schema = {"application/json": {"schema": kind.model_json_schema()}}
    answers: dict[str, Any] = {}
    if "stream" in kind.model_fields:
        stream = "application/x-ndjson" if issubclass(kind, OllamaBody) else "text/event-stream"
        answers = {"responses": {200: {"content": {"application/json": {}, stream: {}}}}}
    return {
        **answers,
        "openapi_extra": {"requestBody": {"required": True, "content": schema}},
        "response_class": JSONResponse,
        "response_model": None,
    }
