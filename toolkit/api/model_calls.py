"""How the gateway calls models: who may, with which parameters, and in which form they answer.

Behind it is the whole call path: pipeline, limits, failover and the database, with
`origin="gateway"` and the caller's token name as a tag.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson
from fastapi import Request
from starlette.responses import Response, StreamingResponse

from toolkit.api.access import require_model
from toolkit.api.bearer_tokens import BearerToken
from toolkit.api.formats.chat_format import reply_headers, stream_headers
from toolkit.api.formats.embeddings_format import EmbeddingBody, embeddings_json
from toolkit.api.formats.model_request import (
    Format,
    ModelRequest,
    StreamWriter,
)
from toolkit.api.formats.unsupported_parameters import (
    POLICY_HEADER,
    UnsupportedPolicy,
    dropped_header,
    dropped_names,
    is_neutral,
    read_policy,
    refused_parameters,
    with_hint,
)
from toolkit.api.redaction import RedactingWriter, without_keys
from toolkit.api.routing.chain_routing import (
    HEDGE_HEADER,
    HEDGED_HEADER,
    P95,
    SESSION_HEADER,
    RecentLatency,
    StickySessions,
    first_answer,
    read_hedge,
    session_of,
)
from toolkit.api.routing.response_cache import (
    CACHE_HEADER,
    ResponseCache,
    cache_key,
    read_ttl,
    repeat,
)
from toolkit.api.routing.shadow_traffic import ShadowTraffic
from toolkit.api.token_limits import check_budget
from toolkit.calls.parsers.stream_parser import Delta
from toolkit.errors import ClientGone, InvalidRequest, StoreError, ToolkitError
from toolkit.providers.naming import similar_models
from toolkit.secret import current_matcher
from toolkit.store.queries.models import enabled_models

if TYPE_CHECKING:
    from toolkit.calls.client import ReplyStream
    from toolkit.records import Embedding, Reply
    from toolkit.toolkit import Toolkit

T = TypeVar("T")

_log = logging.getLogger("toolkit")

_MAX_WAITING: Final = 256 * 1024  # characters of a stream that its client has not read yet
_MODELS_TTL_S: Final = 5.0
_ABILITIES: Final = {"tools": "tools", "vision": "vision", "reasoning": "thinking"}
_THINKING_TYPES: Final = ("anthropic", "bedrock", "vertex_ai")


class ModelCalls:
    """Calls models for the clients of the gateway.

    Args:
        toolkit: the toolkit whose providers are called.
        on_unsupported: the policy for parameters that a provider does not take, where neither
            the request nor the token names another.
    """

    def __init__(self, toolkit: Toolkit, *, on_unsupported: UnsupportedPolicy = "neutral") -> None:
        self.toolkit = toolkit
        self._on_unsupported = on_unsupported
        self._models: list[str] = []
        self._disabled: frozenset[str] = frozenset()
        self._models_until = 0.0
        settings = toolkit.settings
        self._cache = ResponseCache()
        self._sessions = StickySessions()
        self._latency = RecentLatency()
        toolkit.on_record.append(self._latency.observe_call)
        self._shadow = ShadowTraffic(settings.shadow, settings.shadow_share, toolkit.acomplete)

    # ---- models -----------------------------------------------------------------------------

    def models(self) -> list[str]:
        """Failover chains first, then every enabled model of the catalog, then defaults.

        The catalog is read at most every few seconds, and never waited for while the database
        is busy: then the list is the last one.
        """
        registry = self.toolkit.providers.registry
        if time.monotonic() >= self._models_until:
            try:
                self._models = enabled_models(self.toolkit.store)
                self._disabled = frozenset(self.toolkit.catalog.disabled())
                self._models_until = time.monotonic() + _MODELS_TTL_S
            except StoreError:
                self._models_until = time.monotonic() + 1.0
        defaults = [
            f"{provider.name}/{provider.default_model}"
            for provider in registry.list(active=True)
            if provider.default_model
        ]
        names = dict.fromkeys([*self.toolkit.chains.served(), *self._models, *defaults])
        return [name for name in names if name not in self._disabled]

    def can_call(self, name: str) -> bool:
        """Whether a call of that name would be sent: listed or not, a chain, a provider alone."""
        listed = self.models()  # also reads which models are switched off
        if name in self._disabled:
            return False
        try:
            if name in listed or self.toolkit.chains.find(name):
                return True
            provider, model_id = self.toolkit.resolver.resolve(name)
        except ToolkitError:
            return False
        return f"{provider.name}/{model_id}" not in self._disabled

    def similar_models(self, name: str) -> list[str]:
        """Models whose names are like that of one that cannot be called."""
        return similar_models(name, self.models())

    def abilities(self, name: str) -> list[str]:
        """What the catalog says that a model can do, in Ollama's words."""
        model = (self.toolkit.chains.find(name) or (name,))[0]
        try:
            known = set(self.toolkit.catalog.capabilities(model))
        except ToolkitError:
            return []
        return [theirs for ours, theirs in _ABILITIES.items() if ours in known]

    def takes_thinking(self, name: str) -> bool:
        """Whether the first model behind a name takes Anthropic's `thinking`."""
        try:
            model = (self.toolkit.chains.find(name) or (name,))[0]
            provider, _ = self.toolkit.resolver.resolve(model)
        except ToolkitError:
            return False
        return provider.type.startswith("anthropic") or (
            provider.type.startswith(_THINKING_TYPES) and "claude" in model
        )

    # ---- calls ------------------------------------------------------------------------------

    async def answer(
        self, request: ModelRequest, http: Request, token: BearerToken, form: Format
    ) -> Response:
        """Call the model as the token's bearer, and write its answer in a format.

        Raises:
            ToolkitError: no model answered, or the token may not do this.
        """
        require_model(token, request.model)
        ttl_s = self._ttl_s(http, token)
        key = cache_key(token.name, request) if ttl_s else None
        if key is not None and (kept := self._cache.find(key)):
            return self._repeat(*kept, request, token, form)
        mark = {} if key is None else {CACHE_HEADER: "miss"}

        def keep(reply: Reply, dropped: Sequence[str]) -> None:
            if key is not None:
                self._cache.keep(key, reply, tuple(dropped), ttl_s)

        if request.stream:
            return await self._stream(request, http, token, form, mark, keep)
        made = await self.complete(request, http, token)
        keep(made.reply, made.dropped)
        return json_response(form.whole(made.reply), made.headers() | mark)

    def _ttl_s(self, http: Request, token: BearerToken) -> float:
        asked = read_ttl(http.headers.get(CACHE_HEADER))
        by_default = token.cache_ttl_s
        if by_default is None:
            by_default = self.toolkit.settings.cache_ttl_s
        return by_default if asked is None else asked

    def _repeat(
        self,
        kept: Reply,
        dropped: Sequence[str],
        request: ModelRequest,
        token: BearerToken,
        form: Format,
    ) -> Response:
        """Answer with a reply that was kept, and record that."""
        reply = repeat(kept, request, token.name)
        try:
            self.toolkit.record(reply.attempts[0])
        except (StoreError, OSError) as error:
            _log.warning("an answer from the cache was not recorded: %s", type(error).__name__)
        headers = reply_headers(reply) | dropped_header(dropped) | {CACHE_HEADER: "hit"}
        if not request.stream:
            return json_response(form.whole(reply), headers)
        events = _repeated_events(reply, form.writer(reply.call_id, reply.model))
        return StreamingResponse(without_keys(events), media_type=form.media_type, headers=headers)

    async def complete(
        self, request: ModelRequest, http: Request, token: BearerToken
    ) -> WholeAnswer:
        """The whole reply, and what was done for it.

        Raises:
            ToolkitError: as `answer`.
        """
        options = await self._options(request, http, token)

        async def run(this: ModelRequest) -> tuple[Reply, bool]:
            async def call(models: Sequence[str]) -> Reply:
                more = _with_fallbacks(options, models)
                return await self.toolkit.acomplete(models[0], this.messages, **this.params, **more)

            found: tuple[Reply, bool] = await unless_gone(
                http, asyncio.ensure_future(self._routed(this, http, token, call, _discard_reply))
            )
            return found

        (reply, is_hedged), dropped = await self._with_policy(request, http, token, run)
        self._answered(request, http, token, reply.model, reply.request_id)
        dropped = [*request.left_out, *(dropped or dropped_names(reply))]
        return WholeAnswer(reply=reply, dropped=dropped, is_hedged=is_hedged)

    async def _routed(
        self,
        request: ModelRequest,
        http: Request,
        token: BearerToken,
        call: Callable[[Sequence[str]], Awaitable[T]],
        discard: Callable[[T], Awaitable[None]],
    ) -> tuple[T, bool]:
        """What `call` answers for the models of the request, and whether it was hedged."""
        models = self.toolkit.chains.find(request.model) or (request.model,)
        if len(models) < 2:
            return await call((request.model,)), False
        session = session_of(http.headers.get(SESSION_HEADER), request.params)
        if session is not None:
            models = self._sessions.order(token.name, session, models)
        wait_ms = self._hedge_ms(request, http, models[0])
        if not wait_ms:
            return await call(models if session is not None else (request.model,)), False
        return await first_answer(
            lambda: call(models), lambda: call(models[1:]), wait_ms / 1000, discard
        )

    def _hedge_ms(self, request: ModelRequest, http: Request, model: str) -> float | None:
        """How long the first model may take before a second one is called; None: for ever."""
        asked = read_hedge(http.headers.get(HEDGE_HEADER))
        chosen = self.toolkit.settings.hedging.get(request.model) if asked is None else asked
        if chosen == P95:
            return self._latency.p95_ms(model, stream=request.stream)
        return float(chosen) if chosen is not None else None

    def _answered(
        self, request: ModelRequest, http: Request, token: BearerToken, model: str, request_id: str
    ) -> None:
        """Remember who answered the session, and copy the request where that is wanted."""
        session = session_of(http.headers.get(SESSION_HEADER), request.params)
        if session is not None:
            self._sessions.note(token.name, session, model)
        self._shadow.send(request, request_id)

    async def aclose(self) -> None:
        """End what is still under way for no client."""
        await self._shadow.aclose()

    async def embed(
        self,
        body: EmbeddingBody,
        http: Request,
        token: BearerToken,
        write: Callable[[Embedding], dict[str, Any]] | None = None,
    ) -> Response:
        """The vectors of texts, in OpenAI's form or as `write` puts them.

        Raises:
            ToolkitError: as `answer`.
        """
        labels = {"user": body.user} if body.user else {}
        request = ModelRequest(model=body.model, messages=[], params=body.params(), labels=labels)
        options = await self._options(request, http, token)
        texts = await asyncio.to_thread(body.texts)
        options.pop("on_unsupported")
        call = self.toolkit.aembed(body.model, texts, **request.params, **options)
        made = await unless_gone(http, asyncio.ensure_future(call))
        content = write(made) if write else embeddings_json(made, body.encoding_format)
        return json_response(content, reply_headers(made))

    async def _options(
        self, request: ModelRequest, http: Request, token: BearerToken
    ) -> dict[str, Any]:
        require_model(token, request.model)
        await check_budget(self.toolkit.budgets, token)
        policy = self._policy(request, http, token)
        return {
            "origin": "gateway",
            "tags": {**request.labels, "token": token.name},
            "on_unsupported": "drop" if policy == "drop" else "error",
        }

    def _policy(
        self, request: ModelRequest, http: Request, token: BearerToken
    ) -> UnsupportedPolicy:
        chosen = read_policy(http.headers.get(POLICY_HEADER)) or request.on_unsupported
        return chosen or token.on_unsupported or self._on_unsupported

    async def _with_policy(
        self,
        request: ModelRequest,
        http: Request,
        token: BearerToken,
        run: Callable[[ModelRequest], Awaitable[T]],
    ) -> tuple[T, list[str]]:
        """The result of `run`; again without neutral parameters that the provider refused.

        Most refusals are made here, before anything is sent, and cost nothing.
        """
        policy = self._policy(request, http, token)
        dropped: list[str] = []
        while True:
            try:
                return await run(request), dropped
            except InvalidRequest as error:
                refused = refused_parameters(error, request.params)
                neutral = [
                    n for n, value in refused.items() if is_neutral(n, value, request.params)
                ]
                if policy == "error" or len(neutral) < len(refused) or not neutral:
                    raise with_hint(error, refused) from None
            request = request.without(neutral)
            dropped += neutral

    async def _stream(
        self,
        request: ModelRequest,
        http: Request,
        token: BearerToken,
        form: Format,
        mark: Mapping[str, str],
        keep: Callable[[Reply, Sequence[str]], None],
    ) -> Response:
        """Answer once the first piece is there, so an error before it has a status of its own."""
        options = await self._options(request, http, token)

        async def run(this: ModelRequest) -> tuple[_Opened, bool]:
            async def call(models: Sequence[str]) -> _Opened:
                more = _with_fallbacks(options, models)
                stream = self.toolkit.astream(models[0], this.messages, **this.params, **more)
                stream.hold_back(_MAX_WAITING)
                deltas = stream.deltas()
                return _Opened(stream, deltas, await anext(deltas, None))

            found: tuple[_Opened, bool] = await unless_gone(
                http, asyncio.ensure_future(self._routed(this, http, token, call, _discard_stream))
            )
            return found

        (opened, is_hedged), dropped = await self._with_policy(request, http, token, run)
        dropped = [*request.left_out, *dropped]
        request_id = opened.stream.request.request_id
        answering = opened.stream.answering
        if answering is None:  # it ended without a piece
            model, call_id, attempts = request.model, request_id, 1
        else:
            model, call_id, attempts = answering.model, answering.call_id, answering.attempts
        self._answered(request, http, token, model, request_id)
        headers = stream_headers(model, call_id, request_id, attempts) | dropped_header(dropped)
        headers |= {**mark, **_hedged_header(is_hedged=is_hedged)}
        writer = RedactingWriter(form.writer(call_id, model))
        events = _events(opened, writer, lambda reply: keep(reply, dropped))
        return StreamingResponse(without_keys(events), media_type=form.media_type, headers=headers)


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """A whole reply, and what was done for it.

    Attributes:
        dropped: parameters that were left out.
        is_hedged: whether a second model was called as well.
    """

    reply: Reply
    dropped: Sequence[str]
    is_hedged: bool = False

    def headers(self) -> dict[str, str]:
        """The headers of the response."""
        headers = reply_headers(self.reply) | dropped_header(self.dropped)
        return headers | _hedged_header(is_hedged=self.is_hedged)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A stream whose first piece has come; None where it ended without one."""

    stream: ReplyStream
    deltas: AsyncIterator[Delta]
    first: Delta | None


def _with_fallbacks(options: Mapping[str, Any], models: Sequence[str]) -> dict[str, Any]:
    return {**options, "fallbacks": list(models[1:])} if len(models) > 1 else dict(options)


def _hedged_header(*, is_hedged: bool) -> dict[str, str]:
    return {HEDGED_HEADER: "yes"} if is_hedged else {}


async def _discard_reply(reply: Reply) -> None:
    """Nothing: its row is written."""


async def _discard_stream(opened: _Opened) -> None:
    await opened.stream.aclose()


def json_response(content: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response, without the keys of providers: a client of the gateway has none of them."""
    body, matcher = orjson.dumps(content), current_matcher()
    if matcher.spans(body):
        body = orjson.dumps(matcher.redact_value(content))
    return Response(body, media_type="application/json", headers=headers)


async def unless_gone(http: Request, task: asyncio.Future[Any]) -> Any:
    """The task's result; when the client goes away first, the task (and the upstream call) ends.

    Raises:
        ClientGone: the client closed the connection.
    """
    gone = asyncio.ensure_future(_wait_until_gone(http))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
    finally:
        gone.cancel()
        task.cancel()
    await asyncio.wait({task})
    raise ClientGone("the client went away before the answer came")


async def _wait_until_gone(http: Request) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


async def _events(
    opened: _Opened, writer: StreamWriter, keep: Callable[[Reply], None]
) -> AsyncIterator[bytes]:
    """The stream's events; each waits until the last was read, so a slow client costs nothing."""
    stream = opened.stream
    try:
        if opening := writer.start():
            yield opening
        if opened.first is not None and (chunk := writer.piece(opened.first, stream.tools)):
            yield chunk
        async for delta in opened.deltas:
            if chunk := writer.piece(delta, stream.tools):
                yield chunk
        keep(stream.reply)
        yield writer.end(stream.reply)
    except ToolkitError as error:
        yield writer.failed(error)
    finally:
        await stream.aclose()


async def _repeated_events(reply: Reply, writer: StreamWriter) -> AsyncIterator[bytes]:
    """A kept reply as a stream: its reasoning and its text in one piece each."""
    if opening := writer.start():
        yield opening
    if reply.reasoning:
        yield writer.piece(Delta("reasoning", reply.reasoning, 0.0), {})
    if reply.text:
        yield writer.piece(Delta("text", reply.text, 0.0), {})
    yield writer.end(reply)
